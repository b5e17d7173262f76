"""The selective scan of Mamba: a diagonal recurrence with its own decay for every channel and state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise
from flopsight.parts.part import Cache, Tensor
from flopsight.parts.recurrence import Forms, scan
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class SelectiveScan:
    """h = exp(dt·A)·h + (dt·x) outer B, y = h·C + D·x, on i channels of n states.

        update  2·T·i·n      output  2·T·i·n      vector: decay T·i·n·3, step width and skip T·i·6

    i channels, n states. Gu and Dao 2023, arXiv 2312.00752, section 3.3: the scan has no chunked form, kernels run
    it as it stands (so executed equals required, on whatever units they have). A counter of matmuls sees the output
    only. The decay (multiply by A, exponential, multiply into h) is vector work. Kept: i·n values.
    """

    channels: int
    states: int
    kind: str = "mixer"

    letters: ClassVar[dict[str, str]] = {"channels": "i", "states": "n"}

    def tensors(self) -> Iterator[Tensor]:
        """None: A and D are tensors of the mixer."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """Update and output; decay, softplus of the step width, skip connection."""
        once = 2 * work.tokens * self.channels * self.states
        moved = 2 * self.channels + 2 * self.states
        yield scan("scan", work, Forms(2 * once, once, 2 * once), (moved, self.channels), self.cache().fixed)
        yield elementwise("decay", work.tokens * self.channels * self.states, 3, inputs=0, outputs=0)
        yield elementwise("step width and skip", work.tokens * self.channels, 6, inputs=0, outputs=0)

    def cache(self) -> Cache:
        """The state."""
        return Cache(fixed=self.channels * self.states)
