"""The clock is read where it can be and said to be unreadable elsewhere; neighbours are seen in the kernel's ticks."""

import time
import types

import pytest

from flopsight.ceiling.clock_sources import Nvml, Reading, cpu_source
from flopsight.ceiling.clocks import Watch
from flopsight.ceiling.neighbours import Shares, shares, ticks
from flopsight.facts import Unknown


def cpufreq(folder, now, most):
    for number, (hz, top) in enumerate(zip(now, most, strict=True)):
        each = folder / f"cpu{number}" / "cpufreq"
        each.mkdir(parents=True)
        (each / "scaling_cur_freq").write_text(f"{hz}\n")
        (each / "cpuinfo_max_freq").write_text(f"{top}\n")


def test_cpufreq_is_believed_first(tmp_path):
    cpufreq(tmp_path, (3_100_000, 3_700_000), (3_700_000, 3_750_000))
    source = cpu_source(tmp_path, tmp_path / "cpuinfo")
    assert source.read() == Reading(3.7e9)
    assert source.highest == 3.75e9


def test_a_virtual_machines_nominal_clock_is_not_a_clock(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("flags\t\t: fpu hypervisor avx2\ncpu MHz\t\t: 2596.138\n")
    said = cpu_source(tmp_path, info)
    assert isinstance(said, Unknown)
    assert "virtual machine" in said.why
    info.write_text("flags\t\t: fpu avx2\ncpu MHz\t\t: 2596.138\ncpu MHz\t\t: 3000.5\n")
    assert cpu_source(tmp_path, info).read() == Reading(3000.5e6)
    assert isinstance(cpu_source(tmp_path, tmp_path / "none"), Unknown)


def test_a_watch_reads_in_the_background():
    clocks = iter([3e9, 2e9, 4e9] + [3e9] * 1000)
    source = types.SimpleNamespace(
        what="a test", highest=5e9, read=lambda: Reading(next(clocks), 250.0, ("power cap",))
    )
    with Watch(source) as watch:
        while len(watch.readings) < 3:
            time.sleep(0.01)
    found = watch.clock()
    assert (found.low, found.high, found.highest, found.watts) == (2e9, 4e9, 5e9, 250.0)
    assert found.held == ("power cap",)
    assert isinstance(Watch(Unknown("no")).clock(), Unknown)


def test_nvml_says_why_a_device_was_held_back():
    class NVMLError(Exception):
        pass

    nvml = types.SimpleNamespace(
        NVMLError=NVMLError, NVML_CLOCK_SM=1, nvmlDeviceGetCurrentClocksThrottleReasons=lambda h: 0x4 | 0x40 | 0x1,
        nvmlDeviceGetClockInfo=lambda h, kind: 1410, nvmlDeviceGetPowerUsage=lambda h: 699_500,
        nvmlDeviceGetMaxClockInfo=lambda h, kind: 1980,
    )  # fmt: skip
    source = Nvml(nvml, object())
    assert source.read() == Reading(1.41e9, 699.5, ("power cap", "thermal, by hardware"))
    assert source.highest == 1.98e9

    def gone(*args):
        raise NVMLError("gone")

    nvml.nvmlDeviceGetClockInfo = gone
    assert source.read() is None


def test_steal_and_other_programs_are_shares_of_all_time(tmp_path):
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n")
    before = ticks(stat, hertz=100)
    # 1,000 ticks later: 300 user, 100 system, 500 idle, 100 stolen
    stat.write_text("cpu  400 0 150 1300 50 0 0 100 0 0\n")
    after = ticks(stat, hertz=100)
    assert (after.total - before.total, after.steal, after.idle - before.idle) == (1000, 100, 500)
    mine = type(after)(after.total, after.steal, after.idle, before.own + 250)
    found = shares(before, mine)
    assert isinstance(found, Shares)
    assert (found.steal, found.others) == pytest.approx((0.1, 0.15))
    assert isinstance(shares(before, before), Unknown)


@pytest.mark.parametrize("text", ["", "cpu 1 2", "cpu a b c d e f g h", "nothing"])
def test_a_strange_stat_is_not_known(tmp_path, text):
    stat = tmp_path / "stat"
    stat.write_text(text)
    assert ticks(stat) is None
    assert ticks(tmp_path / "none") is None
    assert isinstance(shares(None, None), Unknown)
