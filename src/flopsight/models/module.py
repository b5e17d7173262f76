"""Models from running code: an nn.Module on the meta device, its shapes as the truth, its FLOPs by a three-length fit.

Nothing is computed and no memory is taken for weights. The answers carry the confidence "fit".
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from math import lcm
from typing import Any

from flopsight.errors import BadConfig, MissingCapability, UsageError
from flopsight.models.tree import Model, Node
from flopsight.parts.part import Tensor
from flopsight.parts.traced import Traced

LENGTHS = (64, 128, 256)
CHECK = 192

_KINDS = (
    ("lm_head", ("lm_head", "embed_out", "output_projection")),
    ("router", ("router", "gate.weight", "gate.bias", ".gate_wg")),
    ("shared_experts", ("shared_expert",)),
    ("experts", ("experts",)),
    ("vision", ("vision", "visual", "image")),
    ("norm", ("norm", "ln_", ".ln", "layernorm")),
    ("embedding", ("embed", "wte", "wpe", "position")),
    ("mixer", ("mixer", "mamba", "linear_attn", "conv1d", "recurrent", "rwkv")),
    ("attention", ("attn", "attention", "q_proj", "k_proj", "v_proj", "o_proj")),
    ("mlp", ("mlp", "ffn", "feed_forward", "fc1", "fc2", "intermediate", "dense")),
)


def kind_of(name: str) -> str:
    """The line of the parameter breakdown that a tensor's name suggests."""
    lowered = name.lower()
    return next((kind for kind, words in _KINDS if any(word in lowered for word in words)), "other")


def from_callable(spec: str) -> Model:
    """The model that `package.module:function` returns when called on the meta device.

    The function takes no arguments and returns an nn.Module, or a pair of a module and a function `inputs(seq)` that
    gives the keyword arguments of a forward pass. It is the user's own code and is run.
    """
    torch = _torch("Counting a module")
    function = _resolve(spec)
    with torch.device("meta"):
        made = function()
    module, inputs = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"{spec} should return an nn.Module; it returned {type(made).__name__}.")
    return from_module(module, spec, inputs or _token_inputs, causal=False)


def _torch(what: str) -> Any:
    if importlib.util.find_spec("torch") is None:
        raise MissingCapability(
            f'{what} needs torch, which is not installed. Install it: pip install "flopsight[torch]".'
        )
    return importlib.import_module("torch")


def _resolve(spec: str) -> Callable[[], Any]:
    import sys
    from pathlib import Path

    module_name, _, path = spec.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
        for step in path.split("."):
            found = getattr(found, step)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{spec} could not be imported: {error}. Name it package.module:function.") from None
    if not callable(found):
        raise UsageError(f"{spec} is a {type(found).__name__}, not a function that returns an nn.Module.")
    result: Callable[[], Any] = found
    return result


def _token_inputs(seq: int) -> dict[str, Any]:
    torch = importlib.import_module("torch")
    return {"input_ids": torch.zeros(1, seq, dtype=torch.long, device="meta")}


def from_transformers(raw: Mapping[str, Any], name: str) -> Model | None:
    """The model that transformers builds from a config, or None where it is not installed or does not know the type.

    Remote code is never run: `auto_map` is dropped.
    """
    if any(importlib.util.find_spec(package) is None for package in ("torch", "transformers")):
        return None
    transformers = importlib.import_module("transformers")
    mapping = importlib.import_module("transformers.models.auto.configuration_auto").CONFIG_MAPPING
    if raw.get("model_type") not in mapping:
        return None
    drop = ("auto_map", "quantization_config", "torch_dtype", "dtype", "_attn_implementation")
    kept = {key: value for key, value in raw.items() if key not in drop}
    with _quiet():
        module = _built(transformers, kept, name)
        return from_module(module, name, _token_inputs, causal=type(module).__name__.endswith("ForCausalLM"))


