"""The config dict behind a MODEL argument, and the same config with fewer layers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from flopsight.errors import UsageError
from flopsight.models.load import bundled, load, provenance
from flopsight.models.plain import plain_config, plain_size
from flopsight.models.sources import Source, gguf_config, locate, read_config, read_gguf

LAYERS: Final = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
"""Keys that configs give their number of layers."""


def config_of(model: str | Mapping[str, Any]) -> dict[str, Any]:
    """The config of a bundled name, a config.json or folder, a .gguf file, a hub id, a plain size, or the dict given.

    Raises UsageError for what has no config (a function, a bare checkpoint, a diffusion pipeline), and what
    `flopsight.models.load` raises.
    """
    if not isinstance(model, str):
        return dict(model)
    if (size := plain_size(model)) is not None:
        return plain_config(size)
    return _read(locate(model))


def _read(source: Source) -> dict[str, Any]:
    if source.kind == "config":
        return read_config(str(source.path))
    if source.kind == "gguf":
        return gguf_config(read_gguf(str(source.path)))
    if source.kind in ("bundled", "hub"):
        return _named(source.name)
    raise UsageError(
        f"{source.name} is described by a {source.kind}, and bench builds a model from a config. Give a bundled name, "
        "a config.json, a folder with one, or a hub id."
    )


def _named(name: str) -> dict[str, Any]:
    load(name)  # says with the nearest names that nothing is called so
    ours = [short for short, one in provenance().items() if (one.hub_id or "").lower() == name.lower()]
    short = ours[0] if ours else name.lower()
    if short in bundled():
        return read_config(str(files("flopsight.models") / "data" / "configs" / f"{short}.json"))
    from flopsight.models.sources.hub import fetch_config

    return dict(fetch_config(name).config)


def layers_of(raw: Mapping[str, Any], known: int) -> int:
    """The number of layers the config gives, or `known` where it leaves that to its family."""
    return next((raw[key] for key in LAYERS if isinstance(raw.get(key), int)), known)


def shallow(raw: Mapping[str, Any], layers: int, known: int) -> dict[str, Any]:
    """The config with its first `layers` of `known` layers; lists of one entry a layer are cut too."""
    kept = {key: value[:layers] if isinstance(value, list) and len(value) == known else value
            for key, value in raw.items()}  # fmt: skip
    found = [key for key in LAYERS if key in raw] or [LAYERS[0]]
    return kept | dict.fromkeys(found, layers)
