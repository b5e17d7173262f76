"""DeepSeek-V4: a window and compressed entries under one shared key-value head, hyper-connections, hash routing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from flopsight.models.blocks.decoder import head_nodes
from flopsight.models.blocks.mlp import moe
from flopsight.models.blocks.routed import UNCOUNTED, correction, mtp_count, routed, shared, sinks
from flopsight.models.config import Config
from flopsight.models.tree import STREAMS, Model, Node, StreamRule, branch, leaf, stack
from flopsight.parts.attention import AttentionCore
from flopsight.parts.compressed import Entries, Pooling, WindowAndEntries
from flopsight.parts.hyper import HyperConnection, HyperHead
from flopsight.parts.linear import Buffer, Embedding, Linear
from flopsight.parts.norm import Norm
from flopsight.parts.routed import IndexCore
from flopsight.parts.vector import rope
from flopsight.workload import Work, Workload

PLAIN, SPARSE, HEAVY = "sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"
RATES = {SPARSE: 4, HEAVY: 128}


@dataclass(frozen=True, slots=True)
class CompressedAttention:
    """The dimensions of one attention block.

    heads, width of a head   one shared key-value head serves them all
    ranks    of the query's compression and of each output group; `groups` output groups
    index    heads, head width and choice of the indexer
    """

    width: int
    heads: int
    head: int
    rotary: int
    q_rank: int
    o_rank: int
    groups: int
    window: int
    index: tuple[int, int, int]

    def node(self, rate: int, indexed: bool) -> Node:
        """The block; `rate` 0 has a window only, `indexed` picks entries with an indexer."""
        d, h, e = self.width, self.heads, self.head
        entries = Entries(rate, self.index[2] if indexed else 0) if rate else None
        return branch(
            "self_attn",
            leaf("q_a_proj", Linear("attention", d, self.q_rank)),
            leaf("q_a_norm", Norm(self.q_rank), place="latent"),
            leaf("q_b_proj", Linear("attention", self.q_rank, h * e)),
            leaf("q_b_norm", Norm(e, weight=False, copies=h), place="qk"),
            leaf("kv_proj", Linear("attention", d, e)),
            leaf("kv_norm", Norm(e), place="latent"),
            leaf("rope", rope(2 * h + 1, self.rotary)),
            sinks(h),
            self._compressor(rate, indexed) if rate else None,
            leaf("core", AttentionCore(h, e, e, 1, WindowAndEntries(self.window, entries), shared_kv=True)),
            leaf("o_a_proj", Linear("attention", h * e, self.groups * self.o_rank, groups=self.groups)),
            leaf("o_b_proj", Linear("attention", self.groups * self.o_rank, d)),
        )

    def _compressor(self, rate: int, indexed: bool) -> Node:
        series = 2 if indexed else 1
        top = self.index[2] if indexed else 0
        return branch(
            "compressor", *self._pooled(self.head, rate, series, top=top), self._indexer(rate) if indexed else None
        )

    def _pooled(self, e: int, rate: int, series: int, *, top: int = 0, cached: bool = True) -> tuple[Node, ...]:
        return (
            leaf("kv_proj", Linear("attention", self.width, series * e)),
            leaf("gate_proj", Linear("attention", self.width, series * e)),
            leaf("position_bias", Pooling(rate, e, series, top, cached)),
            leaf("kv_norm", Norm(e), place="latent", stream=f"entries_{rate}"),
        )

    def _indexer(self, rate: int) -> Node:
        heads, e, _ = self.index
        return branch(
            "indexer",
            *self._pooled(e, rate, 2, cached=False),
            leaf("q_b_proj", Linear("attention", self.q_rank, heads * e)),
            leaf("rope", rope(heads, self.rotary)),
            branch("scorer", leaf("weights_proj", Linear("attention", self.width, heads))),
            leaf("core", IndexCore(heads, e, Entries(rate), summed=False, rate=rate)),
        )


def attention(c: Config, width: int) -> CompressedAttention:
    """Dimensions from the config; heads must divide into the output groups."""
    heads, groups = c.int("num_attention_heads"), c.int("o_groups")
    if heads % groups:
        raise c.fail("o_groups", groups, f"a divisor of the {heads} heads")
    head = c.int("head_dim")
    rotary = c.maybe("qk_rope_head_dim", least=0)
    return CompressedAttention(
        width, heads, head, head // 8 if rotary is None else rotary, c.int("q_lora_rank"), c.int("o_lora_rank"), groups,
        c.int("sliding_window"), (c.int("index_n_heads"), c.int("index_head_dim"), c.int("index_topk")),
    )  # fmt: skip


def rates(c: Config) -> dict[str, int]:
    """Tokens an entry stands for, by kind of layer."""
    given = c.sub("compress_rates")
    found = {kind: given.int(kind, default=rate) for kind, rate in RATES.items()}
    found[SPARSE] = c.maybe("compress_rate_csa") or found[SPARSE]
    found[HEAVY] = c.maybe("compress_rate_hca") or found[HEAVY]
    return found


def layer_kinds(c: Config) -> list[str]:
    """`layer_types`, else `compress_ratios` (0, 4 or 128), else two heavy layers and then heavy and sparse in turn."""
    count = c.layers()
    types = c.words("layer_types")
    ratios = c.ints("compress_ratios")
    if types is None and ratios is not None:
        names = {0: PLAIN, 4: SPARSE, 128: HEAVY}
        if set(ratios) - set(names):
            raise c.fail("compress_ratios", list(ratios), "a list of 0, 4 and 128")
        types = tuple(names[r] for r in ratios)
    if types is None:
        return [SPARSE if i >= 2 and i % 2 else HEAVY for i in range(count)]
    if len(types) < count or set(types) - {PLAIN, SPARSE, HEAVY}:
        raise c.fail(
            "layer_types", list(types), f"a list of {PLAIN}, {SPARSE} and {HEAVY}, one for each of {count} layers"
        )
    return list(types[:count])


def hash_layers(c: Config) -> list[bool]:
    """Layers that choose experts by a table from token to expert."""
    count = c.layers()
    kinds = c.words("mlp_layer_types")
    first = c.maybe("num_hash_layers", least=0)
    if kinds is None:
        return [i < (3 if first is None else first) for i in range(count)]
    if len(kinds) < count:
        raise c.fail("mlp_layer_types", list(kinds), f"a list with one word for each of the {count} layers")
    return [kind == "hash_moe" for kind in kinds[:count]]


def ffn(c: Config, width: int, vocab: int, *, hashed: bool) -> Node:
    """Experts chosen by score or by table; either way the router computes their weights."""
    inner = c.int("moe_intermediate_size", "intermediate_size")
    experts = routed(c, width, inner, count=("n_routed_experts", "num_local_experts"))
    beside = shared(width, (c.maybe("n_shared_experts", least=0) or 0) * inner)
    table = branch("gate", leaf("tid2eid", Buffer("router", (vocab, experts.visited), per_token=0)))
    return moe(experts, shared=beside, extra=(table if hashed else correction(experts.experts),))


def layer(c: Config, width: int, mixer: Node, block: Node) -> Node:
    """Collapse, norm, block, spread; twice."""
    hyper = HyperConnection(width, c.int("hc_mult"), rounds=c.int("hc_sinkhorn_iters", default=20))
    return branch(
        "",
        leaf("attn_hc", hyper),
        leaf("input_layernorm", Norm(width), place="pre"),
        mixer,
        leaf("ffn_hc", hyper),
        leaf("post_attention_layernorm", Norm(width), place="pre"),
        block,
    )


def entry_stream(rate: int) -> StreamRule:
    """Entries closed by the tokens computed now."""

    def rule(w: Workload) -> Work:
        return Work(w.batch, (w.past + w.seq) // rate - w.past // rate)

    return rule


def deepseek_v4(c: Config) -> Model:
    """Every layer: attention over a window and compressed entries, then routed experts, on `hc_mult` streams."""
    width, vocab = c.int("hidden_size"), c.int("vocab_size")
    mixer, rate = attention(c, width), rates(c)
    c.ignore("num_key_value_heads")
    blocks = {h: ffn(c, width, vocab, hashed=h) for h in (True, False)}
    layers = [
        layer(c, width, mixer.node(rate.get(kind, 0), kind == SPARSE), blocks[hashed])
        for kind, hashed in zip(layer_kinds(c), hash_layers(c), strict=True)
    ]
    body = branch(
        "model",
        leaf("embed_tokens", Embedding(vocab, width)),
        stack("layers", layers),
        leaf("hc_head", HyperHead(width, c.int("hc_mult"))),
        leaf("norm", Norm(width), place="final"),
    )
    streams: Mapping[str, StreamRule] = {**STREAMS, **{f"entries_{r}": entry_stream(r) for r in rate.values()}}
    root = branch("", body, *head_nodes(width, vocab, tied=c.tied()))
    model = Model("", "deepseek_v4", root, streams, tied=c.tied())
    return replace(model, notes=(UNCOUNTED,)) if mtp_count(c) else model


FAMILIES = {"deepseek_v4": deepseek_v4, "deepseek_ref": deepseek_v4}
