"""Every op that PyTorch ships has a formula, a kind, or is said to be missing; single ops against closed forms."""

import math
import re

import pytest

torch = pytest.importorskip("torch")

import flopsight.torch  # noqa: E402
from flopsight.torch.kinds import kind_of  # noqa: E402
from flopsight.torch.plan import plan_of  # noqa: E402
from flopsight.torch.registry import FORMULAS  # noqa: E402
from flopsight.torch.vector import VECTOR  # noqa: E402

F = torch.nn.functional


def counted(run):
    with flopsight.torch.counting() as c:
        run()
    assert not c.uncounted, c.uncounted
    return c


def flops(run):
    return counted(run).flops.required


def shipped():
    """One overload of each op that comes with PyTorch."""
    seen = {}
    for schema in torch._C._jit_get_all_schemas():
        full = schema.name + (f".{schema.overload_name}" if schema.overload_name else "")
        if torch._C._dispatch_has_kernel(full) and not schema.name.startswith("_test::"):
            space, name = schema.name.split("::")
            packet = getattr(getattr(torch.ops, space), name)
            seen.setdefault(schema.name, getattr(packet, schema.overload_name or "default"))
    return seen


OPS = shipped()
LOOKS_LIKE_A_PRODUCT = re.compile(
    r"(^|_|[a-z])(mm|gemm|matmul|bmm|mv)(_|$|\d)|conv\d?d?($|_)|conv_|convolution|(^|_)(rnn|lstm|gru)(_|$)|linear($|_)|"
    r"attention|(^|_)(dot|vdot|einsum|cdist|trilinear|bilinear|cholesky|svd|qr|lu|solve|inverse|matrix_exp)(_|$)|^linalg"
)
NO_PRODUCT = re.compile(
    r"upsample|pack|weight_to_int4|reorder|flatten_weight|linalg_(cross|check|_?powsum|vector_norm|diagonal)|"
    r"_linalg_check|lu_unpack|thnn_fused|relu|gelu|elu|silu|lgamma|apply|tile|_search|compress|slice_inverse|stride|"
    r"_padding|_dilation|_groups|_transpose$|_sizes|linear_combination|upsample|fused_sdp_choice|cudnn_rnn_flatten|"
    r"__upsample|linalg_eigh$|params|batch_norm|embedding|to_dtype|prelu|_linear_tensor|semi_structured_mask"
)
"""Names that look like a product and are copies, questions or work on elements."""


def test_no_product_is_taken_for_work_on_elements():
    """Each op whose name suggests a contraction has a formula, opens into ops, or lands among the uncounted."""
    wrong = []
    for name, op in OPS.items():
        short = name.split("::")[1]
        if not LOOKS_LIKE_A_PRODUCT.search(short) or NO_PRODUCT.search(short) or name.endswith("_copy"):
            continue
        plan = plan_of(op)
        if plan.do not in ("formula", "open", "strange") and not plan.missing and name not in VECTOR:
            wrong.append(name)
    assert not wrong


def test_every_op_is_decided():
    for name, op in OPS.items():
        plan = plan_of(op)
        assert plan.do in ("nothing", "open", "elements", "formula", "strange"), name


def test_activations_are_no_products():
    """`gelu_` ends like an LU factorization and `silu_backward` holds one too."""
    for name in ("relu_", "gelu_", "silu_", "silu_backward", "gelu_backward", "elu_backward", "celu_", "leaky_relu_"):
        packet = getattr(torch.ops.aten, name)
        assert kind_of(getattr(packet, packet.overloads()[0])) == "pointwise", name


HIDDEN_PRODUCTS = ("_euclidean_dist", "affine_grid_generator", "geqrf", "ormqr", "_transformer_encoder_layer_fwd")


@pytest.mark.parametrize("name", HIDDEN_PRODUCTS)
def test_products_that_no_name_tells(name):
    assert f"aten::{name}" in FORMULAS


def test_formulas_are_for_ops_that_exist():
    """Python registers some only when they are used first; the rest must be spelled right."""
    late = {"symm_mem"}
    gone = {n for n in FORMULAS if n not in OPS and n.split("::")[0] not in late and not _elsewhere(n)}
    assert not gone


def _elsewhere(name):
    """Other projects' ops, known by their published schema."""
    return name.split("::")[0] not in (
        "aten",
        "quantized",
        "_quantized",
        "onednn",
        "mkldnn",
        "mkl",
        "inductor",
        "prims",
    )


# single products


