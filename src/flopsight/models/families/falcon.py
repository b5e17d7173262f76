"""Falcon: one key-value head or groups of them, attention and feed-forward block in parallel, rotary or alibi."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block, pre_norm_layer
from flopsight.models.blocks.layers import parallel_layer
from flopsight.models.blocks.mlp import plain_mlp
from flopsight.models.config import Config
from flopsight.models.families.dense import decoder
from flopsight.models.tree import Model, Node, leaf
from flopsight.parts.norm import Norm


def attention(c: Config, width: int, bias: bool) -> Attention:
    """One fused matrix; the key-value heads of the file count only in the new architecture."""
    heads = c.int("num_attention_heads", "n_head")
    if width % heads:
        raise c.fail("num_attention_heads", heads, f"a divisor of the width {width:,}")
    e = width // heads
    kv = 1 if c.flag("multi_query", default=True) else heads
    groups = c.kv_heads(heads, "num_kv_heads", "n_head_kv")
    alibi = c.flag("alibi", default=False)
    return Attention(
        width, heads, groups if grouped(c) else kv, e, biases=(bias,) * 4, fused="query_key_value",
        names=("", "", "", "dense"), rotary=0 if alibi else e,
    )  # fmt: skip


def grouped(c: Config) -> bool:
    """Whether this is the new architecture, of Falcon 40B and later."""
    return c.flag("new_decoder_architecture", default=False)


def falcon(c: Config) -> Model:
    """Falcon 7B, 40B, 180B, 11B and the RW models."""
    width = c.int("n_embed", "hidden_size")
    c.ignore("ff_factor", "n_head", "n_layer")
    bias = c.flag("bias", default=False)
    inner = c.maybe("ffn_hidden_size") or 4 * width
    ffn = plain_mlp(
        width, inner, bias=bias, names=("dense_h_to_4h", "dense_4h_to_h"), activate=c.word("activation", default="gelu")
    )
    norm = Norm(width, "layer", bias=True)
    one = layer(c, norm, attention(c, width, bias).node("self_attention"), ffn)
    return decoder(
        c, [one] * c.layers("num_hidden_layers", "n_layer"), norm, prefix="transformer", embed="word_embeddings",
        stack_name="h", norm_name="ln_f",
    )  # fmt: skip


def layer(c: Config, norm: Norm, mixer: Node, ffn: Node) -> Node:
    """Two norms one after the other, one norm for both branches, or one for each branch."""
    if not c.flag("parallel_attn", default=True):
        return pre_norm_layer(norm, mixer, ffn)
    norms = c.maybe("num_ln_in_parallel_attn", most=2) or (2 if grouped(c) else 1)
    if norms == 1:
        return parallel_layer(norm, mixer, ffn)
    return block(leaf("ln_attn", norm, place="pre"), leaf("ln_mlp", norm, place="pre"), mixer, ffn, width=norm.width)


def refined_web(c: Config) -> Model:
    """Falcon under the name of its first release: 40B has grouped heads, 7B does not."""
    grouped_heads = c.has("n_head_kv")
    raw = {**c.raw, "new_decoder_architecture": grouped_heads, "model_type": "falcon"}
    inner = Config(raw, "falcon", c.where)
    model = falcon(inner)
    c.read |= inner.read
    c.assumed |= inner.assumed
    return replace(model, family=c.model_type)


FAMILIES = {"falcon": falcon, "RefinedWeb": refined_web, "RefinedWebModel": refined_web}
