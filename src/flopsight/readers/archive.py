"""Archives of traces: tar (plain, gzip, xz, bzip2) and zip, unpacked within bounds."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final

from flopsight.errors import BadFile
from flopsight.readers.limits import BROKEN, CHECKED, Limits

MOST_MEMBERS: Final = 10_000
DAMAGED: Final = (*BROKEN, tarfile.TarError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError)


def unpack(path: Path, folder: Path, limits: Limits) -> None:
    """Write the regular files of an archive under a folder, never outside of it.

    Raises BadFile for a damaged archive, too many members, or more bytes than the limits allow.
    """
    budget = min(limits.size, max(CHECKED, path.stat().st_size * limits.ratio))
    try:
        for count, (name, source) in enumerate(_members(path)):
            if count >= MOST_MEMBERS:
                raise BadFile(f"{path} holds more than {MOST_MEMBERS:,} files.")
            target = folder / _safe(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with source as opened, target.open("wb") as out:
                while part := opened.read(min(1 << 20, budget + 1)):
                    budget -= len(part)
                    if budget < 0:
                        raise BadFile(f"{path} unpacks to more than its {path.stat().st_size:,} bytes allow.")
                    out.write(part)
    except DAMAGED as error:
        raise BadFile(f"{path} cannot be unpacked ({type(error).__name__}: {error}).") from error


def _safe(name: str) -> Path:
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "..", ".")]
    return Path(*parts) if parts else Path("unnamed")


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            for entry in packed.infolist():
                if not entry.is_dir():
                    yield entry.filename, packed.open(entry)
        return
    with tarfile.open(path) as packed_tar:
        for member in packed_tar:
            opened = packed_tar.extractfile(member) if member.isfile() else None
            if opened is not None:
                yield member.name, opened
