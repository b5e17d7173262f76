"""The ledger: what every part of a model stores and does under a workload, in exact columns.

MFU, HFU, MBU and every framework's convention are selections of its rows and columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache

from flopsight.cost import Cost, Recompute, cost
from flopsight.expr import Number, compile_totals, minimum, symbol
from flopsight.models.tree import Leaf, Model, leaves, tensor_name
from flopsight.parts.part import Tensor
from flopsight.workload import Logits, Phase, Work, Workload

COLUMNS = tuple(f.name for f in fields(Cost))


@dataclass(frozen=True, slots=True)
class Row:
    """One leaf with its parameters and its cost, all copies and executions together."""

    leaf: Leaf
    params: int
    cost: Cost


class Ledger:
    """Everything countable about one model; counts are cached, workloads are cheap.

    `rows` gives the table, `total` one exact sum, `sweep` a million of them.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.leaves = tuple(leaves(model.root))

    # ------------------------------------------------------------ what is stored

    def tensors(self) -> Iterator[tuple[str, Tensor, Leaf]]:
        """(full name, tensor, leaf) of every stored tensor, buffers included."""
        for one in self.leaves:
            own = tuple(one.part.tensors())
            for prefix in one.prefixes() if own else ():
                for tensor in own:
                    yield tensor_name(prefix, tensor.name), tensor, one

    @cached_property
    def params(self) -> int:
        """Parameters stored, tied and shared ones once, buffers left out."""
        return sum(self.by_kind.values())

    @cached_property
    def by_kind(self) -> dict[str, int]:
        """Parameters by line of the breakdown."""
        return self._sum(lambda t: t.elements)

    @cached_property
    def active_by_kind(self) -> dict[str, int]:
        """Parameters one token uses, by line of the breakdown: top-k of the routed experts, everything else whole."""
        return self._sum(lambda t: t.active)

    @cached_property
    def buffers(self) -> int:
        """Values stored in the checkpoint that are not parameters."""
        return sum(t.elements * one.stored for one in self.leaves for t in one.part.tensors() if t.buffer)

    def _sum(self, size: Callable[[Tensor], int]) -> dict[str, int]:
        found: Counter[str] = Counter()
        for one in self.leaves:
            found[one.part.kind] += one.stored * sum(size(t) for t in one.part.tensors() if not t.buffer)
        return {kind: n for kind, n in found.items() if n}

    # ------------------------------------------------------------ what is cached

    def cache_elements(self, context: Number) -> Number:
        """Elements of KV cache and recurrent state of one sequence of `context` tokens, windows applied."""
        total: Number = 0
        for one in self.leaves:
            kept = one.part.cache()
            held = context if kept.window is None else minimum(context, kept.window)
            total += one.times * (kept.per_token * held + kept.fixed)
        return total

    @cached_property
    def cache_per_token(self) -> int:
        """Elements one more token adds while no window is full."""
        return sum(one.times * one.part.cache().per_token for one in self.leaves)

    @cached_property
    def cache_fixed(self) -> int:
        """Elements of state of constant size per sequence."""
        return sum(one.times * one.part.cache().fixed for one in self.leaves)

    # ------------------------------------------------------------ what is done

    def works(self, workload: Workload) -> dict[str, Work]:
        """The tokens of each stream under a workload."""
        return {name: rule(workload) for name, rule in self.model.streams.items()}

    def tokens(self, workload: Workload) -> Number:
        """Tokens of the main stream computed now: batch x seq, or what an image's size makes of it."""
        return self.works(workload)["text"].tokens

    @cached_property
    def by_sample(self) -> bool:
        """Whether a sample fixes its own length (an image, a latent), so that `seq` plays no part."""
        return bool(self.tokens(Workload(seq=7)) == self.tokens(Workload(seq=8)))

    def rows(self, workload: Workload, recompute: Recompute = "none") -> tuple[Row, ...]:
        """One row a leaf."""
        works = self.works(workload)
        return tuple(self._row(one, works[one.stream], workload.phase, recompute) for one in self.leaves)

    def _row(self, one: Leaf, work: Work, phase: Phase, recompute: Recompute) -> Row:
        params = one.stored * sum(t.elements for t in one.part.tensors() if not t.buffer)
        return Row(one, params, leaf_cost(one, work, phase, recompute))

    def total(self, workload: Workload, recompute: Recompute = "none") -> Cost:
        """The exact sum over all parts, through the compiled form."""
        w = workload
        run = self._compiled(w.phase, w.logits, w.image_size, w.encoder is not None, recompute)
        return Cost(**run(w.batch, w.seq, w.past, w.images, w.encoder or 0))

    def sweep(
        self, batch: Number, seq: Number, past: Number = 0, *, phase: Phase = "prefill", logits: Logits = "last",
        recompute: Recompute = "none",
    ) -> Mapping[str, Number]:  # fmt: skip
        """The columns of `Cost` for numpy arrays of batch, seq and past, broadcast together; exact."""
        return self._compiled(phase, logits, None, False, recompute)(batch, seq, past, 0, 0)

    @lru_cache(64)  # noqa: B019 - a ledger lives as long as its model
    def _compiled(
        self, phase: Phase, logits: Logits, image_size: int | None, encoder: bool, recompute: Recompute
    ) -> Callable[..., dict[str, Number]]:
        total = self.symbolic(phase, logits, image_size, encoder, recompute)
        names = ("B", "S", "P", "I", "E")
        return compile_totals({name: getattr(total, name) for name in COLUMNS}, names)

    def symbolic(
        self, phase: Phase, logits: Logits = "last", image_size: int | None = None, encoder: bool = False,
        recompute: Recompute = "none",
    ) -> Cost:  # fmt: skip
        """The totals as expressions of B (batch), S (tokens now), P (past), I (images) and E (encoder tokens)."""
        b, s, p, i, e = map(symbol, "BSPIE")
        workload = Workload(phase, b, s, p, logits, e if encoder else None, i, image_size)
        works = self.works(workload)
        return _pairwise([leaf_cost(one, works[one.stream], phase, recompute) for one in self.leaves])


def _pairwise(costs: list[Cost]) -> Cost:
    """The sum as a balanced tree, so that expressions of deep models stay shallow."""
    while len(costs) > 1:
        costs = [sum(costs[i : i + 2], Cost()) for i in range(0, len(costs), 2)]
    return costs[0] if costs else Cost()


def leaf_cost(one: Leaf, work: Work, phase: Phase, recompute: Recompute = "none") -> Cost:
    """The cost of one leaf, all its executions together."""
    # activation checkpointing wraps the numbered layers; embedding, final norm and head run once
    again: Recompute = recompute if any(isinstance(step, tuple) for step in one.steps) else "none"
    total = Cost()
    for op in one.part.ops(work):
        total = total + cost(op, phase, again)
    return total * one.times


@lru_cache(128)
def ledger(model: Model) -> Ledger:
    """The ledger of a model, made once."""
    return Ledger(model)
