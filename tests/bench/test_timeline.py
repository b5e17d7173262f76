"""Every nanosecond has one owner."""

import pytest

from flopsight.bench.timeline import BETWEEN, UNTIMED, Timeline


class Told:
    """A clock that says what it was told."""

    def __init__(self, *times):
        self.times = iter(times)

    def mark(self):
        return next(self.times)

    def nanoseconds(self, marks):
        return [mark - marks[0] for mark in marks]


def test_spans_of_a_module_inside_another():
    line = Timeline(Told(100, 110, 125, 165, 170, 200))
    outer, inner = ("model", "forward"), ("model.norm", "forward")
    for owner in (BETWEEN, outer, inner, outer, BETWEEN, BETWEEN):
        line.switch(owner)
    assert line.spans() == {BETWEEN: 10 + 30, outer: 15 + 5, inner: 40}
    assert sum(line.spans().values()) == 100


def test_the_measurements_own_work_is_left_out():
    line = Timeline(Told(0, 7, 1007, 1010))
    for owner in (BETWEEN, UNTIMED, BETWEEN, BETWEEN):
        line.switch(owner)
    assert line.spans() == {BETWEEN: 10}


def test_autograd_nodes_go_to_the_module_that_made_them():
    torch = pytest.importorskip("torch")
    from flopsight.bench.observe import Observed
    from flopsight.bench.timeline import HostClock

    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    with Observed(model, HostClock(), torch) as seen:
        seen.backward(model(torch.ones(2, 4)).sum())
    owners = set(seen.timeline.spans())
    assert {("0", "backward"), ("1", "backward"), ("2", "backward"), ("0", "forward")} <= owners
