"""A number that remembers where it came from, and a way to say that a number is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["stated", "derived", "measured", "modelled", "assumed", "recalled", "announced"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One quantity with its unit, its source and how it is known.

    value    in SI base units (FLOP/s, B, B/s, Hz, W), dense, one direction
    kind     stated by the maker, derived from other facts, measured by someone, modelled by a fit to measurements of
             something else, assumed, recalled without a source at hand, or announced for a part that does not ship yet
    source   where it was read; empty only for `assumed` and `recalled`
    edition  date or revision of the source, if it has one
    """

    value: int | float
    unit: str
    kind: Kind
    source: str = ""
    edition: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value nobody has given, with the reason; it flows to the report and is never replaced by a guess."""

    why: str

    def __bool__(self) -> bool:
        return False
