"""What was counted of a running model beside what its ledger says, place by place.

A place is a path that both sides know: a module that ran, or a branch of the tree. Work on either side goes to the
deepest place at or above it, so that an attention core, which is no module, meets the product that its module ran.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from flopsight.cost import Cost
from flopsight.counted import Amount, Counted
from flopsight.models.ledger import leaf_cost, ledger
from flopsight.models.paths import ancestors, deepest, places, unwrapped
from flopsight.models.tree import Model
from flopsight.workload import Workload


@dataclass(frozen=True, slots=True)
class Pair:
    """One place.

    path     of the module, "model.layers.7.self_attn"
    line     the ledger's path of it, "model.layers.*.self_attn"
    ledger   what the parts at this place cost
    counted  what ran there
    """

    path: str
    line: str
    ledger: Cost = Cost()  # noqa: RUF009 - frozen
    counted: Amount = Amount()  # noqa: RUF009 - frozen

    @property
    def full(self) -> int:
        """Matrix FLOPs with whole score squares: counted minus ledger."""
        return int(self.counted.flops.full_square - self.ledger.full)

    @property
    def required(self) -> int:
        """Required matrix FLOPs: counted minus ledger."""
        return int(self.counted.flops.required - self.ledger.required)


def join(
    model: Model, workload: Workload, counted: Counted, shared: Mapping[str, str] | None = None
) -> tuple[Pair, ...]:
    """Every place in the order of the tree, what ran outside of it ("") first.

    model     its tree has the names of the program's modules
    workload  what the program ran, with numbers
    counted   with module paths from the same root; rows of recompute and of the optimizer are not the model's
    shared    path of a module -> path where its parameters are stored (`flopsight.torch.shared_modules`)
    """
    ran = _stored(counted, shared or {})
    both = _shared(model, ran)
    lines = places(model)
    found = {path: Pair(path, lines[path]) for path in lines if path in both}
    for path, cost in _costs(model, workload):
        pair = found[deepest(path, both)]
        found[pair.path] = replace(pair, ledger=pair.ledger + cost)
    for module, amount in ran.items():
        pair = found[deepest(module, both)]
        found[pair.path] = replace(pair, counted=pair.counted + amount)
    return tuple(found.values())


def lines(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """The same with equal layers added up: one pair a line of the ledger."""
    found: dict[str, Pair] = {}
    for one in pairs:
        before = found.get(one.line, Pair(one.line, one.line))
        found[one.line] = replace(before, ledger=before.ledger + one.ledger, counted=before.counted + one.counted)
    return tuple(found.values())


def _stored(counted: Counted, shared: Mapping[str, str]) -> dict[str, Amount]:
    """Amounts by the path where a module's parameters are stored."""
    found: dict[str, Amount] = {}
    for module, amount in counted.by_module().items():
        path = unwrapped(module)
        above = deepest(path, shared)
        stored = shared[above] + path[len(above) :] if above else path
        found[stored] = found.get(stored, Amount()) + amount
    return found


def _shared(model: Model, ran: Iterable[str]) -> frozenset[str]:
    modules = {above for module in ran for above in ancestors(module)}
    return frozenset(modules & places(model).keys()) | {""}


def _costs(model: Model, workload: Workload) -> Iterable[tuple[str, Cost]]:
    """(path, cost) of every stored copy of every leaf."""
    book = ledger(model)
    works = book.works(workload)
    for one in book.leaves:
        each = leaf_cost(replace(one, times=one.times // one.stored), works[one.stream], workload.phase)
        for prefix in one.prefixes():
            yield prefix, each
