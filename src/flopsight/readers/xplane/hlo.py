"""What the text of an HLO instruction says: "%all-reduce.1 = f32[8,128]{1,0} all-reduce(f32[8,128]{1,0} %x), ..."."""

from __future__ import annotations

import math
import re
from typing import Final

from flopsight.trace import Collective

COLLECTIVES: Final = (
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "ragged-all-to-all", "collective-permute",
    "collective-broadcast",
)  # fmt: skip
OPCODE: Final = re.compile(r"(?<=[\s)}\]])([a-z][a-z0-9-]*)\(")
SHAPE: Final = re.compile(r"([a-z]+[0-9]*[a-z0-9]*)\[([0-9,<=]*)\]")
IOTA: Final = re.compile(r"replica_groups=\[(\d{1,9}),(\d{1,9})\]<=")
LISTED: Final = re.compile(r"replica_groups=\{\{([0-9, ]+)\}")
LONGEST: Final = 1 << 16


def short(text: str) -> str:
    """The name of an instruction from its text."""
    return text.split(" = ", 1)[0].strip().removeprefix("%")


def opcode(text: str) -> str:
    """What it does: "fusion", "while", "all-reduce-start"; "" where the text is only a name."""
    _, equals, rest = text[:LONGEST].partition(" = ")
    found = OPCODE.search(" " + rest) if equals else None
    return found[1] if found else ""


def collective(text: str, category: str = "") -> Collective | None:
    """What a collective moves, from its text; its category or name tell the kind where the text does not."""
    did = opcode(text) or category or re.sub(r"\.[0-9]+$", "", short(text))
    kind = next((one for one in COLLECTIVES if did in (one, f"{one}-start", f"{one}-done")), None)
    if kind is None:
        return None
    result, _, arguments = text[:LONGEST].partition(f" {did}(")
    made, took = _shapes(result.partition(" = ")[2]), _shapes(arguments.partition("), ")[0])
    if did != kind:  # the pair that begins and ends it writes both shapes into one tuple
        made = None
    return Collective(kind, _elements(took), _elements(made), took[0][0] if took else "", _ranks(text[:LONGEST]))


Shapes = list[tuple[str, str]]


def _shapes(text: str) -> Shapes | None:
    found = SHAPE.findall(text)
    return found or None


def _elements(shapes: Shapes | None) -> int | None:
    if shapes is None or any("<" in dims for _, dims in shapes):
        return None
    found = sum(math.prod(int(n[:18]) for n in dims.split(",")[:64] if n) for _, dims in shapes[:4096])
    return found if found < 2**63 else None


def _ranks(text: str) -> int | None:
    iota, listed = IOTA.search(text), LISTED.search(text)
    if iota:
        return int(iota[2])
    return len(listed[1].split(",")) if listed else None
