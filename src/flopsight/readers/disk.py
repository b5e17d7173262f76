"""A file's unpacked content on disk, for libraries that need a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from flopsight.readers.limits import Limits, unpacked


@contextmanager
def on_disk(path: Path, limits: Limits) -> Iterator[Path]:
    """A plain file with the unpacked content, for libraries that need one; the file itself where it is plain."""
    with unpacked(path, limits) as source:
        first = source.read(1 << 20)
        if not source.packed:
            yield path
            return
        with TemporaryDirectory() as folder:
            place = Path(folder) / path.name.removesuffix(".gz").removesuffix(".xz")
            with place.open("wb") as out:
                part = first
                while part:
                    out.write(part)
                    part = source.read(1 << 20)
            yield place
