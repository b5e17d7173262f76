"""Communication kernels by name: NCCL and RCCL, and also those of engines and of one-sided libraries.

A tool that looks for the letters "nccl" is blind on machines whose engines reduce by multimem stores or send tokens to
experts by DeepEP, which is most of a step there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, get_args

from flopsight.errors import UsageError
from flopsight.kernels.names import collectives
from flopsight.kernels.table import first, table
from flopsight.kernels.words import LONGEST, words_of

Collective = Literal[
    "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "reduce", "send_recv", "barrier", "unknown"
]
COLLECTIVES: Final[tuple[Collective, ...]] = get_args(Collective)


@dataclass(frozen=True, slots=True)
class Communication:
    """What is communicated, and by which library.

    kind      "unknown" where one kernel runs any collective (RCCL's Generic) or the name does not say
    library   "nccl", "deep_ep", ...; "own" by a pattern of the user, "" where the name does not say
    """

    kind: Collective
    library: str


_LIBRARIES: Final = table(collectives.LIBRARIES)
_PROGRAMS: Final = table(collectives.PROGRAMS)
_COLLECTIVES: Final = table(collectives.COLLECTIVES)
# an operation of an XLA program: no templates, no arguments
_PROGRAM_NAME: Final = re.compile(r"[a-z]+(?:-[a-z]+)+(?:\.[0-9.]+)?")


def communication_of(name: str, own: Sequence[str] = ()) -> Communication | None:
    """The collective that a kernel of this name does; None where it does none.

    own   regular expressions for the user's own kernels, looked for before all others

    A matrix product that communicates while it computes counts as computing: None. An all-reduce that also adds and
    normalizes is communication. Raises UsageError for an expression that is none.
    """
    return _of(name[:LONGEST], tuple(own))


@lru_cache(maxsize=65536)
def _of(name: str, own: tuple[str, ...]) -> Communication | None:
    head = words_of(name).head
    if any(_expression(text).search(name) for text in own):
        return Communication(_collective(head), "own")
    library = _library(name, head)
    if library is None or any(word in head for word in collectives.COMPUTES):
        return None
    return Communication("unknown" if "_generic" in head else _collective(head), library)


def _library(name: str, head: str) -> str | None:
    found = first(_LIBRARIES, head)
    if found is None and any(word in head for word in collectives.SIGNALS) and "unsigned int**" in name:
        return "symmetric memory"
    if found is None and _PROGRAM_NAME.fullmatch(name):
        return first(_PROGRAMS, head)
    return found


def _collective(head: str) -> Collective:
    found = first(_COLLECTIVES, head)
    return next((one for one in COLLECTIVES if one == found), "unknown")


@lru_cache(maxsize=256)
def _expression(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as wrong:
        raise UsageError(
            f"A regular expression for kernel names was expected, and {text!r} is none: {wrong}."
        ) from None
