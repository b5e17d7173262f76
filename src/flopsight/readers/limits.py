"""How much a file may unpack to, and how it is opened: plain, gzip or xz, by content and not by name."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final, Protocol

from flopsight.errors import BadFile

GZIP, XZ = b"\x1f\x8b", b"\xfd7zXZ\x00"
CHECKED: Final = 64 << 20
BROKEN: Final = (EOFError, OSError, zlib.error, lzma.LZMAError)
"""What a damaged archive raises while it is read."""


class Bytes(Protocol):
    """What can be read in order."""

    def read1(self, size: int, /) -> bytes:
        """Some of the next bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused: more unpacked bytes than `size`, or than `ratio` times the packed ones (above 64 MiB)."""

    size: int = 16 << 30
    ratio: int = 300


class Unpacked:
    """Reads a file's unpacked bytes in order, and refuses to read without end."""

    def __init__(self, path: Path, raw: Bytes, size: int, limits: Limits, *, packed: bool) -> None:
        self._path, self._raw, self._size, self._limits = path, raw, size, limits
        self.packed = packed
        self.done = 0
        self.cut = ""

    def read(self, size: int) -> bytes:
        """The next bytes, fewer at the end. A damaged archive ends early and says why in `cut`."""
        parts: list[bytes] = []
        missing = size
        while missing > 0 and not self.cut:
            try:
                part = self._raw.read1(missing)
            except BROKEN as error:
                self.cut = f"{type(error).__name__}: {error}"
                break
            if not part:
                break
            parts.append(part)
            missing -= len(part)
            self.done += len(part)
            self._check()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _check(self) -> None:
        most = min(self._limits.size, max(CHECKED, self._size * self._limits.ratio))
        if self.done > most:
            raise BadFile(
                f"{self._path} unpacks to more than {most:,} bytes from {self._size:,}; a trace of that size is "
                "read with --max-size, and anything else is no trace."
            )


@contextmanager
def unpacked(path: Path, limits: Limits) -> Iterator[Unpacked]:
    """A file opened for reading, unpacked on the way. Raises BadFile where it cannot be opened."""
    try:
        plain = path.open("rb")
    except OSError as error:
        raise BadFile(f"{path} cannot be opened: {error.strerror or error}.") from error
    with plain:
        size = path.stat().st_size
        raw = _opened(plain)
        yield Unpacked(path, raw, size, limits, packed=raw is not plain)


def _opened(plain: BufferedReader) -> Bytes:
    head = plain.peek(8)[:8]
    if head.startswith(GZIP):
        return gzip.GzipFile(fileobj=plain)
    if head.startswith(XZ):
        return lzma.LZMAFile(plain)
    return plain


def whole(path: Path, limits: Limits, most: int = 1 << 30) -> bytes:
    """All unpacked bytes of a file that is small by its nature. Raises BadFile above `most` or where it is damaged."""
    with unpacked(path, limits) as source:
        found = bytearray()
        while part := source.read(1 << 20):
            found += part
            if len(found) > most:
                raise BadFile(f"{path} holds more than {most:,} bytes, which no file of this kind does.")
        if source.cut and not found:
            raise BadFile(f"{path} cannot be unpacked ({source.cut}).")
    return bytes(found)
