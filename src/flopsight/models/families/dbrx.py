"""DBRX: nested settings, one matrix for query, key and value, experts flattened into three tensors."""

from __future__ import annotations

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block, causal_lm
from flopsight.models.blocks.mlp import act
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.linear import Linear
from flopsight.parts.norm import Norm
from flopsight.parts.routed import RoutedLinear
from flopsight.parts.vector import Elementwise, activation, softmax


def _function(c: Config) -> str:
    """The activation, which files write as an object with a name or as the name."""
    if isinstance(c.get("ffn_act_fn", default=None), str):
        return c.word("ffn_act_fn")
    return c.sub("ffn_act_fn").word("name", default="silu")


def experts(c: Config, width: int) -> Node:
    """Router and experts; `clip_qkv` and the normalisation of weights cost nothing that is counted."""
    count, inner = c.int("moe_num_experts", default=4), c.int("ffn_hidden_size", default=3584)
    visited = c.int("moe_top_k", default=1, most=count)
    up = RoutedLinear("experts", count, visited, width, inner, flat=True, weight="")
    down = RoutedLinear("experts", count, visited, inner, width, flat=True, transposed=True, weight="")
    function = _function(c)
    mlp = branch(
        "mlp",
        leaf("w1", up),
        leaf("v1", up),
        leaf("act", activation(act(function), visited * inner, gated=True)),
        leaf("w2", down),
        leaf("sum", Elementwise("weighted sum", visited * width, 2)),
    )
    return branch(
        "ffn",
        branch("router", leaf("layer", Linear("router", width, count))),
        leaf("route", softmax(count, "softmax, top-k")),
        branch("experts", mlp),
    )


def dbrx(c: Config) -> Model:
    """LayerNorm without bias around attention, experts in every layer."""
    width = c.int("hidden_size", "d_model")
    heads = c.heads(width, "num_attention_heads", "n_heads")
    e = width // heads
    attn = c.sub("attn_config")
    kv = attn.int("kv_n_heads", default=1)
    if heads % kv:
        raise attn.fail("kv_n_heads", kv, f"a divisor of the {heads} heads")
    norm = Norm(width, "layer")
    mixer = Attention(width, heads, kv, e, fused="Wqkv", names=("", "", "", "out_proj"), rotary=e)
    layer = block(
        branch(
            "norm_attn_norm",
            leaf("norm_1", norm, place="pre"),
            mixer.node("attn"),
            leaf("norm_2", norm, place="pre"),
        ),
        experts(c.sub("ffn_config"), width),
        width=width,
    )
    return causal_lm(
        [layer] * c.layers("num_hidden_layers", "n_layers"), family="dbrx", vocab=c.int("vocab_size"), width=width,
        tied=c.tied(), norm=norm, prefix="transformer", embed="wte", stack_name="blocks", norm_name="norm_f",
    )  # fmt: skip


FAMILIES = {"dbrx": dbrx}
