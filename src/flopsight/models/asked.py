"""Whether a request means something for a model; what would be ignored is refused instead."""

from __future__ import annotations

from dataclasses import replace

from flopsight.errors import UsageError
from flopsight.models.ledger import Ledger
from flopsight.workload import Workload


def check(book: Ledger, workload: Workload) -> None:
    """UsageError for a decode phase without a cache, and for options that this model has no use for."""
    name = book.model.name
    if workload.phase == "decode" and _keeps_nothing(book):
        raise UsageError(f"{name} keeps no cache, so it has no decode phase; pass --phase prefill.")
    if workload.images and not _matters(book, workload, images=0):
        raise UsageError(f"{name} has no tower for images or sound; leave --images out.")
    if workload.encoder is not None and not _matters(book, workload, encoder=None, other=workload.encoder + 1):
        raise UsageError(f"{name} reads nothing on an encoder's side; leave --encoder out.")
    if workload.image_size is not None and not _matters(book, replace(workload, images=max(1, workload.images)),
                                                        image_size=None, other=2 * workload.image_size):  # fmt: skip
        raise UsageError(f"{name} has no picture whose size could be set; leave --image-size out.")


def _keeps_nothing(book: Ledger) -> bool:
    return book.model.confidence == "formula" and not (book.cache_per_token or book.cache_fixed)


def _matters(book: Ledger, workload: Workload, other: int | None = None, **without: int | None) -> bool:
    """Whether some stream differs from that without the option, or with another value of it."""
    works, (option, value) = book.works(workload), next(iter(without.items()))
    values = [value] if other is None else [value, other]
    return any(book.works(replace(workload, **{option: v})) != works for v in values)  # type: ignore[arg-type]
