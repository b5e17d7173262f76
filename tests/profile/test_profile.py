"""flopsight profile on a real program: its steps, its exit code, its output, and FLOPs in closed form."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from flopsight.errors import MissingCapability, UsageError
from flopsight.profile.launch import profile
from flopsight.profile.tools import NAMES, TOOLS, Recording, tool

EXAMPLE = Path(__file__).parents[2] / "examples" / "tiny_llama.py"
WIDTH, LAYERS, HEADS, INNER, TOKENS, LENGTH, BATCH = 256, 4, 4, 688, 1024, 128, 4


def run(tmp_path, *arguments):
    command = [sys.executable, "-m", "flopsight", "profile", "--out", str(tmp_path / "out"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_training_of_the_example(tmp_path):
    done = run(tmp_path, "--steps", "2", "--skip", "2", "--json", "--", sys.executable, str(EXAMPLE))
    assert done.returncode == 0, done.stderr
    printed, _, document = done.stdout.partition("{")
    assert printed.count("step ") == 10
    found = json.loads("{" + document)
    steps = found["traces"][0]["windows"]
    assert len(steps) == 2
    weights = LAYERS * (4 * WIDTH**2 + 3 * WIDTH * INNER) + WIDTH * TOKENS
    pairs = BATCH * HEADS * LENGTH * (LENGTH + 1) // 2
    core = LAYERS * 4 * (WIDTH // HEADS) * pairs
    assert found["flops"]["required"] == 2 * (6 * weights * BATCH * LENGTH + 3 * core)
    assert found["flops"]["executed"] == 2 * (6 * weights * BATCH * LENGTH + core + core * 5 // 2)
    assert found["coverage"]["flops"] == 1.0
    assert found["coverage"]["module"] > 0.8
    assert found["device"]["kernels"] == 0
    assert found["device"]["idle_fraction"] is None
    parts = found["traces"][0]["parts"]
    assert sum(p["us"] for p in parts) == pytest.approx(found["utilization"]["window_us"], rel=1e-9)


INFERENCE = """
import torch
model = torch.nn.Linear(32, 64, bias=False).eval()
with torch.no_grad():
    for _ in range(9):
        model(torch.randn(5, 32))
raise SystemExit(7)
"""


def test_inference_and_the_exit_code_of_the_program(tmp_path):
    script = tmp_path / "a.py"
    script.write_text(INFERENCE)
    done = run(tmp_path, "--steps", "3", "--skip", "2", "--json", "--", sys.executable, str(script))
    assert done.returncode == 7, done.stderr
    found = json.loads(done.stdout)
    assert found["flops"]["required"] == 3 * 2 * 5 * 32 * 64


def test_a_program_that_ends_before_is_said(tmp_path):
    script = tmp_path / "a.py"
    script.write_text("print('no model here')")
    done = run(tmp_path, "--", sys.executable, str(script))
    assert done.returncode == 3
    assert done.stdout == "no model here\n"
    assert "recorded nothing" in done.stderr
    assert "Traceback" not in done.stderr


def test_which_profiler():
    assert tool("auto", ["python", "x.py"]).name == "torch"
    assert tool("auto", ["/usr/bin/python3.12", "x.py"]).name == "torch"
    assert tool("auto", ["torchrun", "x.py"]).name == "torch"
    with pytest.raises(UsageError, match="got 'vtune'"):
        tool("vtune", ["python"])
    assert [one.name for one in TOOLS] == list(NAMES)


def test_absent_profilers_are_said(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="ncu is not on the path"):
        tool("ncu", ["python"])
    with pytest.raises(UsageError, match="is no Python program"):
        tool("auto", ["./server"])


def test_commands_of_every_profiler(tmp_path):
    recording = Recording(str(tmp_path))
    made = {one.name: one.run(["./a", "--b"], recording, {"X": "1"}) for one in TOOLS}
    assert all(run.argv[-2:] == ["./a", "--b"] and run.environment["X"] == "1" for run in made.values())
    assert made["nsys"].after[0][:3] == ["nsys", "export", "--type=sqlite"]
    assert any(flag.startswith("--metrics=") and "sm__ops_path_tensor" in flag for flag in made["ncu"].argv)
    assert "--kernel-trace" in made["rocprofv3"].argv
    assert made["perf"].argv[:3] == ["perf", "stat", "-j"]
    assert json.loads(made["torch"].environment["FLOPSIGHT_PROFILE"])["steps"] == 3


def test_what_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(UsageError, match="needs a command"):
        profile([], Recording(str(tmp_path)))
    with pytest.raises(UsageError, match="at least one step"):
        profile(["python"], Recording(str(tmp_path), steps=0))
    with pytest.raises(MissingCapability):
        profile(["no-such-program-anywhere"], Recording(str(tmp_path)))
