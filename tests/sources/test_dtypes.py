"""Formats against the definitions of others: gguf's block table, safetensors' names, torch's and ml_dtypes' sizes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from flopsight.dtypes import DTYPES, GGUF_TYPES, dtype
from flopsight.errors import UsageError
from flopsight.expr import evaluate, symbol


def test_gguf_blocks_are_those_of_the_gguf_package():
    assert set(GGUF_TYPES) == {int(kind) for kind in GGML_QUANT_SIZES}
    for kind, (block, size) in GGML_QUANT_SIZES.items():
        ours = GGUF_TYPES[int(kind)]
        assert ours.stored_bits == Fraction(8 * size, block), kind
        assert ours.stored_bytes(block * 7) == size * 7, kind
        if block > 1:
            assert (ours.block, ours.block_bytes) == (block, size), kind


@pytest.mark.parametrize("kind", list(GGMLQuantizationType))
def test_gguf_names(kind):
    name = {"MXFP4": "gguf_mxfp4", "NVFP4": "gguf_nvfp4"}.get(kind.name, kind.name)
    assert dtype(name) is GGUF_TYPES[int(kind)]


@pytest.mark.parametrize(
    ("names", "ours"),
    [
        ("torch.bfloat16 BF16 bf16 bfloat16 jnp.bfloat16 ml_dtypes.bfloat16", "bf16"),
        ("torch.float16 F16 half float16 numpy.float16", "fp16"),
        ("torch.float32 F32 float", "fp32"),
        ("torch.float8_e4m3fn F8_E4M3 float8_e4m3fn e4m3 fp8 float8-e4m3fn", "fp8_e4m3"),
        ("torch.float8_e5m2 F8_E5M2", "fp8_e5m2"),
        ("F8_E8M0 torch.float8_e8m0fnu", "e8m0"),
        ("F4 torch.float4_e2m1fn_x2", "fp4"),
        ("torch.int8 I8 np.int8", "int8"),
        ("BOOL torch.bool bool_", "bool"),
    ],
)
def test_every_framework_spells_it_differently(names, ours):
    assert {dtype(name).name for name in names.split()} == {ours}


@pytest.mark.parametrize(
    ("name", "elements", "size"),
    [
        ("bf16", 7, 14),
        ("fp32", 3, 12),
        ("int4", 7, 4),
        ("fp6", 4, 3),
        ("fp6", 5, 4),
        ("mxfp4", 32, 17),
        ("mxfp4", 64, 34),
        ("mxfp8", 32, 33),
        ("nvfp4", 16, 13),
        ("nvfp4", 4096 * 4096, 4096 * 4096 * 9 // 16 + 4),
        ("q4_k", 4096 * 14336, 4096 * 14336 // 256 * 144),
        ("bool", 9, 9),
    ],
)
def test_stored_bytes(name, elements, size):
    assert dtype(name).stored_bytes(elements) == size


def test_stored_bits_carry_the_scales():
    assert dtype("mxfp4").stored_bits == Fraction(17, 4)
    assert dtype("nvfp4").stored_bits == Fraction(9, 2)
    assert dtype("q4_0").stored_bits == Fraction(9, 2)


@pytest.mark.parametrize("each", DTYPES, ids=lambda d: d.name)
def test_int_array_and_symbol_agree(each):
    counts = [0, 1, 5, 31, 32, 33, 256, 1023]
    ints = [each.stored_bytes(n) for n in counts]
    assert list(each.stored_bytes(np.array(counts))) == ints
    assert [evaluate(each.stored_bytes(symbol("n")), {"n": n}) for n in counts] == ints


def test_plain_sizes_are_torch_s():
    torch = pytest.importorskip("torch")
    known = [v for v in vars(torch).values() if isinstance(v, torch.dtype)]
    compared = 0
    for theirs in known:
        try:
            ours = dtype(str(theirs))
        except UsageError:
            continue
        # torch's x2 formats count pairs, and it has no packed 4-bit element.
        if ours.block == 1:
            assert ours.stored_bytes(10) == 10 * theirs.itemsize, theirs
            compared += 1
    assert compared >= 15


@pytest.mark.parametrize("name", ["", "fp33", "bfloat61", "x" * 10_000, "torch.", "\x00"])
def test_unknown_names_say_what_is_near(name):
    with pytest.raises(UsageError) as e:
        dtype(name)
    assert len(str(e.value)) < 400
    if name == "bfloat61":
        assert "bfloat16" in str(e.value)
