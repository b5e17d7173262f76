"""Quantization sections of configs, one reader a method: which modules are quantized, and in which layout.

Sources are the modules and files that the named libraries write. A layout that is not known to the byte gives
`Unknown`, never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from flopsight.dtypes import dtype as number_format
from flopsight.models.layouts import Awq, BlockwiseFour, Codebooks, Gptq, Layout, PackedInts, Scaled, Unsized
from flopsight.models.patterns import Names, ancestors
from flopsight.models.tree import Model

Section: TypeAlias = Mapping[str, Any]

UNTOUCHED = frozenset({"embedding", "norm", "router", "lm_head", "frontend", "pooler"})
"""Kinds that every method leaves alone unless a rule names the module."""
DECODER = frozenset({"attention", "mlp", "experts", "shared_experts", "mixer"})
"""Kinds inside decoder layers, the only ones that AWQ and GPTQ touch."""


@dataclass(frozen=True)
class Rules:
    """What one quantization section says.

    layout   of everything that is quantized and not named otherwise; None quantizes only what is named
    skip     modules left alone
    named    layouts for modules by pattern, the first match decides
    exact    layouts for modules, or modules below them, by name
    kinds    the only kinds that `layout` applies to; None is all but the untouched ones
    caches   bytes beside each key and each value projection for scales of the cache
    cast     whether what stays unquantized is all in the model's format, without exceptions
    """

    layout: Layout | None = None
    skip: Names = field(default_factory=lambda: Names((), "compressed"))
    named: tuple[tuple[Names, Layout | None], ...] = ()
    exact: Mapping[str, Layout | None] = field(default_factory=dict)
    kinds: frozenset[str] | None = None
    caches: int = 0
    cast: bool = False
    notes: tuple[str, ...] = ()

    @property
    def indexed(self) -> bool:
        """Whether two layers of one kind may differ."""
        named = any(names.indexed for names, _ in self.named)
        return self.skip.indexed or named or any(any(map(str.isdigit, name)) for name in self.exact)

    def layout_of(self, names: tuple[str, ...], kind: str, *, linear: bool) -> Layout | None:
        """How a module is stored that goes by these names; None is unquantized."""
        if self.skip.match(names):
            return None
        for name in names:
            for above in ancestors(name):
                if above in self.exact:
                    return self.exact[above]
        for patterns, layout in self.named:
            if patterns.match(names):
                return layout
        open_to = kind in self.kinds if self.kinds is not None else linear or kind not in UNTOUCHED
        return self.layout if open_to and kind not in ("router", "lm_head") else None


# ------------------------------------------------------------------ reading a section


class UnreadableError(Exception):
    """A key of the section holds what it cannot hold."""


def _whole(section: Section, key: str, default: int | None = None, *, least: int = 1, most: int = 2**31) -> int:
    value = section.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value != int(value):
        raise UnreadableError(f"{key} = {value!r:.40} is no whole number")
    if not least <= value <= most:
        raise UnreadableError(f"{key} = {value!r:.40} is not from {least} to {most}")
    return int(value)


def _strings(section: Section, *keys: str) -> list[str]:
    """The first of these lists that is there; null and absent are empty."""
    for key in keys:
        value = section.get(key)
        if isinstance(value, list):
            return [one for one in value if isinstance(one, str)]
        if isinstance(value, str):
            return [value]
    return []


def _skipped(section: Section, *keys: str) -> Names:
    return Names(_strings(section, *(keys or ("modules_to_not_convert",))), "transformers")


def read_section(section: Section, model: Model, dtype: str) -> Rules:
    """The rules of a quantization section, from config.json or hf_quant_config.json."""
    inner = section.get("quantization")
    if isinstance(inner, Mapping):
        section = {"quant_method": "modelopt", **inner}
    method = method_of(section)
    reader = METHODS.get(method)
    if reader is None:
        return Rules(Unsized(f"the layout of quant_method {method[:40]!r} is not known here"))
    return reader(section, model, dtype)


def method_of(section: Section) -> str:
    """The method a section names, or the one its keys belong to."""
    named = section.get("quant_method", section.get("quant_type"))
    if isinstance(named, str) and named:
        return named.lower().replace("_", "-")
    telling = (
        ("quant_algo", "modelopt"), ("config_groups", "compressed-tensors"), ("weight_block_size", "fp8"),
        ("activation_scheme", "fp8"), ("load_in_4bit", "bitsandbytes"), ("load_in_8bit", "bitsandbytes"),
        ("zero_point", "awq"), ("desc_act", "gptq"),
    )  # fmt: skip
    return next((method for key, method in telling if key in section), "")


def _size(dtype: str) -> int:
    return number_format(dtype).block_bytes


# ------------------------------------------------------------------ one method after the other


def _fp8(section: Section, model: Model, dtype: str) -> Rules:
    """fp8 with a scale a tile (DeepSeek) or a matrix: weight_scale_inv, and activation_scale where it is static."""
    tile = section.get("weight_block_size")
    still = 4 if section.get("activation_scheme") == "static" else 0
    four = section.get("expert_dtype") == "fp4"
    scale = _fp8_scale(section, model, four)
    skip = Names([*_strings(section, "modules_to_not_convert"), *_FP8_PLAIN], "transformers")
    if tile is None:
        whole: Layout = Scaled("fp8_e4m3", 8, 4, (None, None), once=still)
        return Rules(whole, skip)
    if not isinstance(tile, list) or len(tile) != 2:
        raise UnreadableError(f"weight_block_size = {tile!r:.40} is no pair")
    high, wide = (_whole({"weight_block_size": one}, "weight_block_size") for one in tile)
    layout = Scaled("fp8_e4m3", 8, scale, (high, wide), once=still)
    experts = Scaled("mxfp4", 4, scale, (1, 32))
    named = ((Names([r".*\.experts(\..*)?"], "regex"), experts),) if four else ()
    return Rules(layout, skip, named, notes=(_HALF_NOTE,) if scale == 2 else ())


_FP8_PLAIN = ("eh_proj",)
"""DeepSeek's checkpoints hold the projection into a layer that predicts further tokens in bf16, and list it nowhere."""
_HALF_NOTE = "Qwen's fp8 checkpoints hold the scales of blocks in 2 bytes where DeepSeek's take 4; no config says so."


