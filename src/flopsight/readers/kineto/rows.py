"""One event of a Kineto trace, as far as it is used; everything else in it is passed over unread."""

from __future__ import annotations

import math
import operator
from functools import reduce
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, field

NONE: Final = Raw()


class Args(Struct, frozen=True, gc=False):
    """What an event carries."""

    external: int = field(default=-1, name="External id")
    correlation: int = -1
    device: int = -1
    stream: int | str = -1
    sequence: int = field(default=-1, name="Sequence number")
    record: int = field(default=-1, name="Record function id")
    dims: Raw = field(default=NONE, name="Input Dims")
    types: Raw = field(default=NONE, name="Input type")
    values: Raw = field(default=NONE, name="Concrete Inputs")
    strides: Raw = field(default=NONE, name="Input Strides")
    grid: Raw = NONE
    block: Raw = NONE
    bytes: int | float | str = -1
    node: int = field(default=-1, name="graph node id")
    kernel: str = ""
    collective: str = field(default="", name="Collective name")
    sent: int = field(default=-1, name="In msg nelems")
    received: int = field(default=-1, name="Out msg nelems")
    dtype: str | int = ""
    ranks: int = field(default=-1, name="Group size")
    group: str = field(default="", name="Process Group Name")


NO_ARGS: Final = Args()


class Complete(Struct, tag_field="ph", tag="X", gc=False):
    """An event with a duration; ts and dur in microseconds."""

    cat: str = ""
    name: str = ""
    pid: int | str = -1
    tid: int | str = -1
    ts: int | float = math.nan
    dur: int | float = math.nan
    args: Args = NO_ARGS


class Instant(Struct, tag_field="ph", tag="i", gc=False):
    """A moment: allocations of memory."""

    cat: str = ""


OTHER: Final = "BEIstfMCbenNODPSTpFRcVv()"
"""Other phases of the format: flow arrows, metadata, begin and end pairs."""
_others: Final = [msgspec.defstruct(f"Phase{ord(ph)}", [], tag_field="ph", tag=ph, gc=False) for ph in OTHER]
PAIRS: Final = tuple(one for one in _others if one.__struct_config__.tag in ("B", "E", "b", "e"))
Row: Final[Any] = reduce(operator.or_, _others, Complete | Instant)
DECODER: Final = msgspec.json.Decoder(list[Row])


def row(event: Any) -> Any:
    """A row of one plain dict; ValueError where it cannot be one."""
    if not isinstance(event, dict):
        raise ValueError("an event that is no object")
    if event.get("ph") != "X":
        return msgspec.convert({"ph": event.get("ph"), "cat": str(event.get("cat", ""))}, Row)
    known = dict(event)
    args = known.get("args")
    known["args"] = _tamed(args) if isinstance(args, dict) else {}
    for key in ("cat", "name"):
        known[key] = str(known.get(key, ""))
    return msgspec.convert(known, Complete, strict=False)


_RAW: Final = {"Input Dims", "Input type", "Concrete Inputs", "Input Strides", "grid", "block"}
_NUMBERS: Final = {
    "External id", "correlation", "device", "Sequence number", "Record function id", "graph node id", "In msg nelems",
    "Out msg nelems", "Group size",
}  # fmt: skip


def _tamed(args: dict[str, Any]) -> dict[str, Any]:
    """The args that are used, with those of a wrong type left out."""
    found: dict[str, Any] = {}
    for key, value in args.items():
        if key in _RAW:
            found[key] = Raw(msgspec.json.encode(value))
        elif key in _NUMBERS:
            number = _whole(value)
            if number is not None:
                found[key] = number
        elif key in ("Collective name", "Process Group Name", "kernel"):
            found[key] = str(value)
        elif key in ("stream", "bytes", "dtype") and isinstance(value, (int, str)) and not isinstance(value, bool):
            found[key] = value if _fits(value) else str(value)
    return found


def _whole(value: Any) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if _fits(number) else None


def _fits(value: Any) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**63
