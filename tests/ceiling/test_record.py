"""What is saved is found by every command; a chip of the catalogue keeps its facts; other files are left alone."""

import json
import os
import tomllib
from types import SimpleNamespace

import pytest

from flopsight.calibrate.run import _chip as calibrated_chip
from flopsight.ceiling.own_chip import slug
from flopsight.ceiling.record import measured
from flopsight.ceiling.rows import rows
from flopsight.ceiling.saving import MARK, merged, save
from flopsight.cli.main import run as command
from flopsight.errors import BadConfig, BadFile, UnknownHardware, UsageError
from flopsight.facts import Unknown
from flopsight.hardware.catalog import builtin_chips, find, match_driver
from flopsight.hardware.chip import OWN
from flopsight.hardware.detect import Detection, cpu_here
from flopsight.hardware.machine import chosen, node
from flopsight.hardware.own import OwnRecord, own_file, without_own
from flopsight.hardware.reading import to_record
from flopsight.hardware.record import ChipRecord, Measured, Source
from flopsight.hardware.writing import to_toml
from flopsight.predict.device import device_of
from flopsight.stopwatch import TorchDevice

from .made import found

CACHES = {"L1": 2**16, "L2": 2**21, "L3": 2**25}


@pytest.fixture
def cpu():
    pytest.importorskip("torch")
    return TorchDevice("cpu")


class Named(TorchDevice):
    """A device that says another name, as a driver would."""

    def __init__(self, name):
        super().__init__("cpu")
        self.kind, self._name = "cuda", name

    @property
    def name(self):
        return self._name


def test_every_chip_of_the_catalogue_survives_being_written_and_read():
    for chip in builtin_chips():
        again = to_record(tomllib.loads(to_toml(chip.record, "a comment")), ChipRecord, chip.id)
        assert again == chip.record


def test_nothing_saved_is_said():
    assert isinstance(measured("cpu"), Unknown)
    with pytest.raises(UnknownHardware, match="flopsight ceiling --save"):
        node("here")


def test_what_was_saved_of_this_processor_is_here_and_has_a_name(cpu):
    saved = save(cpu, rows(found()), CACHES, 3.5e9)
    assert saved.path.read_text().startswith(f"# {MARK}")
    machine, named = node("here"), node(saved.id)
    assert machine.chip.record == named.chip.record
    assert machine.count == 1
    assert machine.chip.kind == "cpu"
    # 2 x 1000 x 1000 x 100 FLOPs in the best sample, one millisecond
    fact = machine.peak("bf16", basis="measured")
    assert (fact.value, fact.kind, fact.edition) == (200_000_000_000, "measured", "2026-01-02")
    assert "flopsight ceiling" in fact.source
    assert isinstance(machine.peak("bf16"), Unknown), "nobody has stated one"
    assert isinstance(machine.peak("tf32", basis="measured"), Unknown), "it did not run"
    # 10^8 bytes in 4 ms at the largest working set, in each direction
    assert machine.memory_bandwidth("measured").value == 25_000_000_000
    assert cpu_here().match.id == saved.id


def test_measured_gives_back_what_was_saved(cpu):
    save(cpu, rows(found()), CACHES, None)
    again = measured("cpu")
    assert dict(again.peaks) == {"fp32": 1e11, "bf16": 2e11}
    assert dict(again.memory) == {"read": 2.5e10, "write": 2.5e10, "copy": 2.5e10}
    assert (again.launch, again.threads, again.torch, again.date) == (2e-6, 2, "2.13.0", "2026-01-02")


