"""READER of Nsight Compute's reports and exports."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flopsight.errors import BadFile
from flopsight.readers.limits import Limits, Unpacked, unpacked, whole
from flopsight.readers.ncu import dumps, official, tables
from flopsight.readers.ncu.launches import Launches
from flopsight.readers.ncu.report import MAGIC, Report
from flopsight.readers.reader import Head
from flopsight.trace import Trace

ZSTD: Final = b"\x28\xb5\x2f\xfd"
DUMP: Final = re.compile(rb"['\"]metrics['\"]\s*:\s*\{.{0,400}?['\"](?:avg_value|value|unit)['\"]\s*:", re.DOTALL)
OWN: Final = re.compile(
    rb"Duration|SM Busy|Elapsed Cycles|Executed Ipc|Mem Busy|L2 Hit Rate|Memory Throughput|Warp Cycles Per"
    rb"|[a-z0-9]+__[a-z_0-9]+\."
)
LOOK: Final = 200
"""Lines in which a heading is looked for."""
LINE: Final = 16 << 20
"""Characters of a line."""
BOMS: Final = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8-sig"}
HELP: Final = "write it again with `ncu --import REPORT --page raw --csv --print-units base`"


@dataclass(frozen=True, slots=True)
class Ncu:
    """Counters of single kernels."""

    name: str = "ncu"
    title: str = "Nsight Compute reports (.ncu-rep) and tables (ncu --csv)"

    def recognises(self, head: Head) -> bool:
        """By the magic number of reports, by a table's heading, or by metrics under names that only ncu has."""
        if head.text.startswith(MAGIC) or (head.text.startswith(ZSTD) and head.name.endswith(".ncu-repz")):
            return True
        return _dumped(head.text) or _headed(head.text)

    def read(self, path: Path, limits: Limits) -> Trace:
        """Every kernel in the file; BadFile where there is none."""
        with unpacked(path, limits) as source:
            start = source.read(64 << 10)
        if start.startswith(ZSTD):
            raise BadFile(f"{path} is compressed with zstd; unpack it first: zstd -d {path.name} -o report.ncu-rep.")
        if start.startswith(MAGIC):
            return _report(path, limits)
        into = Launches()
        if _dumped(start):
            dumps.read(dumps.records(whole(path, limits, 256 << 20).decode("utf-8", "replace")), into)
        else:
            with unpacked(path, limits) as source:
                tables.read(_lines(source), into)
                if source.cut:
                    into.lose("the end of the file", source.cut)
        if not len(into):
            raise BadFile(f"{path} holds no kernel with Nsight Compute's counters{_why(into)}; {HELP}.")
        return into.trace(str(path))


def _report(path: Path, limits: Limits) -> Trace:
    into = Launches()
    Report(whole(path, limits), into).read()
    if len(into) and into.columns:
        return into.trace(str(path))
    theirs = official.read(path, limits)
    if theirs is None:
        raise BadFile(
            f"{path} is a report of Nsight Compute in which no kernel can be read{_why(into)}; {HELP}, or install "
            "ncu-report."
        )
    return theirs.trace(str(path))


def _why(into: Launches) -> str:
    said = "; ".join([*(f"{what}: {why}" for what, why in into.lost), *into.notes])
    return f" ({said[:300]})" if said else ""


def _dumped(text: bytes) -> bool:
    return text.lstrip()[:1] in (b"{", b"[") and bool(DUMP.search(text)) and bool(OWN.search(text))


def _headed(text: bytes) -> bool:
    """Whether a table's heading is among the first lines."""
    encoding = next((name for bom, name in BOMS.items() if text.startswith(bom)), "utf-8")
    for line in text.decode(encoding, "replace").split("\n")[:LOOK]:
        if "Kernel Name" in line or "Metric Name" in line:
            try:
                cells = next(csv.reader([line.replace("\0", "")]), [])
            except csv.Error:
                cells = []
            if tables.is_heading(cell.strip() for cell in cells) and ("Kernel Name" in cells or "Metric Unit" in cells):
                return True
    return False


def _lines(source: Unpacked) -> Iterator[str]:
    """Lines of a text in any of the encodings that shells write."""
    first = source.read(1 << 20)
    encoding = next((name for bom, name in BOMS.items() if first.startswith(bom)), "utf-8")
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    rest = ""
    while first:
        rest += decoder.decode(first)
        *done, rest = rest.split("\n")
        yield from (f"{line}\n" for line in done)
        rest = rest if len(rest) < LINE else ""
        first = source.read(1 << 20)
    if rest:
        yield rest


READER: Final = Ncu()
