"""Per-rank and global numbers under data, sharded data, tensor and pipeline parallelism, beside closed forms."""

import json
import os
import socket
import subprocess
import sys

import pytest

from flopsight.meter.ranks import Board, Share, World
from tests.meter.ranks_program import BATCH, INNER, WIDTH

ONE = 2 * BATCH * WIDTH * INNER
"""FLOPs of one of the two products in a forward pass of one rank's batch."""


@pytest.fixture(scope="module")
def found():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "tests.meter.ranks_program"]
    ranks = [
        subprocess.Popen(
            command, env={**environment, "RANK": str(r)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for r in range(2)
    ]
    out = [r.communicate(timeout=240) for r in ranks]
    assert [r.returncode for r in ranks] == [0, 0], out[0][1] + out[1][1]
    return json.loads(out[0][0])


# the first product has no gradient of its input, which is data: 2 + 3 products; the second stage of a pipeline has
CASES = {
    "data_parallel": (5 * ONE, 5 * ONE),
    "fully_sharded": (5 * ONE, 5 * ONE),
    "tensor_parallel": (5 * ONE // 2, 5 * ONE // 2),
    "pipelined": (5 * ONE, 6 * ONE),
}


@pytest.mark.parametrize("case", CASES)
def test_flops_of_each_rank_and_of_all(found, case):
    got, wanted = found[case], CASES[case]
    assert [own["failed"] for own in got["own"]] == ["", ""]
    assert tuple(own["flops"] for own in got["own"]) == wanted
    assert (got["ranks"], got["world"], got["all"]) == (2, 2, sum(wanted))
    assert got["mfu"] == pytest.approx(sum(own["mfu"] for own in got["own"]) / 2, rel=0.5)


def test_global_utilization_divides_by_all_peaks():
    world = World(3, (Share(2, 100, 120, 1.0, 1000.0), Share(2, 100, 120, 2.0, 1000.0)))
    assert world.missing == 1
    assert world.utilization() == pytest.approx((100 + 50) / 2000)
    assert world.utilization(executed=True) == pytest.approx((120 + 60) / 2000)
    assert world.required == 100
    assert World(2, (Share(2, 100, 120, 1.0, 0.0),)).utilization() is None


def test_a_single_process_is_its_own_world():
    own = Share(1, 1, 1, 1.0, 1.0)
    assert Board().exchange(own) == World(1, (own,))
