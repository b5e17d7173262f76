"""Small files of traces, for mutation to start from; imports nothing of flopsight, so that it can be instrumented."""

from __future__ import annotations

import gzip
from pathlib import Path

KEPT = Path(__file__).parents[1] / "data" / "traces"
READERS = {
    "chakra": ("chakra/a100_simple_add_et.json.gz",),
    "chrome": ("chrome/tpu_by_hand.trace.json.gz",),
    "xplane": ("xplane/tpu_by_hand.xplane.pb.gz",),
}
"""Module of flopsight.readers -> files under tests/data/traces, some kilobytes each. One line a reader."""


def seeds(name: str) -> tuple[bytes, ...]:
    """The contents of its files, unpacked."""
    found = (KEPT / one for one in READERS[name])
    return tuple(gzip.decompress(one.read_bytes()) if one.suffix == ".gz" else one.read_bytes() for one in found)
