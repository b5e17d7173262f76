"""Decoders known from their papers alone: PaLM and Chinchilla. Their tensors have Llama's names here."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import pre_norm_layer
from flopsight.models.blocks.layers import parallel_layer
from flopsight.models.blocks.mlp import gated_mlp, plain_mlp
from flopsight.models.config import Config
from flopsight.models.families.dense import decoder
from flopsight.models.tree import Model, leaf
from flopsight.parts.linear import Linear
from flopsight.parts.norm import Norm


def attention(c: Config, width: int) -> Attention:
    """Heads of `head_dim`, as many key-value heads as the config says, no biases unless it says so."""
    heads = c.heads(width)
    return Attention(
        width, heads, c.kv_heads(heads), c.head_dim(width, heads), biases=(c.flag("bias", default=False),) * 4
    )  # fmt: skip


def palm(c: Config) -> Model:
    """PaLM: parallel blocks, one key-value head, SwiGLU, norms without bias (arXiv 2204.02311, section 2)."""
    width = c.int("hidden_size")
    mixer = attention(c, width)
    mixer = replace(mixer, rotary=mixer.key_width)
    bias = c.flag("bias", default=False)
    ffn = gated_mlp(width, c.int("intermediate_size"), bias=bias, activate=c.word("hidden_act", default="swiglu"))
    norm = Norm(width, "layer")
    beside = c.flag("parallel_attn_ffn", default=True)
    layer = parallel_layer(norm, mixer.node(), ffn) if beside else pre_norm_layer(norm, mixer.node(), ffn)
    return decoder(c, [layer] * c.layers(), norm)


def chinchilla(c: Config) -> Model:
    """Chinchilla: RMSNorm, GELU, relative positions with a projection of their own (arXiv 2203.15556, table A9).

    The projection of the positions is counted once a token, the scores against them not.
    """
    width = c.int("hidden_size")
    relative = leaf("relative_proj", Linear("attention", width, width))
    mixer = attention(c, width).node("self_attn", relative)
    ffn = plain_mlp(
        width,
        c.int("intermediate_size"),
        bias=c.flag("bias", default=False),
        activate=c.word("hidden_act", default="gelu"),
    )
    layer = pre_norm_layer(Norm(width), mixer, ffn)
    notes = ("scores against relative positions are not counted, as in the paper's own count",)
    return decoder(c, [layer] * c.layers(), Norm(width), notes=notes)


FAMILIES = {"palm": palm, "chinchilla": chinchilla}
