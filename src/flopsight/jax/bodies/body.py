"""What a walk asks of an equation that holds jaxprs: how facts come out, needs go in, and how often they run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from flopsight.jax.fact import Fact
from flopsight.jax.need import Need
from flopsight.jax.tally import Tally

Branches = Literal["max", "mean"]


@dataclass(frozen=True, slots=True)
class Choices:
    """What the caller says of what no jaxpr tells.

    trips      rounds of a while loop whose end depends on values: by the name of a scope around it, or of all; 1 is
               what is taken, and said, where nothing is given
    branches   which branch of a conditional to count: "max", the one that does most, or "mean", each for its share
    """

    trips: int | Mapping[str, int] | None = None
    branches: Branches = "max"


class Walk(Protocol):
    """The walk, as bodies see it."""

    @property
    def choices(self) -> Choices:
        """What the caller said."""

    def learn(self, jaxpr: Any, facts: Sequence[Fact]) -> tuple[dict[Any, Fact], tuple[Fact, ...]]:
        """What is known of every variable, and of the results."""

    def needs(self, jaxpr: Any, facts: Sequence[Fact], wanted: Sequence[Need]) -> tuple[Need, ...]:
        """What is needed of each operand."""

    def work(self, jaxpr: Any, facts: Sequence[Fact], wanted: Sequence[Need]) -> Tally:
        """The work of running it once."""

    def note(self, text: str) -> None:
        """Say what was taken for granted, once."""


class Body(Protocol):
    """An equation with jaxprs inside."""

    def learn(self, walk: Walk, facts: Sequence[Fact]) -> tuple[Fact, ...]:
        """What is known of the results."""

    def needs(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need]) -> tuple[Need, ...]:
        """What is needed of the operands."""

    def work(self, walk: Walk, facts: Sequence[Fact], wanted: Sequence[Need], path: str) -> list[tuple[Tally, int]]:
        """(work, times) of each jaxpr inside; `path` is the module it runs in."""
