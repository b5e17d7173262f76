"""Number formats: how many bytes they are stored in, which peak they compute at, and what everyone calls them.

Sizes come from the formats' definitions: IEEE 754; OCP OFP8 and Microscaling (MX) v1.0; ggml's block layouts.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from flopsight.errors import UsageError
from flopsight.expr import Number, ceil_div


@dataclass(frozen=True, slots=True)
class DType:
    """One number format, as stored and as computed with.

    name          our word for it, lower case
    bits          bits of one element, without its share of the scales
    engine        the peak rate it computes at ("bf16", "fp8", ...); empty for storage that is unpacked before use
    block         elements that are packed together
    block_bytes   bytes of one block, scales included
    tensor_bytes  bytes that each tensor adds once (the fp32 scale of nvfp4)
    synonyms      names that frameworks and files use
    """

    name: str
    bits: int
    engine: str
    block: int
    block_bytes: int
    tensor_bytes: int = 0
    synonyms: tuple[str, ...] = ()

    @property
    def stored_bits(self) -> Fraction:
        """Bits of one element with its share of the block scales, exactly: 17/4 for mxfp4."""
        return Fraction(8 * self.block_bytes, self.block)

    def stored_bytes(self, elements: Number) -> Number:
        """Bytes that one tensor of so many elements takes, rounded up to a whole byte; int, array or symbol."""
        if self.block == 1:
            return elements * self.block_bytes
        return ceil_div(elements * self.block_bytes, self.block) + self.tensor_bytes


def _plain(name: str, bits: int, engine: str, *synonyms: str) -> DType:
    """A format without scales: 4-bit elements lie two to a byte, 6-bit elements four to three bytes."""
    block = 1 if bits % 8 == 0 else (2 if bits == 4 else 4)
    return DType(name, bits, engine, block, bits * block // 8, synonyms=synonyms)


_PLAIN: Final = (
    _plain("fp64", 64, "fp64", "f64", "float64", "double"),
    _plain("fp32", 32, "fp32", "f32", "float32", "float"),
    _plain("tf32", 32, "tf32", "tensorfloat32"),
    _plain("bf16", 16, "bf16", "bfloat16"),
    _plain("fp16", 16, "fp16", "f16", "float16", "half"),
    _plain("fp8_e4m3", 8, "fp8", "fp8", "f8", "float8", "e4m3", "f8_e4m3", "f8_e4m3fn", "float8_e4m3fn", "float8_e4m3",
           "fp8_e4m3fn", "f8_e4m3fnuz", "float8_e4m3fnuz", "float8_e4m3b11fnuz"),
    _plain("fp8_e5m2", 8, "fp8", "e5m2", "f8_e5m2", "float8_e5m2", "f8_e5m2fnuz", "float8_e5m2fnuz"),
    _plain("e8m0", 8, "", "f8_e8m0", "f8_e8m0fnu", "float8_e8m0fnu", "ue8m0"),
    _plain("fp6_e2m3", 6, "fp6", "fp6", "f6", "f6_e2m3", "float6_e2m3fn", "e2m3"),
    _plain("fp6_e3m2", 6, "fp6", "f6_e3m2", "float6_e3m2fn", "e3m2"),
    _plain("fp4", 4, "fp4", "f4", "fp4_e2m1", "f4_e2m1", "e2m1", "float4_e2m1fn", "float4_e2m1fn_x2"),
    _plain("int64", 64, "", "i64", "long"),
    _plain("int32", 32, "", "i32", "int"),
    _plain("int16", 16, "", "i16", "short"),
    _plain("int8", 8, "int8", "i8", "qint8"),
    _plain("int4", 4, "int4", "i4", "s4"),
    _plain("nf4", 4, "", "normalfloat4"),
    DType("int3", 3, "", 8, 3),
    _plain("int2", 2, ""),
    _plain("uint64", 64, "", "u64"),
    _plain("uint32", 32, "", "u32"),
    _plain("uint16", 16, "", "u16"),
    _plain("uint8", 8, "", "u8", "byte", "quint8"),
    _plain("uint4", 4, "", "u4"),
    _plain("bool", 8, "", "boolean", "bool_", "pred"),
    _plain("complex64", 64, "", "c64", "cfloat"),
    _plain("complex128", 128, "", "c128", "cdouble"),
)  # fmt: skip

_SCALED: Final = (
    DType("mxfp8", 8, "fp8", 32, 33, synonyms=("mxfp8_e4m3", "mxfp8_e5m2")),
    DType("mxfp6", 6, "fp6", 32, 25, synonyms=("mxfp6_e2m3", "mxfp6_e3m2")),
    DType("mxfp4", 4, "fp4", 32, 17, synonyms=("mxfp4_e2m1",)),
    DType("nvfp4", 4, "fp4", 16, 9, tensor_bytes=4, synonyms=()),
)


def _ggml(name: str, bits: int, block: int, block_bytes: int) -> DType:
    return DType(name.lower(), bits, "", block, block_bytes, synonyms=(f"ggml_type_{name.lower()}",))


_FP64, _FP32, _BF16, _FP16 = _PLAIN[0], _PLAIN[1], _PLAIN[3], _PLAIN[4]
_INT64, _INT32, _INT16, _INT8 = _PLAIN[11], _PLAIN[12], _PLAIN[13], _PLAIN[14]

GGUF_TYPES: Final[dict[int, DType]] = {
    0: _FP32,
    1: _FP16,
    2: _ggml("Q4_0", 4, 32, 18),
    3: _ggml("Q4_1", 4, 32, 20),
    6: _ggml("Q5_0", 5, 32, 22),
    7: _ggml("Q5_1", 5, 32, 24),
    8: _ggml("Q8_0", 8, 32, 34),
    9: _ggml("Q8_1", 8, 32, 40),
    10: _ggml("Q2_K", 2, 256, 84),
    11: _ggml("Q3_K", 3, 256, 110),
    12: _ggml("Q4_K", 4, 256, 144),
    13: _ggml("Q5_K", 5, 256, 176),
    14: _ggml("Q6_K", 6, 256, 210),
    15: _ggml("Q8_K", 8, 256, 292),
    16: _ggml("IQ2_XXS", 2, 256, 66),
    17: _ggml("IQ2_XS", 2, 256, 74),
    18: _ggml("IQ3_XXS", 3, 256, 98),
    19: _ggml("IQ1_S", 1, 256, 50),
    20: _ggml("IQ4_NL", 4, 32, 18),
    21: _ggml("IQ3_S", 3, 256, 110),
    22: _ggml("IQ2_S", 2, 256, 82),
    23: _ggml("IQ4_XS", 4, 256, 136),
    24: _INT8,
    25: _INT16,
    26: _INT32,
    27: _INT64,
    28: _FP64,
    29: _ggml("IQ1_M", 1, 256, 56),
    30: _BF16,
    34: _ggml("TQ1_0", 2, 256, 54),
    35: _ggml("TQ2_0", 2, 256, 66),
    39: DType("gguf_mxfp4", 4, "", 32, 17, synonyms=("ggml_type_mxfp4",)),
    40: DType("gguf_nvfp4", 4, "", 64, 36, synonyms=("ggml_type_nvfp4",)),
    41: _ggml("Q1_0", 1, 128, 18),
}
"""ggml tensor type id -> format: elements in a block and its bytes, scales included; gaps are types ggml removed."""

DTYPES: Final[tuple[DType, ...]] = tuple(dict.fromkeys((*_PLAIN, *_SCALED, *GGUF_TYPES.values())))
"""Every format known, each once."""


def _names() -> dict[str, DType]:
    table: dict[str, DType] = {}
    for each in DTYPES:
        for name in (each.name, *each.synonyms):
            if name in table:
                raise AssertionError(f"two formats are called {name}")
            table[name] = each
    return table


_BY_NAME: Final = _names()
_PREFIXES: Final = ("torch.", "jnp.", "jax.numpy.", "np.", "numpy.", "ml_dtypes.", "tf.", "mlx.core.")


def dtype(name: str) -> DType:
    """The format of this name, in any framework's spelling: "torch.bfloat16", "BF16", "float8_e4m3fn", "Q4_K".

    Raises UsageError with the nearest names for one that is not known.
    """
    key = _key(name)
    if key in _BY_NAME:
        return _BY_NAME[key]
    near = difflib.get_close_matches(key[:64], _BY_NAME, n=3)
    hint = f"Did you mean {', '.join(near)}?" if near else f"Known are {', '.join(d.name for d in DTYPES[:15])}, ..."
    raise UsageError(f"A number format was expected, and {name[:64]!r} is none that is known. {hint}")


def _key(name: str) -> str:
    key = name.strip().lower().replace("-", "_")
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return key
