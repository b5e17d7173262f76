"""The shape search: what it tries, what it keeps, and what it says where a format does not run."""

import itertools

import pytest

from flopsight.ceiling import search
from flopsight.ceiling.products import product
from flopsight.ceiling.search import GRAIN, best_product, flops, neighbours
from flopsight.ceiling.values import Product
from flopsight.stopwatch import Spread, TorchDevice

torch = pytest.importorskip("torch")


class Imagined(TorchDevice):
    """A device whose products take as long as a function of their FLOPs and shape says; a tick of work is free."""

    def __init__(self, seconds_of):
        super().__init__("cpu")
        self.seconds_of, self.asked = seconds_of, []

    def seconds(self, run, budget, *, least=3):
        shape = run()
        self.asked.append(shape)
        took = self.seconds_of(shape)
        return Spread(took, took, took, least)


@pytest.fixture
def imagined(monkeypatch):
    """The clock of the search moves 10 ms with every look, so a search is a number of steps."""
    monkeypatch.setattr(search, "product", lambda device, dtype, shape: lambda: shape)
    clock = itertools.count(0, 0.01)
    monkeypatch.setattr(search.time, "perf_counter", lambda: next(clock))
    return Imagined


def test_two_flops_for_each_multiply_add_of_a_running_product():
    from torch.utils.flop_counter import FlopCounterMode

    shape = (64, 128, 192)
    run = product(TorchDevice("cpu"), "fp32", shape)
    with FlopCounterMode(display=False) as counter:
        run()
    assert counter.get_total_flops() == flops(shape) == 2 * 64 * 128 * 192


def test_the_search_finds_the_shape_that_a_device_likes(imagined):
    def took(shape):  # fastest at k = 1280, which is on no coarse grid and must be climbed to
        _m, _n, k = shape
        return flops(shape) / 1e12 * (1 + abs(k - 1280) / 1000)

    found = best_product(imagined(took), "fp32", 10.0)
    assert found.shape[2] == 1280
    assert found.best == pytest.approx(1e12)
    assert found.tried > 20


def test_no_product_takes_a_large_share_of_the_budget(imagined):
    device = imagined(lambda shape: flops(shape) / 1e10)
    best_product(device, "fp32", 10.0)
    # 0.6 % of the budget in the coarse search, twice that in the fine one
    assert max(flops(shape) / 1e10 for shape in device.asked) <= 0.012 * 10.0


def test_a_lucky_sample_is_timed_again(imagined):
    times = {}

    def took(shape):
        times[shape] = times.get(shape, 0) + 1
        lucky = shape == (768, 768, 768) and times[shape] == 1
        return flops(shape) / (9e12 if lucky else 1e12)

    found = best_product(imagined(took), "fp32", 5.0)
    assert found.best == pytest.approx(1e12)


def test_neighbours_are_multiples_of_the_grain_and_differ_in_one_dimension():
    for shape in neighbours((512, 64, 192)):
        assert all(size % GRAIN == 0 and size > 0 for size in shape)
        assert sum(a != b for a, b in zip(shape, (512, 64, 192), strict=True)) <= 1


def test_a_format_that_does_not_run_gives_its_reason(monkeypatch):
    device = TorchDevice("cpu")
    assert "CUDA" in best_product(device, "tf32", 0.1).why

    def broken(*args):
        raise NotImplementedError("no such kernel\nwith a long trace")

    monkeypatch.setattr(search, "product", broken)
    found = best_product(device, "fp8", 0.1)
    assert (found.why, found.best, found.shape) == ("no such kernel", 0.0, None)


def test_precision_is_what_it_was_after_a_search():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        best_product(TorchDevice("cpu"), "fp32", 0.05)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16", "int8", "fp8"])
def test_products_multiply_by_the_transpose(dtype):
    device, shape = TorchDevice("cpu"), (128, 64, 192)
    try:
        run = product(device, dtype, shape)
        out = run()
    except (RuntimeError, NotImplementedError, AttributeError) as error:
        pytest.skip(f"not here: {str(error)[:60]}")
    a, b = (cell.cell_contents for name, cell in zip(run.__code__.co_freevars, run.__closure__, strict=True)
            if name in "ab")  # fmt: skip
    assert tuple(out.shape) == (128, 64)
    assert a.shape[1] == b.shape[1] == 192
    exact = a.double() @ b.double().T
    assert torch.allclose(out.double(), exact, rtol=0.05, atol=0.05 * exact.abs().max().item())


def test_rates_of_a_product():
    found = Product("fp32", (10, 20, 30), Spread(1e-6, 2e-6, 3e-6, 3), 1)
    assert (found.flops, found.best, found.median) == (12000, 1.2e10, 6e9)
