"""GPT-2 and GPT-3: learned positions, LayerNorm with bias, one matrix for query, key and value."""

from __future__ import annotations

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import causal_lm, pre_norm_layer
from flopsight.models.blocks.mlp import plain_mlp
from flopsight.models.config import Config
from flopsight.models.tree import Model, leaf
from flopsight.parts.linear import Embedding
from flopsight.parts.norm import Norm


def gpt2(c: Config) -> Model:
    """Matrices stored input first (Conv1D), tied head, inner width four times the width if `n_inner` is null."""
    width = c.int("hidden_size")
    heads = c.heads(width)
    inner = c.maybe("n_inner") or 4 * width
    norm = Norm(width, "layer", bias=True)
    mixer = Attention(
        width, heads, heads, width // heads, biases=(True,) * 4, fused="c_attn", names=("", "", "", "c_proj"),
        transposed=True,
    )  # fmt: skip
    ffn = plain_mlp(width, inner, names=("c_fc", "c_proj"), transposed=True, activate=c.word("activation_function"))
    layer = pre_norm_layer(norm, mixer.node("attn"), ffn, ("ln_1", "ln_2"))
    return causal_lm(
        [layer] * c.layers(), family="gpt2", vocab=c.int("vocab_size"), width=width, tied=c.tied(), norm=norm,
        prefix="transformer", embed="wte", stack_name="h", norm_name="ln_f",
        before=(leaf("wpe", Embedding(c.int("max_position_embeddings"), width)),),
    )  # fmt: skip


FAMILIES = {"gpt2": gpt2}
