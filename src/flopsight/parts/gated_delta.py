"""The gated delta rule: a state that forgets, and writes only what it did not already predict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise
from flopsight.expr import ceil_div
from flopsight.parts.part import Cache, Tensor
from flopsight.parts.recurrence import Forms, scan
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class GatedDelta:
    """S = a·S + k outer b·(v - a·S·k), y = S·q, on H heads with a state of e x v.

        step     6·T·H·e·v                                     read with k, rank-one update, read with q
        chunked  B·c·H·(L²·(6·e + 4·v) + 6·L·e·v + L³/3)       c = ceil(S/L) chunks
        full     B·c·H·(L²·(4·e + 2·v) + 6·L·e·v)

    H value heads, e key width, v value width, L chunk. Yang et al. 2024, arXiv 2412.06464, section 3; chunked as in
    flash-linear-attention: k·k, q·k, the inverse of a unit triangle and its products with keys and values, mix, two
    reads and one update of the state. Full leaves the triangle out: eager code solves it with a routine that
    counters do not see. `per_channel`: the decay is a vector, as in Kimi Delta Attention (arXiv 2510.26692); eager
    code then computes k·k and q·k element by element and multiplies with the inverse, which makes full
    B·c·H·(L²·(2·e + 4·v) + 6·L·e·v).
    Vector: decay H·e·v a token; with `scores` of e values where the decay is a vector. Kept: H·e·v values.
    """

    heads: int
    key_width: int
    value_width: int
    chunk: int = 64
    per_channel: bool = False
    kind: str = "mixer"

    letters: ClassVar[dict[str, str]] = {"heads": "H", "key_width": "e", "value_width": "v", "chunk": "L"}

    def tensors(self) -> Iterator[Tensor]:
        """None: the decay's parameters are tensors of the mixer."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """The recurrence, the decay, and the gates that steer both."""
        h, e, v = self.heads, self.key_width, self.value_width
        gates = h * (e if self.per_channel else 1)
        yield scan("delta rule", work, self._forms(work), (h * (2 * e + v) + gates + h, h * v), self.cache().fixed)
        yield elementwise("decay", work.tokens * h * e * v, 1, inputs=0, outputs=0)
        yield elementwise("gates and l2 norms", work.tokens * (6 * gates + 4 * h + 6 * h * e), 1, inputs=0, outputs=0)

    def _forms(self, work: Work) -> Forms:
        e, v, size = self.key_width, self.value_width, self.chunk
        chunks = ceil_div(work.queries, size) * work.sequences * self.heads
        states = 6 * size * e * v
        seen = size * size * (2 * e + 4 * v if self.per_channel else 4 * e + 2 * v) + states
        fused = size * size * (6 * e + 4 * v) + states + size * size * size // 3
        # the backward pass builds the triangle's products and the states again
        again = size * size * (2 * e + 2 * v) + 4 * size * e * v
        return Forms(6 * work.tokens * self.cache().fixed, chunks * seen, chunks * fused, chunks * again)

    def cache(self) -> Cache:
        """The state."""
        return Cache(fixed=self.heads * self.key_width * self.value_width)
