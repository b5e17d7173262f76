"""Custom ops: named where nobody gave a formula, counted where somebody did, and never broken."""

import pytest

torch = pytest.importorskip("torch")

import flopsight.torch  # noqa: E402
from flopsight.counted import Bytes, Flops  # noqa: E402
from flopsight.errors import UsageError  # noqa: E402
from flopsight.torch.registry import CUSTOM  # noqa: E402

N = 8


@torch.library.custom_op("flopsight_tests::product", mutates_args=())
def product(a: torch.Tensor, b: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    return a @ b * scale


@product.register_fake
def _(a, b, scale=1.0):
    return a.new_empty(a.shape[0], b.shape[1])


product.register_autograd(
    lambda ctx, gradient: (gradient @ ctx.saved_tensors[1].t(), ctx.saved_tensors[0].t() @ gradient, None),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(inputs[0], inputs[1]),
)


@pytest.fixture(autouse=True)
def _forget():
    before = dict(CUSTOM)
    yield
    CUSTOM.clear()
    CUSTOM.update(before)


def counted(*sizes, gradient=False):
    a, b = torch.randn(4, N, requires_grad=gradient), torch.randn(N, 6, requires_grad=gradient)
    with flopsight.torch.counting() as c:
        out = product(a, b, 2.0)
        if gradient:
            out.sum().backward()
    return c


def test_an_unknown_op_is_named_with_what_to_do():
    c = counted()
    (missing,) = c.uncounted
    assert (missing.op, missing.calls) == ("flopsight_tests.product.default", 1)
    assert "flopsight.torch.register('flopsight_tests::product'" in missing.why
    assert c.flops.required == 0
    assert "not counted: flopsight_tests.product.default" in repr(c)


def test_a_registered_op_is_counted():
    flopsight.torch.register("flopsight_tests::product", lambda a, b, scale=1.0, *, out: 2 * a.numel() * b.shape[1])
    c = counted()
    assert c.flops == Flops(*[2 * 4 * N * 6] * 3)
    assert not c.uncounted
    assert c.bytes.total == 4 * (4 * N + N * 6 + 4 * 6)


def test_its_backward_is_what_it_runs():
    flopsight.torch.register("flopsight_tests::product", lambda a, b, scale=1.0, *, out: 2 * a.numel() * b.shape[1])
    assert counted(gradient=True).flops.required == 3 * 2 * 4 * N * 6


def test_columns_and_bytes_of_ones_own():
    flopsight.torch.register(
        "flopsight_tests::product", lambda *a, out: Flops(1, 2, 3), bytes=lambda *a, out: Bytes(4, 5)
    )
    c = counted()
    assert (c.flops, c.bytes) == (Flops(1, 2, 3), Bytes(4, 5))


def test_a_formula_that_fails_is_said():
    flopsight.torch.register("flopsight_tests::product", lambda *a, out: 1 // 0)
    assert "ZeroDivisionError" in counted().uncounted[0].why


def test_a_formula_wins_over_ours():
    flopsight.torch.register("aten::mm", lambda a, b, out: 5)
    with flopsight.torch.counting() as c:
        torch.ones(2, 2) @ torch.ones(2, 2)
    assert c.flops.required == 5


@pytest.mark.parametrize(("name", "formula"), [("", len), (None, len), ("a::b", 3)])
def test_wrong_registrations(name, formula):
    with pytest.raises(UsageError):
        flopsight.torch.register(name, formula)


def test_under_fake_tensors():
    flopsight.torch.register("flopsight_tests::product", lambda a, b, scale=1.0, *, out: 2 * a.numel() * b.shape[1])
    found = flopsight.torch.count_abstract(lambda: _Layer(), torch.zeros(4, N))
    assert found.flops.required == 2 * 4 * N * 6


class _Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(N, 6))

    def forward(self, x):
        return product(x, self.weight, 1.0)
