"""MiniMax M3's text decoder: an indexer picks blocks of keys on most layers."""

from __future__ import annotations

from flopsight.models.blocks.decoder import pre_norm_layer
from flopsight.models.blocks.mlp import act, gated_mlp, moe
from flopsight.models.blocks.routed import FULL, alternate, correction, gqa, listed_layers, lm, routed, sparse_layers
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.linear import Linear
from flopsight.parts.masks import TopBlocks
from flopsight.parts.norm import Norm
from flopsight.parts.routed import IndexCore
from flopsight.parts.vector import rope

BLOCKS = "minimax_m3_sparse"


def setting(c: Config, name: str, older: str) -> int:
    """A number of the indexer, under its own name or inside `sparse_attention_config`."""
    return c.sub("sparse_attention_config").maybe(older) or c.int(name)


def indexed_layers(c: Config) -> list[bool]:
    """Layers with an indexer: `layer_types`, else `sparse_attention_freq`, else none."""
    count = c.layers()
    types = c.words("layer_types", count=count)
    inner = c.sub("sparse_attention_config")
    if types is not None:
        if set(types) - {FULL, BLOCKS}:
            raise c.fail("layer_types", list(types), f"a list of {FULL} and {BLOCKS}")
        return [t == BLOCKS for t in types]
    if inner.has("sparse_attention_freq"):
        return listed_layers(inner, "sparse_attention_freq", count)
    return [False] * count


def indexer(c: Config, width: int) -> Node:
    """Small heads against one key, each normed; every key is scored, blocks of keys are chosen."""
    heads = setting(c, "index_n_heads", "sparse_num_index_heads")
    e = setting(c, "index_head_dim", "sparse_index_dim")
    return branch(
        "indexer",
        leaf("q_proj", Linear("attention", width, heads * e)),
        leaf("k_proj", Linear("attention", width, e)),
        leaf("q_norm", Norm(e, copies=heads), place="index"),
        leaf("k_norm", Norm(e), place="index"),
        leaf("rope", rope(heads + 1, e)),
        leaf("core", IndexCore(heads, e, summed=False)),
    )


def attention(c: Config, width: int, *, indexed: bool) -> Node:
    """Query and key normed by head; over chosen blocks where there is an indexer."""
    normed = "head" if c.flag("use_qk_norm", default=True) else ""
    if not indexed:
        return gqa(c, width, bias=False, qk_norm=normed).node()
    size = setting(c, "index_block_size", "sparse_block_size")
    top = setting(c, "index_topk_blocks", "sparse_topk_blocks")
    c.ignore("index_local_blocks")
    c.sub("sparse_attention_config").ignore("sparse_local_block", "sparse_disable_index_value", "use_sparse_attention")
    mask = TopBlocks(size, top)
    return gqa(c, width, mask, bias=False, qk_norm=normed).node("self_attn", indexer(c, width))


def fused_mlp(c: Config, width: int, inner: int, name: str = "mlp", kind: str = "mlp") -> Node:
    """Gate and up in one matrix."""
    return gated_mlp(
        width, inner, name, fused="gate_up_proj", kind=kind, activate=act(c.word("hidden_act", default="silu"))
    )


def decoder_layers(c: Config) -> list[Node]:
    """The layers of the text decoder, for the model of text alone and for the one that also sees."""
    width = c.int("hidden_size")
    each = c.maybe("moe_intermediate_size") or c.int("intermediate_size")
    experts = routed(c, width, each, count=("num_local_experts", "num_experts"))
    inner = c.int("shared_intermediate_size", least=0)
    beside = fused_mlp(c, width, inner, "shared_experts", "shared_experts") if inner else None
    c.ignore("n_shared_experts", "use_gemma_norm", "intermediate_size")
    bias = (correction(experts.experts),) if c.flag("use_routing_bias", default=True) else ()
    sparse = moe(experts, shared=beside, extra=bias)
    ffns = alternate(sparse_layers(c), sparse, lambda: fused_mlp(c, width, c.int("dense_intermediate_size")))
    chosen = indexed_layers(c)
    mixers = {one: attention(c, width, indexed=one) for one in set(chosen)}
    return [pre_norm_layer(Norm(width), mixers[one], f) for one, f in zip(chosen, ffns, strict=True)]


def minimax_m3_text(c: Config) -> Model:
    """The text decoder with its head."""
    return lm(c, decoder_layers(c), c.int("hidden_size"))


FAMILIES = {"minimax_m3_vl_text": minimax_m3_text, "minimax_m3": minimax_m3_text}
