"""The number formats the catalogue has rates for; other spellings are resolved by `flopsight.dtypes`."""

from __future__ import annotations

from typing import Final

from flopsight.dtypes import dtype as find_dtype
from flopsight.errors import UsageError

DTYPES: Final = (
    "fp64", "fp32", "tf32", "bf16", "fp16", "fp16_acc16", "fp8", "fp8_acc16", "bfp8", "fp6", "fp4", "int8", "int4",
)  # fmt: skip


def dtype_name(dtype: str) -> str:
    """The catalogue's word for a number format, whatever framework named it.

    UsageError if it is no format, or one that is only stored and unpacked before it is computed with.

    >>> dtype_name("torch.bfloat16"), dtype_name("float8_e4m3fn"), dtype_name("FP16")
    ('bf16', 'fp8', 'fp16')
    """
    key = dtype.strip().lower()
    if key in DTYPES:
        return key
    found = find_dtype(dtype)
    if found.engine not in DTYPES:
        raise UsageError(
            f"{dtype!r} is a storage format that no engine computes in; name the format it is unpacked to, "
            f"one of {', '.join(DTYPES)}."
        )
    return found.engine
