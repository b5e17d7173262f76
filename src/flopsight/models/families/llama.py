"""Llama and the families that differ from it only in biases, norms of query and key, and windows."""

from __future__ import annotations

from typing import Any

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import causal_lm, pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp
from flopsight.models.config import Config
from flopsight.models.tree import Model
from flopsight.parts.masks import Causal, Mask, Window
from flopsight.parts.norm import Norm


def window(c: Config) -> Mask:
    """A sliding window over every layer, where the config sets one."""
    size = c.maybe("sliding_window", least=0)
    return Window(size) if size else Causal()


def attention(
    c: Config, width: int, mask: Mask, *, qkv_bias: bool = False, qk_norm: str = "", biasable: bool = True
) -> Attention:  # fmt: skip
    """Grouped-query attention with rotary positions, read from the usual keys.

    biasable  False where the family's class has no `attention_bias`, whatever the file says
    """
    heads = c.heads(width)
    e = c.head_dim(width, heads)
    all_biased = c.flag("attention_bias", default=False) and biasable
    biased = qkv_bias or all_biased
    return Attention(
        width, heads, c.kv_heads(heads), e, biases=(biased, biased, biased, all_biased), qk_norm=qk_norm,
        rotary=e, mask=mask,
    )  # fmt: skip


def decoder(c: Config, masks: list[Mask], *, mlp_biasable: bool = False, **layout: Any) -> Model:
    """The plain pre-norm decoder with a gated MLP; one mask a layer; `layout` goes to `attention`."""
    width, inner = c.int("hidden_size"), c.int("intermediate_size")
    bias = c.flag("mlp_bias", default=False) and mlp_biasable
    mlp = gated_mlp(width, inner, bias=bias, activate=c.word("hidden_act", default="silu"))
    made = {mask: pre_norm_layer(Norm(width), attention(c, width, mask, **layout).node(), mlp) for mask in set(masks)}
    layers = [made[mask] for mask in masks]
    return causal_lm(
        layers, family=c.model_type, vocab=c.int("vocab_size"), width=width, tied=c.tied(), norm=Norm(width)
    )


def llama(c: Config) -> Model:
    """Llama 1 to 3: grouped-query attention, gated MLP, RMSNorm before each, untied unless the file says so."""
    return decoder(c, [Causal()] * c.layers(), mlp_biasable=True)


def mistral(c: Config) -> Model:
    """Llama with a window over every layer if `sliding_window` is set."""
    c.ignore("layer_types")
    return decoder(c, [window(c)] * c.layers(), biasable=False)


def layer_masks(c: Config) -> list[Mask]:
    """Windows on the layers that use them: `use_sliding_window` with `layer_types` or `max_window_layers`."""
    count = c.layers()
    c.ignore("sliding_window", "max_window_layers")
    types = c.words("layer_types", count=count)
    size = c.maybe("sliding_window", least=0) if c.flag("use_sliding_window", default=False) else None
    first = c.maybe("max_window_layers", least=0) or 0
    if not size:
        return [Causal()] * count
    slides = [t == "sliding_attention" for t in types] if types else [i >= first for i in range(count)]
    return [Window(size) if slide else Causal() for slide in slides]


def qwen2(c: Config) -> Model:
    """Llama with biases on query, key and value; the window is set in most files and used in almost none."""
    return decoder(c, layer_masks(c), qkv_bias=True, biasable=False)


def qwen3(c: Config) -> Model:
    """Qwen2 without the biases and with a norm over each head of query and key."""
    return decoder(c, layer_masks(c), qk_norm="head")


def ministral(c: Config) -> Model:
    """Ministral 8B: windows on the layers `layer_types` names, on all of them without that list."""
    count, sliding = c.layers(), window(c)
    types = c.words("layer_types", count=count) or ("sliding_attention",) * count
    return decoder(c, [sliding if t == "sliding_attention" else Causal() for t in types], biasable=False)


FAMILIES = {
    "llama": llama, "mistral": mistral, "ministral": ministral, "ministral3": mistral, "qwen2": qwen2, "qwen3": qwen3,
    "internlm3": llama, "iquestcoder": llama, "code_llama": llama,
}  # fmt: skip
