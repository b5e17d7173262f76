"""ERNIE 4.5 and Hunyuan: experts from one layer to another, and settings that may differ by layer."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp, moe
from flopsight.models.blocks.routed import alternate, gqa, lm, routed, shared
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.linear import Parameter
from flopsight.parts.moe import Experts
from flopsight.parts.norm import Norm

DEAD = (
    "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "moe_drop_tokens",
    "dense_list", "num_media_embeds", "class_num", "org_vocab_size", "capacity_factor", "group_limited_greedy",
)  # fmt: skip
"""Keys of Hunyuan's files that belong to other models of the same code."""


def ernie_layers(c: Config) -> list[bool]:
    """Every `moe_layer_interval`-th layer between the start and the end index, both included; -1 is the last layer."""
    count = c.layers()
    start = c.int("moe_layer_start_index", least=0)
    end = c.int("moe_layer_end_index", least=-1)
    step = c.int("moe_layer_interval")
    last = count - 1 if end == -1 else end
    return [(i + 1) % step == 0 and start <= i <= last for i in range(count)]


def ernie4_5_moe(c: Config) -> Model:
    """Biases by `use_bias`; the correction of the scores is a parameter."""
    width, inner = c.int("hidden_size"), c.int("moe_intermediate_size")
    biased = c.flag("use_bias", default=False)
    experts = routed(c, width, inner, count=("moe_num_experts", "num_experts"))
    times = c.maybe("moe_num_shared_experts", least=0) or 0
    beside = gated_mlp(width, times * inner, "shared_experts", bias=biased, kind="shared_experts") if times else None
    bias = branch(
        "gate",
        branch(
            "moe_statics", leaf("e_score_correction_bias", Parameter("router", (1, experts.experts), experts.experts))
        ),
    )
    ffns = alternate(
        ernie_layers(c),
        moe(experts, shared=beside, extra=(bias,)),
        lambda: gated_mlp(width, c.int("intermediate_size"), bias=biased),
    )
    mixer = gqa(c, width, bias=biased).node()
    layers = [pre_norm_layer(Norm(width), mixer, ffn) for ffn in ffns]
    return lm(c, layers, width, head_bias=biased)


def each_layer(c: Config, count: int, *names: str, least: int = 1) -> tuple[int, ...] | None:
    """A number for every layer, from one number or a list; None where the key is absent or null."""
    value = c.get(*names, default=None)
    if value is None:
        return None
    if not isinstance(value, list):
        return (c.int(*names, least=least),) * count
    values = c.ints(*names, least=least) or ()
    if len(values) < count:
        raise c.fail(names[0], value, f"a number, or a list with one for each of the {count} layers")
    return values[:count]


def hunyuan_ffn(width: int, experts: int, visited: int, inner: int, times: int) -> Node:
    """Routed experts and one shared MLP of `times` their width; a plain MLP if there is one expert only."""
    if experts == 1:
        return gated_mlp(width, inner)
    routing = Experts(experts, visited, width, inner)
    beside = shared(width, times * inner, "shared_mlp")
    return moe(routing, router="gate.wg", shared=beside)


def hunyuan_attention(c: Config, width: int) -> tuple[Attention, Attention]:
    """Attention with norms over each head of query and key, and the one that reads an earlier layer's keys."""
    qk_norm = "head" if c.flag("use_qk_norm", default=True) else ""
    e = c.maybe("head_dim", "attention_head_dim") or width // c.heads(width)
    own = gqa(c, width, qk_norm=qk_norm)
    own = replace(own, norms=("query_layernorm", "key_layernorm"), key_width=e, rotary=e)
    return own, replace(own, own_kv=False)


def hunyuan(c: Config) -> Model:
    """Hunyuan-A13B and Hunyuan-Large: a shared MLP beside the experts; keys of every n-th layer only with `use_cla`."""
    width, count = c.int("hidden_size"), c.layers()
    base = (c.int("intermediate_size"),) * count
    inner = each_layer(c, count, "moe_intermediate_size") or base
    experts = each_layer(c, count, "num_experts", "num_local_experts") or (1,) * count
    visited = each_layer(c, count, "moe_topk", "num_experts_per_tok") or (1,) * count
    times = each_layer(c, count, "num_shared_expert", least=0) or (1,) * count
    skipped = c.int("moe_layer_num_skipped", default=0, least=0)
    for k, e in zip(visited, experts, strict=True):
        if k > e:
            raise c.fail("moe_topk", k, f"at most the {e} experts")
    own, borrowed = hunyuan_attention(c, width)
    every = c.int("cla_share_factor", default=1) if c.flag("use_cla", default=False) else 1
    layers = [
        pre_norm_layer(
            Norm(width),
            (borrowed if i % every else own).node(),
            gated_mlp(width, base[i])
            if i < skipped
            else hunyuan_ffn(width, experts[i], visited[i], inner[i], times[i]),
        )
        for i in range(count)
    ]
    if c.flag("use_mla", default=False):
        raise c.fail("use_mla", True, "false: latent attention is not known for this family")
    c.ignore("cla_share_factor", "use_mixed_mlp_moe", *DEAD)
    return lm(c, layers, width)


FAMILIES = {"ernie4_5_moe": ernie4_5_moe, "hunyuan_v1_moe": hunyuan, "hunyuan": hunyuan}
