"""Llama and the families that differ from it only in biases, norms of query and key, and windows."""

from __future__ import annotations

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


def attention(c: Config, width: int, mask: Mask, *, qkv_bias: bool = False, qk_norm: str = "") -> Attention:
    """Grouped-query attention with rotary positions, read from the usual keys."""
    heads = c.heads(width)
    e = c.head_dim(width, heads)
    all_biased = c.flag("attention_bias", default=False)
    biased = qkv_bias or all_biased
    return Attention(
        width, heads, c.kv_heads(heads), e, biases=(biased, biased, biased, all_biased), qk_norm=qk_norm,
        rotary=e, mask=mask,
    )  # fmt: skip


def decoder(c: Config, masks: list[Mask], *, qkv_bias: bool = False, qk_norm: str = "") -> Model:
    """The plain pre-norm decoder with a gated MLP; one mask a layer."""
    width, inner = c.int("hidden_size"), c.int("intermediate_size")
    mlp = gated_mlp(width, inner, bias=c.flag("mlp_bias", default=False), activate=c.word("hidden_act", default="silu"))
    layers = [
        pre_norm_layer(Norm(width), attention(c, width, mask, qkv_bias=qkv_bias, qk_norm=qk_norm).node(), mlp)
        for mask in masks
    ]
    return causal_lm(
        layers, family=c.model_type, vocab=c.int("vocab_size"), width=width, tied=c.tied(), norm=Norm(width)
    )


def llama(c: Config) -> Model:
    """Llama 1 to 3: grouped-query attention, gated MLP, RMSNorm before each, untied unless the file says so."""
    return decoder(c, [Causal()] * c.layers())


def mistral(c: Config) -> Model:
    """Llama with a window over every layer if `sliding_window` is set."""
    return decoder(c, [window(c)] * c.layers())


def layer_masks(c: Config) -> list[Mask]:
    """Windows on the layers that use them: `use_sliding_window` with `layer_types` or `max_window_layers`."""
    count = c.layers()
    types = c.words("layer_types", count=count)
    size = c.maybe("sliding_window", least=0) if c.flag("use_sliding_window", default=False) else None
    first = c.maybe("max_window_layers", least=0) or 0
    if not size:
        return [Causal()] * count
    slides = [t == "sliding_attention" for t in types] if types else [i >= first for i in range(count)]
    return [Window(size) if slide else Causal() for slide in slides]


def qwen2(c: Config) -> Model:
    """Llama with biases on query, key and value; the window is set in most files and used in almost none."""
    return decoder(c, layer_masks(c), qkv_bias=True)


def qwen3(c: Config) -> Model:
    """Qwen2 without the biases and with a norm over each head of query and key."""
    return decoder(c, layer_masks(c), qk_norm="head")


FAMILIES = {"llama": llama, "mistral": mistral, "qwen2": qwen2, "qwen3": qwen3}