def _fp8_scale(section: Section, model: Model, four: bool) -> int:
    """Bytes of the scale of one tile."""
    if four and section.get("scale_fmt") == "ue8m0":
        # one-byte scales came with fp4 experts; before them files held fp32 scales that are powers of two
        return 1
    return 2 if model.family.startswith("qwen3") else 4


def _fbgemm(section: Section, model: Model, dtype: str) -> Rules:
    """fp8 with an fp32 scale a row."""
    return Rules(Scaled("fp8_e4m3", 8, 4, (1, None)), _skipped(section))


def _mxfp4(section: Section, model: Model, dtype: str) -> Rules:
    """gpt-oss: experts in blocks of 32 four-bit floats with a one-byte exponent; nothing else is touched."""
    return Rules(Scaled("mxfp4", 4, 1, (1, 32)), _skipped(section), kinds=frozenset({"experts"}))


def _awq(section: Section, model: Model, dtype: str) -> Rules:
    """AWQ; `version` names the layout."""
    bits, group = _whole(section, "bits", section.get("w_bit", 4)), _group(section, "q_group_size")
    version = str(section.get("version", section.get("format", "gemm"))).lower()
    if version not in ("gemm", "gemv") or bits not in (4, 8):
        layout: Layout = Unsized(f"the layout of {bits}-bit awq {version[:20]} is not known here")
    else:
        layout = Awq(bits, group, version == "gemv")
    return Rules(layout, _skipped(section), kinds=DECODER, cast=True)


def _group(section: Section, *older: str) -> int:
    key = next((k for k in ("group_size", *older) if section.get(k) is not None), "group_size")
    return _whole(section, key, 128, least=-1)


