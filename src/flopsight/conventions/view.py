"""The quantities that frameworks write their FLOP formulas in, read off the ledger of a model."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from flopsight.cost import Recompute
from flopsight.models.counting import split
from flopsight.models.ledger import Ledger
from flopsight.models.tree import Leaf
from flopsight.parts.attention import AttentionCore
from flopsight.parts.linear import Embedding, Linear
from flopsight.parts.mla import LatentCore
from flopsight.parts.moe import Experts
from flopsight.workload import Workload


@dataclass(frozen=True, slots=True)
class Layer:
    """Softmax attention of some equal layers: `width` = h·(e+v) summed over heads, times how many, window if any."""

    width: int
    heads: int
    kv_heads: int
    times: int
    window: int | None


@dataclass(frozen=True, slots=True)
class View:
    """One model under one workload, in the letters of the conventions.

    linear     matrix weights that one token uses, without router and head
    router     router matrices
    head       V·h of the output head, tied or not
    embedding  the input table, 0 where it is the head (tied)
    positions  learned position tables
    small      everything else that is stored: norms, biases
    idle       weights of the experts that a token does not visit
    layers     L, layers with softmax attention
    width      h;  vocab  V;  seq  S, the context;  tokens  T
    exact      required FLOPs of weights, attention and recurrent state, per token, all phases included
    executed   FLOPs per token that the usual kernels run, recomputation in
    feed_forward  matrix weights of the dense feed-forward blocks
    """

    book: Ledger
    workload: Workload
    linear: int
    router: int
    head: int
    embedding: int
    positions: int
    small: int
    idle: int
    width: int
    vocab: int
    tied: bool
    attention: tuple[Layer, ...]
    experts: tuple[tuple[Experts, int], ...]
    exact: dict[str, Fraction]
    executed: Fraction
    feed_forward: int = 0

    @property
    def seq(self) -> int:
        """S: the context a query sees at most."""
        return int(self.workload.past + self.workload.seq)

    @property
    def layers(self) -> int:
        """L: layers with softmax attention."""
        return sum(layer.times for layer in self.attention)

    @property
    def passes(self) -> int:
        """3 for training (forward and a backward of twice that), 1 for inference."""
        return 3 if self.workload.phase == "train" else 1

    @property
    def total(self) -> int:
        """N: parameters stored."""
        return self.active + self.idle

    @property
    def active(self) -> int:
        """N_act: parameters stored, without the experts a token does not visit."""
        return self.linear + self.router + self.head + self.embedding + self.positions + self.small

    @property
    def matmul(self) -> int:
        """Nm: weights multiplied for one token: linear, router and head."""
        return self.linear + self.router + self.head

    def square(self, *, windows: bool = False) -> int:
        """Forward FLOPs a token of scores and mix over the whole context: sum of 2·h·(e+v)·min(S, W)."""
        return sum(2 * a.width * a.times * self._reach(a, windows) for a in self.attention)

    def _reach(self, layer: Layer, windows: bool) -> int:
        return min(self.seq, layer.window) if windows and layer.window else self.seq


def view(book: Ledger, workload: Workload, recompute: Recompute = "none") -> View:
    """The view of a ledger under a workload; logits for all positions, as training counts them."""
    kinds, tied = book.by_kind, book.model.tied
    tables = [(one, one.part) for one in book.leaves if isinstance(one.part, Embedding)]
    table = tables[0][1] if tables else Embedding(0, 0)
    positions = sum(p.rows * p.width * one.stored for one, p in tables[1:] if p.kind == "embedding" and not p.tied)
    head = _head(book)
    routed = [(one.part, one.times) for one in book.leaves if isinstance(one.part, Experts)]
    idle = sum(book.by_kind.values()) - sum(book.active_by_kind.values())
    embedding = 0 if tied else table.rows * table.width
    linear = _linear(book)
    towers = sum(kinds.get(k, 0) for k in ("vision", "projector", "audio"))
    stored = book.params - towers - (head if tied else 0)
    router = sum(_weights(one) for one in book.leaves if isinstance(one.part, Linear) and one.part.kind == "router")
    untied_head = 0 if tied else head
    small = stored - linear - router - untied_head - idle - embedding - positions
    return View(
        book, workload, linear, router, head, embedding, positions, small, idle, table.width, table.rows, tied,
        tuple(_layer(one) for one in book.leaves if isinstance(one.part, AttentionCore | LatentCore) and _text(one)),
        tuple(routed), _exact(book, workload), _executed(book, workload, recompute), _dense(book),
    )  # fmt: skip


def _text(one: Leaf) -> bool:
    return one.part.kind not in ("vision", "audio")


def _weights(one: Leaf) -> int:
    return sum(t.active for t in one.part.tensors() if len(t.shape) > 1) * (one.times // one.stored) * one.stored


def _head(book: Ledger) -> int:
    found = [(one.part, one.times) for one in book.leaves if one.part.kind == "lm_head"]
    heads = [(part, times) for part, times in found if isinstance(part, Linear)]
    return sum(part.inputs * part.outputs * times for part, times in heads)


def _linear(book: Ledger) -> int:
    """Matrix weights executed for one token, counted by what they multiply."""
    skip = ("router", "lm_head", "vision", "projector", "audio", "embedding")
    parts = [one for one in book.leaves if one.part.kind not in skip and not isinstance(one.part, Embedding)]
    return sum(_weights(one) for one in parts)


def _layer(one: Leaf) -> Layer:
    part = one.part
    if isinstance(part, LatentCore):
        return Layer(
            part.heads * (part.nope + part.rope + part.value_width), part.heads, part.heads, one.times, part.mask.window
        )
    assert isinstance(part, AttentionCore)
    width = part.heads * (part.key_width + part.value_width)
    return Layer(width, part.heads, part.kv_heads, one.times, part.mask.window)


def _exact(book: Ledger, w: Workload) -> dict[str, Fraction]:
    tokens = book.tokens(w)
    names = ("weights", "attention", "recurrence")
    parts = split(book, book.rows(w), w)
    return {name: Fraction(part.required, tokens) for name, part in zip(names, parts, strict=True)}


def _executed(book: Ledger, w: Workload, recompute: Recompute) -> Fraction:
    return Fraction(book.total(w, recompute).executed, book.tokens(w))


def _dense(book: Ledger) -> int:
    """Matrix weights of dense feed-forward blocks."""
    return sum(_weights(one) for one in book.leaves if isinstance(one.part, Linear) and one.part.kind == "mlp")
