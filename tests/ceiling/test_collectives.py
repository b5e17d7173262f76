"""Collectives between real processes over gloo, NCCL-tests' convention, and ranks that go away."""

import json
import os
import socket
import subprocess
import sys

import pytest

from flopsight.ceiling import collectives
from flopsight.ceiling.collectives import KINDS, Collective, bus_factor, sizes
from flopsight.ceiling.world import World, world
from flopsight.errors import UsageError
from flopsight.stopwatch import Spread, TorchDevice


def test_bus_bandwidth_is_that_of_nccl_tests():
    # nccl-tests, doc/PERFORMANCE.md: all-reduce 2(n-1)/n; all-gather, reduce-scatter, all-to-all (n-1)/n
    assert [bus_factor(kind, 8) for kind in KINDS] == [1.75, 0.875, 0.875, 0.875]
    # a line that NCCL-tests prints: 128 MiB over 8 ranks in 1,000 us is 134.22 GB/s, 234.88 on the bus
    row = Collective("all_reduce", 2**27, 8, Spread(1e-3, 2e-3, 3e-3, 5))
    assert round(row.bus / 1e9, 2) == 234.88
    assert row.bus_median == row.bus / 2


def test_sizes_go_from_1_kib_up():
    assert sizes("cpu", quick=False)[0] == 2**10
    assert sizes("cpu", quick=False)[-1] == 2**26
    assert sizes("cuda", quick=False)[-1] == 2**30
    assert len(sizes("cpu", quick=True)) < len(sizes("cpu", quick=False))


def test_the_world_is_what_torchrun_says():
    env = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "x", "MASTER_PORT": "1"}
    assert world(env) == World(1, 4, 1)
    assert world({}) is None
    assert world({"WORLD_SIZE": "1"}) is None
    for key, text in (("RANK", "4"), ("RANK", "-1"), ("RANK", "one"), ("WORLD_SIZE", "many"), ("MASTER_ADDR", "")):
        with pytest.raises(UsageError, match=key):
            world({**env, key: text})


def environment(rank, port, home):
    return {
        **os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "FLOPSIGHT_HOME": str(home),
    }  # fmt: skip


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(rank, port, home, *argv):
    return subprocess.Popen(
        [sys.executable, *argv], env=environment(rank, port, home), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_two_processes_measure_and_the_first_prints_and_saves(home):
    pytest.importorskip("torch")
    port = free_port()
    asked = ("-m", "flopsight", "ceiling", "--device", "cpu", "--quick", "--json", "--save")
    ranks = [start(rank, port, home, *asked) for rank in range(2)]
    said = [each.communicate(timeout=120) for each in ranks]
    assert [each.returncode for each in ranks] == [0, 0], said
    assert said[1][0] == "", "only the first rank prints"
    found = json.loads(said[0][0])
    assert (found["ranks"], found["backend"]) == (2, "gloo")
    ran = [row for row in found["collectives"] if not row["why"]]
    assert {row["collective"] for row in ran} >= {"all_reduce", "all_gather"}
    for row in ran:
        expected = row["size"] / row["seconds"] * (1.0 if row["collective"] == "all_reduce" else 0.5)
        assert row["bus_bytes_per_s"] == pytest.approx(expected)
    text = next((home / "hardware").glob("*.toml")).read_text()
    assert 'metric = "all_reduce_busbw"' in text
    assert "ranks = 2" in text


WAITS = """
import sys
from flopsight import api
from flopsight.cli.main import run
from flopsight.errors import FlopsightError
try:
    api.ceiling("cpu", quick=True, patience=float(sys.argv[1]))
except FlopsightError as error:
    print(type(error).__name__, error)
"""

LEAVES = """
import os, torch
torch.distributed.init_process_group("gloo")
os._exit(1)
"""


def test_a_rank_that_never_comes_is_waited_for_no_longer_than_said(home):
    pytest.importorskip("torch")
    alone = start(0, free_port(), home, "-c", WAITS, "3")
    out, _ = alone.communicate(timeout=60)
    assert out.startswith("MissingCapability The processes could not talk to each other")


def test_a_rank_that_dies_is_an_error_of_the_others(home):
    pytest.importorskip("torch")
    port = free_port()
    first, second = start(0, port, home, "-c", WAITS, "10"), start(1, port, home, "-c", LEAVES)
    out, _ = first.communicate(timeout=60)
    second.communicate(timeout=60)
    assert out.startswith("MissingCapability")
    assert "\n" not in out.strip()


def test_a_call_takes_as_long_as_the_slowest_rank(monkeypatch):
    torch = pytest.importorskip("torch")

    class Others:
        """Another rank that took 3, 1 and 5 seconds."""

        ReduceOp = torch.distributed.ReduceOp

        def all_reduce(self, mine, op):
            assert op == torch.distributed.ReduceOp.MAX
            mine.copy_(torch.maximum(mine, torch.tensor([3.0, 1.0, 5.0])))

    group = collectives._Group(TorchDevice("cpu"), Others(), 2, 1.0)
    assert group._slowest([2.0, 4.0, 5.0]) == [3.0, 4.0, 5.0]
