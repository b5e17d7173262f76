"""Bandwidth: bytes that are counted are the bytes that move, and a working set lies in the level that holds it."""

import itertools

import pytest

from flopsight.ceiling import memory
from flopsight.ceiling.bandwidth import DIRECTIONS, _again, _buffer, measure, plateaus, sizes
from flopsight.ceiling.caches import Level, cpu_levels, level_of, members
from flopsight.stopwatch import TorchDevice

from .made import LEVELS, point

torch = pytest.importorskip("torch")


@pytest.fixture
def cpu():
    return TorchDevice("cpu")


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [2**14, 2**17, 2**22])
def test_a_view_stays_in_its_working_set_and_repeats_it(cpu, size, threads):
    buffer = _buffer(cpu, size)
    view = _again(buffer, threads, cpu)
    last = sum((n - 1) * stride for n, stride in zip(view.shape, view.stride(), strict=True))
    assert last < buffer.numel(), "no element beyond the buffer"
    touched = torch.zeros_like(buffer)
    _again(touched, threads, cpu).fill_(1)
    assert touched.sum() > 0.96 * buffer.numel(), "nearly all of the working set is gone over"
    parts = [_again(torch.arange(buffer.numel()), threads, cpu)[t] for t in range(threads)]
    ends = [(int(p.min()), int(p.max())) for p in parts]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ends)), "a part for each thread"
    # a view that repeats a small set moves megabytes in one call
    assert 4 * view.numel() > 2.5 * 2**20


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_bytes_are_those_of_the_elements_moved(cpu, direction):
    size = 2**24
    found = measure(cpu, direction, size, LEVELS, 0.01)
    # a plain pass over 16 MiB: read once, written once, or half of it read and half written
    assert found.moved == pytest.approx(size, rel=0.01)
    assert found.best >= found.median > 0
    assert found.best < 5e12


def test_sizes_reach_four_times_the_last_cache_but_not_beyond_half_of_the_memory(cpu):
    every = sizes(cpu, LEVELS, None)
    assert every[0] == 16 * 2**10
    assert every[-1] >= 4 * 2**25
    assert all(b == 2 * a for a, b in itertools.pairwise(every))
    assert sizes(cpu, LEVELS, 2**24)[-1] <= 2**23
    assert sizes(cpu, (), None)[-1] >= 2**28


@pytest.mark.parametrize(
    ("size", "threads", "level"),
    [
        (2**15, 1, "L1"), (2**16, 1, "L2"), (2**16, 2, "L1"), (2**17, 2, "L2"), (2**21, 2, "L2"), (2**21 + 1, 2, "L3"),
        (2**25, 1, "L3"), (2**25, 2, "L3"), (2**25 + 1, 2, "memory"),
    ],
)  # fmt: skip
def test_a_working_set_lies_in_the_smallest_level_that_holds_it(size, threads, level):
    # 32 KiB and 1 MiB for each processor, 32 MiB for both
    assert level_of(size, threads, LEVELS) == level


def test_two_threads_on_one_shared_cache_have_half_of_it_each():
    shared = (Level("L2", 2**20, 1),)
    assert level_of(2**20, 2, shared) == "L2"
    assert level_of(2**20 + 2, 2, shared) == "memory"


def test_just_beyond_the_last_cache_is_not_yet_memory():
    points = [
        point("read", 2**24, "L3", 1e-3),
        point("read", 2**26, "memory", 2e-3),
        point("read", 2**27, "memory", 4e-3),
    ]
    found = plateaus(points)
    assert found["L3", "read"].best == 1e11
    assert found["memory", "read"].size == 2**27
    # where there is only one size in memory, it stands
    assert plateaus(points[:2])["memory", "read"].size == 2**26


def test_caches_are_read_as_the_kernel_writes_them(tmp_path):
    rows = (("1", "Data", "48K", "0,64"), ("1", "Instruction", "32K", "0,64"), ("2", "Unified", "2048K", "0,64"),
            ("3", "Unified", "107520K", "0-31,64-95"))  # fmt: skip
    for number, row in enumerate(rows):
        folder = tmp_path / f"index{number}"
        folder.mkdir()
        for name, text in zip(("level", "type", "size", "shared_cpu_list"), row, strict=True):
            (folder / name).write_text(text + "\n")
    found = cpu_levels(tmp_path, processors=128)
    # 128 processors: 64 pairs share L1 and L2, two halves an L3
    assert found == (Level("L1", 48 * 2**10, 64), Level("L2", 2**21, 64), Level("L3", 105 * 2**20, 2))
    assert found[2].total == 210 * 2**20
    # 64 threads on 64 pairs have an L1 each
    assert level_of(64 * 48 * 2**10, 64, found) == "L1"
    (tmp_path / "index2" / "size").write_text("plenty")
    assert [level.name for level in cpu_levels(tmp_path, processors=128)] == ["L1", "L3"]
    assert cpu_levels(tmp_path / "nowhere") == ()


def test_members_of_a_kernels_list():
    assert [members(text) for text in ("0", "0-3", "0-3,8,10-11")] == [1, 4, 7]


def test_memory_that_can_be_had_is_what_the_kernel_would_give_up(tmp_path):
    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 700 kB\n")
    assert memory._reclaimable(info) == 700 * 1024
    info.write_text("MemTotal: 1000 kB\n")
    assert memory._reclaimable(info) is None
    assert memory._reclaimable(tmp_path / "none") is None
    assert 0 < memory.available(TorchDevice("cpu")) <= memory.memory_bytes()
