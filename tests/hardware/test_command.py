"""`flopsight hardware`: data on stdout, an answer first, JSON with a schema version."""

import json
import subprocess
import sys

import pytest

from flopsight.cli.hardware import app
from flopsight.errors import UnknownHardware, UsageError


def run(capsys, *argv):
    app(list(argv), exit_on_error=False, print_error=False, result_action="return_value")
    return capsys.readouterr().out


def test_list(capsys):
    out = run(capsys, "list")
    assert out.startswith("99 chips")
    assert "amd-mi455x" in out
    assert "*" in out


def test_list_is_the_default_and_filters(capsys):
    out = run(capsys, "--vendor", "amd", "--status", "legacy", "--dtype", "fp16")
    assert "amd-mi100" in out
    assert "amd-mi300x" not in out


def test_list_json(capsys):
    body = json.loads(run(capsys, "list", "--json", "--dtype", "fp4"))
    assert body["schema_version"] == 1
    assert len(body["chips"]) == 99
    h100 = next(chip for chip in body["chips"] if chip["id"] == "nvidia-h100-sxm5-80gb")
    assert "lists no fp4" in h100["peak"]["unknown"]


def test_links_and_cpus(capsys):
    assert len(json.loads(run(capsys, "list", "--links", "--json"))["links"]) == 59
    assert len(json.loads(run(capsys, "list", "--cpus", "--json"))["cpus"]) == 10
    assert "nvlink4" in run(capsys, "list", "--links")


def test_show_answers_first(capsys):
    out = run(capsys, "show", "8xh100-sxm")
    assert out.splitlines()[0].startswith("8 x NVIDIA H100 SXM5 80GB: 7.915 PFLOP/s dense bf16, 640.0 GiB")
    for expected in ("data sheet", "clock", "measured", "Sources disagree", "'NVIDIA H100 80GB HBM3'", "Next:"):
        assert expected in out


def test_a_bare_name_is_shown(capsys):
    assert run(capsys, "8xh100-sxm") == run(capsys, "show", "8xh100-sxm")
    with pytest.raises(UnknownHardware, match="Expected a chip"):
        run(capsys, "shw")


@pytest.mark.parametrize(
    "name", ["mi455x", "wse-3", "m4-max", "gaudi3", "tpu-v3", "nvlink4", "amd-epyc-9004-genoa", "rtx-5090"]
)
def test_show_every_kind(capsys, name):
    assert run(capsys, "show", name)
    assert json.loads(run(capsys, "show", name, "--json"))["schema_version"] == 1


def test_recalled_numbers_carry_their_mark(capsys):
    assert "459.0 TFLOP/s?" in run(capsys, "show", "gaudi3")


def test_here(capsys):
    assert "CPU (" in run(capsys, "here")
    assert json.loads(run(capsys, "here", "--json"))["schema_version"] == 1


def test_errors_leave_as_typed_errors(capsys):
    with pytest.raises(UnknownHardware, match="could be"):
        run(capsys, "show", "H100")
    with pytest.raises(UsageError):
        run(capsys, "list", "--dtype", "bf17")


def test_loading_needs_no_heavy_package():
    code = (
        "import sys; from flopsight.hardware import catalog; catalog.find('8xh200'[2:]); "
        "heavy = {'numpy', 'torch', 'rich', 'cyclopts', 'jax', 'importlib.metadata'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
