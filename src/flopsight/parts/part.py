"""What every part offers: its tensors, its work, and what it keeps between tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Protocol

from flopsight.cost import Op
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class Tensor:
    """One stored parameter.

    name    relative to its part ("weight", "bias", "gate_up_proj"); empty if the part's own path is the name
    shape   as the framework stores it
    routed  how many of the leading rows one token uses, and of how many: (8, 256) for experts; None if all
    buffer  stored with the checkpoint but not a parameter
    """

    name: str
    shape: tuple[int, ...]
    routed: tuple[int, int] | None = None
    buffer: bool = False

    @property
    def elements(self) -> int:
        """Number of values stored."""
        return prod(self.shape)

    @property
    def active(self) -> int:
        """Number of values one token uses: top-k of the experts, everything elsewhere."""
        if self.routed is None:
            return self.elements
        return self.elements * self.routed[0] // self.routed[1]


@dataclass(frozen=True, slots=True)
class Cache:
    """What a part keeps between tokens, in elements per sequence.

    per_token  grows with every token
    window     stops growing at this many tokens; None if it never does
    fixed      a state of constant size (recurrent state, convolution tail)
    """

    per_token: int = 0
    window: int | None = None
    fixed: int = 0


NO_CACHE = Cache()


class Part(Protocol):
    """A leaf of the model tree.

    kind     which line of the parameter breakdown it belongs to (attention, mlp, norm, embedding, ...)
    letters  the letter each dimension has in the formulas, for `-v`
    """

    letters: ClassVar[dict[str, str]]

    @property
    def kind(self) -> str:
        """Line of the parameter breakdown."""
        ...

    def tensors(self) -> Iterator[Tensor]:
        """The stored parameters, names relative to the part."""
        ...

    def ops(self, work: Work) -> Iterator[Op]:
        """The work of one forward pass over `work`."""
        ...

    def cache(self) -> Cache:
        """What is kept between tokens."""
        ...
