"""What the weights of a model take to store: by tensor, by path, by format.

The headers of a checkpoint win over the config where one was read; the config's quantization section says the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property, lru_cache

from flopsight.dtypes import DType, dtype
from flopsight.facts import Unknown
from flopsight.models.ledger import Ledger
from flopsight.models.quantization import model_dtype, storage
from flopsight.models.sources import StoredTensor, total_bytes
from flopsight.models.storage import sizes, stored_bytes
from flopsight.models.tree import Leaf, Model
from flopsight.parts.part import Tensor


class Weights:
    """Stored bytes of one model's tensors.

    dtype    format of what is not quantized; `assumed` if neither config nor checkpoint says
    """

    def __init__(self, book: Ledger) -> None:
        self.book = book
        self.dtype, self.assumed = model_dtype(book.model)
        self._kept = storage(book.model)
        self._read: dict[str, StoredTensor] = {t.name: t for t in book.model.stored}

    @cached_property
    def _summed(self) -> tuple[int | Unknown, dict[str, int], list[str]]:
        found = stored_bytes(self.book)
        told = [f"stored bytes of {n:,} values: {why}" for why, n in found.unknown.items()]
        return (Unknown(told[0]) if told else found.total), found.by_dtype, told

    @cached_property
    def total(self) -> int | None:
        """Bytes of the whole model, or None where some tensor's are not known."""
        read = total_bytes(self.book.model.stored) if self._read else self._summed[0]
        return None if isinstance(read, Unknown) else read

    @cached_property
    def by_dtype(self) -> dict[str, int]:
        """Bytes by format of the values, their scales with them."""
        if not self._read:
            return self._summed[1]
        found: Counter[str] = Counter()
        for t in self.book.model.stored:
            if not isinstance(t.bytes, Unknown) and not isinstance(t.dtype, Unknown):
                found[t.dtype.name] += t.bytes
        return dict(found)

    @property
    def unknown(self) -> list[str]:
        """Sentences about what could not be sized."""
        return [] if self._read and self.total is not None else self._summed[2]

    def bytes(self, name: str, tensor: Tensor, leaf: Leaf) -> int | None:
        """Bytes of one stored tensor."""
        read = self._read.get(name)
        size = read.bytes if read else self._kept.bytes(name, tensor, leaf.part.kind, leaf.part)
        return None if isinstance(size, Unknown) else size

    def format(self, name: str, tensor: Tensor, leaf: Leaf) -> str:
        """The format one tensor is stored in."""
        read = self._read.get(name)
        if read and not isinstance(read.dtype, Unknown):
            return read.dtype.name
        return self._kept.dtype(name, tensor, leaf.part.kind, leaf.part)

    @cached_property
    def _by_path(self) -> dict[str, int | None]:
        """Bytes below every path of the tree, as the config says; None where a tensor's are not known."""
        found: dict[str, int | None] = {}
        for one in self.book.leaves:
            size = self._of_leaf(one)
            steps = one.path.split(".")
            for end in range(len(steps) + 1):
                path = ".".join(steps[:end])
                so_far = found.get(path, 0)
                found[path] = None if size is None or so_far is None else so_far + size
        return found

    def _of_leaf(self, one: Leaf) -> int | None:
        total = 0
        for tensor in one.part.tensors():
            for size, _, copies in sizes(self._kept, one, tensor):
                if isinstance(size, Unknown):
                    return None
                total += copies * size
        return total

    def below(self, path: str) -> int | None:
        """Bytes of everything below a path; the empty path is the model."""
        return self._by_path.get(path, 0) if path or not self._read else self.total


@lru_cache(128)
def weights_of(book: Ledger) -> Weights:
    """The weights of a ledger, sized once."""
    return Weights(book)


def cache_format(model: Model, stored: Weights, asked: str | None = None) -> DType:
    """The format of the KV cache: the one asked for, else the quantization section's, else that of the weights.

    Weights of fewer than 16 bits say nothing of the cache, which is then bf16.
    """
    named = asked or _quantized_cache(model.quantization or {})
    if named:
        return dtype(named)
    return dtype(stored.dtype if dtype(stored.dtype).bits >= 16 else "bf16")


def _quantized_cache(section: Mapping[str, object]) -> str | None:
    """compressed-tensors' `kv_cache_scheme` and modelopt's `kv_cache_quant_algo`, where they name a format we know."""
    scheme, algorithm = section.get("kv_cache_scheme"), section.get("kv_cache_quant_algo")
    if isinstance(scheme, Mapping) and scheme.get("num_bits") == 8:
        return "fp8_e4m3" if scheme.get("type") == "float" else "int8"
    return {"FP8": "fp8_e4m3", "INT8": "int8", "NVFP4": "nvfp4"}.get(str(algorithm).upper())
