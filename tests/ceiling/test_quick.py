"""A few seconds of measuring give a denominator that nothing on this machine can pass."""

import pytest

from flopsight.ceiling import Ceilings, quick
from flopsight.facts import Unknown
from flopsight.hardware.cpus import Cpu
from flopsight.hardware.detect import cpu_here

FASTEST_CLOCK = 6.5e9
"""No processor that is sold runs faster."""


@pytest.fixture(scope="module")
def found() -> Ceilings:
    pytest.importorskip("torch")
    return quick("cpu", formats=("fp32",))


def test_a_product_never_passes_cores_times_flops_per_cycle_times_clock(found):
    seen = cpu_here()
    if not isinstance(seen.match, Cpu):
        pytest.skip("this processor is not in the catalogue")
    bound = seen.match.peak("fp32", cores=int(seen.read["cores"]), clock_hz=FASTEST_CLOCK)
    assert not isinstance(bound, Unknown)
    assert 0 < found.peaks["fp32"] < bound.value


def test_memory_and_launch_are_positive_and_in_their_units(found):
    assert set(found.memory) == {"read", "write", "copy"}
    assert all(1e8 < rate < 1e13 for rate in found.memory.values())
    assert found.bandwidth == max(found.memory.values())
    assert 1e-8 < found.launch < 1e-2
    assert found.threads >= 1
