"""A convolution whose weight is stored as a direction and a length (weight normalisation)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op
from flopsight.parts.conv import Conv
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class NormedConv:
    """A `Conv` over tokens whose taps each have one stored length: K more values than the convolution alone.

    The work is the convolution's; making the weight from its two parts happens once a pass and is left out.
    """

    conv: Conv

    letters: ClassVar[dict[str, str]] = Conv.letters

    @property
    def kind(self) -> str:
        """The convolution's line of the breakdown."""
        return self.conv.kind

    def tensors(self) -> Iterator[Tensor]:
        """`bias`, and length and direction under the names of torch's parametrization."""
        taps = self.conv.kernel[0]
        yield Tensor("parametrizations.weight.original0", (1, 1, taps))
        for one in self.conv.tensors():
            yield Tensor("parametrizations.weight.original1", one.shape) if one.name == "weight" else one

    def ops(self, work: Work) -> Iterator[Op]:
        """The convolution."""
        yield from self.conv.ops(work)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE
