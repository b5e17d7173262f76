"""DeepSeek-V3 and relatives: latent attention, dense layers first, then experts with shared ones."""

from __future__ import annotations

from flopsight.models.blocks.attention import LatentAttention
from flopsight.models.blocks.decoder import causal_lm, pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp, moe
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, leaf
from flopsight.parts.linear import Buffer
from flopsight.parts.moe import Experts
from flopsight.parts.norm import Norm


def latent_attention(c: Config, width: int) -> LatentAttention:
    """Latent attention from the usual keys; a null `q_lora_rank` is a direct query projection."""
    return LatentAttention(
        width, c.int("num_attention_heads"), c.maybe("q_lora_rank") or 0, c.int("kv_lora_rank"),
        c.int("qk_nope_head_dim"), c.int("qk_rope_head_dim", least=0), c.int("v_head_dim"),
        c.flag("attention_bias", default=False),
    )  # fmt: skip


def sparse_ffn(c: Config, width: int) -> Node:
    """Routed experts with a correction bias (a buffer) in the router, and shared experts as one wider MLP."""
    count, inner = c.int("n_routed_experts"), c.int("moe_intermediate_size")
    shared = c.maybe("n_shared_experts", least=0) or 0
    beside = gated_mlp(width, shared * inner, "shared_experts", kind="shared_experts") if shared else None
    visited = c.int("num_experts_per_tok", most=count)
    node = moe(Experts(count, visited, width, inner), shared=beside)
    gate = Node("gate", children=(leaf("e_score_correction_bias", Buffer("router", (count,))),))
    return Node(node.name, children=(*node.children, gate))


def deepseek_v3(c: Config) -> Model:
    """The first `first_k_dense_replace` layers dense, the others routed."""
    width = c.int("hidden_size")
    dense, sparse = gated_mlp(width, c.int("intermediate_size")), sparse_ffn(c, width)
    first = c.int("first_k_dense_replace", least=0)
    mixer = latent_attention(c, width).node()
    layers = [pre_norm_layer(Norm(width), mixer, dense if i < first else sparse) for i in range(c.layers())]
    return causal_lm(
        layers, family="deepseek_v3", vocab=c.int("vocab_size"), width=width, tied=c.tied(), norm=Norm(width)
    )


FAMILIES = {"deepseek_v3": deepseek_v3, "kimi_k2": deepseek_v3}
