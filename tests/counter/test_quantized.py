"""Products of quantized, packed and compressed weights: the FLOPs of the plain product."""

import pytest

torch = pytest.importorskip("torch")

import flopsight.torch  # noqa: E402
from flopsight.counted import Flops  # noqa: E402
from flopsight.torch.call import Call  # noqa: E402
from flopsight.torch.registry import FORMULAS  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*(quantize|Sparse CSR|deprecated)")
ROWS, K, N = 32, 64, 96
PLAIN = 2 * ROWS * K * N


def flops(run):
    with flopsight.torch.counting() as counted:
        run()
    assert not counted.uncounted, counted.uncounted
    return counted.flops


def by_formula(op, args, out=None, **kwargs):
    """For kernels that no CPU has: the formula, asked with what the op would get."""
    return FORMULAS[op._schema.name](Call(op, args, kwargs, out))


def int8(*shape):
    return torch.randint(-8, 8, shape, dtype=torch.int8)


def test_int8_product():
    assert flops(lambda: torch._int_mm(int8(ROWS, K), int8(K, N))).executed == PLAIN


def test_fp8_product():
    left = torch.randn(ROWS, K).to(torch.float8_e4m3fn)
    right = torch.randn(N, K).to(torch.float8_e4m3fn).t()
    one = torch.ones(())
    assert flops(lambda: torch._scaled_mm(left, right, one, one, out_dtype=torch.bfloat16)).required == PLAIN


def test_weight_only_int8():
    x, scales = torch.randn(ROWS, K, dtype=torch.bfloat16), torch.ones(N, dtype=torch.bfloat16)
    assert flops(lambda: torch._weight_int8pack_mm(x, int8(N, K), scales)).required == PLAIN


def test_weight_only_int4():
    x = torch.randn(ROWS, K, dtype=torch.bfloat16)
    weight = torch.ops.aten._convert_weight_to_int4pack_for_cpu(torch.randint(0, 15, (N, K), dtype=torch.int32), 1)
    scales = torch.ones(K // 32, N, 2, dtype=torch.bfloat16)
    assert flops(lambda: torch.ops.aten._weight_int4pack_mm_for_cpu(x, weight, 32, scales)).required == PLAIN


def test_dynamically_quantized_int4():
    x = torch.randn(ROWS, K)
    weight = torch.randint(0, 255, (N, K // 2), dtype=torch.uint8)
    packed = torch.ops.aten._dyn_quant_pack_4bit_weight(weight, torch.ones(N, 1), None, K, K, N)
    run = torch.ops.aten._dyn_quant_matmul_4bit
    assert flops(lambda: run(x, packed, K, K, N)).required == PLAIN


def quantized(*shape, kind):
    return torch.quantize_per_tensor(torch.randn(shape), 0.1, 0, kind)


def test_packed_linear():
    weight = torch.ops.quantized.linear_prepack(quantized(N, K, kind=torch.qint8), None)
    x = quantized(ROWS, K, kind=torch.quint8)
    assert flops(lambda: torch.ops.quantized.linear(x, weight, 0.1, 0)).required == PLAIN
    assert flops(lambda: torch.ops.quantized.linear_dynamic(torch.randn(ROWS, K), weight)).required == PLAIN


@pytest.mark.parametrize("groups", [1, 4])
def test_packed_convolution_counts_like_the_plain_one(groups):
    weight, x = torch.randn(8, 8 // groups, 3, 3), torch.randn(2, 8, 10, 10)
    packed = torch.ops.quantized.conv2d_prepack(
        torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8), None, [1, 1], [1, 1], [1, 1], groups
    )
    quant = torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)
    plain = flops(lambda: torch.conv2d(x, weight, padding=1, groups=groups))
    assert flops(lambda: torch.ops.quantized.conv2d(quant, packed, 0.1, 0)) == plain


def test_two_of_four_requires_the_dense_product_and_executes_half():
    half = Flops(PLAIN, PLAIN, PLAIN // 2)
    x, weight, meta = torch.empty(ROWS, K), torch.empty(N, K // 2), torch.empty(N, K // 16)
    aten = torch.ops.aten
    assert by_formula(aten._sparse_semi_structured_linear.default, (x, weight, meta)) == half
    assert by_formula(aten._sparse_semi_structured_mm.default, (weight, meta, x.t())) == half
    assert by_formula(aten._cslt_sparse_mm.default, (torch.empty(N, 40), x.t()), torch.empty(N, ROWS)) == half
    transposed = by_formula(
        aten._cslt_sparse_mm.default, (torch.empty(N, 40), x.t()), torch.empty(ROWS, N), transpose_result=True
    )
    assert transposed == half


def test_stored_elements_of_sparse_matrices():
    dense = torch.zeros(ROWS, K)
    dense[0, :10] = 1
    dense[5, 3:20] = 1
    right = torch.randn(K, N)
    for matrix in (dense.to_sparse(), dense.to_sparse_csr()):
        assert flops(lambda matrix=matrix: matrix @ right).required == 2 * 27 * N
        assert flops(lambda matrix=matrix: torch.sparse.mm(matrix, right)).required == 2 * 27 * N
    assert flops(lambda: torch.mv(dense.to_sparse(), right[:, 0])).required == 2 * 27


def test_two_sparse_sides_are_said_to_be_missing():
    with flopsight.torch.counting() as counted:
        torch.eye(8).to_sparse() @ torch.eye(8).to_sparse()
    assert [u.op for u in counted.uncounted] == ["aten.mm.default"]
