"""JSON as model files really hold it, read within bounds and with one error for everything else.

Real configs hold bare `Infinity` (nemotron-h's `time_step_limit`) and start with a byte order mark when a Windows
editor saved them; both are read. Format: RFC 8259 plus `NaN`, `Infinity` and `-Infinity`.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from flopsight.errors import BadConfig, BadFile
from flopsight.models.sources.stream import open_regular, shown

MAX_BYTES: Final = 64 * 2**20
MAX_DEPTH: Final = 64
MAX_VALUES: Final = 2_000_000
MAX_DIGITS: Final = 40


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a JSON file, such as `config.json`, as plain dicts, lists and scalars.

    Raises BadFile for what cannot be read or is not JSON, and BadConfig for JSON that no config can be: not an object,
    a key twice, a number beyond any machine's.
    """
    with open_regular(path) as (stream, size):
        if size > MAX_BYTES:
            raise BadFile(
                f"{shown(path)} has {size} bytes and a JSON file of at most {MAX_BYTES} was expected. {_CHECK}"
            )
        return parse_object(stream.read(MAX_BYTES + 1), os.fspath(path))


_CHECK: Final = "Check that this is the model's config.json."


def parse_object(data: bytes, name: str, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The object that `data` spells in JSON; `name` is what messages call it. Raises like `read_config`."""
    if len(data) > max_bytes:
        raise BadFile(f"{shown(name)} holds more than {max_bytes} bytes of JSON. {_CHECK}")
    if not data.strip(b" \t\r\n\0"):
        raise BadFile(f"{shown(name)} is empty, and a JSON object was expected. Download or write it again.")
    text = _decode(data, name)
    _bound(text, name)
    value = _load(text, name)
    if not isinstance(value, dict):
        raise BadConfig(f"{shown(name)} holds {_kind(value)}, and a JSON object {{...}} was expected. {_CHECK}")
    return value


def _decode(data: bytes, name: str) -> str:
    encoding = json.detect_encoding(data)
    if not encoding.startswith("utf-8"):
        raise BadFile(f"{shown(name)} starts with {data[:8]!r}, which is not UTF-8 text. Save it as UTF-8.")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as e:
        at, seen = e.start, data[max(e.start - 8, 0) : e.start + 8]
        raise BadFile(
            f"{shown(name)}, at byte {at}: {seen!r} is not UTF-8 text, so this is no JSON file. {_CHECK}"
        ) from None


# Strings are stepped over whole, so that brackets inside them do not count; the closing quote is optional so that
# an unterminated string is scanned once and not once for every quote in it.
_STRUCTURE: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)


def _bound(text: str, name: str) -> None:
    """Refuse nesting and counts that would exhaust the stack or the memory, before anything is built."""
    if text.count(",") + text.count(":") + text.count("[") + text.count("{") > 2 * MAX_VALUES:
        raise BadConfig(f"{shown(name)} holds more than {MAX_VALUES} values, far more than any config. {_CHECK}")
    depth = 0
    for match in _STRUCTURE.finditer(text):
        bracket = match.group()
        if bracket in ("{", "["):
            depth += 1
            if depth > MAX_DEPTH:
                raise BadConfig(
                    f"{shown(name)}, at character {match.start()}: nested deeper than {MAX_DEPTH}. {_CHECK}"
                )
        elif bracket in ("}", "]"):
            depth -= 1


@dataclass(frozen=True, slots=True)
class _Hooks:
    """The decoder's callbacks, which refuse at once what a dict would hide."""

    name: str

    def refuse(self, what: str) -> NoReturn:
        raise BadConfig(f"{shown(self.name)}: {what}. Correct the file.")

    def whole(self, digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            self.refuse(f"a number of {len(digits)} digits, {digits[:12]}..., is beyond any model's")
        return int(digits)

    def real(self, digits: str) -> float:
        value = float(digits)
        if math.isinf(value):
            self.refuse(f"the number {digits[:24]} is beyond what a float can hold")
        return value

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            self.refuse(f"the key {shown(twice)} stands twice in one object, so its value is ambiguous")
        return made


def _load(text: str, name: str) -> object:
    hooks = _Hooks(name)
    try:
        value: object = json.loads(text, object_pairs_hook=hooks.pairs, parse_int=hooks.whole, parse_float=hooks.real)
    except json.JSONDecodeError as e:
        raise BadFile(_not_json(text, name, e)) from None
    if "\\u" in text:
        _refuse_surrogates(value, name)
    return value


def _not_json(text: str, name: str, e: json.JSONDecodeError) -> str:
    if e.pos >= len(text.rstrip()):
        return (
            f"{shown(name)} ends at character {e.pos} inside the JSON ({e.msg}), so it is truncated. Download it again."
        )
    near = ascii(text[max(e.pos - 16, 0) : e.pos + 16])
    return f"{shown(name)} is not JSON: {e.msg} at line {e.lineno}, column {e.colno}, near {near}. {_CHECK}"


def _refuse_surrogates(value: object, name: str) -> None:
    """Half of a surrogate pair is a str that no terminal and no file will take."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadConfig(
            f"{shown(name)} holds \\u escapes that are no characters (half a pair). Correct them."
        ) from None


def _kind(value: object) -> str:
    words: dict[type, str] = {list: "a list", str: "a string", bool: "a truth value", type(None): "null"}
    return words.get(type(value), "a number")
