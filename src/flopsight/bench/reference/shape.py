"""The dimensions of a decoder, read from the usual keys of its config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flopsight.errors import MissingCapability

FAMILIES: Final = ("llama", "mistral", "qwen2", "qwen3", "mixtral", "gpt2")
"""Model types that the plain decoder knows."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A pre-norm decoder.

    width       d, of the residual stream
    head_width  e, of one head; heads query heads share kv_heads key and value heads
    inner       f, of the feed-forward block
    qkv_bias    biases on query, key and value; out_bias and mlp_bias on the output and in the feed-forward block
    qk_norm     a norm over each head of query and of key
    experts     E, of which a token visits `visited`; 0 for a dense block
    window      keys that a query sees at most; 0 for all
    """

    family: str
    vocabulary: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    inner: int
    activation: str = "silu"
    epsilon: float = 1e-6
    theta: float = 1e4
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    tied: bool = False
    experts: int = 0
    visited: int = 0
    window: int = 0
    positions: int = 0


def shape_of(raw: Mapping[str, Any]) -> Shape:
    """The shape of a config; MissingCapability for a family or a variant that the plain decoder does not know."""
    family = str(raw.get("model_type"))
    if family not in FAMILIES:
        raise MissingCapability(
            f"Without transformers bench runs {', '.join(FAMILIES)}, and this is a {family}. "
            "Install it: pip install 'flopsight[torch,hf]'."
        )
    return _gpt2(raw) if family == "gpt2" else _llama(raw, family)


def _gpt2(raw: Mapping[str, Any]) -> Shape:
    width, heads = int(raw.get("n_embd", 768)), int(raw.get("n_head", 12))
    return Shape(
        "gpt2", int(raw.get("vocab_size", 50257)), int(raw.get("n_layer", raw.get("num_hidden_layers", 12))),
        width, heads, heads, width // heads,
        int(raw.get("n_inner") or 4 * width), str(raw.get("activation_function", "gelu_new")),
        float(raw.get("layer_norm_epsilon", 1e-5)), tied=bool(raw.get("tie_word_embeddings", True)),
        positions=int(raw.get("n_positions", 1024)),
    )  # fmt: skip


def _llama(raw: Mapping[str, Any], family: str) -> Shape:
    width, heads = int(raw["hidden_size"]), int(raw["num_attention_heads"])
    moe, biased = family == "mixtral", bool(raw.get("attention_bias", False))
    return Shape(
        family, int(raw["vocab_size"]), int(raw["num_hidden_layers"]), width, heads,
        int(raw.get("num_key_value_heads") or heads), int(raw.get("head_dim") or width // heads),
        int(raw["intermediate_size"]), str(raw.get("hidden_act", "silu")), float(raw.get("rms_norm_eps", 1e-6)),
        _theta(raw), qkv_bias=family == "qwen2" or biased, out_bias=biased and family != "qwen2",
        mlp_bias=bool(raw.get("mlp_bias", False)), qk_norm=family == "qwen3",
        tied=bool(raw.get("tie_word_embeddings", False)),
        experts=int(raw.get("num_local_experts", 8)) if moe else 0, visited=int(raw.get("num_experts_per_tok", 2)),
        window=_window(raw, family),
    )  # fmt: skip


def _theta(raw: Mapping[str, Any]) -> float:
    """The base of the rotary angles; it changes values, not work."""
    nested = raw.get("rope_parameters") or {}
    usual = 1e6 if raw.get("model_type") == "mixtral" else 1e4
    return float(raw.get("rope_theta") or nested.get("rope_theta") or usual)


def _window(raw: Mapping[str, Any], family: str) -> int:
    if family in ("qwen2", "qwen3") and not raw.get("use_sliding_window", False):
        return 0
    return int(raw.get("sliding_window") or 0)
