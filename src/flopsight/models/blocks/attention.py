"""Softmax attention with its projections, in the layouts families use."""

from __future__ import annotations

from dataclasses import dataclass

from flopsight.models.tree import Node, branch, leaf
from flopsight.parts.attention import AttentionCore
from flopsight.parts.linear import Linear
from flopsight.parts.masks import Causal, Mask
from flopsight.parts.mla import LatentCore, LatentUp
from flopsight.parts.norm import Norm
from flopsight.parts.vector import activation, rope


@dataclass(frozen=True, slots=True)
class Attention:
    """The dimensions and layout of one softmax attention block.

    width       d, of the residual stream; `source` is the width keys and values are read from, if another
    key_width   e, per head; value_width v, per head, if another
    biases      of query, key, value, output
    names       of the four projections; `fused` names one matrix for query, key and value (or key and value)
    qk_norm     "" none, "head" over each head's e values, "full" over all heads at once, "heads" separate weights
                of every head
    rotary      values per head that rotate; 0 for none
    gated       the query projection is twice as wide and half of it gates the output
    own_kv      False where keys and values come from another layer
    one_kv      keys and values are one projection (no value matrix)
    transposed  matrices are stored input first
    cached      False in encoders and towers, which keep nothing between tokens
    """

    width: int
    heads: int
    kv_heads: int
    key_width: int
    value_width: int = 0
    source: int = 0
    biases: tuple[bool, bool, bool, bool] = (False, False, False, False)
    names: tuple[str, str, str, str] = ("q_proj", "k_proj", "v_proj", "o_proj")
    fused: str = ""
    norms: tuple[str, str] = ("q_norm", "k_norm")
    qk_norm: str = ""
    norm_form: str = "rms"
    norm_weight: bool = True
    norm_bias: bool = False
    rotary: int = 0
    gated: bool = False
    own_kv: bool = True
    one_kv: bool = False
    transposed: bool = False
    mask: Mask = Causal()  # noqa: RUF009 - frozen and without fields
    kind: str = "attention"
    kv_stream: str | None = None
    output: int = 0
    cached: bool = True

    def node(self, name: str = "self_attn", *extra: Node) -> Node:
        """The block as a tree node; `extra` children are added at its end."""
        v = self.value_width or self.key_width
        core = AttentionCore(
            self.heads, self.key_width, v, self.kv_heads, self.mask, cached=self.own_kv and self.cached,
            borrowed=self.cached and not self.own_kv, kind=self.kind,
        )  # fmt: skip
        return branch(
            name,
            *self._projections(v),
            *self._norms(),
            leaf("rope", rope(self.heads + self.kv_heads * self.own_kv, self.rotary)) if self.rotary else None,
            leaf("core", core),
            leaf("output_gate", activation("sigmoid", self.heads * v, gated=True)) if self.gated else None,
            self._linear(3, self.heads * v, self.output or self.width),
            *extra,
        )

    def _projections(self, v: int) -> list[Node]:
        d, src = self.width, self.source or self.width
        query, keys, values = (
            self.heads * self.key_width * (1 + self.gated),
            self.kv_heads * self.key_width,
            self.kv_heads * v,
        )
        if self.fused:
            part = Linear(self.kind, d, query + keys + values, self.biases[0], self.transposed)
            return [leaf(self.fused, part)]
        found = [self._linear(0, d, query)]
        if self.own_kv:
            found.append(self._linear(1, src, keys, self.kv_stream))
            if not self.one_kv:
                found.append(self._linear(2, src, values, self.kv_stream))
        return found

    def _linear(self, which: int, inputs: int, outputs: int, stream: str | None = None) -> Node:
        part = Linear(self.kind, inputs, outputs, self.biases[which], self.transposed)
        return leaf(self.names[which], part, stream=stream)

    def _norms(self) -> list[Node]:
        if not self.qk_norm:
            return []
        found = [self._norm(self.norms[0], self.heads, None)]
        return [*found, self._norm(self.norms[1], self.kv_heads, self.kv_stream)] if self.own_kv else found

    def _norm(self, name: str, heads: int, stream: str | None) -> Node:
        e, full = self.key_width, self.qk_norm == "full"
        part = Norm(
            heads * e if full else e, self.norm_form, self.norm_weight, self.norm_bias, 1 if full else heads,
            shape=(heads, e) if self.qk_norm == "heads" else None,
        )  # fmt: skip
        return leaf(name, part, place="qk", stream=stream)


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Multi-head latent attention: DeepSeek-V2/V3 and relatives.

    q_rank  rank of the query's own compression, or 0 for a direct projection
    """

    width: int
    heads: int
    q_rank: int
    kv_rank: int
    nope: int
    rope: int
    value_width: int
    bias: bool = False
    mask: Mask = Causal()  # noqa: RUF009 - frozen and without fields

    def node(self, name: str = "self_attn", *extra: Node) -> Node:
        """The block as a tree node."""
        d, h, r = self.width, self.heads, self.kv_rank
        query = h * (self.nope + self.rope)
        return branch(
            name,
            *self._query(query),
            leaf("kv_a_proj_with_mqa", Linear("attention", d, r + self.rope, self.bias)),
            leaf("kv_a_layernorm", Norm(r), place="latent"),
            leaf("kv_b_proj", LatentUp(r, h, self.nope, self.value_width)),
            leaf("rope", rope(h + 1, self.rope)),
            leaf("core", LatentCore(h, self.nope, self.rope, self.value_width, r, self.mask)),
            leaf("o_proj", Linear("attention", h * self.value_width, d, self.bias)),
            *extra,
        )

    def _query(self, query: int) -> list[Node]:
        if not self.q_rank:
            return [leaf("q_proj", Linear("attention", self.width, query))]
        return [
            leaf("q_a_proj", Linear("attention", self.width, self.q_rank, self.bias)),
            leaf("q_a_layernorm", Norm(self.q_rank), place="latent"),
            leaf("q_b_proj", Linear("attention", self.q_rank, query)),
        ]
