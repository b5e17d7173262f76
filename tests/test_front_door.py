"""The front door: what loads, which names there are, how failures leave, and JSON that keeps its schema."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

import flopsight
from flopsight import api
from flopsight.cli.main import run

HEAVY = ("numpy", "torch", "jax", "transformers", "diffusers", "huggingface_hub", "safetensors", "gguf", "polars")
TALKERS = ("rich", "cyclopts")
PLAIN = {
    k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE")
}


def python(code, *argv, **env):
    done = [sys.executable, "-c", code, *argv]
    return subprocess.run(done, capture_output=True, text=True, check=False, env=PLAIN | env)


def command(*argv, **env):
    return python("import sys; from flopsight.cli.main import main; main(sys.argv[1:])", *argv, **env)


# ---------------------------------------------------------------- what loads


@pytest.mark.parametrize(
    ("code", "barred"),
    [
        ("import flopsight", HEAVY + TALKERS + ("msgspec", "flopsight.api", "typing", "re")),
        ("import flopsight; flopsight.__all__, flopsight.__version__", HEAVY + TALKERS),
        ("from flopsight.cli.main import run; run(['--help'])", HEAVY),
        ("from flopsight.cli.main import run; run(['--version'])", HEAVY),
        ("from flopsight.cli.main import run; run(['count', '--help'])", HEAVY),
        ("import flopsight; flopsight.count('llama-3.1-8b')", HEAVY + TALKERS),
        ("import flopsight; repr(flopsight.hardware('8xh200'))", HEAVY + TALKERS),
        ("import flopsight; repr(flopsight.mfu('gpt2', tokens_per_s=1, on='h200'))", HEAVY + TALKERS),
    ],
)
def test_nothing_heavy_is_loaded(code, barred):
    done = python(
        f"{code}\nimport sys\nloaded = set({barred!r}) & set(sys.modules)\nsys.exit(str(loaded) if loaded else 0)"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_heavy_packages_is_noticed():
    """The test above can fail: numpy is seen where it is loaded."""
    done = python("import numpy, sys; sys.exit('numpy' in sys.modules)")
    assert done.returncode == 1


# ---------------------------------------------------------------- names


def test_public_names_are_all():
    assert sorted(flopsight.__all__) == flopsight.__all__
    for name in flopsight.__all__:
        assert getattr(flopsight, name) is not None
    tree = ast.parse(Path(flopsight.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in ("flopsight.api", "flopsight.meter")
        for alias in node.names
    }
    assert typed | {"__version__"} == set(flopsight.__all__)
    assert all(callable(getattr(flopsight, name)) for name in typed)


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="has no attribute 'predict_everything'"):
        flopsight.predict_everything  # noqa: B018


def test_version():
    done = command("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{flopsight.__version__}\n", "")


# ---------------------------------------------------------------- how failures leave


ON = ["--on", "8xh100-sxm"]
FILES = {
    "broken.json": '{"model_type": "llama", ',
    "absurd.json": '{"model_type": "llama", "hidden_size": -4}',
    "foreign.json": '{"model_type": "nobodys"}',
    "short.gguf": "GGUF",
}
FAILURES = {
    "unknown model": (2, ["count", "llama-9-9b"]),
    "unknown family": (2, ["count", "./foreign.json"]),
    "unknown chip": (2, ["hardware", "show", "h9000"]),
    "several chips": (2, ["mfu", "gpt2", "--tokens-per-s", "1", "--on", "h100"]),
    "unknown convention": (2, ["mfu", "gpt2", "--tokens-per-s", "1", *ON, "--convention", "ours"]),
    "no peak": (2, ["mfu", "gpt2", "--tokens-per-s", "1", *ON, "--dtype", "fp4"]),
    "unknown option": (2, ["count", "gpt2", "--speed", "3"]),
    "missing option": (2, ["mfu", "gpt2"]),
    "unknown command": (2, ["cuont", "gpt2"]),
    "unknown choice": (2, ["count", "gpt2", "--phase", "finetune"]),
    "not a number": (2, ["count", "gpt2", "--batch", "many"]),
    "nonsense": (2, ["count", "gpt2", "--batch", "0"]),
    "no schema": (2, ["schema", "everything"]),
    "broken file": (3, ["count", "./broken.json"]),
    "absurd value": (3, ["count", "./absurd.json"]),
    "truncated file": (3, ["count", "./short.gguf"]),
    "above the peak": (3, ["mfu", "llama-3.1-8b", "--tokens-per-s", "900000", *ON]),
    "missing extra": (4, ["count", "json:loads"]),
}


@pytest.mark.parametrize("what", FAILURES)
def test_failures_are_one_line_and_a_code(what, tmp_path, monkeypatch, capsys):
    code, argv = FAILURES[what]
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    # None in sys.modules is how Python says that a package is not there
    for package in ("torch", "transformers"):
        monkeypatch.setitem(sys.modules, package, None)
    status = run(argv)
    out, err = capsys.readouterr()
    assert (status, out) == (code, "")
    assert err.startswith("flopsight: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert len(err) > 40


@pytest.mark.parametrize(("code", "argv"), [(2, ["count", "llama-9-9b"]), (0, ["models"])])
def test_the_process_ends_with_the_code(code, argv):
    done = command(*argv)
    assert done.returncode == code
    assert bool(done.stdout) == (code == 0)
    assert bool(done.stderr) == (code != 0)


# ---------------------------------------------------------------- colour and JSON

ANSWERS = {
    "count": ["count", "gpt2"],
    "count, tensors": ["count", "deepseek-v3.1-nvfp4", "--tensors", "-v", "--phase", "decode"],
    "count, train": ["count", "llama-3.1-8b", "--phase", "train", "--recompute", "full", "--depth", "1"],
    "mfu": ["mfu", "llama-3.1-8b", "--tokens-per-s", "24000", *ON],
    "mfu, decode": ["mfu", "mixtral-8x7b", "--tokens-per-s", "900", *ON, "--phase", "decode"],
    "hardware": ["hardware"],
    "hardware, links": ["hardware", "list", "--links"],
    "hardware, show": ["hardware", "show", "mi300x"],
    "hardware, here": ["hardware", "here"],
    "models": ["models"],
}


@pytest.mark.parametrize("what", ANSWERS)
def test_json_keeps_its_schema(what, capsys):
    argv = ANSWERS[what]
    assert run([*argv, "--json"]) == 0
    printed = capsys.readouterr()
    body = json.loads(printed.out)
    assert printed.err == ""
    assert (body["schema_version"], body["command"]) == (1, argv[0])
    assert run(["schema", argv[0]]) == 0
    shown = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(shown)
    jsonschema.validate(body, shown)
    assert shown == json.loads(json.dumps(api.schema(argv[0])))


def test_a_schema_refuses_what_is_not_its_own(capsys):
    """The test above can fail: a body with a field of another type is refused."""
    assert run(["count", "gpt2", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    body["params"]["total"] = "many"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, api.schema("count"))


@pytest.mark.parametrize("argv", [["count", "gpt2", "--depth", "1"], ["hardware", "list"], ["models"], ["--help"]])
def test_a_pipe_and_no_color_get_no_escapes(argv):
    assert "\x1b" not in command(*argv).stdout
    # bold and italic are not colours
    assert not re.search(r"\x1b\[[\d;]*\b(3|4|9|10)\d\b", command(*argv, FORCE_COLOR="1", NO_COLOR="1").stdout)


def test_a_reader_that_leaves_is_no_error():
    code = "import sys; from flopsight.cli.main import main; main(['hardware', 'list', '--json'])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
