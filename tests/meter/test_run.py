"""`flopsight run`: the program's results, output and exit code are its own; the report is right."""

import json
import os
import subprocess
import sys

import pytest

from flopsight.errors import MissingCapability, UsageError
from flopsight.meter.run.launch import RunOptions, checked, metered, options_of
from tests.meter.loops import FORWARD

PROGRAM = """
import sys, torch
from tests.meter.loops import made, train
torch.manual_seed(1)
model, optimizer = made()
if "compiled" in sys.argv:
    model = torch.compile(model, backend="eager")
if "teacher" in sys.argv:
    teacher, _ = made(7)
    with torch.no_grad():
        teacher(torch.zeros(2, 3, dtype=torch.long))
if "infer" in sys.argv:
    with torch.no_grad():
        for _ in range(12):
            model(torch.zeros(4, 16, dtype=torch.long))
else:
    print(repr(train(model, optimizer)))
sys.exit(7)
"""


@pytest.fixture
def run(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def start(*arguments, metered_too=True, code=None, **options):
        command = [sys.executable, *(("-c", code) if code else (str(program), *arguments))]
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        if metered_too:
            environment = metered(environment, RunOptions(**options))
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    return start


@pytest.mark.parametrize("how", ["plain", "compiled", "teacher"])
def test_losses_output_and_exit_code_are_the_programs_own(run, how, tmp_path):
    without, found = run(how, metered_too=False), run(how, log=str(tmp_path / "log.jsonl"))
    assert (found.stdout, found.returncode) == (without.stdout, without.returncode)
    assert found.returncode == 7
    assert "training" in found.stderr
    assert f"{3 * FORWARD / 1e3:.1f} kFLOP" in found.stderr
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == [10]


def test_inference_without_an_optimizer(run):
    found = run("infer")
    assert found.returncode == 7
    assert "inference" in found.stderr
    assert f"{FORWARD / 1e3:.1f} kFLOP" in found.stderr


def test_a_program_without_torch_or_without_a_model(run):
    quiet = run(code="print(1)")
    assert (quiet.stdout, quiet.stderr, quiet.returncode) == ("1\n", "", 0)
    said = run(code="import torch; print(torch.ones(1).item())")
    assert said.stdout == "1.0\n"
    assert "nothing was metered" in said.stderr


def test_an_exception_of_the_program_is_its_own(run):
    found = run(code="import torch; raise ValueError('mine')")
    assert found.returncode == 1
    assert "ValueError: mine" in found.stderr


def test_the_hidden_sitecustomize_is_loaded_too(run, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('theirs')\n")
    environment = metered({**os.environ, "PYTHONPATH": str(tmp_path)}, RunOptions())
    found = subprocess.run([sys.executable, "-c", "print('main')"], env=environment, capture_output=True, text=True)
    assert found.stdout == "theirs\nmain\n"


def test_a_log_that_cannot_be_written_is_one_warning(run):
    found = run("plain", log="/nowhere/at/all.jsonl", every=2)
    assert found.returncode == 7
    assert found.stderr.count("a logger failed") == 1


def test_options_travel():
    options = RunOptions(3, "h100-sxm", "x.jsonl", quiet=True)
    assert options_of(metered({}, options)) == options


def test_commands_are_checked_before_anything_is_replaced():
    with pytest.raises(UsageError, match="needs a command"):
        checked([])
    with pytest.raises(MissingCapability, match="no-such-program"):
        checked(["no-such-program"])
    assert checked(["train.py", "--lr"]) == [sys.executable, "train.py", "--lr"]


def test_the_command_itself(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "flopsight", "run", "--", sys.executable, "-c", "import sys; print(2); sys.exit(9)"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("2\n", 9)