def test_vectors():
    a, v, w = torch.randn(6, 4), torch.randn(4), torch.randn(6)
    assert flops(lambda: a @ v) == flops(lambda: a @ v[:, None]) == 2 * 6 * 4
    assert flops(lambda: torch.dot(v, v)) == 2 * 4
    assert flops(lambda: torch.addmv(w, a, v)) == 2 * 6 * 4
    assert flops(lambda: torch.einsum("ij,kj->ik", a, a)) == 2 * 6 * 4 * 6


def test_outer_products_are_vector_work():
    run = counted(lambda: torch.addr(torch.zeros(3, 4), torch.ones(3), torch.ones(4)))
    assert (run.flops.required, run.elementwise) == (0, 2 * 12)


def test_batches():
    a, b = torch.randn(3, 5, 4), torch.randn(3, 4, 6)
    one = 2 * 3 * 5 * 4 * 6
    assert flops(lambda: torch.addbmm(torch.zeros(5, 6), a, b)) == one
    assert flops(lambda: torch.baddbmm(torch.zeros(3, 5, 6), a, b)) == one
    assert flops(lambda: torch.ops.aten._foreach_mm([*a], [*b])) == one


def test_bilinear_is_a_product_and_a_dot():
    x, y = torch.randn(7, 3, requires_grad=True), torch.randn(7, 4, requires_grad=True)
    layer = torch.nn.Bilinear(3, 4, 5, bias=False)

    def plain():
        product = (x @ layer.weight.permute(1, 0, 2).reshape(3, 20)).view(7, 5, 4)
        return torch.bmm(product, y[:, :, None])

    assert flops(lambda: layer(x, y)) == flops(plain)


@pytest.mark.parametrize(("rows", "extra"), [(40, 2), (4, 0)])
def test_distances_hold_one_product(rows, extra):
    x, y = torch.randn(rows, 8), torch.randn(rows, 8)
    run = counted(lambda: torch.cdist(x, y))
    assert run.flops.required == 2 * rows * rows * 8
    assert run.flops.executed == 2 * rows * rows * (8 + extra)


def test_other_distances_are_said_to_be_missing():
    with flopsight.torch.counting() as c:
        torch.cdist(torch.randn(4, 8), torch.randn(4, 8), p=1.0)
    assert [u.op for u in c.uncounted] == ["aten._cdist_forward.default"]


def test_grids():
    assert flops(lambda: F.affine_grid(torch.randn(2, 2, 3), [2, 3, 8, 8], align_corners=False)) == 2 * 2 * 64 * 2 * 3


# whole layers in one kernel

E, H, FFN, SEQ = 16, 4, 32, 6


def encoder():
    return torch.nn.TransformerEncoderLayer(E, H, FFN, dropout=0.0, batch_first=True).eval()


def encoder_flops(lengths):
    total, pairs = sum(lengths), sum(n * n for n in lengths)
    return 2 * total * E * (4 * E + 2 * FFN) + 4 * pairs * E


def test_encoder_fast_path_counts_like_the_slow_one():
    layer, x = encoder(), torch.randn(3, SEQ, E)
    slow = flops(lambda: layer(x))
    with torch.inference_mode():
        fast = counted(lambda: layer(x))
    assert "aten._transformer_encoder_layer_fwd.default" in fast.by_op()
    assert fast.flops.required == slow == encoder_flops([SEQ] * 3)


@pytest.mark.filterwarnings("ignore:.*nested tensors")
def test_encoder_fast_path_with_padding_counts_real_lengths():
    stack = torch.nn.TransformerEncoder(encoder(), 2).eval()
    padding = torch.zeros(3, SEQ, dtype=torch.bool)
    padding[1, 4:] = padding[2, 2:] = True
    with torch.inference_mode():
        assert flops(lambda: stack(torch.randn(3, SEQ, E), src_key_padding_mask=padding)) == 2 * encoder_flops(
            [6, 4, 2]
        )


