"""A predicted number with the band that the measured one should fall into so often, and how bands of parts add up.

A time is lognormal about the prediction: `value·exp(±z·sigma)`, sigma the standard deviation of log(measured /
predicted) found on what a fit left out. A sum of such parts has, to first order (the delta method),

    sigma² = sum_i sum_j w_i·w_j·rho_ij·sigma_i·sigma_j        w_i = seconds_i / sum, rho_ii = 1

Parts of one kind share their errors: a chip whose library is slow at one shape is slow at the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, inf, log, sqrt
from statistics import NormalDist
from typing import Final

from flopsight.errors import UsageError

LEVEL: Final = 0.9
"""Of ten measurements, nine should lie inside."""
SHARED: Final = 0.1
"""Correlation of the errors of two calls of one kind on a chip whose kernels were measured: 0.05 to 0.09 on collectives
of sizes or devices that the fit left out (the share of the variance that a device and kind have in common)."""
BORROWED: Final = 0.7
"""The same on a chip that borrows from another family: 0.67. Measured chips err by shape, borrowed ones as a whole."""


@dataclass(frozen=True, slots=True)
class Interval:
    """low <= value <= high; a share `level` of measurements should lie inside. basis: where the spread comes from."""

    low: float
    value: float
    high: float
    level: float = LEVEL
    basis: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise UsageError(f"The level of an interval is a share between 0 and 1; got {self.level!r}.")
        if not self.low <= self.value <= self.high:
            raise UsageError(f"An interval is low <= value <= high; got {self.low!r}, {self.value!r}, {self.high!r}.")

    def __contains__(self, measured: float) -> bool:
        return self.low <= measured <= self.high

    def __mul__(self, times: float) -> Interval:
        """The same in another unit; a negative factor is refused, since it would turn the ends round."""
        if times < 0:
            raise UsageError(f"An interval is multiplied by a number of at least 0; got {times!r}.")
        return Interval(self.low * times, self.value * times, self.high * times, self.level, self.basis)

    __rmul__ = __mul__

    def turned(self, over: float = 1.0) -> Interval:
        """over / interval: seconds a step into steps a second, with the ends in their places."""
        if self.low <= 0:
            raise UsageError(f"Only an interval above 0 can be turned into a rate; this one begins at {self.low!r}.")
        return Interval(over / self.high, over / self.value, over / self.low, self.level, self.basis)

    @property
    def sigma(self) -> float:
        """The standard deviation of the logarithm that this band stands for."""
        return 0.0 if self.high <= self.low else _log_ratio(self.high, self.low) / (2 * quantile(self.level))


def _log_ratio(high: float, low: float) -> float:
    return log(high / low) if low > 0 else inf


@lru_cache(64)
def quantile(level: float) -> float:
    """z with P(|N(0, 1)| <= z) = level: 1.645 for 0.9."""
    return NormalDist().inv_cdf((1 + level) / 2)


def lognormal(value: float, sigma: float, level: float = LEVEL, basis: str = "") -> Interval:
    """value·exp(±z·sigma): the band of a positive number whose logarithm is off by sigma."""
    if sigma < 0 or value < 0:
        raise UsageError(f"A lognormal interval needs a value and a sigma of at least 0; got {value!r} and {sigma!r}.")
    factor = exp(quantile(level) * sigma)
    return Interval(value / factor, value, value * factor, level, basis)


def combine(parts: Sequence[tuple[float, float]], shared: float = SHARED, model: float = 0.0) -> float:
    """Sigma of a sum of parts (seconds, sigma) whose errors share the correlation `shared`, and of the model itself.

        sigma² = (1 - rho)·sum (w·s)² + rho·(sum w·s)² + model²

    rho 0: errors cancel; 1: they add up. Equal calls err alike: give them as one part, times · seconds. `model` is what
    no part knows of: an engine, a queue, a clock.
    """
    if not 0 <= shared <= 1:
        raise UsageError(f"A correlation of errors lies between 0 and 1 here; got {shared!r}.")
    total = sum(seconds for seconds, _ in parts)
    if total <= 0:
        return model
    each = [seconds / total * sigma for seconds, sigma in parts]
    return sqrt((1 - shared) * sum(e * e for e in each) + shared * sum(each) ** 2 + model * model)


def combine_kinds(kinds: Sequence[Sequence[tuple[float, float]]], shared: float = SHARED, model: float = 0.0) -> float:
    """The same where parts of one kind share errors and kinds do not: products, attention, exchanges."""
    groups = [(sum(seconds for seconds, _ in parts), combine(parts, shared)) for parts in kinds]
    return combine(groups, 0.0, model)
