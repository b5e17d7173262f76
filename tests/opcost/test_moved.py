"""Bytes that a trace's shapes give are those of the tensors that each op was really given and returned."""

import warnings

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

import flopsight.torch  # noqa: E402
from tests.opcost.running import watched  # noqa: E402

A, B, C = torch.randn(6, 8), torch.randn(8), torch.randn(4, 6, 8)
HALF, WHOLE, MASK = A.bfloat16(), torch.randint(1, 9, (6, 8)), A > 0
ROWS, IMAGE = torch.randint(0, 6, (5,)), torch.randn(2, 6, 9, 11)

EXACT = {
    "elements": [
        lambda: A + B, lambda: A + 1, lambda: WHOLE + 1, lambda: WHOLE * 0.5, lambda: WHOLE / 2, lambda: A + HALF,
        lambda: HALF * 2.0, lambda: WHOLE + A, lambda: A > 0, lambda: ~MASK, lambda: A.exp(), lambda: WHOLE.sqrt(),
        lambda: A.expand(4, 6, 8) * C, lambda: A.t() * 2, lambda: -A, lambda: 1 / A, lambda: WHOLE // 2,
        lambda: MASK & MASK, lambda: torch.isnan(A), lambda: torch.logical_and(MASK, MASK), lambda: A.pow(2),
        lambda: torch.maximum(A, B), lambda: torch.lerp(A, A, 0.3), lambda: torch.addcmul(A, A, A),
        lambda: torch.where(MASK, A, B), lambda: A.masked_fill(MASK, -1e9), lambda: A.clamp(0, 1),
        lambda: A.clone().add_(B),
        lambda: F.gelu(A), lambda: F.silu(HALF), lambda: F.relu(A), lambda: A.clone().relu_(),
        lambda: F.leaky_relu(A),
        lambda: F.hardswish(A), lambda: F.softplus(A), lambda: F.elu(A), lambda: F.mish(A), lambda: F.prelu(A, B[:1]),
        lambda: torch.sigmoid(A), lambda: torch.atan2(A, A), lambda: F.glu(A), lambda: torch.outer(B, B),
        lambda: torch.complex(A, A).abs(), lambda: torch.native_dropout(A, 0.3, True),
    ],
    "copies": [
        lambda: A.to(torch.bfloat16), lambda: HALF.float(), lambda: A.t().contiguous(),
        lambda: A.expand(4, 6, 8).clone(),
        lambda: F.pad(A, (1, 2)), lambda: A.repeat(2, 3), lambda: A.flip(0), lambda: A.tril(), lambda: A.roll(1, 0),
        lambda: HALF.to(torch.float8_e4m3fn),
    ],
    "reductions": [
        lambda: A.sum(), lambda: A.sum(1), lambda: A.sum((0, 1), keepdim=True),
        lambda: A.sum(-1, dtype=torch.float64),
        lambda: WHOLE.sum(), lambda: MASK.sum(), lambda: A.mean(0), lambda: A.amax(1), lambda: A.max(),
        lambda: A.max(1),
        lambda: torch.max(A, B), lambda: A.argmax(-1), lambda: MASK.any(), lambda: MASK.all(1), lambda: A.norm(),
        lambda: torch.linalg.vector_norm(A, dim=1), lambda: A.var(1), lambda: torch.var_mean(A, 1), lambda: A.std(),
        lambda: A.logsumexp(1), lambda: A.prod(), lambda: A.cumsum(1), lambda: MASK.cumsum(1), lambda: A.topk(3),
        lambda: A.sort(), lambda: A.cummax(0), lambda: torch.bucketize(A, torch.arange(4.0)),
        lambda: F.max_pool2d(IMAGE, 2), lambda: F.avg_pool2d(IMAGE, 3, 2, 1), lambda: F.adaptive_avg_pool2d(IMAGE, 3),
        lambda: F.interpolate(IMAGE, scale_factor=2), lambda: F.interpolate(IMAGE, scale_factor=2, mode="bilinear"),
        lambda: F.softmax(A, -1), lambda: F.log_softmax(HALF, -1), lambda: F.softmax(HALF, -1, dtype=torch.float32),
        lambda: F.mse_loss(A, C[0]), lambda: F.smooth_l1_loss(A, C[0], reduction="none"),
        lambda: F.binary_cross_entropy_with_logits(A, MASK.float()),
    ],
    "products": [
        lambda: A @ torch.randn(8, 3), lambda: torch.addmm(B, A, torch.randn(8, 8)), lambda: C @ torch.randn(4, 8, 5),
        lambda: A @ B, lambda: torch.dot(B, B), lambda: HALF @ HALF.t(),
        lambda: F.conv2d(IMAGE, torch.randn(4, 6, 3, 3), B[:4]),
        lambda: F.conv_transpose2d(IMAGE, torch.randn(6, 4, 3, 3), stride=2, padding=1, output_padding=1, groups=2),
        lambda: F.conv1d(C, torch.randn(9, 2, 3), stride=2, padding=1, dilation=2, groups=3),
        lambda: F.conv_transpose1d(C, torch.randn(6, 5, 3), dilation=2),
        lambda: torch._int_mm(torch.zeros(32, 16, dtype=torch.int8), torch.zeros(16, 32, dtype=torch.int8)),
        lambda: torch._grouped_mm(
            torch.randn(24, 16).bfloat16(), torch.randn(3, 16, 32).bfloat16(), offs=torch.tensor([5, 11, 24]).int()),
    ],
}  # fmt: skip
AROUND = {
    "aten::select", "aten::expand", "aten::t", "aten::view", "aten::unsqueeze", "aten::permute", "aten::empty",
    "aten::_unsafe_view", "aten::randn", "aten::zeros", "aten::lift_fresh", "aten::detach", "aten::arange",
    "aten::slice", "aten::_local_scalar_dense", "aten::_to_copy", "aten::clone", "aten::complex",
}  # fmt: skip


