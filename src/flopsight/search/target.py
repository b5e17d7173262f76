"""What a served user is promised: the time to the first token and between tokens, and how surely."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from statistics import NormalDist
from typing import Final

from flopsight.errors import UsageError
from flopsight.units import parse

NAMES: Final = {"ttft": "ttft", "tpot": "tpot", "itl": "tpot"}
FORM: Final = "Write it as --slo ttft=1s,tpot=30ms (one of the two is enough)."


@dataclass(frozen=True, slots=True)
class Target:
    """Most seconds to the first token and between tokens, means over requests; None where nothing is promised.

    sure  chance with which a layout must keep each of them: 0.5 takes the prediction itself, 0.9 leaves room for its
          error
    """

    ttft: float | None = None
    tpot: float | None = None
    sure: float = 0.5

    def __post_init__(self) -> None:
        if isinstance(self.sure, bool) or not isinstance(self.sure, int | float) or not 0 < self.sure < 1:
            raise UsageError(f"How sure to be is a number between 0 and 1, such as 0.9; got {self.sure!r}.")

    def slack(self, sigma: float) -> float:
        """What a prediction is multiplied by before it is held against the target: exp(z·sigma)."""
        return exp(NormalDist().inv_cdf(self.sure) * sigma)


def chance(limit: float | None, seconds: float, sigma: float) -> float | None:
    """How likely a measurement is to stay within a limit: the normal distribution of its logarithm."""
    if limit is None:
        return None
    if sigma <= 0:
        return float(seconds <= limit)
    return NormalDist().cdf(log(limit / seconds) / sigma)


def target(text: str, sure: float = 0.5) -> Target:
    """The target of a text such as "ttft=1s,tpot=30ms"; "" promises nothing.

    >>> target("ttft=1s, tpot=30ms")
    Target(ttft=1, tpot=0.03, sure=0.5)
    """
    found: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = part.partition("=")
        key = NAMES.get(name.strip().lower())
        if not equals or key is None:
            raise UsageError(f"Expected a time to promise and read {part[:40]!r}. {FORM}")
        if key in found:
            raise UsageError(f"{key} is given twice in {text[:60]!r}.")
        found[key] = _seconds(key, value.strip())
    return Target(found.get("ttft"), found.get("tpot"), sure)


def _seconds(key: str, value: str) -> float:
    if not value or not value[-1].isalpha():
        raise UsageError(f"{key} needs a unit: {key}={value or '30'}ms or {key}={value or '1'}s?")
    seconds = parse(value, "s")
    if seconds <= 0:
        raise UsageError(f"{key} is a time above zero; got {value!r}.")
    return seconds
