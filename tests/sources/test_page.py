"""The page about model sources names what the code reads."""

from __future__ import annotations

from pathlib import Path

from flopsight.models.sources import gguf, json_config, safetensors
from flopsight.models.sources.gguf_config import FAMILIES

PAGE = (Path(__file__).parents[2] / "docs" / "model-sources.md").read_text(encoding="utf-8")


def test_families_and_limits_are_those_of_the_code():
    listed = PAGE.split("there or not):")[1].split("Any other family")[0]
    words = {entry.split(" (")[0].strip(" .\n") for entry in listed.replace("\n", " ").split(",")}
    assert words == set(FAMILIES)
    assert (json_config.MAX_BYTES, json_config.MAX_DEPTH, json_config.MAX_VALUES) == (64 * 2**20, 64, 2_000_000)
    assert (safetensors.MAX_HEADER, gguf.MAX_STRING, gguf.MAX_TEXT) == (100_000_000, 16 * 2**20, 128 * 2**20)
    assert (gguf.KEEP, gguf.MAX_TABLE, gguf.MAX_ITEMS, gguf.MAX_NESTING) == (1024, 2**20, 2**24, 4)
    assert all(f"{n}" in PAGE for n in ("64 MiB", "1,048,576", "128 MiB", "100 MB", "1024"))
