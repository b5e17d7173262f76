"""Schedules against the bubble formulas of their papers, and how layers are dealt."""

import pytest

from flopsight.errors import UsageError
from flopsight.predict.pipeline import Stage, bubble, deal, in_flight

STAGE = Stage(1.0, 1.25, 0.75)


@pytest.mark.parametrize("p", [2, 4, 8, 16])
def test_1f1b_and_gpipe_wait_p_minus_1_stages(p):
    """Narayanan et al. 2021 (2104.04473): bubble time (p-1)(tf+tb); GPipe: share (p-1)/(m+p-1) of the whole."""
    for schedule in ("1f1b", "gpipe"):
        assert bubble(schedule, [STAGE] * p) == pytest.approx((p - 1) * STAGE.total)
    m = 32
    waiting, work = bubble("gpipe", [STAGE] * p), m * STAGE.total
    assert waiting / work == pytest.approx((p - 1) / m)
    assert waiting / (work + waiting) == pytest.approx((p - 1) / (m + p - 1))


@pytest.mark.parametrize(("p", "v"), [(4, 2), (8, 3), (35, 3)])
def test_interleaving_divides_by_v(p, v):
    """Narayanan et al. 2021, section 2.2.2: (p-1)(tf+tb)/v."""
    assert bubble("interleaved", [STAGE] * p, v) == pytest.approx((p - 1) * STAGE.total / v)


def test_zero_bubble_h1():
    """Qi et al. 2024 (2401.10241), table 2: (p-1)(TF + TB - TW), a third of 1F1B where the three are equal."""
    assert bubble("zero_bubble", [STAGE] * 8) == pytest.approx(7 * (1.0 + 1.25 - 0.75))
    equal = Stage(1.0, 1.0, 1.0)
    assert bubble("zero_bubble", [equal] * 8) == pytest.approx(bubble("1f1b", [equal] * 8) / 3)


def test_published_bubble_shares():
    """Korthikanti et al. 2022's 175B run: p 8, v 3, m 64 gives 7/(3*64) = 3.6 %; without interleaving 10.9 %."""
    work = 64 * STAGE.total
    assert bubble("interleaved", [STAGE] * 8, 3) / work == pytest.approx(7 / 192)
    assert bubble("1f1b", [STAGE] * 8) / work == pytest.approx(7 / 64)


def test_one_stage_never_waits():
    for schedule in ("gpipe", "1f1b", "interleaved", "zero_bubble"):
        assert bubble(schedule, [STAGE]) == 0


def test_a_slow_stage_makes_no_more_waiting_at_itself():
    """The slowest stage waits for the filling and draining of the others only."""
    slow = Stage(2.0, 2.5, 1.5)
    assert bubble("1f1b", [STAGE, STAGE, slow]) == pytest.approx(2 * STAGE.total)


@pytest.mark.parametrize(
    ("layers", "pp", "vp"), [(96, 8, 3), (126, 16, 1), (61, 16, 1), (94, 4, 12), (80, 4, 5), (5, 2, 2)]
)
def test_dealt_layers_add_up(layers, pp, vp):
    held = deal(layers, pp, vp)
    assert len(held) == pp
    assert sum(held) == layers
    assert max(held) - min(held) <= vp


def test_llama_405b_leaves_both_ends_lighter():
    """126 layers on 16 stages (Llama 3, section 3.3.2): one layer less on the first and the last stage."""
    assert deal(126, 16) == (7, *[8] * 14, 7)


def test_more_chunks_than_layers_are_refused():
    with pytest.raises(UsageError, match="more than 4 layers"):
        deal(4, 4, 2)


def test_micro_batches_in_flight():
    """Korthikanti et al. 2022, section 4.2.3: p with 1F1B, p(1 + (p-1)/(pv)) interleaved."""
    assert in_flight("1f1b", 8, 1, 64) == 8
    assert in_flight("1f1b", 8, 1, 4) == 4
    assert in_flight("interleaved", 8, 3, 64) == pytest.approx(8 * (1 + 7 / 24))
    assert in_flight("gpipe", 8, 1, 64) == 64
    assert in_flight("1f1b", 1, 1, 64) == 1
