"""How frameworks write number formats in records, and their bytes."""

from __future__ import annotations

from typing import Final

NAMES: Final = {
    "float": "fp32", "double": "fp64", "c10::Half": "fp16", "c10::BFloat16": "bf16", "half": "fp16",
    "c10::Float8_e4m3fn": "fp8", "c10::Float8_e5m2": "fp8_e5m2", "c10::Float8_e4m3fnuz": "fp8",
    "c10::Float8_e5m2fnuz": "fp8_e5m2", "c10::Float8_e8m0fnu": "e8m0", "c10::Float4_e2m1fn_x2": "fp4",
    "signed char": "int8", "unsigned char": "uint8", "short": "int16", "short int": "int16", "int": "int32",
    "long": "int64", "long int": "int64", "long long": "int64", "bool": "bool", "c10::complex<float>": "complex64",
    "c10::complex<double>": "complex128", "c10::qint8": "int8", "c10::quint8": "uint8", "c10::qint32": "int32",
    "float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64", "int32": "int32", "int64": "int64",
    "unsigned short": "uint16", "unsigned int": "uint32", "unsigned long": "uint64", "short unsigned int": "uint16",
    "long unsigned int": "uint64", "at::Half": "fp16", "at::BFloat16": "bf16",
}  # fmt: skip
"""C++ names as PyTorch writes them ("long" is 64 bits wide there), and plain ones."""
BYTES: Final = {
    "fp64": 8, "fp32": 4, "fp16": 2, "bf16": 2, "fp8": 1, "fp8_e5m2": 1, "e8m0": 1, "fp4": 1, "int8": 1, "uint8": 1,
    "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "uint64": 8, "bool": 1, "complex64": 8,
    "complex128": 16,
}  # fmt: skip
"""Bytes of an element as it is stored (a pair of 4-bit numbers is one)."""
FLOATS: Final = frozenset({"fp64", "fp32", "fp16", "bf16", "fp8", "fp8_e5m2", "fp4"})
COMPLEX: Final = frozenset({"complex64", "complex128"})
CODES: Final = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "fp16", 6: "fp32", 7: "fp64", 9: "complex64",
    10: "complex128", 11: "bool", 12: "int8", 13: "uint8", 14: "int32", 15: "bf16", 23: "fp8_e5m2", 24: "fp8",
    25: "fp8_e5m2", 26: "fp8", 27: "uint16", 28: "uint32", 29: "uint64", 44: "e8m0", 45: "fp4",
}  # fmt: skip
"""c10::ScalarType, the number that stands among an op's arguments where a format is asked for."""


def named(text: str) -> str:
    """The house's name of a format; "" for one that is not known."""
    return NAMES.get(text.strip(), "")
