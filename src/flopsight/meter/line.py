"""One line for a person, from the values of a log."""

from __future__ import annotations

from collections.abc import Mapping

from flopsight.meter.report import NAMES

SHARES = ("mfu", "hfu", "mbu", "attainable", "global_mfu")


def line(values: Mapping[str, float | int | str], step: int) -> str:
    """step 120  0.412 s  12,345 tokens/s  MFU 41.2%  HFU 48.0%."""
    found = {name.partition("/")[2]: values[name] for name in NAMES if name in values}
    words = [f"step {step:,}"]
    if (seconds := found.get("step_seconds")) is not None:
        words.append(f"{seconds:.4g} s")
    if (rate := found.get("tokens_per_second")) is not None:
        words.append(f"{rate:,.0f} tokens/s")
    words += [f"{_word(name)} {found[name]:.1%}" for name in SHARES if name in found]
    return "  ".join(words)


def _word(name: str) -> str:
    return {"global_mfu": "MFU of all ranks", "attainable": "attainable"}.get(name, name.upper())
