"""What differs on an accelerator, tried with the processor in its place; kernels of real ones need one."""

import pytest

from flopsight.ceiling import bandwidth, launch
from flopsight.ceiling.caches import Level, levels_of
from flopsight.ceiling.clock_sources import source_of
from flopsight.ceiling.run import QUICK, _Run
from flopsight.ceiling.search import best_product
from flopsight.facts import Unknown
from flopsight.stopwatch import TorchDevice


class Accelerator(TorchDevice):
    """The processor under another name, whose waits are counted."""

    def __init__(self):
        super().__init__("cpu")
        self.kind, self.waits = "mps", 0

    def synchronize(self):
        self.waits += 1


@pytest.fixture
def device():
    pytest.importorskip("torch")
    return Accelerator()


def test_the_device_is_waited_for_once_a_batch(device):
    calls = []
    found = device.seconds(lambda: calls.append(1), budget=0.01)
    assert device.waits == found.samples + 2, "the warm-up, the estimate, and every sample"
    assert len(calls) > 100 * found.samples


@pytest.mark.parametrize("direction", bandwidth.DIRECTIONS)
def test_a_working_set_is_gone_over_once(device, direction):
    found = bandwidth.measure(device, direction, 2**21, (Level("L2", 2**22, 1),), 0.01)
    assert (found.moved, found.level) == (2**21, "L2")


def test_working_sets_begin_where_the_launch_is_over_and_end_where_all_of_the_device_is_busy(device):
    every = bandwidth.sizes(device, (Level("L2", 50 * 2**20, 1),), 2**36)
    assert (every[0], every[-1]) == (2**20, 2**30)
    assert _Run(device, QUICK, lambda done, total: None).sizes[-1] == 2**30


def test_what_is_not_there_is_said(device):
    assert isinstance(source_of(device), Unknown)
    assert "mps" in source_of(device).why
    assert levels_of(device) == ()
    assert "CUDA" in best_product(device, "tf32", 0.1).why
    assert "CUDA" in launch.measure(device, 0.03).why
