"""One event of an XLA Chrome trace, as far as it is used. XLA writes every argument as a text."""

from __future__ import annotations

import math
import operator
from functools import reduce
from typing import Any, Final

import msgspec
from msgspec import Struct, field

Text = str | int | float | None


class Args(Struct, frozen=True, gc=False):
    """What an event carries; "name" is also that of a process or thread in an event that names one."""

    name: Text = None
    correlation: Text = field(default=None, name="correlation_id")
    kernel: Text = field(default=None, name="kernel_details")
    copy: Text = field(default=None, name="memcpy_details")
    fill: Text = field(default=None, name="memset_details")
    old_fill: Text = field(default=None, name="Memset_details")
    node: Text = field(default=None, name="cuda_graph_node_id")
    module: Text = field(default=None, name="hlo_module")
    op: Text = field(default=None, name="hlo_op")
    scope: Text = field(default=None, name="tf_op")
    category: Text = field(default=None, name="hlo_category")
    text: Text = field(default=None, name="long_name")
    flops: Text = None
    bytes_accessed: Text = None
    model_flops: Text = None
    step: Text = field(default=None, name="step_num")
    ordinal: Text = field(default=None, name="device_ordinal")


NO_ARGS: Final = Args()


class Complete(Struct, tag_field="ph", tag="X", gc=False):
    """An event with a duration; ts and dur in microseconds."""

    name: str = ""
    pid: int | str = -1
    tid: int | str = -1
    ts: int | float = math.nan
    dur: int | float = math.nan
    args: Args = NO_ARGS


class Meta(Struct, tag_field="ph", tag="M", gc=False):
    """The name of a process or a thread."""

    name: str = ""
    pid: int | str = -1
    tid: int | str = -1
    args: Args = NO_ARGS


OTHER: Final = "BEIisftCbenNODPSTpFRcVv()"
_others: Final = [msgspec.defstruct(f"Phase{ord(ph)}", [], tag_field="ph", tag=ph, gc=False) for ph in OTHER]
MOMENTS: Final = tuple(one for one in _others if one.__struct_config__.tag in ("i", "I"))
COUNTERS: Final = tuple(one for one in _others if one.__struct_config__.tag == "C")
PAIRS: Final = tuple(one for one in _others if one.__struct_config__.tag in ("B", "E", "b", "e"))
Row: Final[Any] = reduce(operator.or_, _others, Complete | Meta)
DECODER: Final = msgspec.json.Decoder(list[Row])
CLOSING: Final = _others[OTHER.index("f")]()
_NAMES: Final = {one.encode_name for one in msgspec.structs.fields(Args)}


def row(event: Any) -> Any:
    """A row of one plain dict; ValueError where it cannot be one. XLA closes the array with an empty object."""
    if event == {}:
        return CLOSING
    if not isinstance(event, dict):
        raise ValueError("an event that is no object")
    if event.get("ph") not in ("X", "M"):
        return msgspec.convert({"ph": event.get("ph")}, Row)
    args = event.get("args")
    tame = {k: v for k, v in args.items() if k in _NAMES and isinstance(v, Text)} if isinstance(args, dict) else {}
    return msgspec.convert({**event, "name": str(event.get("name", "")), "args": tame}, Row)
