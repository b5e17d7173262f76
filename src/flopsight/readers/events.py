"""The array of events in a Chrome trace, read in pieces: constant memory, whole events, damage survived.

A piece is cut where one event ends and the next begins, and decoded into typed rows at once; that the piece is valid
JSON proves the cut. A piece that is not valid, or whose types surprise, is gone through event by event, and what cannot
be read is counted.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import msgspec

from flopsight.readers.limits import Unpacked

Row = TypeVar("Row")
PIECE: Final = 1 << 20
MOST: Final = 256 << 20
"""A single event longer than this is no event."""
KEY: Final = re.compile(rb'"traceEvents"\s*:\s*\[')
BETWEEN: Final = re.compile(rb"\}\s*,\s*(?=\{)")
TRIES: Final = 16
CLOSE, COMMA = b"],"
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
LENIENT: Final = json.JSONDecoder(strict=False)


@dataclass
class Losses:
    """What a file holds that could not be read: broken events, and why the end is missing."""

    broken: int = 0
    first: str = ""
    cut: str = ""

    def lose(self, why: str, count: int = 1) -> None:
        """Count events that are no events."""
        self.broken += count
        self.first = self.first or why


@dataclass
class Events(Generic[Row]):
    """The events of one file, in pieces, and what stands around them.

    rows     decodes a list of rows
    one      makes a row of a plain dict, for pieces that `rows` refuses
    around   the file's other keys, complete once every piece was read
    """

    source: Unpacked
    rows: msgspec.json.Decoder[list[Row]]
    one: Callable[[Any], Row]
    around: dict[str, Any] = field(default_factory=dict)
    losses: Losses = field(default_factory=Losses)

    def pieces(self) -> Iterator[list[Row]]:
        """Lists of rows, in the order of the file."""
        begin = self._begin()
        if begin is None:
            return
        # one buffer that always starts with the bracket of a list, so that a piece is decoded where it lies
        data = bytearray(b"[" + begin)
        while more := self.source.read(max(PIECE, len(data) // 2)):
            data += more
            cut, rows = self._whole(data)
            if cut:
                yield rows
                data = bytearray(b"[") + data[cut:]
            elif len(data) > MOST:
                self.losses.lose(f"an event of more than {MOST:,} bytes")
                return
        yield self._last(bytes(data[1:]))

    def _begin(self) -> bytes | None:
        """What follows the bracket that opens the array; None where there is no such array."""
        data = b""
        while more := self.source.read(PIECE):
            data += more
            if data.lstrip()[:1] == b"[":
                return data[data.index(b"[") + 1 :]
            for found in KEY.finditer(data):
                head = _parsed(data[: found.end()] + b"]}")
                if isinstance(head, dict):
                    self.around.update({k: v for k, v in head.items() if k != "traceEvents"})
                    return data[found.end() :]
            if len(data) > MOST:
                break
        self.losses.cut = self.source.cut or "no array of events was found"
        return None

    def _whole(self, data: bytearray) -> tuple[int, list[Row]]:
        """The rows before the last cut between two events, and where that is; 0 where none is found."""
        for tried, end in enumerate(_cuts(data)):
            if tried >= TRIES:
                break
            data[end - 1] = CLOSE
            try:
                with memoryview(data) as view:
                    return end, self.rows.decode(view[:end])
            except msgspec.ValidationError:
                return end, self._one_by_one(bytes(data[1 : end - 1]))[0]
            except UNREADABLE:
                data[end - 1] = COMMA
        if len(data) < 4 * PIECE:
            return 0, []
        rows, end = self._one_by_one(bytes(data[1:]))
        return (end + 1, rows) if end else (0, [])

    def _last(self, data: bytes) -> list[Row]:
        """The rows of the last piece, and the keys behind the array."""
        try:
            keys = msgspec.json.decode(b'{"traceEvents":[' + data, type=dict[str, msgspec.Raw])
            rows = self.rows.decode(keys.pop("traceEvents"))
            self.around.update({key: _parsed(bytes(raw)) for key, raw in keys.items()})
            return rows
        except UNREADABLE:
            return self._damaged(data)

    def _damaged(self, data: bytes) -> list[Row]:
        """The last piece, where it is a bare list's, cut off, or holds something odd."""
        try:
            return self.rows.decode(b"[" + data)
        except UNREADABLE:
            pass
        rows, used = self._one_by_one(data)
        rest = data[used:].strip()
        if not rest.startswith(b"]"):
            self.losses.cut = self.source.cut or f"the file ends inside an event, after {self.source.done:,} bytes"
        else:
            self._behind(rest[1:].strip())
        return rows

    def _behind(self, rest: bytes) -> None:
        found = _parsed(b"{" + rest[1:]) if rest.startswith(b",") else None
        if isinstance(found, dict):
            self.around.update(found)
        elif rest not in (b"", b"}"):
            self.losses.cut = self.source.cut or "the keys behind the events are not complete"

    def _one_by_one(self, data: bytes) -> tuple[list[Row], int]:
        """Every event that can be read on its own, and the bytes that are done with."""
        text = data.decode("utf-8", "surrogateescape")
        rows: list[Row] = []
        at = 0
        while (at := _next(text, at)) < len(text) and text[at] != "]":
            try:
                event, after = LENIENT.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                following = BETWEEN_TEXT.search(text, at + 1)
                if following is None:
                    break
                self.losses.lose(f"{type(error).__name__}: {str(error)[:120]}")
                at = following.end()
                continue
            try:
                rows.append(self.one(event))
            except (ValueError, TypeError, RecursionError) as error:
                self.losses.lose(str(error)[:160])
            at = after
        return rows, len(text[:at].encode("utf-8", "surrogateescape"))


BETWEEN_TEXT: Final = re.compile(r"\}\s*,\s*(?=\{)")
SKIPPED: Final = " \t\r\n,"


def _next(text: str, at: int) -> int:
    while at < len(text) and text[at] in SKIPPED:
        at += 1
    return at


def _cuts(data: bytearray) -> Iterator[int]:
    """Places behind a comma between two objects, the last first."""
    window = 1 << 16
    low = len(data)
    while low > 0:
        high, low = low, max(0, low - window)
        found = [m for m in BETWEEN.finditer(data, low, min(len(data), high + 64)) if m.start() < high]
        for match in reversed(found):
            yield data.index(b",", match.start()) + 1
        if low and len(data) - low > 8 * PIECE:
            return


def _parsed(data: bytes) -> Any:
    try:
        return LENIENT.decode(data.decode("utf-8", "replace").strip())
    except (ValueError, RecursionError):
        return None


@contextmanager
def unwatched() -> Iterator[None]:
    """No garbage collection while millions of plain rows are made."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()
