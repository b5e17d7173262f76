"""Chips of the user's own, and files that are not what they should be: one typed error naming file and field."""

import os

import pytest

from flopsight.errors import BadConfig, BadFile, FlopsightError, FlopsightWarning, InputError
from flopsight.hardware import catalog
from flopsight.hardware.catalog import chips, find, match_driver
from flopsight.hardware.chip import Chip

GOOD = """
id = "acme-one"
name = "One"
vendor = "Acme"
kind = "npu"
status = "shipping"
[names]
torch = ["ACME One"]
[peak.matrix]
bf16 = "123.4 TFLOP/s"
fp8 = 2.468e14
[memory]
bytes = "24 GiB"
bandwidth = "1 TB/s"
"""


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_chip_file_named_on_the_command_line(tmp_path):
    path = write(tmp_path / "one.toml", GOOD)
    chip = find("acme-one", [path])
    assert chip.peak("bf16").value == 123_400_000_000_000
    assert chip.peak("fp8").value == 246_800_000_000_000
    assert chip.peak("bf16").kind == "assumed", "no source named"
    assert chip.memory_bytes.value == 24 * 2**30
    assert chip.origin == str(path)
    assert match_driver("torch", "ACME One", [path]) == chip
    assert len(chips([path])) == 100


def test_the_users_folder_is_read(no_user_chips):
    write(no_user_chips / "one.toml", GOOD)
    assert find("acme-one").vendor == "Acme"
    assert find("One").id == "acme-one"


def test_the_folder_follows_xdg(tmp_path, monkeypatch):
    monkeypatch.delenv("FLOPSIGHT_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    write(tmp_path / "flopsight" / "hardware" / "one.toml", GOOD)
    assert find("acme-one").vendor == "Acme"


def test_a_stated_source_is_carried(tmp_path):
    source = '\n[[sources]]\nref = "Acme data sheet 7"\nkind = "vendor-doc"\nsupports = ["peak"]\n'
    peak = find("acme-one", [write(tmp_path / "one.toml", GOOD + source)]).peak("bf16")
    assert (peak.kind, peak.source) == ("stated", "Acme data sheet 7")


HOSTILE = {
    "wrong type": (GOOD.replace('name = "One"', "name = 1"), "name", "1"),
    "negative": (GOOD.replace("2.468e14", "-1.0"), "peak.matrix.fp8", "-1.0"),
    "zero": (GOOD.replace("2.468e14", "0"), "peak.matrix.fp8", "0"),
    "nan": (GOOD.replace("2.468e14", "nan"), "peak.matrix.fp8", "nan"),
    "infinite": (GOOD.replace("2.468e14", "inf"), "peak.matrix.fp8", "inf"),
    "absurd": (GOOD.replace("2.468e14", "1e40"), "peak.matrix.fp8", "1e\\+40"),
    "wrong unit": (GOOD.replace("1 TB/s", "1 TB"), "memory.bandwidth", "1 TB"),
    "flops for bytes": (GOOD.replace("24 GiB", "24 GFLOP"), "memory.bytes", "24 GFLOP"),
    "half a byte": (GOOD.replace('"24 GiB"', "0.5"), "memory.bytes", "0.5"),
    "unknown key": (GOOD.replace("[memory]", "[memory]\nspeed = 1"), "memory", "speed"),
    "unknown format": (GOOD.replace("fp8 =", "fp7 ="), "peak.matrix.fp7", "fp7"),
    "missing field": (GOOD.replace('vendor = "Acme"', ""), "vendor", "vendor"),
    "bad status": (GOOD.replace('"shipping"', '"soon"'), "status", "soon"),
    "bad id": (GOOD.replace('"acme-one"', '"../acme one"'), "id", "acme one"),
    "terminal codes": (GOOD.replace('"One"', '"One\\u001b[31m"'), "name", "x1b"),
    "no devices": (GOOD.replace("[names]", "software_devices = 0\n[names]", 1), "software_devices", ""),
    "bool for number": (GOOD.replace("2.468e14", "true"), "peak.matrix", ""),
    "list for table": (GOOD.replace("[memory]\n", "[[memory]]\n"), "memory", ""),
    "duplicate id": (GOOD.replace("acme-one", "nvidia-t4"), "nvidia-t4", "taken"),
    "duplicate driver string": (GOOD.replace("ACME One", "Tesla T4"), "Tesla T4", "nvidia-t4"),
}


@pytest.mark.parametrize(("text", "field", "read"), HOSTILE.values(), ids=HOSTILE)
def test_a_bad_value_is_named_with_file_and_field(tmp_path, text, field, read):
    path = write(tmp_path / "bad.toml", text)
    with pytest.raises(BadConfig) as caught:
        chips([path])
    message = str(caught.value)
    assert str(path) in message
    assert field in message
    assert read.replace("\\", "") in message


FILES = {
    "binary": b"\x00\xff\xfe" * 99,
    "not toml": b"id = ",
    "html": b"<!doctype html><html></html>",
    "too large": b"#" * (2**20 + 1),
    "deep": b"a = " + b"[" * 5000,
}


@pytest.mark.parametrize("blob", FILES.values(), ids=FILES)
def test_a_file_that_is_no_chip_file(tmp_path, blob):
    path = write(tmp_path / "bad.toml", blob)
    with pytest.raises(BadFile, match=r"bad\.toml"):
        chips([path])


def test_missing_folder_and_empty_files(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(BadFile):
            chips([path])
    with pytest.raises(InputError):
        chips([write(tmp_path / "empty.toml", "")])


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs /dev/zero")
def test_an_endless_file_is_not_read_to_its_end():
    with pytest.raises(BadFile):
        chips(["/dev/zero"])


def test_the_same_file_twice_is_a_duplicate(tmp_path):
    path = write(tmp_path / "one.toml", GOOD)
    with pytest.raises(BadConfig, match="taken"):
        chips([path, path])


def test_a_broken_user_file_does_not_hide_our_own_chips(no_user_chips):
    write(no_user_chips / "bad.toml", "id = ")
    assert find("h200").id == "nvidia-h200-sxm-141gb"


def plugin(monkeypatch, given):
    monkeypatch.setattr("flopsight.plugins.plugins", lambda group: iter([("acme", given)]))
    catalog._ours_and_plugins.cache_clear()


def test_a_plugin_may_give_a_file_a_folder_or_chips(tmp_path, monkeypatch):
    path = write(tmp_path / "chips" / "one.toml", GOOD)
    record = find("acme-one", [path]).record
    for given in (path, str(path.parent), lambda: [Chip(record)], [Chip(record)]):
        plugin(monkeypatch, given)
        assert find("acme-one").origin == "plugin acme"


def _raises():
    raise RuntimeError("boom")


@pytest.mark.parametrize("given", [_raises, 42, [1], lambda: None], ids=["raises", "number", "list", "none"])
def test_a_broken_plugin_is_one_named_warning(monkeypatch, given):
    plugin(monkeypatch, given)
    with pytest.warns(FlopsightWarning, match="'acme'"):
        assert len(chips()) == 99


def test_a_plugin_that_claims_our_chip_is_refused(monkeypatch):
    plugin(monkeypatch, [find("t4")])
    with pytest.raises(FlopsightError, match="taken"):
        chips()
