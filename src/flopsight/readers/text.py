"""Lines of text files: plain, gzip or xz, in the encodings that shells write, within bounds."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Final

from flopsight.errors import BadFile
from flopsight.readers.limits import Unpacked

BOMS: Final = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8-sig"}
PIECE: Final = 1 << 20
LONGEST: Final = 16 << 20
"""Characters of a line; a longer one is no line of a profiler."""


def decoded(start: bytes) -> str:
    """The beginning of a file as text."""
    return start.decode(_encoding(start), "replace")


def lines(source: Unpacked) -> Iterator[str]:
    """Every line without its end, in order; what is no text becomes U+FFFD.

    Raises BadFile for a line of more than 16 Mi characters.
    """
    part = source.read(PIECE)
    decoder = codecs.getincrementaldecoder(_encoding(part))("replace")
    rest = ""
    while part:
        *done, rest = (rest + decoder.decode(part)).split("\n")
        for line in done:
            yield line.removesuffix("\r")
        if len(rest) > LONGEST:
            raise BadFile(f"a line of more than {LONGEST:,} characters was met, which no text of counters has.")
        part = source.read(PIECE)
    if rest:
        yield rest.removesuffix("\r")


def _encoding(start: bytes) -> str:
    return next((name for bom, name in BOMS.items() if start.startswith(bom)), "utf-8")
