"""Records as TOML text that `flopsight.hardware.reading` reads back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from flopsight.hardware.record import Struct


def to_toml(record: Struct, *comments: str) -> str:
    """A record as TOML, defaults left out, comment lines first."""
    return "\n".join([*(f"# {line}" for line in comments), *_table(msgspec.to_builtins(record), ())]) + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Plain values first, then tables, then lists of tables: what follows a header belongs to it."""
    table = {key: value for key, value in table.items() if value != {}}
    later = {key: value for key, value in table.items() if _nested(value)}
    yield from (f"{_key(key)} = {_value(value)}" for key, value in table.items() if key not in later)
    for key, value in later.items():
        inner = (*path, key)
        header = ".".join(map(_key, inner))
        for each in value if isinstance(value, list | tuple) else [value]:
            yield ""
            yield f"[[{header}]]" if isinstance(value, list | tuple) else f"[{header}]"
            yield from _table(each, inner)


def _nested(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list | tuple) and bool(value) and isinstance(value[0], dict))


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value) if isinstance(value, str) else repr(value)