def _gptq(section: Section, model: Model, dtype: str) -> Rules:
    """GPTQ; `dynamic` gives some modules other bits or none, `lm_head` includes the head."""
    form = str(section.get("checkpoint_format", section.get("format", "gptq")))
    if form not in ("gptq", "gptq_v2"):
        return Rules(Unsized(f"the layout of gptq's {form[:20]} format is not known here"), kinds=DECODER)
    layout = _gptq_layout(section, section)
    dynamic = section.get("dynamic")
    rules = dynamic if isinstance(dynamic, Mapping) else {}
    skip = [key[2:] for key in rules if isinstance(key, str) and key.startswith("-:")]
    named: list[tuple[Names, Layout | None]] = [
        (Names([key.removeprefix("+:")], "regex"), _gptq_layout(value, section))
        for key, value in rules.items()
        if isinstance(key, str) and not key.startswith("-:") and isinstance(value, Mapping)
    ]
    if section.get("lm_head") is True:
        named.append((Names(["lm_head$"], "regex"), layout))
    return Rules(layout, Names(skip, "regex"), tuple(named), kinds=DECODER, cast=True)


def _gptq_layout(own: Section, common: Section) -> Layout:
    merged = {**common, **own}
    bits, group = _whole(merged, "bits", 4), _group(merged)
    return Gptq(bits, group) if bits in (2, 3, 4, 8) else Unsized(f"gptq in {bits} bits is not known here")


def _auto_round(section: Section, model: Model, dtype: str) -> Rules:
    """auto-round packed as GPTQ or as AWQ."""
    packing = str(section.get("packing_format", ""))
    if packing.endswith("gptq"):
        return _gptq({**section, "checkpoint_format": "gptq"}, model, dtype)
    if packing.endswith("awq"):
        return _awq({**section, "version": "gemm"}, model, dtype)
    return Rules(Unsized(f"the layout of auto-round's {packing[:30]!r} packing is not known here"), kinds=DECODER)


def _bitsandbytes(section: Section, model: Model, dtype: str) -> Rules:
    """nf4, fp4, or int8 with an fp32 scale a row and a byte that names the layout."""
    skip = _skipped(section, "llm_int8_skip_modules", "modules_to_not_convert")
    if section.get("load_in_4bit") or section.get("_load_in_4bit"):
        form = str(section.get("bnb_4bit_quant_type", "fp4"))
        layout = BlockwiseFour("nf4" if form == "nf4" else "fp4", bool(section.get("bnb_4bit_use_double_quant")))
        note = "bitsandbytes' description of each matrix, about 100 bytes of JSON, is left out."
        return Rules(layout, skip, notes=(note,))
    return Rules(Scaled("int8", 8, 4, (1, None), once=1), skip)


def _eetq(section: Section, model: Model, dtype: str) -> Rules:
    """int8 with an fp16 scale a row."""
    return Rules(Scaled("int8", 8, 2, (1, None)), _skipped(section))


def _bitnet(section: Section, model: Model, dtype: str) -> Rules:
    """Ternary weights, four a byte, one scale in the model's format."""
    return Rules(Scaled("int2", 2, _size(dtype), (None, None)), _skipped(section))


def _aqlm(section: Section, model: Model, dtype: str) -> Rules:
    """Additive codebooks."""
    layout = Codebooks(
        _whole(section, "in_group_size", 8), _whole(section, "out_group_size", 1),
        _whole(section, "num_codebooks", 1), _whole(section, "nbits_per_codebook", 16, most=32),
    )  # fmt: skip
    skip = [one.removesuffix(".weight") for one in _strings(section, "linear_weights_not_to_quantize")]
    return Rules(layout, Names(skip, "transformers"))


def _unsized(what: str) -> Callable[[Section, Model, str], Rules]:
    def read(section: Section, model: Model, dtype: str) -> Rules:
        keys = ("modules_to_not_convert", "skip_modules", "exclude")
        return Rules(Unsized(f"{what}: its layout is not known here to the byte"), _skipped(section, *keys))

    return read


# ------------------------------------------------------------------ compressed-tensors


