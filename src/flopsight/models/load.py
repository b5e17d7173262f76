"""From what a user names to a Model: bundled name, file, folder, hub id, callable, plain size."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec

from flopsight.errors import BadConfig, FlopsightError, UnknownModel
from flopsight.models.blocks.written import as_written
from flopsight.models.config import Config, class_defaults
from flopsight.models.families import family, known, strangers
from flopsight.models.ignorable import ignorable
from flopsight.models.plain import plain_config, plain_name, plain_note, plain_size
from flopsight.models.sources import Source, gguf_config, locate, read_config, read_gguf
from flopsight.models.tree import Model


def load(model: str | Mapping[str, Any]) -> Model:
    """The model that a name, path, hub id or config dict describes.

    Raises UnknownModel (with the nearest names), BadFile or BadConfig (naming file, key and value), and
    MissingCapability where an extra or the network is needed.
    """
    if not isinstance(model, str):
        return build(dict(model), "config", "the config given")
    return _load_named(model)


@lru_cache(64)
def _load_named(name: str) -> Model:
    if (size := plain_size(name)) is not None:
        return _plain(size)
    source = locate(name)
    return LOADERS[source.kind](source)


def _plain(params: int) -> Model:
    name = plain_name(params)
    model = build(plain_config(params), name, f"the shape taken for {name}")
    return replace(model, notes=(*model.notes, plain_note(params)))


def _bundled(source: Source) -> Model:
    name = source.name.lower()
    path = files("flopsight.models") / "data" / "configs" / f"{name}.json"
    if name not in bundled():
        raise UnknownModel(_no_such_model(source.name))
    return build(read_config(str(path)), name, f"the bundled config of {name}")


def _no_such_model(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), bundled(), 4, 0.5)
    hint = f"Did you mean {', '.join(near)}?" if near else "Run `flopsight models` for the list."
    return f"No bundled model, file or folder is called {name!r}. {hint}"


@lru_cache(1)
def bundled() -> tuple[str, ...]:
    """Names of the configs that come with the package."""
    folder = files("flopsight.models") / "data" / "configs"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".json")))


def _config(source: Source) -> Model:
    from flopsight.models.checkpoint import with_checkpoint
    from flopsight.models.sources import quantization_beside

    model = build(read_config(str(source.path)), source.name, str(source.path))
    if model.quantization is None and source.path is not None:
        model = replace(model, quantization=quantization_beside(source.path))
    return with_checkpoint(model, source.weights) if source.weights else model


def _gguf(source: Source) -> Model:
    from flopsight.models.checkpoint import with_stored

    file = read_gguf(str(source.path))
    model = build(gguf_config(file), source.name, str(source.path))
    return with_stored(model, file.tensors)


def _safetensors(source: Source) -> Model:
    from flopsight.models.checkpoint import only_stored

    return only_stored(source)


class Bundled(msgspec.Struct, frozen=True):
    """Where a bundled config comes from: its hub id, the public file it was read from, raw or reconstructed."""

    hub_id: str | None
    source: str
    kind: str
    licence: str


@lru_cache(1)
def provenance() -> dict[str, Bundled]:
    """Name of a bundled model -> where its config comes from."""
    data = (files("flopsight.models") / "data" / "bundled.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, Bundled])


def _hub(source: Source) -> Model:
    ours = [name for name, one in provenance().items() if (one.hub_id or "").lower() == source.name.lower()]
    return _bundled(replace(source, name=ours[0])) if ours else _from_hub(source)


def _from_hub(source: Source) -> Model:
    from flopsight.models.checkpoint import with_stored
    from flopsight.models.sources.hub import fetch_config

    found = fetch_config(source.name)
    model = build(found.config, source.name, f"config.json of {source.name}")
    return with_stored(model, found.tensors) if isinstance(found.tensors, tuple) else model


def _callable(source: Source) -> Model:
    from flopsight.models.module import from_callable

    return from_callable(source.name)


LOADERS: dict[str, Callable[[Source], Model]] = {
    "bundled": _bundled,
    "config": _config,
    "diffusers": _config,
    "gguf": _gguf,
    "safetensors": _safetensors,
    "hub": _hub,
    "callable": _callable,
}


def build(raw: dict[str, Any], name: str, where: str) -> Model:
    """The model of one config dict; `where` names its origin in errors."""
    model_type = type_of(raw, where)
    builder = family(model_type)
    if builder is None:
        return _unknown_family(raw, model_type, name, where)
    config = Config(raw, model_type, where)
    model = as_written(_built(builder, config, where), config)
    unread = [f"config key {key} = {_short(config, key)} was not understood" for key in config.unread(ignorable)]
    return replace(
        model,
        name=name,
        dtype=model.dtype or _dtype(raw),
        context=model.context or _context(raw),
        quantization=_quantization(raw),
        unknown=(*model.unknown, *unread),
        assumed={key: value for key, value in config.defaults_used().items() if _tells(key, value)},
    )


def _built(builder: Any, config: Config, where: str) -> Model:
    try:
        model: Model = builder(config)
    except FlopsightError:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # a family met a combination of values it does not foresee; the config is at fault or unknown to us
        raise BadConfig(
            f"{where} describes a {config.model_type} that cannot be built ({type(error).__name__}: {error}). "
            "Check its dimensions against each other; if they are right, please report the config."
        ) from error
    return model


def type_of(raw: Mapping[str, Any], where: str) -> str:
    """The model_type of a config: its own key, diffusers' `_class_name`, else what its architecture's name says."""
    for key in ("model_type", "_class_name"):
        value = raw.get(key)
        if isinstance(value, str) and value:
            return value
        if value is not None and not isinstance(value, str):
            raise BadConfig(f"{key} should be a string; {where} says {value!r:.60}. Correct the config.")
    names = raw.get("architectures")
    first = names[0] if isinstance(names, list) and names else None
    if isinstance(first, str) and first in _by_architecture():
        return _by_architecture()[first]
    for ending in ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForMaskedLM", "Model"):
        if isinstance(first, str) and first.endswith(ending):
            found = _normalised().get(first.removesuffix(ending).lower())
            if found:
                return found
    raise BadConfig(
        f"{where} names neither a model_type nor an architecture that is known, so its family cannot be told. "
        'Add "model_type": "..." to it (for example "llama").'
    )


def _by_architecture() -> dict[str, str]:
    return {"ChatGLMModel": "chatglm", "QWenLMHeadModel": "qwen", "BaichuanForCausalLM": "baichuan"}


@lru_cache(1)
def _normalised() -> dict[str, str]:
    return {t.replace("_", "").replace("-", ""): t for t in (*class_defaults(), *known())}


def _unknown_family(raw: dict[str, Any], model_type: str, name: str, where: str) -> Model:
    """A model type without a family of ours: the framework itself is asked, where it is installed."""
    from flopsight.models.module import from_transformers

    model = from_transformers(raw, name)
    if model is not None:
        return replace(model, dtype=_dtype(raw), quantization=_quantization(raw), context=_context(raw))
    near = difflib.get_close_matches(model_type, [*known(), *strangers()], 3, 0.7)
    hint = f"Near names: {', '.join(near)}. " if near else ""
    raise UnknownModel(
        f"{where} is a {model_type!r}, a family that is not known here, and it is not guessed to be a Llama. {hint}"
        "Install flopsight[torch,hf] to count it from the framework's own modules, or add the family (CONTRIBUTING.md)."
    )


def _dtype(raw: Mapping[str, Any]) -> str:
    for level in (raw, raw.get("text_config")):
        for key in ("dtype", "torch_dtype"):
            value = level.get(key) if isinstance(level, Mapping) else None
            if isinstance(value, str):
                return value.removeprefix("torch.")
    return ""


def _context(raw: Mapping[str, Any]) -> int | None:
    for level in (raw, raw.get("text_config")):
        for key in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length"):
            value = level.get(key) if isinstance(level, Mapping) else None
            if type(value) is int and value > 0:
                return value
    return None


def _quantization(raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for level in (raw, raw.get("text_config")):
        for key in ("quantization_config", "compression_config"):
            value = level.get(key) if isinstance(level, Mapping) else None
            if isinstance(value, Mapping):
                # DeepSeek-V4 names the format of its experts beside the section
                expert = level.get("expert_dtype") if isinstance(level, Mapping) else None
                return {"expert_dtype": expert, **value} if isinstance(expert, str) else value
    return None


def _short(config: Config, key: str) -> str:
    value: Any = config.raw
    for step in key.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    shown = repr(value)
    return shown if len(shown) < 50 else shown[:47] + "..."


def _tells(key: str, value: Any) -> bool:
    """A default worth showing: a dimension, not an absent option."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
