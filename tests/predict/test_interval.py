"""Intervals: their ends, and sums of uncertain parts against Monte Carlo."""

import numpy as np
import pytest

from flopsight.errors import UsageError
from flopsight.predict.interval import BORROWED, SHARED, Interval, combine, combine_kinds, lognormal, quantile
from flopsight.predict.kernels.roofline import coefficients

RNG = np.random.default_rng(20261123)
DRAWS = 200_000


def drawn(parts, shared):
    """Sums of lognormal parts whose logarithms have the correlation `shared`."""
    common = RNG.standard_normal(DRAWS)
    total = np.zeros(DRAWS)
    for seconds, sigma in parts:
        noise = shared**0.5 * common + (1 - shared) ** 0.5 * RNG.standard_normal(DRAWS)
        total += seconds * np.exp(sigma * noise)
    return total


def test_the_ends():
    """90 % of a normal lie within 1.645 deviations: Abramowitz and Stegun, table 26.5."""
    assert quantile(0.9) == pytest.approx(1.644854, abs=1e-6)
    assert quantile(0.6827) == pytest.approx(1.0, abs=1e-3)
    found = lognormal(2.0, 0.2)
    assert (found.low, found.high) == pytest.approx((2 / 1.38957, 2 * 1.38957), rel=1e-4)
    assert found.sigma == pytest.approx(0.2)
    assert lognormal(2.0, 0.0) == Interval(2.0, 2.0, 2.0)
    assert lognormal(0.0, 0.3).sigma == 0


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.99])
def test_coverage(level):
    """As many draws inside as the level says."""
    found = lognormal(3.0, 0.4, level)
    draws = 3.0 * np.exp(0.4 * RNG.standard_normal(DRAWS))
    assert np.mean((draws >= found.low) & (draws <= found.high)) == pytest.approx(level, abs=0.005)


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize(
    "parts",
    [
        [(1.0, 0.2)],
        [(1.0, 0.2), (1.0, 0.2)],
        [(5.0, 0.1), (1.0, 0.3), (0.2, 0.5)],
        [(1.0, 0.25)] * 40,
    ],
    ids=["one", "two", "three", "forty"],
)
def test_sums_of_parts(parts, shared):
    """The delta method against 200,000 drawn sums: the spread of their logarithm, and the share inside."""
    total, sums = sum(seconds for seconds, _ in parts), drawn(parts, shared)
    sigma = combine(parts, shared)
    assert np.std(np.log(sums)) == pytest.approx(sigma, rel=0.08, abs=0.002)
    band = lognormal(float(np.median(sums)), sigma)
    assert np.mean((sums >= band.low) & (sums <= band.high)) == pytest.approx(0.9, abs=0.02)
    assert np.median(sums) == pytest.approx(total, rel=0.05)


def test_kinds_do_not_share():
    """Two kinds, correlated within and not between."""
    products, exchanges = [(1.0, 0.2)] * 5, [(0.5, 0.4)] * 4
    sums = drawn(products, 0.7) + drawn(exchanges, 0.7)
    assert np.std(np.log(sums)) == pytest.approx(combine_kinds([products, exchanges], 0.7), rel=0.05)


def test_the_model_comes_on_top():
    sums = drawn([(1.0, 0.2), (2.0, 0.1)], 0.5) * np.exp(0.15 * RNG.standard_normal(DRAWS))
    assert np.std(np.log(sums)) == pytest.approx(combine([(1.0, 0.2), (2.0, 0.1)], 0.5, model=0.15), rel=0.02)
    assert combine([], 0.5, model=0.15) == 0.15


def test_limits_of_a_sum():
    """Independent errors of n equal parts fall with the root of n; shared ones stay."""
    parts = [(1.0, 0.3)] * 9
    assert combine(parts, 0.0) == pytest.approx(0.1)
    assert combine(parts, 1.0) == pytest.approx(0.3)
    assert combine([(1.0, 0.3), (0.0, 9.0)], 0.7) == pytest.approx(0.3)


def test_correlations_are_those_that_were_measured():
    """Of collectives: sizes left out, and devices predicted by their family; families predicted by others."""
    seen = coefficients("collective")["error"]["shared"]
    assert pytest.approx((seen["own"] + seen["switch Hopper"] + seen["switch Blackwell"]) / 3, abs=0.05) == SHARED
    assert pytest.approx(seen["switch"], abs=0.05) == BORROWED


def test_units_and_rates():
    found = lognormal(0.5, 0.3, basis="left-out shapes")
    assert (found * 1000).value == 500
    assert (1000 * found).sigma == pytest.approx(0.3)
    rate = found.turned(8)
    assert (rate.low, rate.value, rate.high) == pytest.approx((8 / found.high, 16, 8 / found.low))
    assert rate.basis == "left-out shapes"
    assert 0.5 in found
    assert 5.0 not in found


@pytest.mark.parametrize(
    "ask",
    [
        lambda: Interval(2, 1, 3), lambda: Interval(1, 1, 1, level=1.0), lambda: lognormal(1, -0.1),
        lambda: combine([(1, 0.1)], 1.5), lambda: lognormal(1, 0.1) * -1, lambda: Interval(0, 1, 2).turned(),
    ],
)  # fmt: skip
def test_bad_input(ask):
    with pytest.raises(UsageError):
        ask()