def seen(path, programs):
    def run():
        for one in programs:
            one()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return watched(path, run)


@pytest.mark.parametrize("group", EXACT)
def test_bytes_read_and_written(group, tmp_path):
    pairs = seen(tmp_path / "t.json", EXACT[group])
    right = [
        (real.op, real.given, real.made)
        for real, one in pairs
        if one is not None and (one.reads, one.writes) == (sum(real.given), sum(real.made))
    ]
    wrong = [
        (real.op, real.given, real.made, one)
        for real, one in pairs
        if real.op not in AROUND and (one is None or (one.reads, one.writes) != (sum(real.given), sum(real.made)))
    ]
    assert not wrong
    assert len(right) >= len(EXACT[group])


def test_lookups_move_rows_and_not_tables(tmp_path):
    table, more = torch.randn(50, 8), torch.randn(5, 8)
    at = ROWS.view(1, 5)
    programs = [
        lambda: F.embedding(ROWS, table), lambda: table.index_select(0, ROWS), lambda: table.gather(0, at),
        lambda: torch.take(table, ROWS), lambda: table.index_add_(0, ROWS, more), lambda: table.scatter_(0, at, more),
        lambda: table.scatter_add_(0, at, more), lambda: table.index_put_((ROWS,), more),
    ]  # fmt: skip
    row, indices = 8 * 4, 5 * 8
    few = 5 * 4
    expected = {
        "aten::embedding": (5 * row + indices, 5 * row), "aten::index_select": (5 * row + indices, 5 * row),
        "aten::gather": (few + indices, few), "aten::take": (few + indices, few),
        "aten::index_add_": (2 * 5 * row + indices, 5 * row), "aten::scatter_": (few + indices, few),
        "aten::scatter_add_": (2 * few + indices, few),
        "aten::index_put_": (5 * row, 5 * row),  # a list of indices is not recorded
    }  # fmt: skip
    found = {real.op: (one.reads, one.writes) for real, one in seen(tmp_path / "t.json", programs) if one is not None}
    assert {op: found[op] for op in expected} == expected


