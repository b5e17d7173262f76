"""The nodes of an execution trace: of one schema or the other, whole or in a file that was cut."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

LENIENT: Final = json.JSONDecoder(strict=False)
NODES: Final = re.compile(r'"nodes"\s*:\s*\[')
BEGINS: Final = re.compile(r'\{\s*"(?:id|name)"\s*:\s*(?:-?\d+|"[^"\\]*")\s*,\s*"(?:id|name)"')
"""An object that begins with its number and name, or name and number: no attribute does."""
FAR: Final = 1 << 20
KEPT: Final = ("schema", "pid", "time", "start_ts", "finish_ts")


@dataclass(frozen=True, slots=True)
class Node:
    """An op or a range.

    id, parent  numbers of this node and of the one that it ran in
    record      rf_id: number of the record function, which Kineto writes too; -1 for none
    sequence    that a forward op and its backward share; -1 for none
    thread      as the observer counts them
    scope       of the record function: 7 is a range of the user's
    inputs      one entry an argument
    """

    id: int
    name: str
    parent: int
    record: int
    sequence: int
    thread: int
    scope: int
    values: list[Any]
    shapes: list[Any]
    types: list[Any]
    strides: list[Any]


@dataclass
class Nodes:
    """What a file holds: its nodes, its own keys, and what could not be read."""

    nodes: list[Node] = field(default_factory=list)
    around: dict[str, Any] = field(default_factory=dict)
    broken: int = 0
    cut: str = ""

    def add(self, raw: Any) -> None:
        """One more; one that is no node is counted."""
        try:
            self.nodes.append(_node(raw))
        except (KeyError, TypeError, ValueError):
            self.broken += 1


def nodes(data: bytes) -> Nodes:
    """All nodes of a file; where it is damaged, those that are whole."""
    found = Nodes()
    try:
        whole = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        _piecewise(data.decode("utf-8", "replace"), found)
        return found
    if isinstance(whole, dict):
        found.around = {key: whole[key] for key in KEPT if isinstance(whole.get(key), (str, int))}
        listed = whole.get("nodes")
        for raw in listed if isinstance(listed, list) else ():
            found.add(raw)
    return found


def _piecewise(text: str, found: Nodes) -> None:
    """Node by node; behind one that cannot be read, from the next that begins like one."""
    begin = NODES.search(text)
    if begin is None:
        found.cut = "it is no JSON, and has no list of nodes"
        return
    found.around = _header(text[: begin.start()])
    at, spent = begin.end(), 0
    while next_ := BEGINS.search(text, at):
        try:
            raw, at = LENIENT.raw_decode(text, next_.start())
        except (ValueError, RecursionError) as error:
            found.broken += 1
            spent += error.pos - next_.start() if isinstance(error, json.JSONDecodeError) else FAR
            if spent > 4 * len(text) + FAR:
                found.cut = "too much of it is no JSON"
                return
            at = next_.end()
            continue
        found.add(raw)
    if "]" not in text[at : at + 64]:
        found.cut = "the file ends inside its list of nodes"


def _header(text: str) -> dict[str, Any]:
    try:
        found = LENIENT.decode(text.rstrip().removesuffix(",") + "}")
    except (ValueError, RecursionError):
        return {}
    return {k: v for k, v in found.items() if k in KEPT and isinstance(v, (str, int))}


def _node(raw: Any) -> Node:
    if not isinstance(raw, dict):
        raise TypeError("a node that is no object")
    said = _attributes(raw)
    inputs = raw.get("inputs")
    if isinstance(inputs, dict):
        values, shapes, types, strides = (inputs.get(key) for key in ("values", "shapes", "types", "strides"))
    else:
        values, shapes, types, strides = inputs, raw.get("input_shapes"), raw.get("input_types"), None
    parent = raw.get("ctrl_deps", raw.get("parent", -1))
    return Node(
        _number(raw["id"]), str(raw.get("name", "")), _number(parent) if isinstance(parent, int) else -1,
        _number(said.get("rf_id", 0)) or -1, _number(said.get("seq_id", -1)), _number(said.get("tid", 0)),
        _number(said.get("scope", 0)), _list(values), _list(shapes), _list(types), _list(strides),
    )  # fmt: skip


def _attributes(raw: dict[str, Any]) -> dict[str, Any]:
    """Since schema 1.0.3 a list of names and values, before it keys of the node itself."""
    attrs = raw.get("attrs")
    if not isinstance(attrs, list):
        return raw
    return {
        one["name"]: one.get("value") for one in attrs if isinstance(one, dict) and isinstance(one.get("name"), str)
    }


def _number(value: Any) -> int:
    """A whole number of 64 bits; ValueError for anything else."""
    if not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError("not a whole number")
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
