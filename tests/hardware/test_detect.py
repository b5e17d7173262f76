"""Detection against recorded answers of drivers, and on this machine whatever it is."""

import json
import sys
import types

import pytest

from flopsight.facts import Unknown
from flopsight.hardware import detect
from flopsight.hardware.detect import cpu_here, here


@pytest.fixture
def no_drivers(monkeypatch):
    for name in ("pynvml", "amdsmi", "jax"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(detect.shutil, "which", lambda tool: None)


def answers(monkeypatch, **by_tool):
    monkeypatch.setattr(detect, "_run", lambda tool, *rest: by_tool.get(tool.replace("-", "_"), Unknown("not here")))


def test_a_machine_without_any_accelerator_says_so(no_drivers):
    found = {each.what: each for each in here()}
    for what in ("NVIDIA GPU", "AMD GPU", "JAX device"):
        assert not found[what].found
        assert isinstance(found[what].match, Unknown)
    assert found["CPU"].found
    json.dumps([each.as_dict() for each in found.values()])


def test_nvidia_smi(no_drivers, monkeypatch):
    lines = (
        "NVIDIA H100 80GB HBM3, 81559, 700.00, 1980, Disabled\n"
        "NVIDIA A100-SXM4-40GB, 40960, 400.00, 1410, Enabled\n"
        "NVIDIA GeForce RTX 4090, 49140, 300.00, 3105, [N/A]\n"
        "NVIDIA RTX A4000, 16376, [N/A], 2100, [N/A]\n"
        "NVIDIA H100, 81559, 700.00, 1980, Disabled\n"
    )
    answers(monkeypatch, nvidia_smi=lines)
    h100, mig, modified, unknown, ambiguous = (each for each in here() if each.what.startswith("GPU"))
    assert h100.match.id == "nvidia-h100-sxm5-80gb"
    assert h100.read["memory_bytes"] == 81559 * 2**20
    assert not h100.notes
    assert "MIG" in mig.match.why
    assert modified.match.id == "nvidia-rtx-4090"
    assert any("of memory" in note for note in modified.notes)
    assert any("power limit" in note for note in modified.notes)
    assert isinstance(unknown.match, Unknown)
    assert "SM count" in ambiguous.match.why


class NVMLError(Exception):
    pass


def fake_nvml(monkeypatch, name, broken=False):
    def init():
        if broken:
            raise NVMLError("Driver Not Loaded")

    def unsupported(handle):
        raise NVMLError("Not Supported")

    module = types.SimpleNamespace(
        NVMLError=NVMLError, NVML_CLOCK_SM=1, nvmlInit=init, nvmlShutdown=lambda: None, nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda i: i, nvmlDeviceGetName=lambda h: name,
        nvmlDeviceGetMemoryInfo=lambda h: types.SimpleNamespace(total=143771 * 2**20),
        nvmlDeviceGetEnforcedPowerLimit=lambda h: 700_000, nvmlDeviceGetMaxClockInfo=lambda h, c: 1980,
        nvmlDeviceGetMigMode=unsupported,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "pynvml", module)


@pytest.mark.parametrize("name", ["NVIDIA H200", b"NVIDIA H200"])
def test_nvml(no_drivers, monkeypatch, name):
    fake_nvml(monkeypatch, name)
    gpu = here()[0]
    assert gpu.match.id == "nvidia-h200-sxm-141gb"
    assert gpu.read["max_clock_hz"] == 1_980_000_000
    assert "mig" not in gpu.read


def test_a_driver_that_is_not_loaded(no_drivers, monkeypatch):
    fake_nvml(monkeypatch, "", broken=True)
    assert "Driver Not Loaded" in here()[0].match.why


@pytest.mark.parametrize("out", ["", "[]", "not json", '{"card0": {}}'])
def test_odd_answers_never_raise(no_drivers, monkeypatch, out):
    answers(monkeypatch, rocm_smi=out, nvidia_smi=out)
    for each in here():
        each.as_dict()


def test_rocm_smi(no_drivers, monkeypatch):
    answers(monkeypatch, rocm_smi='{"card0": {"Card Series": "AMD Instinct MI250X"}}')
    gpu = next(each for each in here() if each.by == "rocm-smi")
    assert gpu.match.id == "amd-mi250x"
    assert "2 devices" in gpu.notes[0]


def test_jax_is_asked_only_if_it_is_loaded(no_drivers, monkeypatch):
    device = types.SimpleNamespace(platform="tpu", device_kind="TPU v5 lite")
    monkeypatch.setitem(sys.modules, "jax", types.SimpleNamespace(devices=lambda: [device]))
    tpu = next(each for each in here() if each.by == "jax")
    assert tpu.match.id == "google-tpu-v5e"


GENOA = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
cpu MHz\t\t: 2600.000
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu avx2 avx512f
"""


def test_cpu():
    found = cpu_here(GENOA + "\n" + GENOA.replace(": 0\nvendor", ": 1\nvendor"))
    assert found.match.id == "amd-epyc-9004-genoa"
    assert (found.read["cores"], found.read["threads"]) == (1, 2)
    assert found.read["isa"] == "avx512 avx2"
    assert any("83.20 GFLOP/s" in note for note in found.notes)  # 1 core x 2.6 GHz x 32


@pytest.mark.parametrize(
    "text", ["", "\n\n", "garbage", "processor: 0\nmodel name: x", GENOA.replace("25", "x"), GENOA.replace("17", "99")]
)
def test_an_unknown_cpu_says_so(text):
    assert isinstance(cpu_here(text).match, Unknown)
