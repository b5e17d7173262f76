"""Which reader a file belongs to, and every trace in a file, an archive or a folder."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, cast

from flopsight.errors import BadFile, UsageError
from flopsight.plugins import plugins
from flopsight.readers.archive import unpack
from flopsight.readers.disk import on_disk as on_disk
from flopsight.readers.limits import Limits, unpacked
from flopsight.readers.reader import Head, Reader
from flopsight.readers.sqlite import MAGIC, database
from flopsight.trace import Trace, Unread

OWN: Final[tuple[str, ...]] = (
    "kineto", "xplane", "chrome", "chakra", "nsys", "ncu", "prometheus", "likwid", "papi", "intel.unitrace",
    "intel.advisor", "intel.vtune", "perf", "rocm.rpd", "rocm.rocpd", "rocm.documents", "rocm.compute", "rocm.csvs",
)  # fmt: skip
"""Modules of this package that hold a READER, the most telling first."""
LOOK: Final = 64 << 10
MOST_FILES: Final = 10_000


@cache
def readers() -> tuple[Reader, ...]:
    """Every reader: those of strangers first, so that one of theirs can replace one of ours."""
    theirs = tuple(cast(Reader, one) for _, one in plugins("flopsight.readers"))
    return theirs + tuple(import_module(f"flopsight.readers.{name}").READER for name in OWN)


def read(path: str | Path, limits: Limits | None = None, fmt: str | None = None) -> tuple[Trace, ...]:
    """Every trace of a file, of the files in an archive, or of a folder.

    fmt   name of the reader to use; by default the one that recognises the content

    Raises BadFile where nothing can be read, with what was tried; UsageError for a format that nobody reads.
    """
    path, limits = Path(path), limits or Limits()
    if fmt is not None and fmt not in {one.name for one in readers()}:
        raise UsageError(f"No reader is called {fmt!r}; there are {', '.join(one.name for one in readers())}.")
    if not path.exists():
        raise BadFile(f"{path} does not exist.")
    if path.is_dir():
        return _folder(path, limits, fmt)
    if _is_archive(path):
        with TemporaryDirectory() as place:
            unpack(path, Path(place), limits)
            return tuple(_renamed(one, path, place) for one in _members(Path(place), path, limits, fmt))
    reader = _chosen(head_of(path, limits), fmt)
    if reader is None:
        raise BadFile(
            f"{path} is of no format that is read here: it begins with {_glimpse(path, limits)}. Read are: "
            + "; ".join(one.title for one in readers())
            + "."
        )
    return (reader.read(path, limits),)


def head_of(path: Path, limits: Limits) -> Head:
    """What readers look at."""
    name = path.name.lower()
    if path.is_dir():
        return Head(name, b"", tuple(sorted(one.name for one in path.iterdir())[:MOST_FILES]))
    with unpacked(path, limits) as source:
        text = source.read(LOOK)
    plain = name.removesuffix(".gz").removesuffix(".xz")
    return Head(plain, text, tables=_tables(path, limits) if text.startswith(MAGIC) else frozenset())


def _tables(path: Path, limits: Limits) -> frozenset[str]:
    try:
        with database(path, limits) as db:
            return frozenset(db.tables)
    except BadFile:
        return frozenset()


def _chosen(head: Head, fmt: str | None) -> Reader | None:
    return next((one for one in readers() if (one.name == fmt if fmt else one.recognises(head))), None)


def _glimpse(path: Path, limits: Limits) -> str:
    return repr(head_of(path, limits).text[:40])[1:]


def _is_archive(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path) or zipfile.is_zipfile(path)
    except OSError:
        return False


def _folder(path: Path, limits: Limits, fmt: str | None) -> tuple[Trace, ...]:
    whole = _chosen(head_of(path, limits), fmt)
    if whole is not None and (fmt is None or whole.recognises(head_of(path, limits))):
        return (whole.read(path, limits),)
    return tuple(_members(path, path, limits, fmt))


def _members(folder: Path, said: Path, limits: Limits, fmt: str | None) -> Iterator[Trace]:
    """The traces of a folder's files; what is no trace is said in the first one."""
    found: list[Trace] = []
    unread: list[Unread] = []
    for place in _places(folder):
        if _told_elsewhere(place):
            unread.append(Unread(place.name, 1, "the xplane.pb beside it says the same and more"))
            continue
        try:
            found.extend(_one(place, limits, fmt))
        except BadFile as error:
            unread.append(Unread(place.name, 1, str(error)))
    if not found:
        tried = ", ".join(one.what for one in unread[:5]) or "it is empty"
        raise BadFile(f"{said} holds no file that is read here ({tried}).")
    yield replace(found[0], unread=(*found[0].unread, *unread))
    yield from found[1:]


def _told_elsewhere(place: Path) -> bool:
    """Whether this is the Chrome trace that JAX writes beside an xplane.pb: with both, every kernel counts twice."""
    stem, mark, _ = place.name.partition(".trace.json")
    return bool(mark) and place.with_name(f"{stem}.xplane.pb").exists()


def _one(place: Path, limits: Limits, fmt: str | None) -> tuple[Trace, ...]:
    if place.is_dir():
        reader = _chosen(head_of(place, limits), fmt)
        return () if reader is None else (reader.read(place, limits),)
    reader = _chosen(head_of(place, limits), fmt)
    if reader is None:
        raise BadFile("no reader recognises its content")
    return (reader.read(place, limits),)


def _places(folder: Path) -> Iterator[Path]:
    """Files in order; a folder that a reader takes as a whole is one place."""
    for one in sorted(folder.iterdir()):
        if one.name.startswith(".") or (one.is_symlink() and one.is_dir()):
            continue  # a link to a folder may lead back here
        if one.is_dir():
            whole = _chosen(Head(one.name.lower(), b"", tuple(sorted(x.name for x in one.iterdir()))), None)
            if whole is not None:
                yield one
            else:
                yield from _places(one)
        elif one.is_file():
            yield one


def _renamed(trace: Trace, archive: Path, place: str) -> Trace:
    member = Path(trace.source)
    inside = member.relative_to(place) if member.is_relative_to(place) else member
    return replace(trace, source=f"{archive}!{inside}")
