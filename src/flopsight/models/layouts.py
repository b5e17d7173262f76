"""How many bytes one matrix takes in each quantized layout: packed weights, scales, zero points, indices.

A matrix has n rows (outputs) and m columns (inputs), whatever way the file stores it. Sources are the modules that the
named libraries register, whose shapes the docstrings give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flopsight.facts import Unknown


def ceil(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


class Layout(Protocol):
    """One way to store a matrix."""

    @property
    def dtype(self) -> str:
        """The format of the weights, by a name of `flopsight.dtypes`."""
        ...

    def bytes(self, rows: int, columns: int) -> int | Unknown:
        """Everything the file holds for a matrix of this size."""
        ...

    def fits(self, rows: int, columns: int) -> bool:
        """Whether the library that writes it quantizes a matrix of this size at all."""
        ...


@dataclass(frozen=True, slots=True)
class Scaled:
    """Weights of w bits and one scale of s bytes for each tile of p x q values.

        ⌈n·m·w/8⌉ + ⌈n/p⌉·⌈m/q⌉·(s+z) + c

    tile    (p, q); None is the whole side: (1, None) one scale a row, (None, None) one for all
    zero    z, bytes of a zero point beside each scale
    once    c, bytes that each matrix adds: global scales, static scales of the input
    """

    dtype: str
    bits: int
    scale: int
    tile: tuple[int | None, int | None]
    zero: int = 0
    once: int = 0

    def bytes(self, rows: int, columns: int) -> int | Unknown:
        """The formula above."""
        p, q = self.tile
        tiles = ceil(rows, p or rows) * ceil(columns, q or columns)
        return ceil(rows * columns * self.bits, 8) + tiles * (self.scale + self.zero) + self.once

    def fits(self, rows: int, columns: int) -> bool:
        """Always."""
        return True


@dataclass(frozen=True, slots=True)
class PackedInts:
    """compressed-tensors' pack-quantized.

        weight_packed int32 [n, ⌈m·w/32⌉], weight_scale s bytes [n, ⌈m/g⌉], weight_shape int64 [2],
        weight_zero_point int32 [⌈n·w/32⌉, ⌈m/g⌉] if not symmetric, weight_g_idx int32 [m] if groups are reordered

    g group size, None for one scale a row; `whole` for one scale for all.
    """

    bits: int
    group: int | None
    scale: int
    symmetric: bool = True
    reordered: bool = False
    whole: bool = False
    once: int = 0

    @property
    def dtype(self) -> str:
        """int4, int8, ..."""
        return f"int{self.bits}"

    def bytes(self, rows: int, columns: int) -> int | Unknown:
        """The shapes above."""
        groups = ceil(columns, self.group or columns)
        scales = 1 if self.whole else rows * groups
        zeros = 0 if self.symmetric else 4 * ceil(1 if self.whole else rows, 32 // self.bits) * groups
        packed = 4 * rows * ceil(columns, 32 // self.bits)
        return packed + scales * self.scale + zeros + 16 + 4 * columns * self.reordered + self.once

    def fits(self, rows: int, columns: int) -> bool:
        """Always."""
        return True


@dataclass(frozen=True, slots=True)
class Awq:
    """AutoAWQ's GEMM and GEMV layouts.

        gemm  qweight int32 [m, n·w/32], qzeros int32 [m/g, n·w/32], scales fp16 [m/g, n]
        gemv  qweight int32 [n, m·w/32], qzeros int32 [n, z], scales fp16 [n, z·32/w]

    z is m/g·w/32 rounded up to a multiple of 1, 2 or 4 for g of at least 128, 64 or 32. Groups of 128 in 4 bits
    take 4 + 16/128 + 4/128 = 4.156 bits a weight.
    """

    bits: int
    group: int
    gemv: bool = False

    @property
    def dtype(self) -> str:
        """int4."""
        return f"int{self.bits}"

    def bytes(self, rows: int, columns: int) -> int | Unknown:
        """The shapes above."""
        pack, group = 32 // self.bits, self.group if self.group > 0 else columns
        if self.gemv:
            times = {64: 2, 32: 4}.get(group, 1)
            zeros = ceil(ceil(columns // group, pack), times) * times
            return 4 * rows * (columns // pack) + 4 * rows * zeros + 2 * rows * zeros * pack
        groups = ceil(columns, group)
        return 4 * (rows // pack) * (columns + groups) + 2 * groups * rows

    def fits(self, rows: int, columns: int) -> bool:
        """Whole words of rows, whole groups of columns."""
        return rows % (32 // self.bits) == 0 and (self.group <= 0 or columns % self.group == 0)


@dataclass(frozen=True, slots=True)
class Gptq:
    """GPTQ's layout: qweight int32 [m·w/32, n], qzeros int32 [⌈m/g⌉, n·w/32], scales fp16 [⌈m/g⌉, n], g_idx int32 [m].

    The index is stored whether or not activations were reordered.
    """

    bits: int
    group: int

    @property
    def dtype(self) -> str:
        """int4, int8, ..."""
        return f"int{self.bits}"

    def bytes(self, rows: int, columns: int) -> int | Unknown:
        """The shapes above."""
        groups = ceil(columns, self.group if self.group > 0 else columns)
        packed = 4 * ceil(columns * self.bits, 32) * rows
        return packed + 4 * groups * ceil(rows * self.bits, 32) + 2 * groups * rows + 4 * columns

    def fits(self, rows: int, columns: int) -> bool:
        """Whole words in both directions."""
        return rows * self.bits % 32 == 0 and columns * self.bits % 32 == 0


@dataclass(frozen=True, slots=True)
class BlockwiseFour:
    """bitsandbytes' nf4 and fp4: two weights a byte, blocks of 64 with an fp32 maximum, a table of 16 fp32 values.

    With double quantization the b maxima take one byte each, plus an fp32 for each 256 of them and a table of 256.
    """

    dtype: str = "nf4"
    double: bool = False
    block: int = 64

    def bytes(self, rows: int, columns: int) -> int | Unknown:
        """⌈n·m/2⌉ + 4·b + 64, or ⌈n·m/2⌉ + b + 4·⌈b/256⌉ + 1024 + 64."""
        blocks = ceil(rows * columns, self.block)
        maxima = blocks + 4 * ceil(blocks, 256) + 1024 if self.double else 4 * blocks
        return ceil(rows * columns, 2) + maxima + 64

    def fits(self, rows: int, columns: int) -> bool:
        """Always."""
        return True


@dataclass(frozen=True, slots=True)
class Codebooks:
    """AQLM: codes [n/o, m/i, k] of 1, 2 or 4 bytes, fp16 codebooks [k, 2^b, o, i], fp16 scales [n/o, 1, 1, 1].

    k codebooks of b bits for groups of o outputs and i inputs.
    """

    inputs: int
    outputs: int
    books: int
    bits: int

    @property
    def dtype(self) -> str:
        """Codes, by their size."""
        return f"int{8 * self._code}"

    @property
    def _code(self) -> int:
        return 1 if self.bits <= 8 else 2 if self.bits <= 16 else 4

    def bytes(self, rows: int, columns: int) -> int | Unknown:
        """The shapes above."""
        high, wide = rows // self.outputs, columns // self.inputs
        books = (self.books << self.bits) * self.outputs * self.inputs
        return high * wide * self.books * self._code + 2 * books + 2 * high

    def fits(self, rows: int, columns: int) -> bool:
        """Whole groups in both directions."""
        return rows % self.outputs == 0 and columns % self.inputs == 0


@dataclass(frozen=True, slots=True)
class Unsized:
    """A layout that is not known here to the byte."""

    why: str
    dtype: str = "unknown"

    def bytes(self, rows: int, columns: int) -> int | Unknown:
        """Unknown, and why."""
        return Unknown(self.why)

    def fits(self, rows: int, columns: int) -> bool:
        """Always."""
        return True
