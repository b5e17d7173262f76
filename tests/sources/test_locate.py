"""What each form of a MODEL argument is taken for, and what is refused before it is opened."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys

import numpy as np
import pytest
from safetensors.numpy import save

from flopsight.errors import BadFile, InputError, UnknownModel, UsageError
from flopsight.models.sources.locate import Source, locate

GGUF = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("llama-3.1-8b", "bundled"),
        ("gpt2", "bundled"),
        ("qwen2.5-0.5b", "bundled"),
        ("meta-llama/Llama-3.1-8B", "hub"),
        ("deepseek-ai/DeepSeek-V3.1", "hub"),
        ("mypkg.models:build", "callable"),
        ("train:Config.small", "callable"),
    ],
)
def test_by_form(here, model, kind):
    assert locate(model) == Source(kind, model)


@pytest.mark.parametrize(
    "model",
    ["./gpt2", "../x/config.json", "/no/such/file", "models/llama/config.json", "a/b/c", "absent.gguf", "absent.json",
     "org/absent.safetensors", "~/absent-model-folder/x", "a b", "é", "1pkg:build", "pkg:", ":build", "a/../b"],
)  # fmt: skip
def test_no_known_form(here, model):
    with pytest.raises(UnknownModel, match="no file at"):
        locate(model)


@pytest.mark.parametrize("model", ["", "  ", "nul\0", "x" * 5000])
def test_no_name_at_all(model):
    with pytest.raises(UsageError):
        locate(model)


def test_files_by_name_and_by_content(here):
    for name, data, kind in [
        ("config.json", b"{}", "config"),
        ("any-name.json", b"{}", "config"),
        ("no-extension", b' {"a": 1}', "config"),
        ("m.gguf", GGUF, "gguf"),
        ("blob", GGUF, "gguf"),
        ("m.safetensors", save({"a": np.zeros(1)}), "safetensors"),
        ("e.safetensors", save({}), "safetensors"),
    ]:
        (here / name).write_bytes(data)
        source = locate(name)
        assert (source.kind, source.name) == (kind, name)
        assert (source.weights if kind == "safetensors" else source.path).name == name


def test_folders(here):
    folder = here / "gpt2"
    folder.mkdir()
    with pytest.raises(BadFile, match="holds no config"):
        locate("gpt2")
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(BadFile, match="pickles"):
        locate("gpt2")
    (folder / "m-00002-of-00002.gguf").write_bytes(GGUF)
    (folder / "m-00001-of-00002.gguf").write_bytes(GGUF)
    assert locate("gpt2").path.name == "m-00001-of-00002.gguf"
    (folder / "other.gguf").write_bytes(GGUF)
    with pytest.raises(UsageError, match="2 GGUF models"):
        locate("gpt2")
    (folder / "model.safetensors.index.json").write_text("{}")
    assert locate("gpt2") == Source("safetensors", "gpt2", weights=folder.relative_to(here))
    (folder / "config.json").write_text("{}")
    expected = Source("config", "gpt2", folder.relative_to(here) / "config.json", folder.relative_to(here))
    assert locate("gpt2") == expected
    assert locate("gpt2/model.safetensors.index.json").path == expected.path


def test_a_file_goes_before_a_name_of_the_same_spelling(here):
    (here / "org").mkdir()
    (here / "org" / "name").write_bytes(GGUF)
    assert locate("org/name").kind == "gguf"


@pytest.mark.parametrize("part", ["transformer", "unet"])
def test_diffusers(here, part):
    pipe = here / "pipe"
    (pipe / part).mkdir(parents=True)
    (pipe / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline", part: ["diffusers", "X"]}))
    with pytest.raises(BadFile, match="denoiser"):
        locate("pipe")
    (pipe / part / "config.json").write_text("{}")
    (pipe / part / "diffusion_pytorch_model.safetensors").write_bytes(save({}))
    for spelled in ("pipe", "pipe/model_index.json"):
        source = locate(spelled)
        assert (source.kind, source.path.parent.name, source.weights.name) == ("diffusers", part, part)


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes or device files")
@pytest.mark.parametrize("name", ["pipe", "pipe.json", "pipe.gguf", "socket", "/dev/zero", "/dev/null", "/dev/urandom"])
def test_what_is_no_file_is_never_opened(here, name):
    if name.startswith("pipe"):
        os.mkfifo(name)
    bound = socket.socket(socket.AF_UNIX)
    bound.bind("socket")
    with pytest.raises(BadFile, match="regular file was expected"):
        locate(name)
    bound.close()


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("empty.gguf", b"", BadFile),
        ("empty", b"", BadFile),
        ("a.out", b"\x7fELF" + b"\0" * 60, BadFile),
        ("m.onnx", b"\x08\x08", BadFile),
        ("m.safetensors", b"\xff" * 8 + b"{", BadFile),
        ("m.bin", b"\x80", UsageError),
        ("m.pt", b"PK", UsageError),
        ("m.pkl", b"\x80", UsageError),
        ("model_index.json", b"[]", InputError),
        ("model_index.json", b"{}", BadFile),
    ],
)
def test_files_that_are_no_model(here, name, data, error):
    (here / name).write_bytes(data)
    with pytest.raises(error) as e:
        locate(name)
    assert name in str(e.value) or name == "model_index.json"


def test_a_link_that_goes_nowhere(here):
    (here / "loop").symlink_to("loop")
    (here / "gone.gguf").symlink_to("nothing")
    assert locate("loop").kind == "bundled"
    with pytest.raises(UnknownModel):
        locate("gone.gguf")
