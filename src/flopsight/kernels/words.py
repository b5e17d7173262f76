"""A kernel's name as words, so that one table of words serves CamelCase, snake_case, mangled and demangled names.

`ncclDevKernel_AllReduce_Sum_f32` is "_nccl_dev_kernel_all_reduce_sum_f32_"; every name begins and ends with "_", so
that "_adam_" is a whole word, "_adam" begins one and "norm" is any part. All work is linear in the length of a name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 4096
"""Characters of a name that are looked at; what stands behind is arguments of templates."""

_NAMELESS: Final = ("(anonymous namespace)::", "<unnamed>::", "{anonymous}::", "(anonymous_namespace)::")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN: Final = re.compile(r"[^a-z0-9]+")
# Itanium ABI: <length><identifier>; substitutions (S1_, T_) and literals (Li128E) hold digits that are no lengths
_PIECE: Final = re.compile(r"S[0-9A-Z]{0,4}_|T[0-9]{0,4}_|L[a-z]n?[0-9]{1,20}E|([0-9]{1,4})")


@dataclass(frozen=True, slots=True)
class Words:
    """Words of a name: `head` of the function itself with its namespaces, `whole` with templates and arguments."""

    head: str
    whole: str


def words_of(name: str) -> Words:
    """Split a name; any text is allowed."""
    name = name[:LONGEST].removesuffix(".kd")
    if name.startswith("_Z"):
        head, rest = _mangled(name)
        return Words(_worded(head), _worded(head + " " + rest))
    for nameless in _NAMELESS:
        name = name.replace(nameless, "")
    name = name.removeprefix("void ")
    return Words(_worded(name[: _end(name)]), _worded(name))


def _end(name: str) -> int:
    """Where templates or arguments begin."""
    ends = [at for at in (name.find("<"), name.find("(")) if at > 0]
    return min(ends, default=len(name))


def _worded(text: str) -> str:
    return "_" + _BETWEEN.sub("_", _HUMP.sub("_", text).lower()).strip("_") + "_"


def _mangled(name: str) -> tuple[str, str]:
    """Identifiers before the first template's arguments, and those behind."""
    head: list[str] = []
    rest: list[str] = []
    at = 0
    while (piece := _PIECE.search(name, at)) is not None:
        at = piece.end()
        size = int(piece.group(1) or 0)
        found = name[at : at + size]
        if size > 1 and found and not found[0].isdigit():
            (rest if rest else head).append(found)
            at += size
            if name.startswith("I", at) and not rest:
                rest.append("")
    return " ".join(head), " ".join(rest)
