"""The matrix LSTM of xLSTM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise
from flopsight.parts.masks import Chunk
from flopsight.parts.part import Cache, Tensor
from flopsight.parts.recurrence import Forms, scan
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class MatrixLstm:
    """C = f·C + i·(k outer v), n = f·n + i·k, y = C·q / max(|n·q|, 1), on H heads with a state of e x v.

        step     T·H·(4·e·v + 2·e)                              update, read, normaliser
        chunked  2·B·H·A·(e+v) + T·H·(4·e·v + 2·e)              A the causal area inside chunks
        full     the same with whole squares in the floor(S/L) full chunks and steps for what is left

    H heads, e key width, v value width, L chunk. Beck et al. 2024, arXiv 2405.04517, section 2.3, and 2025,
    arXiv 2503.13427. Vector: decay H·e·v a token. Kept: H·(e·v + e + 1) values.
    """

    heads: int
    key_width: int
    value_width: int
    chunk: int
    kind: str = "mixer"

    letters: ClassVar[dict[str, str]] = {"heads": "H", "key_width": "e", "value_width": "v", "chunk": "L"}

    def tensors(self) -> Iterator[Tensor]:
        """None: the projections hold them."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """The recurrence, its decay and its gates."""
        h, e, v = self.heads, self.key_width, self.value_width
        step = work.tokens * h * (4 * e * v + 2 * e)
        inside = 2 * work.sequences * h * (e + v)
        full = step + inside * (work.queries // self.chunk) * self.chunk * self.chunk
        chunked = step + inside * Chunk(self.chunk).area(work.queries)
        yield scan("matrix lstm", work, Forms(step, full, chunked), (h * (2 * e + v + 2), h * v), self.cache().fixed)
        yield elementwise("decay", work.tokens * h * (e * v + e), 1, inputs=0, outputs=0)
        yield elementwise("gates", work.tokens * h, 20, inputs=0, outputs=0)

    def cache(self) -> Cache:
        """The matrix, the normaliser and the running maximum."""
        return Cache(fixed=self.heads * (self.key_width * self.value_width + self.key_width + 1))
