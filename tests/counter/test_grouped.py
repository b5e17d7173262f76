"""Grouped and quantized products beside plain products of the same rows."""

import pytest

torch = pytest.importorskip("torch")

import flopsight.torch  # noqa: E402
from flopsight.counted import Flops  # noqa: E402

K, N, GROUPS = 32, 48, 3
BF16 = torch.bfloat16


def flops(run):
    with flopsight.torch.counting() as counted:
        run()
    assert not counted.uncounted
    return counted.flops


def offsets(*ends):
    return torch.tensor(ends, dtype=torch.int32)


def loop(rows, weights, ends):
    """The same product, an expert at a time."""
    start = 0
    for weight, end in zip(weights, ends.tolist(), strict=True):
        rows[start:end] @ weight
        start = end


def test_rows_times_weights_are_a_loop_over_experts():
    rows, weights, ends = torch.randn(64, K, dtype=BF16), torch.randn(GROUPS, K, N, dtype=BF16), offsets(16, 40, 64)
    grouped = flops(lambda: torch._grouped_mm(rows, weights, offs=ends))
    assert grouped == flops(lambda: loop(rows, weights, ends))
    assert grouped.required == 2 * 64 * K * N


def test_rows_beyond_the_last_offset_are_not_multiplied():
    rows, weights, ends = torch.randn(64, K, dtype=BF16), torch.randn(GROUPS, K, N, dtype=BF16), offsets(8, 16, 40)
    assert flops(lambda: torch._grouped_mm(rows, weights, offs=ends)).required == 2 * 40 * K * N


def test_columns_of_weights():
    left, columns = torch.randn(GROUPS, 16, K, dtype=BF16), torch.randn(K, 64, dtype=BF16)
    counted = flops(lambda: torch._grouped_mm(left, columns, offs=offsets(16, 32, 48)))
    assert counted.required == 2 * 16 * K * 48


def test_gradients_of_weights_split_the_inner_side():
    left, right = torch.randn(K, 64, dtype=BF16), torch.randn(64, N, dtype=BF16)
    counted = flops(lambda: torch._grouped_mm(left, right, offs=offsets(16, 32, 64)))
    assert counted.required == 2 * K * 64 * N


def test_a_plain_batch():
    left, right = torch.randn(GROUPS, 16, K, dtype=BF16), torch.randn(GROUPS, K, N, dtype=BF16)
    assert flops(lambda: torch._grouped_mm(left, right)) == flops(lambda: torch.bmm(left, right))


def test_training_is_three_products():
    rows = torch.randn(64, K, dtype=BF16, requires_grad=True)
    weights = torch.randn(GROUPS, K, N, dtype=BF16, requires_grad=True)
    gradient = torch.randn(64, N, dtype=BF16)
    counted = flops(lambda: torch._grouped_mm(rows, weights, offs=offsets(16, 40, 64)).backward(gradient))
    assert counted.required == counted.executed == 3 * 2 * 64 * K * N


def test_offsets_without_values_take_all_rows():
    with torch._subclasses.FakeTensorMode():
        rows, weights = torch.randn(64, K, dtype=BF16), torch.randn(GROUPS, K, N, dtype=BF16)
        assert flops(lambda: torch._grouped_mm(rows, weights, offs=offsets(8, 16, 40))).required == 2 * 64 * K * N


@pytest.mark.parametrize(("inner", "layout"), [(64, "rows"), (64, "batch")])
def test_scaled_grouped_product_counts_like_the_plain_one(inner, layout):
    """The CPU has no kernel: the formula is asked with the arguments that one would get."""
    from flopsight.torch.call import Call
    from flopsight.torch.formulas.grouped import grouped_product

    left = torch.empty((64, inner) if layout == "rows" else (GROUPS, 16, inner), dtype=torch.float8_e4m3fn)
    right = torch.empty(GROUPS, inner, N, dtype=torch.float8_e4m3fn)
    ends = offsets(16, 40, 64) if layout == "rows" else None
    for op in (torch.ops.aten._scaled_grouped_mm.default, torch.ops.aten._scaled_grouped_mm_v2.default):
        call = Call(op, (left, right), {"offs": ends}, None)
        rows = 64 if layout == "rows" else GROUPS * 16
        assert grouped_product(call).required == 2 * rows * inner * N


def test_fp4_holds_two_values_a_byte():
    from flopsight.torch.call import Call
    from flopsight.torch.formulas.grouped import grouped_product

    left = torch.empty(64, K // 2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    right = torch.empty(GROUPS, K // 2, N, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    call = Call(torch.ops.aten._scaled_grouped_mm_v2.default, (left, right), {"offs": offsets(16, 40, 64)}, None)
    assert grouped_product(call) == Flops(*[2 * 64 * K * N] * 3)
