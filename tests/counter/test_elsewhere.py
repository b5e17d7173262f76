"""Other projects' kernels, with stand-ins of the same name and schema."""

import pytest

torch = pytest.importorskip("torch")

import flopsight.torch  # noqa: E402

ROWS, K, N = 8, 16, 32
PLAIN = 2 * ROWS * K * N
OUT = "-> Tensor"
STAND_INS = [
    ("bitsandbytes", "int8_scaled_mm", "Tensor A, Tensor B, Tensor r, Tensor c, Tensor? bias=None, ScalarType? t=None"),
    ("bitsandbytes", "int8_linear_matmul", "Tensor A, Tensor B"),
    ("fbgemm", "f8f8bf16_rowwise", "Tensor XQ, Tensor WQ, Tensor x, Tensor w, Tensor? bias=None, bool fast=True"),
    ("fbgemm", "bf16i4bf16_rowwise", "Tensor X, Tensor WQ, Tensor w_scale, Tensor w_zp"),
    (
        "torchao",
        "rowwise_scaled_linear_cutlass_s8s4",
        "Tensor input, Tensor s, Tensor weight, Tensor w, Tensor? b=None",
    ),
    ("sgl_kernel", "fp8_scaled_mm", "Tensor mat_a, Tensor mat_b, Tensor sa, Tensor sb, ScalarType t, Tensor? bias"),
    ("_C", "gptq_gemm", "Tensor a, Tensor b_q_weight, Tensor z, Tensor s, Tensor g_idx, bool ex, int bit"),
]


def arguments(schema):
    """Something of each kind; the first is [rows, k]."""
    values = []
    for argument in schema.arguments:
        kind = str(argument.type)
        if argument.name == schema.arguments[0].name:
            values.append(torch.ones(ROWS, K))
        elif argument.has_default_value():
            continue
        else:
            values.append({"Tensor": torch.ones(2), "bool": True, "int": 4}.get(kind, None if "?" in kind else 6))
            if "Optional" in kind:
                values[-1] = None
    return values


@pytest.mark.parametrize(("space", "name", "taken"), STAND_INS)
def test_linear_kernels(space, name, taken):
    with torch.library._scoped_library(space, "FRAGMENT") as library:
        library.define(f"{name}({taken}) {OUT}")
        library.impl(name, lambda *_: torch.zeros(ROWS, N), "CompositeExplicitAutograd")
        op = getattr(getattr(torch.ops, space), name).default
        with flopsight.torch.counting() as c:
            op(*arguments(op._schema))
    assert c.flops.required == c.flops.executed == PLAIN
    assert not c.uncounted


def test_kernels_that_write_into_their_first_argument():
    with torch.library._scoped_library("_C", "FRAGMENT") as library:
        library.define("cutlass_scaled_mm(Tensor! out, Tensor a, Tensor b, Tensor sa, Tensor sb, Tensor? bias) -> ()")
        library.impl("cutlass_scaled_mm", lambda out, *_: None, "CompositeExplicitAutograd")
        one = torch.ones(1)
        with flopsight.torch.counting() as c:
            torch.ops._C.cutlass_scaled_mm(torch.zeros(ROWS, N), torch.ones(ROWS, K), torch.ones(K, N), one, one, None)
    assert c.flops.required == PLAIN


def test_two_of_four():
    with torch.library._scoped_library("torchao", "FRAGMENT") as library:
        library.define(
            "marlin_24_gemm(Tensor x, Tensor weight_marlin, Tensor meta, Tensor s, Tensor workspace, int bits, "
            "int size_m, int size_n, int size_k) -> Tensor"
        )
        library.impl("marlin_24_gemm", lambda *_: torch.zeros(ROWS, N), "CompositeExplicitAutograd")
        one = torch.ones(1)
        with flopsight.torch.counting() as c:
            torch.ops.torchao.marlin_24_gemm(torch.ones(ROWS, K), one, one, one, one, 4, ROWS, N, K)
    assert (c.flops.required, c.flops.executed) == (PLAIN, PLAIN // 2)
