"""Quantities: exact where the text is exact, and one typed error otherwise."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopsight.errors import UsageError
from flopsight.units import DIMENSIONS, format_exact, format_iec, format_si, parse

PARSED = [
    ("989.4 TFLOP/s", "FLOP/s", 989_400_000_000_000), ("989.4TFLOPS", "FLOP/s", 989_400_000_000_000),
    ("1979 TOPS", "FLOP/s", 1_979_000_000_000_000), ("1.5 PFLOPs", "FLOP", 1_500_000_000_000_000),
    ("80 GiB", "B", 80 * 2**30), ("80GB", "B", 80 * 10**9), ("81559 MiB", "B", 81559 * 2**20),
    ("3.35 TB/s", "B/s", 3_350_000_000_000), ("400 Gb/s", "B/s", 50 * 10**9), ("200 Gbit/s", "B/s", 25 * 10**9),
    ("14 ms", "s", 0.014), ("3 us", "s", 3e-6), ("2 min", "s", 120), ("1.5 h", "s", 5400), ("700 W", "W", 700),
    ("$2.50", "$", 2.5), ("2.50 USD", "$", 2.5), ("1.98 GHz", "Hz", 1_980_000_000), ("1_000 B", "B", 1000),
    ("42", "FLOP", 42), ("1e12 FLOP/s", "FLOP/s", 10**12), ("0.1 B", "B", 0.1),
    ("9007199254740993 B", "B", 9007199254740993),
]  # fmt: skip


@pytest.mark.parametrize(("text", "unit", "value"), PARSED)
def test_parse(text, unit, value):
    read = parse(text, unit)
    assert read == value
    assert type(read) is type(value)


BAD = [
    ("5 GB", "FLOP/s"), ("5 TFLOPs", "FLOP/s"), ("5 TFLOP/s", "FLOP"), ("80 gb", "B"), ("nan", "B"), ("inf W", "W"),
    ("", "B"),
    ("GB", "B"), ("1..2 B", "B"), ("5 Xi", "B"), ("1e999999999 B", "B"), ("9" * 5000, "B"), ("$5 W", "$"),
    ("5 KiFLOP", "FLOP"),
    ("5 kmin", "s"), ("1e99999 s", "s"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "unit"), BAD)
def test_bad_quantities(text, unit):
    with pytest.raises(UsageError):
        parse(text, unit)


def test_bad_dimension_and_values():
    with pytest.raises(UsageError, match="not a dimension"):
        parse("5 B", "bytes")
    for value in (math.nan, math.inf, True, "7", None):
        with pytest.raises(UsageError):
            format_si(value, "B")


FORMATTED = [
    (353_956_000_000, "FLOP", 4, "354.0 GFLOP"), (999_960, "B", 4, "1.000 MB"),
    (0, "W", 4, "0 W"), (1, "FLOP", 4, "1.000 FLOP"),
    (0.0000034, "s", 2, "3.4 us"), (-1500, "B", 2, "-1.5 kB"),
    (123_456, "FLOP", 2, "123 kFLOP"), (2.5, "$", 3, "$2.50"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "unit", "digits", "text"), FORMATTED)
def test_format_si(value, unit, digits, text):
    assert format_si(value, unit, digits) == text


def test_format_iec():
    assert format_iec(85_899_345_920) == "80.00 GiB"
    assert format_iec(512) == "512.0 B"
    assert format_iec(2**40, "B/s", 2) == "1.0 TiB/s"


@given(st.integers(0, 10**28), st.sampled_from(DIMENSIONS))
def test_exact_formatting_reads_back_the_same_integer(value, unit):
    assert parse(format_exact(value, unit), unit) == value


@given(st.floats(1e-9, 1e20), st.sampled_from(DIMENSIONS))
def test_exact_formatting_reads_back_the_same_float(value, unit):
    assert parse(format_exact(value, unit), unit) == pytest.approx(value, rel=1e-15)


@given(st.integers(1, 10**24), st.integers(1, 12), st.sampled_from(DIMENSIONS))
def test_rounded_formatting_is_close(value, digits, unit):
    assert parse(format_si(value, unit, digits), unit) == pytest.approx(value, rel=10.0 ** (1 - digits))


@given(st.text(max_size=40), st.sampled_from(DIMENSIONS))
def test_any_text_is_a_number_or_a_usage_error(text, unit):
    with contextlib.suppress(UsageError):
        assert math.isfinite(parse(text, unit))
