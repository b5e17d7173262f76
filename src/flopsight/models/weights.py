"""What the weights of a model take to store: by tensor, by path, by format."""

from __future__ import annotations

from collections import Counter
from functools import cached_property, lru_cache

from flopsight.dtypes import dtype
from flopsight.models.ledger import Ledger
from flopsight.models.tree import Leaf
from flopsight.parts.part import Tensor

ASSUMED = "bf16"


class Weights:
    """Stored bytes of one model's tensors, in the config's format or what a checkpoint's headers say.

    unknown  sentences about what could not be sized
    """

    def __init__(self, book: Ledger) -> None:
        self.book = book
        self.assumed = not book.model.dtype
        self.dtype = dtype(book.model.dtype or ASSUMED).name
        self.unknown: tuple[str, ...] = ()

    def bytes(self, name: str, tensor: Tensor, leaf: Leaf) -> int | None:
        """Bytes of one stored tensor."""
        size: int = dtype(self.dtype).stored_bytes(tensor.elements)
        return size

    def format(self, name: str, tensor: Tensor, leaf: Leaf) -> str:
        """The format one tensor is stored in."""
        return self.dtype

    @cached_property
    def _by_path(self) -> dict[str, int]:
        """Bytes below every path of the tree."""
        found: Counter[str] = Counter()
        for one in self.book.leaves:
            size = one.stored * sum(self.bytes("", t, one) or 0 for t in one.part.tensors() if not t.buffer)
            steps = one.path.split(".")
            for end in range(len(steps) + 1):
                found[".".join(steps[:end])] += size
        return dict(found)

    def below(self, path: str) -> int | None:
        """Bytes of everything below a path; the empty path is the model."""
        return self._by_path.get(path, 0)

    @property
    def total(self) -> int | None:
        """Bytes of the whole model."""
        return self.below("")

    @property
    def by_dtype(self) -> dict[str, int]:
        """Bytes by format."""
        return {self.dtype: self.total or 0}


@lru_cache(128)
def weights_of(book: Ledger) -> Weights:
    """The weights of a ledger, sized once."""
    return Weights(book)
