"""Sparse latent attention with a gate on its output: A.X K2 and Hunyuan 4."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.decoder import head_nodes, pre_norm_layer
from flopsight.models.blocks.routed import alternate, lm, sinks
from flopsight.models.config import Config
from flopsight.models.families.deepseek import dense_mlp, indexer, indexer_kinds, kinds, latent_attention, sparse_ffn
from flopsight.models.tree import Model, Node, branch, leaf, stack
from flopsight.parts.hyper import HyperConnection, HyperHead
from flopsight.parts.linear import Embedding, Linear
from flopsight.parts.masks import TopK
from flopsight.parts.norm import Norm
from flopsight.parts.vector import activation


def output_gate(values: int) -> Node:
    """The sigmoid that scales attention's output."""
    return leaf("output_gate", activation("sigmoid", values, gated=True))


def gated_norm(width: int, rank: int, name: str) -> Node:
    """A norm scaled by the sigmoid of a low-rank projection of itself."""
    return branch(
        name,
        leaf("norm", Norm(width), place="pre"),
        branch(
            "mlp",
            leaf("fc1", Linear("norm", width, rank)),
            leaf("act", activation("silu", rank)),
            leaf("fc2", Linear("norm", rank, width)),
        ),
        leaf("gate", activation("sigmoid", width, gated=True)),
    )


def axk2_attention(c: Config, width: int) -> Node:
    """One matrix makes query and gate from the compressed query, normed and not."""
    a = latent_attention(c, width, TopK(c.int("index_topk")))
    rank = c.int("q_lora_rank")
    whole = a.node("self_attn", output_gate(a.heads * a.value_width), indexer(c, width, rank))
    fused = Linear("attention", 2 * rank, a.heads * (a.nope + a.rope + a.value_width))
    children = [leaf("q_gate_proj", fused) if n.name == "q_b_proj" else n for n in whole.children]
    return replace(whole, children=tuple(children))


def axk2(c: Config) -> Model:
    """A.X K2: gated norms before attention and before experts, a plain one before a dense MLP."""
    width, rank = c.int("hidden_size"), c.int("gated_norm_rank")
    flags = kinds(c, 1)
    ffns = alternate(flags, sparse_ffn(c, width), lambda: dense_mlp(c, width))
    mixer = axk2_attention(c, width)
    c.ignore("layer_types")
    layers = [_axk2_layer(width, rank, mixer, ffn, routed=flag) for ffn, flag in zip(ffns, flags, strict=True)]
    return lm(c, layers, width)


def _axk2_layer(width: int, rank: int, mixer: Node, ffn: Node, *, routed: bool) -> Node:
    names = ["input_layernorm", *(["post_attention_layernorm"] if routed else [])]
    layer = pre_norm_layer(Norm(width), mixer, ffn)
    children = [gated_norm(width, rank, n.name) if n.name in names else n for n in layer.children]
    return replace(layer, children=tuple(children))


def hy_v4_indexers(c: Config) -> list[bool]:
    """The first layer and every fourth after the second have an indexer, unless `indexer_types` says otherwise."""
    if c.list("indexer_types") is not None:
        return indexer_kinds(c)
    return [i == 0 or (i - 1) % 4 == 0 for i in range(c.layers())]


def hy_v4(c: Config) -> Model:
    """Hunyuan 4: sinks and an output gate, on several residual streams that are never mixed."""
    width, vocab = c.int("hidden_size"), c.int("vocab_size")
    streams = c.int("hc_mult")
    a = latent_attention(c, width, TopK(c.int("index_topk")))
    values = a.heads * a.value_width
    gate = leaf("gate_proj", Linear("attention", width, values))
    more = (sinks(a.heads), gate, output_gate(values))
    mixers = {
        True: a.node("self_attn", *more, indexer(c, width, c.int("q_lora_rank"))),
        False: a.node("self_attn", *more),
    }
    c.ignore("layer_types")
    ffns = alternate(kinds(c, 1), sparse_ffn(c, width), lambda: dense_mlp(c, width))
    hyper = HyperConnection(width, streams, mixing=False)
    layers = [_hy_v4_layer(width, hyper, mixers[own], f) for own, f in zip(hy_v4_indexers(c), ffns, strict=True)]
    body = branch(
        "model",
        leaf("embed_tokens", Embedding(vocab, width)),
        stack("layers", layers),
        leaf("hc_head", HyperHead(width, streams)),
        leaf("norm", Norm(width), place="final"),
    )
    return Model("", "hy_v4", branch("", body, *head_nodes(width, vocab, tied=c.tied())), tied=c.tied())


def _hy_v4_layer(width: int, hyper: HyperConnection, mixer: Node, ffn: Node) -> Node:
    return branch(
        "",
        leaf("attn_hc", hyper),
        leaf("input_layernorm", Norm(width), place="pre"),
        mixer,
        leaf("ffn_hc", hyper),
        leaf("post_attention_layernorm", Norm(width), place="pre"),
        ffn,
    )


FAMILIES = {"axk2": axk2, "hy_v4": hy_v4}