def _compressed(section: Section, model: Model, dtype: str) -> Rules:
    """compressed-tensors: groups of targets (classes, names, `re:`), each with a format; `ignore` comes first."""
    groups = section.get("config_groups")
    skip = Names(_strings(section, "ignore"), "compressed")
    if not isinstance(groups, Mapping) or not groups:
        return Rules(Unsized("the compressed-tensors section has no config_groups"), skip)
    default: Layout | None = None
    named: list[tuple[Names, Layout | None]] = []
    for group in groups.values():
        if not isinstance(group, Mapping):
            raise UnreadableError("a config group is no object")
        layout = _compressed_layout(group, section, dtype)
        targets = _strings(group, "targets")
        default = layout if default is None and "Linear" in targets else default
        names = Names([t for t in targets if t != "Linear"], "compressed")
        if names:
            named.append((names, layout))
    return Rules(default, skip, tuple(named))


def _compressed_layout(group: Section, section: Section, dtype: str) -> Layout | None:
    weights = group.get("weights")
    if not isinstance(weights, Mapping):
        return None
    form = str(group.get("format") or section.get("format") or _modelopt_format(section, weights))
    inputs = group.get("input_activations")
    still = isinstance(inputs, Mapping) and inputs.get("dynamic") is False
    makers: dict[str, Callable[[], Layout]] = {
        "nvfp4-pack-quantized": lambda: Scaled(
            "nvfp4", 4, 1, (1, _whole(weights, "group_size", 16)), once=8 if isinstance(inputs, Mapping) else 4
        ),
        "mxfp4-pack-quantized": lambda: Scaled("mxfp4", 4, 1, (1, _whole(weights, "group_size", 32))),
        "mxfp8-quantized": lambda: Scaled("mxfp8", 8, 1, (1, _whole(weights, "group_size", 32))),
        "modelopt-fp8": lambda: Scaled("fp8_e4m3", 8, 4, (None, None), once=4),
        "pack-quantized": lambda: _packed(weights, _scale_size(weights, dtype)),
        "float-quantized": lambda: _naive(weights, _scale_size(weights, dtype), still),
        "int-quantized": lambda: _naive(weights, _scale_size(weights, dtype), still),
        "naive-quantized": lambda: _naive(weights, _scale_size(weights, dtype), still),
    }
    if form == "dense":
        return None
    maker = makers.get(form)
    return maker() if maker else Unsized(f"the compressed-tensors format {form[:40]!r} is not known here to the byte")


def _modelopt_format(section: Section, weights: Section) -> str:
    """modelopt's groups say how many bits, not in which format."""
    if method_of(section).startswith("modelopt") and weights.get("type") == "float":
        return {4: "nvfp4-pack-quantized", 8: "modelopt-fp8"}.get(weights.get("num_bits", 0), "")
    return ""


def _scale_size(weights: Section, dtype: str) -> int:
    named = weights.get("scale_dtype")
    return _size(named if isinstance(named, str) else dtype)


def _packed(weights: Section, scale: int) -> Layout:
    bits, strategy = _whole(weights, "num_bits", 4), weights.get("strategy")
    if bits not in (2, 4, 8):
        return Unsized(f"packed integers of {bits} bits are not known here to the byte")
    group = weights.get("group_size")
    grouped = _whole(weights, "group_size") if isinstance(group, int) and group > 0 else None
    reordered = weights.get("actorder") in ("group", True)
    symmetric = weights.get("symmetric", True) is not False
    return PackedInts(bits, grouped, scale, symmetric, reordered, whole=strategy == "tensor")


def _naive(weights: Section, scale: int, still: bool) -> Layout:
    """One stored value a weight: int8 or fp8, scales by strategy."""
    bits = _whole(weights, "num_bits", 8)
    floats, strategy = weights.get("type") == "float", weights.get("strategy")
    if bits != 8:
        return Unsized(f"unpacked weights of {bits} bits are not known here to the byte")
    tile: tuple[int | None, int | None] = (None, None) if strategy == "tensor" else (1, None)
    if strategy == "block":
        pair = weights.get("block_structure")
        if not isinstance(pair, list) or len(pair) != 2:
            raise UnreadableError("block_structure is no pair")
        tile = (_whole({"block": pair[0]}, "block"), _whole({"block": pair[1]}, "block"))
    elif strategy == "group":
        tile = (1, _whole(weights, "group_size"))
    zero = 1 if weights.get("symmetric", True) is False else 0
    return Scaled("fp8_e4m3" if floats else "int8", 8, scale, tile, zero, once=scale if still else 0)