def test_encoder_mask_lowers_what_is_required():
    layer, x = encoder(), torch.randn(3, SEQ, E)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(SEQ).bool()
    with torch.inference_mode():
        run = counted(lambda: layer(x, src_mask=mask))
    assert run.flops.required == run.flops.executed - 4 * 3 * (SEQ * SEQ - SEQ * (SEQ + 1) // 2) * E


def test_multi_head_attention_fast_path():
    layer, x = torch.nn.MultiheadAttention(E, H, batch_first=True).eval(), torch.randn(3, SEQ, E)
    slow = flops(lambda: layer(x, x, x, need_weights=False))
    with torch.inference_mode():
        assert flops(lambda: layer(x, x, x, need_weights=False)) == slow == 3 * (8 * SEQ * E * E + 4 * SEQ * SEQ * E)


# factorizations: leading terms of Golub and Van Loan

MATRIX = torch.eye(12) * 3 + torch.ones(12, 12)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda: torch.linalg.lu_factor(MATRIX), 2 * 12**3 // 3),
        (lambda: torch.linalg.det(MATRIX), 2 * 12**3 // 3),
        (lambda: torch.linalg.cholesky(MATRIX), 12**3 // 3),
        (lambda: torch.linalg.inv(MATRIX), 2 * 12**3),
        (lambda: torch.linalg.solve(MATRIX, torch.ones(12, 5)), 2 * 12**3 // 3 + 2 * 144 * 5),
        (lambda: torch.linalg.solve_triangular(MATRIX, torch.ones(12, 5), upper=True), 144 * 5),
        (lambda: torch.linalg.solve_triangular(MATRIX, torch.ones(12, 5), upper=True, unitriangular=True), 132 * 5),
        (lambda: torch.linalg.solve_triangular(MATRIX, torch.ones(5, 12), upper=True, left=False), 144 * 5),
        (lambda: torch.cholesky_solve(torch.ones(12, 5), MATRIX), 2 * 144 * 5),
        (lambda: torch.linalg.qr(torch.ones(20, 12), mode="r"), 2 * 144 * (20 - 4)),
        (lambda: torch.linalg.qr(torch.ones(20, 12)), 4 * 144 * (20 - 4)),
        (lambda: torch.linalg.matrix_power(MATRIX, 3), 2 * 2 * 12**3),
    ],
)  # fmt: skip
def test_factorizations(run, expected):
    assert flops(run) == expected


@pytest.mark.parametrize(
    "run",
    [
        lambda: torch.linalg.svd(MATRIX), lambda: torch.linalg.eigh(MATRIX), lambda: torch.matrix_exp(MATRIX),
        lambda: torch.linalg.lstsq(MATRIX, torch.ones(12, 2)), lambda: torch.linalg.eig(MATRIX),
    ],
)  # fmt: skip
def test_iterative_ones_are_said_to_be_missing(run):
    with flopsight.torch.counting() as c:
        run()
    assert any("iterates" in u.why for u in c.uncounted)


# vector work


@pytest.mark.parametrize(
    ("run", "each"),
    [
        (lambda x: x.softmax(-1), 5), (F.silu, 5), (F.gelu, 8), (torch.relu, 1), (torch.tanh, 4),
        (lambda x: F.layer_norm(x, (8,)), 5), (lambda x: F.layer_norm(x, (8,), torch.ones(8), torch.ones(8)), 7),
        (lambda x: x + 1, 1), (lambda x: torch.lerp(x, x, 0.5), 3), (lambda x: x.sum(), 1), (lambda x: x.clone(), 0),
        (lambda x: x.t(), 0),
    ],
)  # fmt: skip
def test_vector_flops_an_element(run, each):
    x = torch.randn(16, 8)
    assert counted(lambda: run(x)).elementwise == each * x.numel()


def test_rms_norm_is_what_the_ledger_says():
    """Square, sum and scale an element; the rest happens once a row, which the ledger leaves out."""
    x = torch.randn(16, 512)
    assert counted(lambda: F.rms_norm(x, (512,))).elementwise == pytest.approx(3 * x.numel(), rel=0.01)


@pytest.mark.parametrize("size", [256, 1000])
def test_fourier_transforms(size):
    whole = 5 * size * math.log2(size)
    rows = torch.randn(3, size)
    assert counted(lambda: torch.fft.fft(rows.to(torch.complex64))).elementwise == int(3 * whole)
    assert counted(lambda: torch.fft.rfft(rows)).elementwise == int(3 * whole / 2)
    spectrum = torch.fft.rfft(rows)
    assert counted(lambda: torch.fft.irfft(spectrum, n=size)).elementwise == int(3 * whole / 2)


@pytest.mark.parametrize(("fused", "foreach"), [(True, False), (False, True), (False, False)])
def test_adamw_in_three_ways(fused, foreach):
    weight = torch.nn.Parameter(torch.randn(4096))
    optimizer = torch.optim.AdamW([weight], fused=fused, foreach=foreach)
    weight.grad = torch.randn(4096)
    optimizer.step()
    run = counted(optimizer.step)
    assert run.elementwise == pytest.approx(14 * 4096, rel=0.08)
    assert {row.during for row in run.rows} == {"optimizer"}
    if fused:
        row = next(r for r in run.rows if "fused" in r.op)
        assert (row.amount.bytes.reads, row.amount.bytes.writes) == (4 * 4096 * 4 + 4, 3 * 4096 * 4)
