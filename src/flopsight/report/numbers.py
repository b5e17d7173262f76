"""How numbers look to a person."""

from __future__ import annotations

from flopsight.units import format_iec as format_iec
from flopsight.units import format_si as format_si


def flop(value: float) -> str:
    """FLOPs with an SI prefix and four digits."""
    return format_si(value, "FLOP")


def short(value: float) -> str:
    """A parameter count the way people say it: 8.03B."""
    for size, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}" if value / size >= 100 else f"{value / size:.2f}{letter}"
    return str(value)


def size(value: float) -> str:
    """Bytes in SI units."""
    return format_si(value, "B")


def both_sizes(value: float) -> str:
    """Bytes in SI and IEC units, since people mix them up."""
    return f"{format_si(value, 'B')} ({format_iec(value)})"


def shape(dims: tuple[int, ...]) -> str:
    """[4096, 11008] as 4096×11008."""
    return "×".join(str(d) for d in dims)
