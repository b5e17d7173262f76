"""Where an equation comes from: the module path and the pass, read from JAX's name stack."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from flopsight.counted import During

PLAIN, AFTER_GRADIENT, FORWARD, BACKWARD, RECOMPUTE = range(5)
"""What one name stack says of the pass; of nested stacks the highest holds."""
DURING: Final[tuple[During, ...]] = ("forward", "optimizer", "forward", "backward", "recompute")
_WRAPPED: Final = re.compile(r"^[A-Za-z_]\w*\((.*)\)$")
_NOT_MODULES: Final = frozenset({"rematted_computation", "checkpoint", "remat", ""})


@lru_cache(1 << 16)
def rank(stack: str) -> int:
    """The pass: transpose(..) is backward, a rematted computation is run again, jvp(..) is differentiated forward."""
    if "rematted_computation" in stack:
        return RECOMPUTE
    if "transpose(" in stack:
        return BACKWARD
    return FORWARD if "jvp(" in stack else PLAIN


@lru_cache(1 << 16)
def path(stack: str) -> str:
    """The named scopes, joined by dots; transformations, einsum formulas and recomputation are no modules.

    >>> path("transpose(jvp(Block))/attention/vmap(bqd,bkd->bqk)")
    'Block.attention'
    """
    scopes: list[str] = []
    for part in _parts(stack):
        name = _unwrap(part).replace("/", ".")
        if name in _NOT_MODULES or "->" in name:
            continue
        scopes.append(name)
        # what is recomputed in a backward pass is named by both passes: Block/attention/Block/attention
        half = len(scopes) // 2
        if len(scopes) % 2 == 0 and scopes[:half] == scopes[half:] and stack.count("jvp(") > 1:
            scopes = scopes[:half]
    return ".".join(scopes)


def _parts(stack: str) -> list[str]:
    """The stack at its slashes, those within parentheses aside."""
    parts, depth, start = [], 0, 0
    for position, letter in enumerate(stack):
        depth += (letter == "(") - (letter == ")")
        if letter == "/" and depth == 0:
            parts.append(stack[start:position])
            start = position + 1
    return [*parts, stack[start:]]


def _unwrap(part: str) -> str:
    name = part
    while match := _WRAPPED.match(name):
        name = match.group(1)
    return name


def joined(outer: str, inner: str) -> str:
    """A path inside of another."""
    return f"{outer}.{inner}" if outer and inner else outer or inner
