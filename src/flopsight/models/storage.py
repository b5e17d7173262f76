"""What a whole model takes to store: totals by kind and by format, quantization and all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

from flopsight.facts import Unknown
from flopsight.models.ledger import Ledger
from flopsight.models.quantization import Storage, storage
from flopsight.models.tree import Leaf, leaves, tensor_name
from flopsight.parts.part import Tensor


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """Bytes of a checkpoint's tensors, without the files' own headers.

    total      of what could be sized; see `unknown`
    by_kind    by line of the parameter breakdown
    by_dtype   by format of the values; their scales are counted with them
    unknown    what could not be sized: how many parameters, and why
    notes      what the sizes rest on
    """

    total: int
    by_kind: dict[str, int]
    by_dtype: dict[str, int]
    unknown: dict[str, int]
    notes: tuple[str, ...]


def stored_bytes(ledger: Ledger, dtype: str = "", *, mtp: bool = False) -> StoredBytes:
    """Every stored tensor and buffer; `mtp` adds the layers that predict further tokens."""
    kept = storage(ledger.model, dtype)
    places = ledger.leaves
    if mtp and ledger.model.mtp is not None:
        places = (*places, *leaves(ledger.model.mtp))
    by_kind, by_dtype, unknown = Counter[str](), Counter[str](), Counter[str]()
    for one in places:
        for tensor in one.part.tensors():
            for size, form, copies in sizes(kept, one, tensor):
                if isinstance(size, Unknown):
                    unknown[size.why] += copies * tensor.elements
                    continue
                by_kind[one.part.kind] += copies * size
                by_dtype[form] += copies * size
    return StoredBytes(sum(by_kind.values()), dict(by_kind), dict(by_dtype), dict(unknown), kept.notes)


def sizes(kept: Storage, one: Leaf, tensor: Tensor) -> list[tuple[int | Unknown, str, int]]:
    """(bytes, format, copies) of one tensor of a leaf: at once for all copies, or copy by copy if names matter."""
    every = kept.indexed and one.stored > 1
    found: Counter[tuple[int | Unknown, str]] = Counter()
    for prefix in one.prefixes() if every else islice(one.prefixes(), 1):
        name = tensor_name(prefix, tensor.name)
        size = kept.bytes(name, tensor, one.part.kind, one.part)
        found[size, kept.dtype(name, tensor, one.part.kind, one.part)] += 1 if every else one.stored
    return [(size, form, copies) for (size, form), copies in found.items()]


def weight_bits(ledger: Ledger, kinds: frozenset[str] | None = None, dtype: str = "") -> Fraction | Unknown:
    """Stored bits a parameter, scales included, over all kinds or the ones named."""
    kept = storage(ledger.model, dtype)
    total, values = 0, 0
    for one in ledger.leaves:
        if kinds is not None and one.part.kind not in kinds:
            continue
        for tensor in one.part.tensors():
            for size, _, copies in sizes(kept, one, tensor):
                if isinstance(size, Unknown):
                    return size
                total, values = total + copies * size, values + copies * tensor.elements
    return Fraction(8 * total, values) if values else Unknown("there are no parameters of these kinds")
