"""Open a file that is really a file, and read from it without ever asking for more than it has."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal

from flopsight.errors import BadFile


def shown(name: object) -> str:
    """A path or name as it may stand in a message: quoted, escaped, at most 200 characters."""
    text = ascii(str(name))
    return text if len(text) <= 200 else f"{text[:120]}...{text[-60:]}"


@contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file opened for reading, with its size in bytes; pipes and devices are refused before they are opened.

    Raises BadFile for anything that is missing, unreadable or not a regular file, and for a failing read inside.
    """
    regular_size(path)
    try:
        with open(path, "rb", opener=_open_without_waiting) as stream:
            status = os.fstat(stream.fileno())
            _require_regular(status.st_mode, path)
            yield stream, status.st_size
    except OSError as e:
        raise _refusal(path, e) from None


def regular_size(path: str | os.PathLike[str]) -> int:
    """The size in bytes of a regular file, without opening it; raises BadFile like `open_regular`."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as e:
        raise _refusal(path, e) from None
    _require_regular(status.st_mode, path)
    return status.st_size


def _refusal(path: object, e: Exception) -> BadFile:
    if isinstance(e, FileNotFoundError):
        return BadFile(f"A file was expected at {shown(path)}, and there is none. Check the path.")
    if isinstance(e, PermissionError):
        return BadFile(f"{shown(path)} may not be read by this user. Change its permissions or copy it.")
    why = e.strerror if isinstance(e, OSError) else e
    return BadFile(f"{shown(path)} could not be read: {why}. Check the path and the disk.")


def _open_without_waiting(path: str, flags: int) -> int:
    # A pipe put there between stat and open would block for ever; Windows has neither such pipes nor the flag.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISSOCK, "a socket"),
)


def _require_regular(mode: int, path: object) -> None:
    if stat.S_ISREG(mode):
        return
    kind = next((word for test, word in _KINDS if test(mode)), "no regular file")
    raise BadFile(f"A regular file was expected, and {shown(path)} is {kind}. Give the file itself.")


@dataclass(slots=True)
class Reader:
    """A cursor over a seekable stream of known size; every read is checked against what is left."""

    stream: BinaryIO
    size: int
    name: str
    order: Literal["<", ">"] = "<"
    at: int = 0

    def left(self) -> int:
        """Bytes between the cursor and the end."""
        return self.size - self.at

    def fail(self, what: str, then: str = "Download or convert it again.") -> BadFile:
        """The error to raise here: what is wrong, with the offset, and what to do."""
        return BadFile(f"{shown(self.name)}, at byte {self.at}: {what}. {then}")

    def need(self, count: int, what: str) -> None:
        """Raise BadFile unless `count` more bytes are there."""
        if count > self.left():
            raise self.fail(
                f"{what} needs {count} bytes and {self.left()} are left, so the file is truncated or corrupt"
            )

    def take(self, count: int, what: str) -> bytes:
        """The next `count` bytes."""
        self.need(count, what)
        data = self.stream.read(count)
        if len(data) != count:
            raise self.fail(f"{what} could not be read whole, so the file shrank while it was read")
        self.at += count
        return data

    def peek(self, most: int) -> bytes:
        """Up to `most` of the next bytes, without moving the cursor."""
        data = self.stream.read(min(most, self.left()))
        self.stream.seek(self.at)
        return data

    def skip(self, count: int, what: str) -> None:
        """Move over `count` bytes without reading them."""
        self.need(count, what)
        self.at += count
        self.stream.seek(self.at)

    def unpack(self, code: str, what: str) -> int | float:
        """One number by its `struct` letter, in the stream's byte order."""
        form = self.order + code
        value: int | float = struct.unpack(form, self.take(struct.calcsize(form), what))[0]
        return value

    def count(self, code: str, what: str) -> int:
        """One whole number by its `struct` letter."""
        return int(self.unpack(code, what))
