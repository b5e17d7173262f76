"""How exactly a printed number is known: half a unit of its last digit."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

FORMULA: Final = 0.005
"""What is allowed beyond rounding: half a percent, for peaks and vocabularies that are rounded before they are used."""


def half_digit(value: float) -> float:
    """Half a unit of the last printed digit, relative to the value: 47 -> 0.5/47, 46.2 -> 0.05/46.2.

    A float of 1,000 or more without decimals ("74100.0") was printed as 74.1k: its trailing zeros are no digits.
    """
    exponent = _exponent(value)
    return 0.5 * 10.0**exponent / abs(value)


def _exponent(value: float) -> int:
    if isinstance(value, int):
        return 0
    if value == int(value):
        if abs(value) < 1000:
            return -1
        text = str(int(value))
        return len(text) - len(text.rstrip("0"))
    exponent = Decimal(repr(value)).as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def by_whole_sequences(tokens_each: float, seq: float, devices: float) -> float:
    """The relative half unit of a rate that was printed as whole sequences a second of the whole job.

    864 tokens/s on each of 256 devices at 8,192 tokens is 27.0 sequences a second: known to half a sequence. 0 where
    the rate is not a whole number of sequences.
    """
    sequences = tokens_each * devices / seq
    whole = round(sequences)
    return 0.5 / whole if whole and abs(sequences - whole) < 1e-9 * whole else 0.0