def test_commands_divide_by_what_was_saved(cpu, capsys):
    name = save(cpu, rows(found()), CACHES, None).id
    for machine in ("here", name):
        asked = ["mfu", "gpt2", "--tokens-per-s", "10", "--on", machine, "--basis", "measured", "--json"]
        assert command(asked) == 0
        assert json.loads(capsys.readouterr().out)["peak"]["flops_per_s"] == 2e11
        assert command(["predict", "gpt2", "--on", machine, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert any("measured" in note for note in said["notes"])
    assert command(["mfu", "gpt2", "--tokens-per-s", "10", "--on", "here"]) == 2, "no data sheet, so no such basis"
    assert command(["hardware", "here"]) == 0
    assert name in capsys.readouterr().out


def test_a_calibration_of_this_processor_has_a_chip_to_belong_to(cpu):
    bench = SimpleNamespace(cuda=False, name="cpu")
    assert "ceiling --save" in calibrated_chip(bench).why
    saved = save(cpu, rows(found()), CACHES, None)
    device = device_of(calibrated_chip(bench))
    assert (device.id, device.rate("bf16"), device.bandwidth) == (saved.id, 2e11, 2.5e10)


def test_the_clock_peak_is_cores_times_flops_per_cycle_times_clock(cpu):
    chip = find(save(cpu, rows(found()), CACHES, 3.5e9).id)
    rates = chip.record.flop_per_unit_per_clock
    if "fp32" not in rates:
        pytest.skip("this processor is not in the catalogue")
    expected = int(cpu_here().read["cores"]) * rates["fp32"] * 3.5e9
    assert chip.peak("fp32", basis="clock").value == expected


def row(metric, software="torch 2", **value):
    return Measured(metric=metric, source=Source(ref="x", kind=OWN), software=software, **value)


def test_saving_again_keeps_the_better_of_each_metric_and_what_was_not_measured():
    old = [row("matmul_fp32", rate=3), row("launch", seconds=2e-6), row("l1_read", bandwidth=2)]
    new = [row("matmul_fp32", rate=1), row("launch", seconds=1e-6), row("matmul_bf16", rate=9)]
    assert merged(old, new) == (old[0], new[1], new[2], old[2])


def test_other_software_or_threads_begin_anew():
    old = [row("matmul_fp32", rate=3)]
    assert merged(old, [later := row("matmul_fp32", "torch 3", rate=1)]) == (later,)
    assert merged(old, [fewer := row("matmul_fp32", rate=1, threads=1)]) == (fewer,)


def test_a_chip_of_the_catalogue_keeps_its_facts_and_gains_a_basis(monkeypatch):
    pytest.importorskip("torch")
    plain = find("h100-sxm")
    monkeypatch.setattr("flopsight.ceiling.saving.chip_of", lambda device: plain)
    saved = save(Named("NVIDIA H100 80GB HBM3"), rows(found(device="cuda:0", threads=0)), {}, None)
    assert saved.path == own_file(plain.id)
    mine = find("h100-sxm")
    assert mine.peak("bf16") == plain.peak("bf16")
    assert mine.peak("bf16", basis="measured").value == 200_000_000_000, "one's own, though others reached more"
    assert plain.peak("bf16", basis="measured").value == 794_500_000_000_000
    assert mine.memory_bandwidth() == plain.memory_bandwidth()
    assert without_own(mine) == plain
    assert match_driver("torch", "NVIDIA H100 80GB HBM3") == mine


def test_a_name_that_several_chips_share_is_not_saved(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr("flopsight.ceiling.saving.chip_of", lambda device: match_driver("torch", "NVIDIA H100"))
    with pytest.raises(UsageError, match="could be"):
        save(Named("NVIDIA H100"), rows(found()), {}, None)


def test_a_device_that_nobody_knows_becomes_a_chip_of_its_own(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr("flopsight.ceiling.saving.chip_of", lambda device: Unknown("nobody knows it"))
    monkeypatch.setattr("flopsight.ceiling.own_chip.memory_bytes", lambda device: 2**34)
    saved = save(Named("ACME Two"), rows(found()), {}, None)
    assert match_driver("torch", "ACME Two").id == saved.id == "own-acme-two"


def test_a_file_of_somebody_else_is_left_alone(cpu, home):
    first = save(cpu, rows(found()), CACHES, None)
    first.path.write_text(first.path.read_text().partition("\n")[2])
    with pytest.raises(UsageError, match="left alone"):
        save(cpu, rows(found()), CACHES, None)


def test_a_folder_that_cannot_be_written_is_one_sentence(cpu, home):
    home.write_text("a file where a folder should be")
    with pytest.raises(UsageError, match="FLOPSIGHT_HOME"):
        save(cpu, rows(found()), CACHES, None)


def test_an_interrupt_while_writing_leaves_the_old_file_and_nothing_else(cpu, monkeypatch):
    saved = save(cpu, rows(found()), CACHES, None)
    before = saved.path.read_bytes()

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(cpu, rows(found(date="2027-01-01")), CACHES, None)
    assert saved.path.read_bytes() == before
    assert os.listdir(saved.path.parent) == [saved.path.name]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", BadConfig), ("id = 1", BadConfig), ("not toml", BadFile), ('id = "other"\nmeasured = []', BadConfig),
        ('id = "nvidia-h100-sxm5-80gb"\nmeasured = []\nsurprise = 1', BadConfig),
    ],
)  # fmt: skip
def test_a_broken_file_of_measurements_names_itself(text, error):
    path = own_file("nvidia-h100-sxm5-80gb")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(error, match="nvidia-h100"):
        find("h100-sxm")


def test_here_prefers_accelerators_and_refuses_to_guess():
    h100, a100 = find("h100-sxm"), find("a100-80gb")
    cpu = Detection("CPU", "x", h100, {"name": "cpu"})
    gpus = [Detection(f"GPU {i}", "nvml", h100, {"name": "H100"}) for i in range(8)]
    assert chosen([*gpus, cpu]).name == f"8x{h100.id}"
    with pytest.raises(UnknownHardware, match="several kinds"):
        chosen([gpus[0], Detection("GPU 1", "nvml", a100, {"name": "A100"}), cpu])
    with pytest.raises(UnknownHardware, match="Strange"):
        chosen([Detection("GPU 0", "nvml", Unknown("no"), {"name": "Strange"}), cpu])
    with pytest.raises(UnknownHardware, match="Strange"):
        chosen([gpus[0], Detection("GPU 1", "nvml", Unknown("no"), {"name": "Strange"})])
    assert chosen([Detection("NVIDIA GPU", "nvml", Unknown("none seen")), cpu]).chip == h100


def test_slugs_are_ids():
    assert slug("Intel(R) Xeon(R) @ 2.20GHz") == "intel-r-xeon-r-2-20ghz"
    assert slug("???") == "unnamed"
    assert len(slug("x" * 500)) <= 50


def test_own_records_are_plain():
    row = Measured(metric="launch", source=Source(ref='a "quoted" ref\\', kind=OWN), seconds=1e-6)
    record = OwnRecord(id="x", measured=(row,))
    assert to_record(tomllib.loads(to_toml(record)), OwnRecord, "x") == record
