"""Records as profilers of other devices write them, and records that make no sense."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopsight.counted import Flops
from flopsight.opcost import OpCost, cost
from flopsight.opcost.cost import FORMULAS
from flopsight.opnames import ELEMENTWISE, FREE, WRITE
from flopsight.trace import Signature

BF16 = "c10::BFloat16"


def test_flash_attention_of_a_gpu_and_its_backward():
    q = (2, 128, 8, 64)
    forward = Signature(
        (q, q, q, (), (), (), (), (), ()), (BF16,) * 3, ("", "", "", "", "", "128", "128", "0.", "True")
    )
    pairs = 2 * 8 * 128 * 129 // 2
    found = cost("aten::_flash_attention_forward", forward)
    assert found.flops == Flops(4 * 64 * pairs, 4 * 64 * 2 * 8 * 128**2, 4 * 64 * pairs)
    lse = (2, 8, 128)
    dims = (q, q, q, q, q, lse, (), (), (), (), (), ())
    values = ("",) * 8 + ("128", "128", "0.", "False")
    back = cost("aten::_flash_attention_backward", Signature(dims, (BF16,) * 5 + ("float",), values))
    whole = 2 * 8 * 128**2
    assert back.flops == Flops(8 * 64 * whole, 8 * 64 * whole, 10 * 64 * whole)


def test_the_triangle_ends_at_the_last_key_for_flash_and_begins_at_the_first_for_others():
    q, k = (1, 1, 4, 8), (1, 1, 10, 8)
    values = ("", "", "", "0.", "True")
    flash = cost("aten::_scaled_dot_product_flash_attention", Signature((q, k, k), (BF16,) * 3, values))
    cpu = cost("aten::_scaled_dot_product_flash_attention_for_cpu", Signature((q, k, k), (BF16,) * 3, values))
    assert flash.flops.required == 4 * 8 * (7 + 8 + 9 + 10)
    assert cpu.flops.required == 4 * 8 * (1 + 2 + 3 + 4)


@given(st.integers(1, 12), st.integers(1, 12), st.booleans())
def test_triangles_pair_by_pair(queries, keys, right):
    op = "aten::_scaled_dot_product_flash_attention" if right else "aten::_scaled_dot_product_cudnn_attention"
    shapes = ((1, 1, queries, 1), (1, 1, keys, 1), (1, 1, keys, 1))
    found = cost(op, Signature(shapes, (BF16,) * 3, ("",) * 4 + ("True", "", "True")))
    shift = keys - queries if right else 0
    assert found.flops.required == 4 * sum(j <= i + shift for i in range(queries) for j in range(keys))


def test_eight_bits_and_four():
    a, b = (64, 32), (32, 48)
    eight = cost("aten::_scaled_mm", Signature((a, b), ("c10::Float8_e4m3fn",) * 2))
    assert (eight.flops.executed, eight.dtype) == (2 * 64 * 32 * 48, "fp8")
    four = cost("aten::_scaled_mm", Signature((a, b), ("c10::Float4_e2m1fn_x2",) * 2))
    assert four.flops.executed == 2 * 64 * 64 * 48


def test_what_nobody_knows_is_none_and_a_view_is_nothing():
    assert cost("mylib::fused_everything", Signature(((3, 4),), ("float",))) is None
    assert cost("aten::some_new_matmul", Signature(((3, 4),), ("float",))) is None
    view = cost("aten::view", Signature(((3, 4),), ("float",)))
    assert (view.kind, view.reads, view.flops.executed) == ("shape", 0, 0)


def test_unknown_formats_have_unknown_bytes():
    found = cost("aten::mm", Signature(((3, 4), (4, 5)), ("c10::New", "c10::New")))
    assert (found.flops.executed, found.dtype, found.reads, found.writes) == (120, "", -1, -1)


NAMES = [*FORMULAS, *(f"aten::{n}{tail}" for n in sorted(ELEMENTWISE | WRITE | FREE) for tail in ("", "_")),
         "aten::_foreach_add_", "aten::_foreach_copy_", "aten::native_dropout", "aten::where"]  # fmt: skip
sizes = st.lists(st.integers(-2, 1 << 40) | st.integers(0, 6), max_size=5).map(tuple)
dims = st.lists(sizes | st.lists(sizes, max_size=3).map(tuple), max_size=12).map(tuple)
texts = st.lists(
    st.sampled_from(["float", BF16, "", "Scalar", "TensorList", "x" * 50, "True", "15", "-7", "9" * 30, "1e999"])
    | st.lists(st.integers(-3, 1 << 70), max_size=5).map(str) | st.text(max_size=6),
    max_size=22,
)  # fmt: skip
strides = st.lists(sizes, max_size=12).map(tuple)


def sound(found):
    assert found is None or isinstance(found, OpCost)
    if found is not None:
        assert min(found.flops.required, found.flops.full_square, found.flops.executed, found.elementwise) >= 0
        assert found.flops.required <= found.flops.full_square
        assert found.reads >= -1
        assert found.writes >= -1
        assert float(found.flops.executed) < 1e300


@settings(max_examples=800, deadline=None)
@given(st.sampled_from(NAMES), dims, texts, texts, strides)
def test_any_record_gives_a_cost_or_none(name, shapes, types, values, steps):
    sound(cost(name, Signature(shapes, tuple(types), tuple(values), steps)))


small = st.lists(st.integers(-1, 9), min_size=1, max_size=5).map(tuple)


@settings(max_examples=800, deadline=None)
@given(
    st.sampled_from(NAMES), st.lists(small | st.just(()), min_size=1, max_size=12).map(tuple),
    st.lists(st.sampled_from(["float", BF16, "Scalar", "", "int", "long int"]), max_size=12).map(tuple),
    st.lists(st.sampled_from(["", "True", "False", "1", "0", "-1", "[1, 1]", "[2]", "[]", "6", "0.5"]), max_size=26),
)  # fmt: skip
def test_nearly_right_records_give_a_cost_or_none(name, shapes, types, values):
    sound(cost(name, Signature(shapes, types, tuple(values))))


@pytest.mark.parametrize("wanted", ["[True, True, True]", "[False, True, False]"])
def test_gradients_of_a_convolution_that_were_asked_for(wanted):
    shapes = ((2, 8, 10, 10), (2, 4, 12, 12), (8, 4, 3, 3), (), (), (), (), (), (), (), ())
    values = ("", "", "", "[8]", "[1, 1]", "[0, 0]", "[1, 1]", "False", "[0, 0]", "1", wanted)
    found = cost("aten::convolution_backward", Signature(shapes, ("float",) * 3, values))
    one = 2 * 2 * 100 * 8 * 4 * 9
    assert found.flops.executed == one * (2 if wanted.startswith("[True") else 1)
