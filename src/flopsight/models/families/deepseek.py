"""Latent attention with routed experts: DeepSeek-V2 to V3.2, Kimi K2, GLM-5, Mistral 4, A.X K1."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.attention import LatentAttention
from flopsight.models.blocks.decoder import block, pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp, moe
from flopsight.models.blocks.routed import alternate, correction, lm, routed, sparse_layers, with_mtp
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.linear import Linear
from flopsight.parts.masks import Causal, Mask, TopK
from flopsight.parts.norm import Norm
from flopsight.parts.routed import IndexCore
from flopsight.parts.vector import rope

GATE = "gate.e_score_correction_bias"


def latent_attention(c: Config, width: int, mask: Mask = Causal()) -> LatentAttention:  # noqa: B008 - frozen
    """Latent attention from the usual keys; a null `q_lora_rank` is a direct query projection."""
    # one latent serves all heads, so these say nothing of their own
    c.ignore("num_key_value_heads", "head_dim", "qk_head_dim")
    return LatentAttention(
        width, c.int("num_attention_heads"), c.maybe("q_lora_rank", least=0) or 0, c.int("kv_lora_rank"),
        c.int("qk_nope_head_dim", least=0), c.int("qk_rope_head_dim", least=0), c.int("v_head_dim"),
        c.flag("attention_bias", default=False), mask,
    )  # fmt: skip


def dense_mlp(c: Config, width: int, *, bias: bool = False) -> Node:
    """The MLP of the first layers."""
    return gated_mlp(width, c.int("intermediate_size"), bias=bias, activate=c.word("hidden_act", default="silu"))


def sparse_ffn(c: Config, width: int, *, corrected: bool = True, bias: bool = False) -> Node:
    """Routed experts with a correction bias (a buffer) in the router, and shared experts as one wider MLP."""
    inner = c.int("moe_intermediate_size")
    experts = routed(c, width, inner)
    total = (c.maybe("n_shared_experts", least=0) or 0) * inner
    beside = gated_mlp(width, total, "shared_experts", bias=bias, kind="shared_experts") if total else None
    return moe(experts, shared=beside, extra=(correction(experts.experts, GATE),) if corrected else ())


def kinds(c: Config, first: int = 0) -> list[bool]:
    """Which layers are routed: none where `n_routed_experts` is null."""
    if c.get("n_routed_experts", "num_local_experts", "num_experts", default=None) is None:
        return [False] * c.layers()
    return sparse_layers(c, first)


def assemble(
    c: Config, width: int, mixers: list[Node], flags: list[bool], *, corrected: bool = True, bias: bool = False
) -> Model:
    """Pre-norm layers, routed where `flags` says so, and the layers that predict further tokens."""
    dense = dense_mlp(c, width, bias=bias) if not all(flags) else None
    sparse = sparse_ffn(c, width, corrected=corrected, bias=bias) if any(flags) else None
    layers = [
        pre_norm_layer(Norm(width), mixer, ffn)
        for mixer, flag in zip(mixers, flags, strict=True)
        if (ffn := sparse if flag else dense)
    ]
    # the first layer has an indexer wherever any has, and so has the one that predicts further tokens
    further = pre_norm_layer(Norm(width), mixers[0], sparse or dense or layers[-1])
    return with_mtp(c, lm(c, layers, width), further, width)


def deepseek_v3(c: Config) -> Model:
    """The first `first_k_dense_replace` layers dense, the others routed."""
    width = c.int("hidden_size")
    return assemble(c, width, [latent_attention(c, width).node()] * c.layers(), kinds(c))


def deepseek_v2(c: Config) -> Model:
    """DeepSeek-V3 with softmax scores and no correction; V2-Lite projects the query directly; biases by `mlp_bias`."""
    width = c.int("hidden_size")
    mixers = [latent_attention(c, width).node()] * c.layers()
    return assemble(c, width, mixers, kinds(c), corrected=False, bias=c.flag("mlp_bias", default=False))


def glm4_moe_lite(c: Config) -> Model:
    """GLM-4.7-Flash: one dense layer first unless `mlp_layer_types` says otherwise."""
    width = c.int("hidden_size")
    return assemble(c, width, [latent_attention(c, width).node()] * c.layers(), kinds(c, 1))


def axk1(c: Config) -> Model:
    """A.X K1: DeepSeek-V3 with a norm inside every routed block, after its experts."""
    width = c.int("hidden_size")
    flags = kinds(c, 1)
    sparse = sparse_ffn(c, width)
    sparse = replace(sparse, children=(*sparse.children, leaf("post_mlp_layernorm", Norm(width), place="post")))
    ffns = alternate(flags, sparse, lambda: dense_mlp(c, width))
    mixer = latent_attention(c, width).node()
    return lm(c, [pre_norm_layer(Norm(width), mixer, f) for f in ffns], width)


def indexer(c: Config, width: int, rank: int) -> Node:
    """The lightning indexer: small heads on the compressed query, one key, a learned weight a head."""
    heads, e = c.int("index_n_heads"), c.int("index_head_dim")
    return branch(
        "indexer",
        leaf("wq_b", Linear("attention", rank, heads * e)),
        leaf("wk", Linear("attention", width, e)),
        leaf("k_norm", Norm(e, "layer", bias=True), place="index"),
        leaf("weights_proj", Linear("attention", width, heads)),
        leaf("rope", rope(heads + 1, c.int("qk_rope_head_dim", least=0))),
        leaf("core", IndexCore(heads, e)),
    )


def indexer_kinds(c: Config) -> list[bool]:
    """Layers with an indexer of their own; the others reuse the choice of the last one before them."""
    count = c.layers()
    types = c.words("indexer_types")
    pattern = c.get("index_topk_pattern", default=None)
    every, offset = c.maybe("index_topk_freq") or 1, c.maybe("index_skip_topk_offset", least=0)
    if types is None and pattern is not None:
        if not isinstance(pattern, str | list):
            raise c.fail("index_topk_pattern", pattern, "a string of F and S")
        types = tuple({"F": "full", "S": "shared"}.get(p, str(p)) for p in pattern)
    if types is None:
        start = 2 if offset is None else offset
        return [max(i - start + 1, 0) % every == 0 for i in range(count)]
    if len(types) < count or set(types) - {"full", "shared"}:
        raise c.fail("indexer_types", list(types), f"a list of full and shared for each of the {count} layers")
    return [t == "full" for t in types[:count]]


def sparse_mixers(c: Config, width: int, own: list[bool]) -> list[Node]:
    """Latent attention over the `index_topk` keys an indexer chose, its own or an earlier layer's."""
    attention = latent_attention(c, width, TopK(c.int("index_topk")))
    if not attention.q_rank:
        raise c.fail("q_lora_rank", None, "a number: the indexer reads the compressed query")
    full, reuse = attention.node("self_attn", indexer(c, width, attention.q_rank)), attention.node()
    c.ignore("index_share_for_mtp_iteration")
    return [full if one else reuse for one in own]


