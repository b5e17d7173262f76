"""What a convention is: a name, a source, a formula in words, and a function from a view to named terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from flopsight.conventions.view import View
from flopsight.workload import Phase

Terms: TypeAlias = Mapping[str, int | Fraction]
"""FLOPs per token by what they pay for: linear, router, head, embedding, small, idle experts, attention, ..."""

TRAIN: tuple[Phase, ...] = ("train",)
ALL: tuple[Phase, ...] = ("train", "prefill", "decode")


@dataclass(frozen=True, slots=True)
class Convention:
    """One way of counting the FLOPs of a token.

    name     as typed after --convention
    title    as printed
    formula  per token, in the letters of `View`
    source   repository and path, or paper, where the formula stands
    terms    the formula, term by term
    phases   what it is defined for
    peak     FLOP/s that the framework divides by whatever the device, if it does
    applies  whether it says anything of a model
    listed   shown in tables without being asked for; False for counts of another kind of run
    note     what to know before comparing
    """

    name: str
    title: str
    formula: str
    source: str
    terms: Callable[[View], Terms]
    phases: tuple[Phase, ...] = TRAIN
    peak: int | None = None
    note: str = ""
    applies: Callable[[View], bool] = field(default=lambda view: True)
    listed: bool = True

    def fits(self, view: View) -> bool:
        """Whether a table about this model and phase should show it."""
        return self.listed and view.workload.phase in self.phases and self.applies(view)

    def per_token(self, view: View) -> Fraction:
        """FLOPs per token."""
        return Fraction(sum(self.terms(view).values()))


def weights(view: View, *names: str) -> dict[str, int | Fraction]:
    """2 FLOPs (6 in training) for each parameter of the named groups of a view."""
    return {name: 2 * view.passes * int(getattr(view, name)) for name in names}


def bridge(view: View, convention: Convention, ours: Convention) -> dict[str, Fraction]:
    """What to add to our count, term by term, to get the convention's; terms that agree are left out."""
    mine, theirs = ours.terms(view), convention.terms(view)
    gaps = {name: Fraction(theirs.get(name, 0)) - Fraction(mine.get(name, 0)) for name in [*theirs, *mine]}
    return {name: gap for name, gap in gaps.items() if gap}
