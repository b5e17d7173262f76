"""Forecasts against sums by hand."""

import pytest

pytest.importorskip("torch")

from flopsight.bench.forecast import forecasts
from flopsight.bench.machine import Curve, chosen_format
from flopsight.bench.room import fits, need
from flopsight.ceiling import Ceilings
from flopsight.models.ledger import ledger
from flopsight.models.load import load
from flopsight.workload import Workload
from tests.bench.tiny import LLAMA, MIXTRAL, machine

BOOK = ledger(load(LLAMA))


def by_path(book, workload, dtype="fp32"):
    return {one.path: one for one in forecasts(book, workload, machine(dtype))}


def test_a_projection_is_its_flops_over_the_rate_and_a_launch_a_layer():
    found = by_path(BOOK, Workload("prefill", 2, 16))["model.layers.*.self_attn.q_proj"]
    flops = 3 * 2 * (2 * 16) * 48 * 48
    assert found.required == flops
    assert found.total == pytest.approx(flops / 1e12 + 3e-6)
    assert found.weights == 3 * 48 * 48 * 4
    assert found.activations == 3 * (2 * 16) * (48 + 48) * 4


def test_training_is_three_products_and_the_optimizer_moves_seven_values_a_parameter():
    found = by_path(BOOK, Workload("train", 2, 16, 0, "all"))
    one = found["model.layers.*.mlp.up_proj"]
    assert one.seconds["backward"] == pytest.approx(2 * one.seconds["forward"])
    assert found["optimizer"].total == pytest.approx(7 * BOOK.params * 4 / 1e10)


def test_decode_reads_every_weight_once_and_the_cache():
    found = forecasts(BOOK, Workload("decode", 1, 1, 24), machine("bf16"))
    table = 97 * 48
    assert sum(f.weights for f in found) == 2 * (BOOK.params - table)
    assert sum(f.cache for f in found) == 2 * 3 * 2 * 2 * 8 * (24 + 1)  # read 24, write 1


def test_experts_are_read_as_far_as_tokens_visit_them():
    book = ledger(load(MIXTRAL))
    found = by_path(book, Workload("decode", 1, 1, 8))["model.layers.*.mlp.experts"]
    assert found.weights == pytest.approx(3 * 2 * 3 * 48 * 80 * 4)  # two of four, in three layers


def test_a_curve_is_straight_in_logs_and_held_beyond():
    curve = Curve((1.0, 4.0), (10.0, 40.0))
    assert (curve(0.5), curve(1), curve(4), curve(9)) == (10.0, 10.0, 40.0, 40.0)
    assert curve(2) == pytest.approx(20.0)


@pytest.mark.parametrize(("bf16", "dtype"), [(2e11, "bf16"), (1.1e11, "fp32"), (1e9, "fp32")])
def test_the_format_is_what_the_device_is_good_at(bf16, dtype):
    assert chosen_format(Ceilings("cpu", "cpu", {"fp32": 1e11, "bf16": bf16})) == dtype


def test_room_for_training_is_four_times_the_weights_and_more():
    found = need(BOOK, Workload("train", 1, 16, 0, "all"), machine())
    assert found.weights + found.state == 4 * 4 * BOOK.params
    assert found.bytes > 16 * BOOK.params
    assert fits(found, 1e9, 60)
    assert not fits(found, found.bytes, 60)  # a part of the memory is left alone
    assert not fits(found, 1e9, found.step)