def deepseek_v32(c: Config) -> Model:
    """DeepSeek-V3.2: DeepSeek-V3 with sparse attention in every layer."""
    width = c.int("hidden_size")
    c.ignore("layer_types", "head_dim")
    return assemble(c, width, sparse_mixers(c, width, [True] * c.layers()), kinds(c))


def glm_moe_dsa(c: Config) -> Model:
    """GLM-5: as DeepSeek-V3.2; from 5.2 on most layers reuse an earlier layer's choice."""
    width = c.int("hidden_size")
    c.ignore("layer_types", "head_dim")
    return assemble(c, width, sparse_mixers(c, width, indexer_kinds(c)), kinds(c))


def longcat_attention(c: Config, width: int) -> Node:
    """Two latent attentions, numbered."""
    one = latent_attention(c, width).node()
    return Node("self_attn", children=(replace(one, name="", copies=(0, 1)),))


def longcat_flash(c: Config) -> Model:
    """LongCat: two attentions and two dense MLPs a layer, and one set of experts beside the second half.

    A third of the routes are zero experts that pass their input through: a token visits between none and `moe_topk`
    real experts, and all of them are counted.
    """
    width = c.int("hidden_size")
    inner = c.int("expert_ffn_hidden_size", "moe_intermediate_size")
    experts = routed(c, width, inner, count=("n_routed_experts", "num_local_experts"))
    routes = experts.experts + c.int("zero_expert_num", least=0)
    router = branch(
        "router",
        leaf("classifier", Linear("router", width, routes, c.flag("router_bias", default=False))),
        correction(routes, "e_score_correction_bias"),
    )
    dense = gated_mlp(width, c.int("ffn_hidden_size", "intermediate_size"))
    norm = Norm(width)
    layer = block(
        branch("mlp", router, leaf("experts", experts)),
        longcat_attention(c, width),
        Node("mlps", children=(replace(dense, name="", copies=(0, 1)),)),
        Node("input_layernorm", norm, copies=(0, 1), place="pre"),
        Node("post_attention_layernorm", norm, copies=(0, 1), place="pre"),
        width=width,
        residuals=5,
    )
    note = "Experts are counted as if no visited one were a zero expert: an upper bound."
    return lm(c, [layer] * c.layers("num_layers", "num_hidden_layers"), width, notes=(note,))


FAMILIES = {
    "deepseek_v3": deepseek_v3, "kimi_k2": deepseek_v3, "deepseek_v2": deepseek_v2, "glm4_moe_lite": glm4_moe_lite,
    "mistral4": deepseek_v2, "axk1": axk1, "deepseek_v32": deepseek_v32, "glm_moe_dsa": glm_moe_dsa,
    "longcat_flash": longcat_flash,
}  # fmt: skip