def test_backward_passes(tmp_path):
    """What is written: the gradients. What is read: at most the tensors given, in most ops all of them."""
    w, bias = torch.randn(6, 8, requires_grad=True), torch.randn(8, requires_grad=True)
    table, kernel = torch.randn(12, 8, requires_grad=True), torch.randn(4, 6, 3, 3, requires_grad=True)
    q = [torch.randn(2, 4, 8, 16, requires_grad=True) for _ in range(3)]
    programs = [
        lambda: F.layer_norm(w, (8,), bias, bias), lambda: F.rms_norm(w, (8,), bias), lambda: F.gelu(w),
        lambda: F.silu(w),
        lambda: torch.tanh(w), lambda: torch.sigmoid(w), lambda: F.softmax(w, -1) * A,
        lambda: F.log_softmax(w, -1) * A,
        lambda: F.embedding(ROWS, table), lambda: F.cross_entropy(w, ROWS.repeat(2)[:6]), lambda: w[1:], lambda: w[0],
        lambda: w.relu(), lambda: F.leaky_relu(w), lambda: F.hardswish(w), lambda: F.softplus(w), lambda: F.elu(w),
        lambda: F.mse_loss(w, A), lambda: F.glu(w), lambda: F.conv2d(IMAGE, kernel, bias[:4]),
        lambda: F.group_norm(w.view(1, 2, 3, 8), 2, bias[:2], bias[:2]), lambda: F.max_pool2d(w.view(1, 1, 6, 8), 2),
        lambda: F.batch_norm(w.view(2, 3, 8), B[:3], B[3:6], bias[:3], bias[:3], training=True),
        lambda: F.scaled_dot_product_attention(*q, is_causal=True),
    ]  # fmt: skip
    backward = [lambda one=one: one().sum().backward() for one in programs]
    pairs = [(real, one) for real, one in seen(tmp_path / "t.json", backward) if "backward" in real.op]
    assert len({real.op for real, _ in pairs}) >= 20
    for real, one in pairs:
        assert one is not None, real
        assert one.writes == sum(real.made), real
        assert 0 < one.reads <= sum(real.given) + sum(real.made), real


def test_fills_read_nothing(tmp_path):
    programs = [
        lambda: A.clone().zero_(), lambda: A.clone().normal_(), lambda: A.clone().uniform_(),
        lambda: A.clone().fill_(2.0),
        lambda: torch.ones_like(A, dtype=torch.int8), lambda: torch.zeros_like(HALF), lambda: torch.rand_like(HALF),
        lambda: torch.full((3, 4), 2.0, dtype=torch.float64), lambda: A.new_zeros(4, 5),
        lambda: torch.zeros(3, 4, dtype=torch.bfloat16),
    ]  # fmt: skip
    pairs = [(real, one) for real, one in seen(tmp_path / "t.json", programs) if real.op != "aten::clone"]
    assert len(pairs) >= len(programs)
    assert all((one.reads, one.writes) == (0, sum(real.made)) for real, one in pairs)


def test_formats_of_lists_are_not_recorded(tmp_path):
    """Their bytes are unknown then, and never guessed; operations are counted."""
    w = torch.randn(6, 8, requires_grad=True)

    def step():
        torch.cat([A, A])
        torch._foreach_mul_([A.clone(), B.clone()], 2.0)
        w.grad = torch.ones_like(w)
        torch.optim.AdamW([w], fused=True).step()

    found = {real.op: one for real, one in seen(tmp_path / "t.json", [step])}
    for op in ("aten::cat", "aten::_foreach_mul_", "aten::_fused_adamw_"):
        assert (found[op].writes, found[op].dtype) == (-1, "")
    assert found["aten::_foreach_mul_"].elementwise == 6 * 8 + 8
    assert found["aten::_fused_adamw_"].elementwise == 14 * 6 * 8
    assert found["aten::_fused_adamw_"].kind == "optimizer"


def test_operations_on_elements_are_those_of_the_counter(tmp_path):
    w = torch.randn(6, 8, requires_grad=True)
    programs = [
        *EXACT["elements"], lambda: F.softmax(A, -1), lambda: F.layer_norm(A, (8,), B, B),
        lambda: F.layer_norm(A, (8,)),
        lambda: F.rms_norm(A, (8,), B), lambda: F.group_norm(IMAGE, 2, B[:6], B[:6]),
        lambda: F.batch_norm(IMAGE, B[:6], B[:6]),
        lambda: F.layer_norm(w, (8,), B, B).sum().backward(), lambda: F.rms_norm(w, (8,), B).sum().backward(),
        lambda: (F.softmax(w, -1) * A).sum().backward(), lambda: F.gelu(w).sum().backward(),
        lambda: F.silu(w).sum().backward(),
        lambda: A.sum(), lambda: A.amax(1), lambda: A.cumsum(0),
    ]  # fmt: skip
    with flopsight.torch.counting() as counter:
        for one in programs:
            one()
    w.grad = None
    pairs = seen(tmp_path / "t.json", programs)
    counted = {}
    for op, amount in counter.by_op().items():
        name = "aten::" + op.split(".")[1]
        counted[name] = counted.get(name, 0) + amount.elementwise
    found = {}
    for real, one in pairs:
        if one is not None and one.engine == "vector":
            found[real.op] = found.get(real.op, 0) + one.elementwise
    assert {op: n for op, n in found.items() if n != counted[op]} == {}
    assert sum(found.values()) > 10_000
