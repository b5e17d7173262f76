"""What a reader is, and what it is handed.

A reader is a module-level object with a name, a look at the beginning of a file, and a way to read it. User code adds
one by the entry point group `flopsight.readers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flopsight.readers.limits import Limits
from flopsight.trace import Trace


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a file, unpacked.

    name   its own name without .gz or .xz, lower-case; for a folder the folder's
    text   the first 64 KiB of its content, unpacked; b"" for a folder
    files  names in it, for a folder
    tables names of its tables and views, for an SQLite database
    """

    name: str
    text: bytes
    files: tuple[str, ...] = ()
    tables: frozenset[str] = frozenset()


class Reader(Protocol):
    """One format."""

    @property
    def name(self) -> str:
        """The format in one word, "kineto"."""
        ...

    @property
    def title(self) -> str:
        """The format for a person, "PyTorch profiler (Kineto) trace"."""
        ...

    def recognises(self, head: Head) -> bool:
        """Whether the content is of this format; cheap, and never raises."""
        ...

    def read(self, path: Path, limits: Limits) -> Trace:
        """The whole file; raises BadFile where nothing in it can be used, says in `Trace.unread` what was left out."""
        ...
