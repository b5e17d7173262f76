"""What a MODEL argument means: a path, a callable, a hub id or a bundled name; decided without touching the network."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from flopsight.errors import BadFile, UnknownModel, UsageError
from flopsight.models.sources.json_config import read_config
from flopsight.models.sources.stream import open_regular, shown

Kind = Literal["config", "diffusers", "safetensors", "gguf", "callable", "hub", "bundled"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model is described, by kind.

    config       `path` is a JSON config; `weights` the folder's checkpoint if it has safetensors files
    diffusers    `path` is the config of the pipeline's denoiser, `weights` likewise
    safetensors  `weights` is a .safetensors file or a folder of them, and there is no config
    gguf         `path` is a .gguf file, the first part when it is split
    callable     `name` is package.module:function
    hub          `name` is organisation/name on the Hugging Face hub
    bundled      `name` is to be looked up among the models that come with flopsight
    """

    kind: Kind
    name: str
    path: Path | None = None
    weights: Path | None = None


def locate(model: str) -> Source:
    """Say what `model` is; an existing path goes first, then the form of the name decides.

    Raises BadFile or UsageError at once for a path that holds no model (pipes and devices are never opened), and
    UnknownModel for a path that is not there or a name of no known form.
    """
    if not model.strip() or "\0" in model or len(model) > 4096:
        raise UsageError(
            f"A model was expected, and {shown(model)} was given. Name a path, a hub id or a bundled model."
        )
    path = Path(model).expanduser() if model.startswith("~") else Path(model)
    if _exists(path):
        return _folder(path) if path.is_dir() else _file(path)
    return _by_form(model)


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:
        raise BadFile(f"{shown(path)} may not be looked at by this user. Change its permissions or copy it.") from None
    except (OSError, ValueError):
        return False
    return True


_CALLABLE: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_HUB: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.+-]{0,127}")
_FILES: Final = (".json", ".gguf", ".safetensors")


def _by_form(model: str) -> Source:
    if _CALLABLE.fullmatch(model):
        return Source("callable", model)
    if _HUB.fullmatch(model) and not model.endswith(_FILES):
        return Source("hub", model)
    if _NAME.fullmatch(model) and not model.endswith(_FILES):
        return Source("bundled", model)
    forms = (
        "a config.json, a folder, a .gguf or .safetensors file, package.module:function, organisation/name or a name"
    )
    raise UnknownModel(f"There is no file at {shown(model)}, and it has no other known form. Give {forms}.")


_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy")
_INDEX: Final = ".safetensors.index.json"


def _file(path: Path) -> Source:
    name = os.fspath(path)
    if path.suffix in _PICKLES:
        raise UsageError(f"{shown(path)} may run code when read, and is never opened. Convert it to safetensors.")
    if path.name.endswith(_INDEX):
        return _folder(path.parent)
    if path.name == "model_index.json":
        return _pipeline(path.parent, name)
    if path.suffix == ".json":
        # Nothing is parsed here, but a pipe or a device is refused before anyone opens it.
        with open_regular(path):
            return Source("config", name, path)
    return _sniffed(path, name)


def _sniffed(path: Path, name: str) -> Source:
    """A file of any other name, known by how it starts."""
    with open_regular(path) as (stream, size):
        head = stream.read(16)
    if head.startswith(b"GGUF"):
        return Source("gguf", name, path)
    if len(head) >= 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= size:
        return Source("safetensors", name, weights=path)
    if head.lstrip()[:1] == b"{":
        return Source("config", name, path)
    what = f"{shown(path)} ({size} bytes) starts with {head[:8]!r}, and is neither JSON, GGUF nor safetensors"
    raise BadFile(f"{what}. Give a config.json, a .gguf or .safetensors file, or a folder with one.")


_MAX_ENTRIES: Final = 100_000


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(_MAX_ENTRIES), strict=False)]
    except OSError as e:
        raise BadFile(f"The folder {shown(folder)} could not be read: {e.strerror}. Check its permissions.") from None
    return sorted(names)


def _folder(folder: Path) -> Source:
    names, name = _names(folder), os.fspath(folder)
    weights = folder if any(n.endswith((".safetensors", _INDEX)) for n in names) else None
    if "config.json" in names:
        return Source("config", name, folder / "config.json", weights)
    if "model_index.json" in names:
        return _pipeline(folder, name)
    if weights is not None:
        return Source("safetensors", name, weights=weights)
    ggufs = [n for n in names if n.endswith(".gguf")]
    if ggufs:
        return Source("gguf", name, folder / _only(ggufs, folder))
    pickled = " Its weights are pickles, which are never opened." if any(n.endswith(_PICKLES) for n in names) else ""
    what = f"The folder {shown(folder)} holds no config.json, model_index.json, .safetensors or .gguf file"
    raise BadFile(f"{what}.{pickled} Give the folder or file of a model.")


_LATER_PART: Final = re.compile(r".*-(?!00001-)\d{5}-of-\d{5}\.gguf")


def _only(ggufs: list[str], folder: Path) -> str:
    """The one model among GGUF files; the later parts of a split one do not count."""
    firsts = [n for n in ggufs if not _LATER_PART.fullmatch(n)]
    if len(firsts) == 1:
        return firsts[0]
    several = ", ".join(shown(n) for n in (firsts or ggufs)[:5])
    raise UsageError(f"{shown(folder)} holds {len(firsts or ggufs)} GGUF models: {several}. Give one of the files.")


_DENOISERS: Final = ("transformer", "unet")


def _pipeline(folder: Path, name: str) -> Source:
    """The denoiser of a diffusers pipeline: the component whose cost is paid at every step."""
    components: dict[str, Any] = read_config(folder / "model_index.json")
    for part in _DENOISERS:
        config = folder / part / "config.json"
        if part in components and config.is_file():
            inside = _names(folder / part)
            weights = folder / part if any(n.endswith((".safetensors", _INDEX)) for n in inside) else None
            return Source("diffusers", name, config, weights)
    wanted = " or ".join(f"{part}/config.json" for part in _DENOISERS)
    raise BadFile(f"The pipeline {shown(folder)} has no {wanted}, so its denoiser is not known. Give a config.json.")
