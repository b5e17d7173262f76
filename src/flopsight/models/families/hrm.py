"""Hierarchical recurrent decoders: two stacks of layers, one run slow and one fast, several times over."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import head_nodes, pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp
from flopsight.models.config import Config
from flopsight.models.families.dense import divided
from flopsight.models.tree import Model, Node, branch, leaf, stack
from flopsight.parts.linear import Embedding, Linear, Parameter
from flopsight.parts.norm import Norm
from flopsight.parts.vector import activation, residual


def hrm_text(c: Config) -> Model:
    """HRM-Text: in each of `H_cycles`, the low stack runs `L_cycles` times and the high stack once."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"), weight=False)
    count = c.maybe("num_layers_per_stack") or c.layers()
    c.ignore("num_hidden_layers", "L_bp_cycles", "num_key_value_heads", "prefix_lm")
    bias = c.flag("mlp_bias", default=False)
    ffn = gated_mlp(width, c.int("intermediate_size"), bias=bias, activate=c.word("hidden_act", default="silu"))
    layers = stack("layers", [pre_norm_layer(norm, _gated_attention(c, width), ffn)] * count)
    added = leaf("input_sum", residual(width))
    low = branch("L_module", added, layers, leaf("final_norm", norm, place="final"))
    slow, fast, vocab, tied = c.int("H_cycles"), c.int("L_cycles"), c.int("vocab_size"), c.tied()
    body = branch(
        "model",
        leaf("z_L_init", Parameter("other", (width,))),
        leaf("embed_tokens", Embedding(vocab, width)),
        replace(low, runs=slow * fast),
        replace(low, name="H_module", runs=slow),
    )
    notes = (f"the low stack runs {slow * fast} times and the high stack {slow} times for every token",)
    root = branch("", body, *head_nodes(width, vocab, tied=tied))
    return Model("", c.model_type, root, tied=tied, notes=notes)


def _gated_attention(c: Config, width: int) -> Node:
    heads, e = c.int("num_attention_heads"), c.maybe("head_dim")
    e = e or divided(c, width)[1]
    bias = c.flag("attention_bias", default=False)
    mixer = Attention(width, heads, heads, e, biases=(bias,) * 4, rotary=e)
    gate = leaf("gate_proj", Linear("attention", width, heads * e, bias))
    return mixer.node("self_attn", gate, leaf("gate", activation("sigmoid", heads * e, gated=True)))


FAMILIES = {"hrm_text": hrm_text}
