"""Work without parameters on the vector engine: activations, residual additions, rotary positions, sampling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from flopsight.cost import Op, elementwise
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work

FLOPS_OF = {
    "relu": 1, "relu2": 2, "sigmoid": 4, "tanh": 4, "silu": 5, "gelu": 8, "gelu_tanh": 8, "softplus": 3, "identity": 0,
}  # fmt: skip
"""FLOPs per element, a transcendental function counted as one operation."""


@dataclass(frozen=True, slots=True)
class Elementwise:
    """`flops` operations on each of `width` values a token, reading `inputs` values for each.

    n·f FLOPs a token, n width, f flops. Used for activations (gated ones read two values and multiply), residual
    additions and scalings.
    """

    what: str
    width: int
    flops: int = 1
    inputs: int = 1
    kind: str = "none"

    letters: ClassVar[dict[str, str]] = {"width": "n", "flops": "f"}

    def tensors(self) -> Iterator[Tensor]:
        """None."""
        return iter(())

    def ops(self, work: Work) -> Iterator[Op]:
        """One vector op."""
        yield elementwise(self.what, work.tokens * self.width, self.flops, inputs=self.inputs)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE


def activation(name: str, width: int, *, gated: bool = False) -> Elementwise:
    """An activation function on `width` values; gated ones multiply by a second value."""
    return Elementwise(name, width, FLOPS_OF.get(name, 5) + gated, 2 if gated else 1)


def residual(width: int) -> Elementwise:
    """x + y on a residual stream of `width`."""
    return Elementwise("residual", width, 1, 2)


def rope(heads: int, dim: int) -> Elementwise:
    """Rotary positions on `heads` heads of `dim` values: two multiplications and one addition each."""
    return Elementwise("rope", heads * dim, 3)


def softmax(width: int, what: str = "softmax") -> Elementwise:
    """Softmax over `width` values: subtract the maximum, exponential, sum, divide, and the search for the maximum."""
    return Elementwise(what, width, 5)