# ------------------------------------------------------------------ modelopt


def _modelopt(section: Section, model: Model, dtype: str) -> Rules:
    """modelopt: one algorithm for all, or one for each of `quantized_layers`; exclusions are shell patterns."""
    skip = Names(_strings(section, "exclude_modules", "ignore"), "glob")
    caches = 4 if str(section.get("kv_cache_quant_algo", "")).upper() == "FP8" else 0
    layers = section.get("quantized_layers")
    algorithm = section.get("quant_algo")
    if isinstance(layers, Mapping) and str(algorithm).upper() in ("MIXED_PRECISION", "NONE"):
        exact = {name: _algorithm({**section, **one}) for name, one in layers.items() if isinstance(one, Mapping)}
        return Rules(None, skip, exact=exact, caches=caches)
    if algorithm is None or str(algorithm).upper() == "MIXED_PRECISION":
        return _modelopt_groups(section, model, skip, caches, dtype)
    return Rules(_algorithm(section), skip, caches=caches)


def _modelopt_groups(section: Section, model: Model, skip: Names, caches: int, dtype: str) -> Rules:
    found = _compressed({**section, "ignore": []}, model, dtype)
    return Rules(found.layout, skip, found.named, caches=caches)


def _algorithm(section: Section) -> Layout:
    name = str(section.get("quant_algo", "")).upper()
    group = section.get("group_size")
    known: dict[str, Layout] = {
        "FP8": Scaled("fp8_e4m3", 8, 4, (None, None), once=4),
        "FP8_PER_CHANNEL_PER_TOKEN": Scaled("fp8_e4m3", 8, 4, (1, None)),
        "FP8_PB_WO": Scaled("fp8_e4m3", 8, 4, (128, 128)),
        "NVFP4": Scaled("nvfp4", 4, 1, (1, 16), once=8),
        "W4A16_NVFP4": Scaled("nvfp4", 4, 1, (1, 16), once=4),
        "MXFP8": Scaled("mxfp8", 8, 1, (1, 32)),
        "MXFP4": Scaled("mxfp4", 4, 1, (1, 32)),
    }
    layout = known.get(name, Unsized(f"modelopt's {name[:30]} is not known here to the byte"))
    if isinstance(layout, Scaled) and layout.dtype == "nvfp4" and isinstance(group, int) and group > 0:
        return Scaled("nvfp4", 4, 1, (1, group), once=layout.once)
    return layout


METHODS: dict[str, Callable[[Section, Model, str], Rules]] = {
    "fp8": _fp8,
    "finegrained-fp8": _fp8,
    "fbgemm-fp8": _fbgemm,
    "mxfp4": _mxfp4,
    "awq": _awq,
    "gptq": _gptq,
    "auto-round": _auto_round,
    "intel/auto-round": _auto_round,
    "bitsandbytes": _bitsandbytes,
    "eetq": _eetq,
    "bitnet": _bitnet,
    "aqlm": _aqlm,
    "compressed-tensors": _compressed,
    "modelopt": _modelopt,
    "modelopt-fp4": _modelopt,
    "modelopt-mixed": _modelopt,
    "hqq": _unsized("hqq"),
    "torchao": _unsized("torchao"),
    "quanto": _unsized("quanto"),
    "quark": _unsized("quark"),
    "spqr": _unsized("spqr, whose outliers vary,"),
    "vptq": _unsized("vptq"),
    "higgs": _unsized("higgs"),
    "fp-quant": _unsized("fp_quant"),
    "sinq": _unsized("sinq"),
    "metal": _unsized("metal"),
}
"""quant_method, with dashes -> reader of its section."""
