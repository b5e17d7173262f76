"""The catalogue in the form that loads fast: one JSON line a record, written from the TOML files and never by hand.

The TOML files under `data/` are what people read and edit. Parsing all of them takes twenty times as long, so this
module keeps a compiled copy beside them: `python -m flopsight.hardware.compiled` writes it, a test compares the two.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from flopsight.errors import BadFile
from flopsight.hardware.record import CpuRecord, LinkRecord

DATA: Final = Path(__file__).parent / "data"
R = TypeVar("R")


def lines(name: str, kind: type[R]) -> list[R]:
    """Read the compiled records `name` (chips, links, cpus); BadFile if the installation is damaged."""
    path = DATA / "compiled" / f"{name}.jsonl"
    try:
        return msgspec.json.Decoder(kind).decode_lines(path.read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        raise BadFile(
            f"Expected the catalogue at {path} and could not read it ({error}); reinstall flopsight."
        ) from None


def compile_all() -> dict[str, bytes]:
    """Read every TOML file of the catalogue and return the compiled files, by name; BadConfig names a faulty file."""
    from flopsight.hardware.reading import read_chip, read_toml, to_record

    chips = [read_chip(path) for path in sorted((DATA / "chips").rglob("*.toml"))]
    links = [to_record(read_toml(path), LinkRecord, str(path)) for path in sorted((DATA / "links").glob("*.toml"))]
    cpus = [to_record(read_toml(path), CpuRecord, str(path)) for path in sorted((DATA / "cpus").glob("*.toml"))]
    encoder = msgspec.json.Encoder()
    return {
        "chips": encoder.encode_lines(chips),
        "links": encoder.encode_lines(links),
        "cpus": encoder.encode_lines(cpus),
    }


def main() -> None:
    """Write the compiled files."""
    folder = DATA / "compiled"
    folder.mkdir(exist_ok=True)
    for name, blob in compile_all().items():
        (folder / f"{name}.jsonl").write_bytes(blob)
        sys.stderr.write(f"{name}: {blob.count(10)} records, {len(blob)} bytes\n")


if __name__ == "__main__":
    main()
