"""Which number format each matrix of a model is stored and multiplied in on a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Final

from flopsight.dtypes import dtype as number_format
from flopsight.errors import UsageError
from flopsight.facts import Unknown
from flopsight.models.ledger import Ledger
from flopsight.models.quantization import model_dtype
from flopsight.models.storage import stored_bytes, weight_bits
from flopsight.models.tree import Leaf
from flopsight.models.weights import weights_of
from flopsight.plan import Formats
from flopsight.predict.device import Device

PLAIN_KINDS: Final = frozenset(("embedding", "norm", "norm/modulation", "router", "lm_head", "none", "pooler", "other"))
"""Kinds that quantized checkpoints leave in 16 bits."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Formats with nothing left open.

    formats  every field filled
    plain    bits of what is not quantized
    bits     bits of a matrix by kind, where the checkpoint itself says so
    notes    what was assumed
    block    fp8 scales lie on blocks of the matrix, as the checkpoint's quantization says
    """

    formats: Formats
    plain: float
    bits: tuple[tuple[str, float], ...]
    notes: tuple[str, ...]
    block: bool = False

    def __hash__(self) -> int:
        return hash((self.formats, self.bits, self.block))

    def stored(self, leaf: Leaf) -> float:
        """Bits of one weight of this leaf."""
        kind = leaf.part.kind
        if kind == "lm_head" and self.formats.head:
            return float(number_format(self.formats.head).stored_bits)
        for name, value in self.bits:
            if name == kind:
                return value
        if kind in PLAIN_KINDS:
            return self.plain
        wanted = self.formats.experts if kind == "experts" and self.formats.experts else self.formats.weights
        return float(number_format(wanted).stored_bits)

    def multiplied(self, leaf: Leaf) -> str:
        """The format this leaf's products run in."""
        kind = leaf.part.kind
        if kind in PLAIN_KINDS:
            return self.formats.attention
        return self.formats.experts_compute if kind == "experts" else self.formats.compute


def resolve(book: Ledger, device: Device, formats: Formats) -> Resolved:
    """The formats of a run: what the user says, else what the checkpoint stores, else 16 bits.

    A format without an engine of its own (int4 weights, GGUF blocks) is unpacked and multiplied in 16 bits. UsageError
    for a compute format the device lacks.
    """
    sixteen = next((n for n in ("bf16", "fp16", "fp32") if device.has(n)), "bf16")
    own, bits, notes = _own(book) if not formats.weights else ({}, (), ())
    base = formats.weights or own.get("dense", sixteen)
    experts = formats.experts or own.get("experts", "") or base
    compute = formats.compute or _engine(base, device, sixteen)
    inner = (
        formats.experts_compute or (formats.compute if not formats.experts else "") or _engine(experts, device, sixteen)
    )
    attention = formats.attention or sixteen
    for each in (compute, inner, attention):
        if device.peaks:
            device.rate(each)
    filled = replace(
        formats, weights=base, experts=experts, compute=compute, experts_compute=inner, attention=attention,
        cache=formats.cache or sixteen,
    )  # fmt: skip
    plain, _ = model_dtype(book.model)
    block = compute == "fp8" and "weight_block_size" in (book.model.quantization or {})
    return Resolved(filled, float(number_format(plain).bits), bits, notes, block)


def _engine(stored: str, device: Device, sixteen: str) -> str:
    """What a stored format is multiplied in: its own engine if the device has it, else 16 bits."""
    found = number_format(stored)
    if found.engine in ("fp32", "tf32") and device.has(found.engine):
        return found.engine
    return found.engine if found.engine in ("fp8", "fp4", "int8", "fp16") and device.has(found.engine) else sixteen


@lru_cache(256)
def _own(book: Ledger) -> tuple[dict[str, str], tuple[tuple[str, float], ...], tuple[str, ...]]:
    """What the checkpoint stores: the main format of dense and routed matrices, and bits by kind."""
    if not book.model.quantization and not book.model.stored:
        name, assumed = model_dtype(book.model)
        note = ("The config names no dtype; bf16 is assumed.",) if assumed else ()
        return {"dense": name, "experts": name}, (), note
    if not book.model.quantization and (found := _packed(book)):
        return found
    kept = stored_bytes(book)
    bits, notes = [], list(kept.notes)
    for kind in sorted(book.by_kind):
        size = weight_bits(book, frozenset((kind,)))
        if isinstance(size, Fraction):
            bits.append((kind, float(size)))
        elif isinstance(size, Unknown):
            raise UsageError(f"The stored size of {book.model.name} is not known: {size.why} Pass a weight format.")
    main = {"dense": _main(book, ("mlp", "attention", "mixer", "shared_experts")), "experts": _main(book, ("experts",))}
    return {k: v for k, v in main.items() if v}, tuple(bits), tuple(notes)


def _packed(book: Ledger) -> tuple[dict[str, str], tuple[tuple[str, float], ...], tuple[str, ...]] | None:
    """A file that packs its tensors and says so of each (GGUF): the mean bits of a weight stand for every matrix."""
    kept = weights_of(book)
    if not kept.total or not book.params or 8 * kept.total > 15 * book.params:
        return None
    mean, main = 8 * kept.total / book.params, max(kept.by_dtype, key=lambda name: kept.by_dtype[name])
    bits = tuple((kind, mean) for kind in sorted(book.by_kind) if kind not in ("norm", "norm/modulation", "router"))
    note = f"Matrices take the file's mean of {mean:.2f} bits a weight each."
    return {"dense": main, "experts": main}, bits, (note,)


def _main(book: Ledger, kinds: tuple[str, ...]) -> str:
    """The format that holds most of the bytes of these kinds, by the bits a weight takes and the formats stored."""
    sizes = [
        float(b) for k in kinds if isinstance(b := weight_bits(book, frozenset((k,))), Fraction) and k in book.by_kind
    ]
    if not sizes:
        return ""
    least = min(sizes)
    formats = [number_format(name) for name in stored_bytes(book).by_dtype]
    best = min(formats, key=lambda f: abs(float(f.stored_bits) - least))
    return best.name
