"""The container of a .ncu-rep: a magic number, a header, and blocks of kernels, of code, and of what the session says.

All lengths are 32-bit, little-endian; headers and entries are protocol buffers. A block is its header's length, its
header, and a payload of entries, each behind its length: first code, then kernels, then ranges.
Layout: https://docs.nvidia.com/nsight-compute/CustomizationGuide/index.html, "Report File Format", version 7; numbers
of the fields as in the definitions that Nsight Compute installs under extras/FileFormat.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from flopsight.readers.ncu.launches import Launches
from flopsight.readers.ncu.results import DEVICE, Names, result, session
from flopsight.readers.protobuf import Fields, fields

MAGIC: Final = b"NVR\0"
VERSION: Final = 7
SOURCES, RESULTS, SESSION, STRINGS, PAYLOAD, RANGES = 1, 2, 3, 4, 5, 7
"""Fields of a block's header: entries of code, of kernels; the session; names; bytes of payload; entries of ranges."""


@dataclass
class Report:
    """A report while it is read: its bytes, what was found, and the names of metrics by their numbers."""

    data: bytes
    into: Launches
    strings: list[str] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)

    def read(self) -> None:
        """Every block that is whole; of one that is cut off, the entries that are."""
        at = self._header()
        while at < len(self.data):
            low, high = self._counted(at, len(self.data))
            if high > len(self.data) or low < 0:
                return self._cut(at)
            at = self._block(fields(self.data, low, high), high)
        return None

    def _header(self) -> int:
        low, high = self._counted(4, len(self.data))
        if low < 0 or high > len(self.data):
            self._cut(4)
            return len(self.data)
        version = fields(self.data, low, high).number(1)
        self.into.marks["report_version"] = version
        if version != VERSION:
            self.into.notes[
                f"The report is of version {version}; what is known of version {VERSION} was read from it."
            ] = None
        return high

    def _block(self, header: Fields, at: int) -> int:
        """Reads a block whose payload begins at a byte; where the next block begins."""
        end = at + header.number(PAYLOAD)
        for low, high in header.parts(STRINGS):
            self._names(low, high)
        for low, high in header.parts(SESSION):
            session(self.data, low, high, self.into)
        if header.damage:
            self.into.lose("headers of blocks", header.damage)
        self._entries(header, at, min(end, len(self.data)))
        if end > len(self.data):
            self._cut(at)
        return end

    def _entries(self, header: Fields, at: int, end: int) -> None:
        """Code first, then kernels, then ranges; only kernels hold counters of their own."""
        code, kernels = header.number(SOURCES), header.number(RESULTS)
        for place, (low, high) in enumerate(self._parts(at, end)):
            if place < code:
                self.into.lose("code of the GPU", "no formula here needs it")
            elif place < code + kernels:
                result(self.data, low, high, Names(self.strings, self.known.get(DEVICE, -1)), self.into)
            else:
                self.into.lose("results of ranges", "they hold the counters of several kernels together")

    def _parts(self, at: int, end: int) -> Iterator[tuple[int, int]]:
        while at < end:
            low, high = self._counted(at, end)
            if low < 0 or high > end:
                self.into.lose("entries of a block", f"one is cut off behind byte {at:,}")
                return
            yield low, high
            at = high

    def _counted(self, at: int, end: int) -> tuple[int, int]:
        """Where what stands behind a length begins and ends; -1 where there is no length."""
        if at + 4 > end:
            return -1, end
        return at + 4, at + 4 + int.from_bytes(self.data[at : at + 4], "little")

    def _names(self, low: int, high: int) -> None:
        """A block's names: they go on from those before, or begin anew where they repeat one of them."""
        found = fields(self.data, low, high)
        names = [self.data[a:b].decode("utf-8", "replace") for a, b in found.parts(1)]
        if any(name in self.known for name in names):
            self.strings.clear()
            self.known.clear()
        self.known.update({name: at for at, name in enumerate(names, len(self.strings))})
        self.strings += names

    def _cut(self, at: int) -> None:
        self.into.lose("the end of the file", f"it is cut off behind byte {at:,}")
