"""Quantities as people write them: "989.4 TFLOP/s", "80 GiB", "3.35 TB/s", "14 ms". Used at the doors only.

Inside, everything is a plain number in the base unit of its dimension. A dimension is named by that base unit:

    FLOP  FLOP/s  B  B/s  s  Hz  W  $

SI prefixes are powers of 1000 (k M G T P E Z Y, and m u n p), IEC prefixes powers of 1024 (Ki Mi Gi Ti Pi Ei). The case
counts, because it carries the meaning: GB is bytes and Gb is bits, TFLOPS is a rate and TFLOPs an amount. Operations
(OP, TOPS) are counted like FLOPs.
"""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from fractions import Fraction
from typing import Final

from flopsight.errors import UsageError

DIMENSIONS: Final = ("FLOP", "FLOP/s", "B", "B/s", "s", "Hz", "W", "$")

_SI: Final = {
    "": 0, "k": 3, "K": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "Z": 21, "Y": 24,
    "m": -3, "u": -6, "µ": -6, "μ": -6, "n": -9, "p": -12,
}  # fmt: skip
_IEC: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_SPELLINGS: Final[dict[str, tuple[str, Fraction]]] = {
    "FLOP": ("FLOP", Fraction(1)), "FLOPs": ("FLOP", Fraction(1)), "OP": ("FLOP", Fraction(1)),
    "OPs": ("FLOP", Fraction(1)),
    "FLOP/s": ("FLOP/s", Fraction(1)), "FLOPs/s": ("FLOP/s", Fraction(1)), "FLOPS": ("FLOP/s", Fraction(1)),
    "OP/s": ("FLOP/s", Fraction(1)), "OPS": ("FLOP/s", Fraction(1)),
    "B": ("B", Fraction(1)), "b": ("B", Fraction(1, 8)), "bit": ("B", Fraction(1, 8)),
    "B/s": ("B/s", Fraction(1)), "b/s": ("B/s", Fraction(1, 8)), "bit/s": ("B/s", Fraction(1, 8)),
    "s": ("s", Fraction(1)), "Hz": ("Hz", Fraction(1)), "W": ("W", Fraction(1)), "$": ("$", Fraction(1)),
}  # fmt: skip
_WHOLE: Final[dict[str, tuple[str, Fraction]]] = {  # spellings that take no prefix
    "min": ("s", Fraction(60)), "h": ("s", Fraction(3600)), "USD": ("$", Fraction(1)),
    "byte": ("B", Fraction(1)), "bytes": ("B", Fraction(1)),
}  # fmt: skip
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d{1,3})?")
_LARGEST_TEXT = 80
_PREFIXES: Final = ((24, "Y"), (21, "Z"), (18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k"), (0, ""))
_SMALL: Final = ((-3, "m"), (-6, "u"), (-9, "n"), (-12, "p"))


def parse(text: str, unit: str) -> int | float:
    """Read `text` as a quantity of dimension `unit`, in base units: an int where the text is exactly whole.

    A bare number is taken to be in base units. UsageError for another dimension, an unknown unit, NaN or infinity.

    >>> parse("989.4 TFLOP/s", "FLOP/s")
    989400000000000
    >>> parse("80 GiB", "B")
    85899345920
    >>> parse("14 ms", "s")
    0.014
    >>> parse("400 Gb/s", "B/s")
    50000000000
    >>> parse("5 GB", "FLOP/s")
    Traceback (most recent call last):
    flopsight.errors.UsageError: Expected FLOP/s, such as '989.4 TFLOP/s', and read '5 GB', which is in B.
    """
    number, spelling = _split(text, unit)
    if not spelling:
        return _plain(number)
    dimension, factor = _factor(spelling, text, unit)
    if dimension != unit:
        raise UsageError(f"Expected {unit}, such as {_example(unit)}, and read {text!r}, which is in {dimension}.")
    return _plain(number * factor)


def check_number(value: float, what: str = "value") -> int | float:
    """Return `value` if it is a finite number; UsageError names `what` for NaN, infinity, a bool or anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UsageError(f"Expected a finite number for {what} and read {value!r}; leave it out if it is not known.")
    return value


def format_si(value: float, unit: str, digits: int = 4) -> str:
    """Write `value` (base units) with an SI prefix and `digits` significant digits.

    >>> format_si(353_956_000_000, "FLOP")
    '354.0 GFLOP'
    >>> format_si(0.014, "s", 2)
    '14 ms'
    >>> format_si(2.5, "$", 3)
    '$2.50'
    """
    exact = _decimal(value)
    if unit == "$":
        return f"${_rounded(exact, digits):f}"
    shown = exact and exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), ROUND_HALF_EVEN)
    power, prefix = _prefix_for(shown)
    return f"{_rounded(exact.scaleb(-power), digits):f} {prefix}{unit}"


def format_iec(value: float, unit: str = "B", digits: int = 4) -> str:
    """Write a number of bytes (or bytes a second) with a power-of-1024 prefix.

    >>> format_iec(85_899_345_920)
    '80.00 GiB'
    """
    exact = _decimal(value)
    for prefix, power in reversed(_IEC.items()):
        if abs(exact) >= 2**power:
            return f"{_rounded(exact / 2**power, digits):f} {prefix}{unit}"
    return f"{_rounded(exact, digits):f} {unit}"


def format_exact(value: float, unit: str) -> str:
    """Write `value` with the SI prefix that keeps it short and loses nothing; `parse` reads the same number back.

    >>> format_exact(989_400_000_000_000, "FLOP/s")
    '989.4 TFLOP/s'
    """
    exact = _decimal(value)
    power, prefix = (0, "") if unit == "$" else _prefix_for(exact)
    shown = _trimmed(exact.scaleb(-power))
    return f"{shown} {prefix}{unit}"


def _split(text: str, unit: str) -> tuple[Fraction, str]:
    """Cut the text into an exact number and the unit as written."""
    if unit not in DIMENSIONS:
        raise UsageError(f"{unit!r} is not a dimension; it is one of {', '.join(DIMENSIONS)}.")
    if not isinstance(text, str) or len(text) > _LARGEST_TEXT:
        raise UsageError(f"Expected a quantity such as {_example(unit)} and read {str(text)[:_LARGEST_TEXT]!r}.")
    bare = text.strip()
    money = bare.startswith("$")
    bare = bare.removeprefix("$").strip()
    found = _NUMBER.match(bare)
    if found is None:
        raise UsageError(f"Expected a number and a unit, such as {_example(unit)}, and read {text!r}.")
    spelling = bare[found.end() :].strip()
    if money and spelling:
        raise UsageError(f"Expected an amount such as {_example('$')} and read {text!r}.")
    try:
        return Fraction(Decimal(found.group().replace("_", ""))), "$" if money else spelling
    except InvalidOperation:
        raise UsageError(f"Expected a number and read {text!r}.") from None


def _factor(spelling: str, text: str, unit: str) -> tuple[str, Fraction]:
    """Find the dimension and the factor to base units of a unit as written, prefix included."""
    if spelling in _WHOLE:
        return _WHOLE[spelling]
    for prefix, power in _SI.items():
        known = _SPELLINGS.get(spelling.removeprefix(prefix)) if spelling.startswith(prefix) else None
        if known:
            return known[0], known[1] * Fraction(10) ** power
    for prefix, power in _IEC.items():
        known = _SPELLINGS.get(spelling.removeprefix(prefix)) if spelling.startswith(prefix) else None
        if known and known[0] in ("B", "B/s"):
            return known[0], known[1] * 2**power
    raise UsageError(
        f"{spelling!r} in {text!r} is not a unit flopsight knows (the case counts: GB, Gb/s, TFLOP/s); "
        f"write it as {_example(unit)}."
    )


def _plain(number: Fraction) -> int | float:
    return number.numerator if number.denominator == 1 else float(number)


def _example(unit: str) -> str:
    examples = {"FLOP": "'354 GFLOP'", "FLOP/s": "'989.4 TFLOP/s'", "B": "'80 GiB'", "B/s": "'3.35 TB/s'"}
    others = {"s": "'14 ms'", "Hz": "'1.98 GHz'", "W": "'700 W'", "$": "'$2.50'"}
    return (examples | others)[unit]


def _decimal(value: float) -> Decimal:
    return Decimal(repr(check_number(value)))


def _rounded(value: Decimal, digits: int) -> Decimal:
    """Round to significant digits, at least to the whole number when the integer part is longer."""
    if digits < 1:
        raise UsageError(f"Expected at least one significant digit and read {digits}.")
    if value == 0:
        return Decimal(0)
    places = digits - 1 - value.adjusted()
    rounded = value.quantize(Decimal(1).scaleb(-max(places, 0)), ROUND_HALF_EVEN)
    if rounded.adjusted() > value.adjusted() and places > 0:  # 9.9996 became 10.000: one digit too many
        rounded = rounded.quantize(Decimal(1).scaleb(1 - places), ROUND_HALF_EVEN)
    return rounded


def _prefix_for(value: Decimal) -> tuple[int, str]:
    if value == 0:
        return 0, ""
    for power, prefix in (*_PREFIXES, *_SMALL):
        if value.adjusted() >= power:
            return power, prefix
    return _SMALL[-1]


def _trimmed(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
