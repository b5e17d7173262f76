"""Timing: what a spread says, and devices that torch cannot use."""

import sys
import time
from types import SimpleNamespace

import pytest

from flopsight.errors import MissingCapability, UsageError
from flopsight.stopwatch import Spread, TorchDevice


def test_a_spread_is_the_range_over_the_median():
    assert Spread(1.0, 2.0, 4.0, 3).spread == 1.5


def test_samples_are_seconds_of_one_call():
    pytest.importorskip("torch")
    calls = []
    found = TorchDevice("cpu").seconds(lambda: calls.append(1), budget=0.02, least=3)
    assert 0 < found.best <= found.median <= found.worst < 0.1
    assert found.samples >= 3
    # each sample is a batch that lasts at least half a millisecond: far more calls than samples
    assert len(calls) > 10 * found.samples


@pytest.mark.parametrize("device", ["nope", "cuda:93", "meta", "xpu:7"])
def test_a_device_that_cannot_be_timed_is_one_sentence(device):
    pytest.importorskip("torch")
    with pytest.raises(UsageError, match=r"(?i)pass cpu") as caught:
        TorchDevice(device)
    assert "\n" not in str(caught.value)


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingCapability, match=r"pip install 'flopsight\[torch\]'"):
        TorchDevice("cpu")


def test_a_slow_call_is_not_repeated_for_ever():
    pytest.importorskip("torch")
    calls = []
    found = TorchDevice("cpu").seconds(lambda: (calls.append(1), time.sleep(0.05)), budget=0.001, least=100)
    assert 1 <= found.samples < 5
    assert found.best >= 0.05


def test_once_divides_the_time_of_all_calls_by_their_number(monkeypatch):
    pytest.importorskip("torch")
    now = [0.0]
    monkeypatch.setattr("flopsight.stopwatch.time", SimpleNamespace(perf_counter=lambda: now[0]))

    def two_seconds():
        now[0] += 2.0

    assert TorchDevice("cpu").once(two_seconds, 4) == 2.0
    assert now[0] == 8.0