def _built(transformers: Any, kept: dict[str, Any], name: str) -> Any:
    torch = importlib.import_module("torch")
    try:
        config = transformers.AutoConfig.for_model(**kept)
        config._attn_implementation, config._experts_implementation = "eager", "batched_mm"
        with torch.device("meta"):
            return _class(transformers, kept, config)(config).eval()
    except Exception as error:
        raise BadConfig(
            f"{name}: transformers could not build this config ({type(error).__name__}: {str(error)[:200]}). "
            "Check its values against the family's documentation."
        ) from error


def _class(transformers: Any, kept: dict[str, Any], config: Any) -> Any:
    names = kept.get("architectures") or []
    if names and isinstance(names[0], str) and names[0] in dir(transformers):
        return getattr(transformers, names[0])
    auto = importlib.import_module("transformers.models.auto.modeling_auto")
    for mapping in (
        auto.MODEL_FOR_CAUSAL_LM_MAPPING, auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING, auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING, auto.MODEL_MAPPING,
    ):  # fmt: skip
        if type(config) in mapping:
            found = mapping[type(config)]
            return found[0] if isinstance(found, tuple) else found
    raise LookupError(f"no model class for {type(config).__name__}")


@contextmanager
def _quiet() -> Iterator[None]:
    import logging

    logging.getLogger("transformers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# ---------------------------------------------------------------- shapes and traced lengths


def from_module(module: Any, name: str, inputs: Callable[[int], dict[str, Any]], *, causal: bool) -> Model:
    """The model of an nn.Module that lives on the meta device."""
    owners = _owners(module)
    traced, why = _traced(module, inputs)
    fits = _fits(traced)
    names = [*owners, *(path for path in fits if path not in owners)]
    leaves = {path: _part(owners.get(path, ()), fits.get(path), path, causal) for path in names}
    unknown = _misses(traced, fits) if traced else [f"FLOPs: {why}"]
    return Model(
        name, type(module).__name__, _tree(leaves), tied=_tied(module), unknown=tuple(unknown), confidence="fit",
        no_flops=why,
        notes=(
            "Counted from the framework's own modules on the meta device: shapes are exact; FLOPs are traced at "
            f"{', '.join(map(str, LENGTHS))} tokens and fitted; vector work, windows and caches are not seen, and "
            + ("the score square is taken as causal." if causal else "attention is counted over the whole square."),
        ),
    )  # fmt: skip


def _owners(module: Any) -> dict[str, tuple[Tensor, ...]]:
    found: dict[str, list[Tensor]] = {}
    for full, parameter in module.named_parameters():
        path, _, last = full.rpartition(".")
        found.setdefault(path, []).append(Tensor(last, tuple(parameter.shape)))
    return {path: tuple(tensors) for path, tensors in found.items()}


def _tied(module: Any) -> bool:
    return len(list(module.named_parameters(remove_duplicate=False))) > len(list(module.named_parameters()))


def _traced(module: Any, inputs: Callable[[int], dict[str, Any]]) -> tuple[dict[int, dict[str, int]], str]:
    """FLOPs of each module's own ops at each length, and why there are none."""
    try:
        return {seq: _trace(module, inputs(seq)) for seq in (*LENGTHS, CHECK)}, ""
    except Exception as error:  # noqa: BLE001 - any code may run in a stranger's forward
        said = str(error).strip().splitlines()
        return {}, (
            f"the forward pass does not run on the meta device ({type(error).__name__}: "
            f"{(said[0] if said else '')[:120]}); return (module, inputs) from the function to say what it takes"
        )


def _trace(module: Any, inputs: dict[str, Any]) -> dict[str, int]:
    torch = importlib.import_module("torch")
    counter_type = importlib.import_module("torch.utils.flop_counter").FlopCounterMode
    with _packed_check_off(), torch.no_grad(), counter_type(display=False) as counter:
        module(**inputs)
    counts = {path: sum(ops.values()) for path, ops in counter.get_flop_counts().items()}
    root = type(module).__name__
    totals = {path.removeprefix(root).lstrip("."): n for path, n in counts.items() if path != "Global"}
    totals[""] = counts.get("Global", 0)
    return {path: n - _below(path, totals) for path, n in totals.items()}


def _below(path: str, totals: dict[str, int]) -> int:
    """FLOPs of the nearest counted descendants of a path."""
    start = f"{path}." if path else ""
    under = [other for other in totals if other != path and other.startswith(start)]
    nearest = [o for o in under if not any(o != p and o.startswith(f"{p}.") for p in under)]
    return sum(totals[o] for o in nearest)


@contextmanager
def _packed_check_off() -> Iterator[None]:
    """transformers looks at the values of positions to find packed sequences, which meta tensors do not have."""
    if importlib.util.find_spec("transformers") is None:
        yield
        return
    masking: Any = importlib.import_module("transformers.masking_utils")
    kept = masking.find_packed_sequence_indices
    masking.find_packed_sequence_indices = lambda position_ids: None
    try:
        yield
    finally:
        masking.find_packed_sequence_indices = kept


Fit = tuple[Fraction, Fraction, Fraction]


def _fits(traced: dict[int, dict[str, int]]) -> dict[str, Fit]:
    """The quadratic of each module through the three lengths."""
    if not traced:
        return {}
    paths = {path for counts in traced.values() for path in counts}
    fits = {path: _quadratic([(s, traced[s].get(path, 0)) for s in LENGTHS]) for path in sorted(paths)}
    return {path: fit for path, fit in fits.items() if any(fit)}


def _quadratic(points: list[tuple[int, int]]) -> Fit:
    """a + b·s + c·s² through three points, exactly (Newton's divided differences)."""
    (x0, y0), (x1, y1), (x2, y2) = points
    first, second = Fraction(y1 - y0, x1 - x0), Fraction(y2 - y1, x2 - x1)
    c = (second - first) / (x2 - x0)
    b = first - c * (x0 + x1)
    return y0 - b * x0 - c * x0 * x0, b, c


def _misses(traced: dict[int, dict[str, int]], fits: dict[str, Fit]) -> list[str]:
    """Whether the fit foretells a fourth length exactly."""
    told = sum(a + b * CHECK + c * CHECK * CHECK for a, b, c in fits.values())
    seen = sum(traced[CHECK].values())
    if told == seen:
        return []
    gap = float(told / seen - 1) if seen else float("inf")
    return [f"the fit of the FLOPs is {gap:+.2%} off at {CHECK} tokens, so the model is not quadratic in its length"]


def _part(tensors: tuple[Tensor, ...], fit: Fit | None, path: str, causal: bool) -> Traced:
    name = f"{path}.{tensors[0].name}" if tensors else path
    if fit is None:
        return Traced(kind_of(name), tensors)
    scale = lcm(*(x.denominator for x in fit))
    a, b, c = (int(x * scale) for x in fit)
    return Traced(kind_of(name), tensors, a, b, c, scale, causal)


def _tree(leaves: dict[str, Traced]) -> Node:
    """Nested nodes from dotted paths; a module with parameters and children keeps its own as a leaf of that name."""
    below: dict[str, dict[str, Traced]] = {}
    own: Traced | None = None
    for path, part in leaves.items():
        if path:
            first, _, rest = path.partition(".")
            below.setdefault(first, {})[rest] = part
        else:
            own = part
    children = [_named(first, _tree(rest)) for first, rest in below.items()]
    if not children:
        return Node("", own)
    if len(children) > 1 and all(child.name.isdigit() for child in children):
        children = _alike(children)
    return Node("", children=((Node("", own), *children) if own else tuple(children)))


def _alike(layers: list[Node]) -> list[Node]:
    """Numbered layers, equal ones as copies of one node."""
    groups: dict[Node, list[int]] = {}
    for layer in layers:
        groups.setdefault(_named("", layer), []).append(int(layer.name))
    return [replace(node, copies=tuple(indices)) for node, indices in groups.items()]


def _named(name: str, node: Node) -> Node:
    return replace(node, name=name)
