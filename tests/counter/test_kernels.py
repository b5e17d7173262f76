"""Triton launches, with a stand-in of Triton's interface: no Triton, and no GPU, is needed."""

import sys
import types

import pytest

torch = pytest.importorskip("torch")

import torch._dynamo  # noqa: E402, F811 - looks for the real Triton when it is imported
import torch._higher_order_ops.triton_kernel_wrap  # noqa: E402
import torch._inductor.codegen.wrapper  # noqa: E402

import flopsight.torch  # noqa: E402
from flopsight.torch.registry import CUSTOM  # noqa: E402


class JITFunction:
    """What triton.jit returns: kernel[grid](...) becomes run(grid=, warmup=)."""

    def __init__(self, fn, arg_names):
        self.fn, self.arg_names, self.__name__, self.ran = fn, arg_names, fn.__name__, 0

    def __getitem__(self, grid):
        return lambda *args, **kwargs: self.run(*args, grid=grid, warmup=False, **kwargs)

    def run(self, *args, grid, warmup, **kwargs):
        self.ran += 1
        return self.fn(*args, **kwargs)


class Autotuner:
    def __init__(self, fn):
        self.fn, self.best = fn, None

    def __getitem__(self, grid):
        return lambda *args, **kwargs: self.run(*args, grid=grid, warmup=False, **kwargs)

    def _bench(self, *args, **kwargs):
        for _ in range(5):
            self.fn.run(*args, **kwargs)

    def run(self, *args, **kwargs):
        if self.best is None:
            self._bench(*args, **kwargs)
            self.best = 1
        return self.fn.run(*args, **kwargs)


@pytest.fixture
def triton(monkeypatch):
    module = types.ModuleType("triton")
    module.runtime = types.SimpleNamespace(JITFunction=JITFunction, Autotuner=Autotuner)
    monkeypatch.setitem(sys.modules, "triton", module)
    before = dict(CUSTOM)
    yield module
    CUSTOM.clear()
    CUSTOM.update(before)


def product_kernel(a, b, out, BLOCK):
    out.copy_(torch.zeros_like(out))


def make():
    return JITFunction(product_kernel, ["a", "b", "out", "BLOCK"])


def tensors():
    return torch.ones(8, 4), torch.ones(4, 6), torch.zeros(8, 6)


def by_shapes(a, b, out, BLOCK, grid, **_):
    assert grid == (8 // BLOCK,)
    return 2 * a.numel() * b.shape[-1]


def test_a_registered_kernel_is_counted_by_name_with_its_grid(triton):
    flopsight.torch.register("product_kernel", by_shapes, bytes=lambda a, b, out, **_: 4 * 80)
    kernel = make()
    with flopsight.torch.counting() as c:
        kernel[lambda meta: (8 // meta["BLOCK"],)](*tensors(), BLOCK=4)
    assert kernel.ran == 1
    assert c.by_op()["triton.product_kernel"].flops.required == 2 * 8 * 4 * 6
    assert c.by_op()["triton.product_kernel"].bytes.total == 320
    assert not c.uncounted


def test_an_unregistered_kernel_is_named(triton):
    kernel = make()
    with flopsight.torch.counting() as c:
        kernel[(1,)](*tensors(), BLOCK=4)
    assert [u.op for u in c.uncounted] == ["triton.product_kernel"]
    assert "register('product_kernel'" in c.uncounted[0].why


def test_what_the_tuner_tries_is_not_counted(triton):
    flopsight.torch.register("product_kernel", lambda **_: 10)
    tuned = Autotuner(make())
    with flopsight.torch.counting() as c:
        tuned[(1,)](*tensors(), BLOCK=4)
        tuned[(1,)](*tensors(), BLOCK=4)
    assert (tuned.fn.ran, c.flops.required) == (7, 20)


def test_warming_up_is_not_counted(triton):
    flopsight.torch.register("product_kernel", lambda **_: 10)
    with flopsight.torch.counting() as c:
        make().run(*tensors(), BLOCK=4, grid=(1,), warmup=True)
    assert c.flops.required == 0


def test_launches_are_watched_only_while_counting(triton):
    before = JITFunction.run, Autotuner._bench
    with pytest.raises(ZeroDivisionError), flopsight.torch.counting():  # noqa: PT012
        assert (JITFunction.run, Autotuner._bench) != before
        1 / 0  # noqa: B018
    assert (JITFunction.run, Autotuner._bench) == before


def test_a_formula_that_fails_does_not_fail_the_program(triton):
    flopsight.torch.register("product_kernel", lambda **_: 1 / 0)
    kernel = make()
    with flopsight.torch.counting() as c:
        kernel[(1,)](*tensors(), BLOCK=4)
    assert kernel.ran == 1
    assert "ZeroDivisionError" in c.uncounted[0].why


@pytest.fixture
def library():
    with torch.library._scoped_library("flopsight_kernels", "FRAGMENT") as lib:
        yield lib


def test_an_op_that_launches_kernels_is_its_kernels(triton, library):
    flopsight.torch.register("product_kernel", lambda **_: 10)
    kernel = make()
    library.define("launches(Tensor a) -> Tensor")
    library.impl("launches", lambda a: (kernel[(1,)](*tensors(), BLOCK=4), a.clone())[1], "CPU")
    with flopsight.torch.counting() as c:
        torch.ops.flopsight_kernels.launches(torch.ones(3))
    assert c.flops.required == 10
    assert not c.uncounted


def test_an_op_with_a_formula_is_not_counted_twice(triton, library):
    flopsight.torch.register("product_kernel", lambda **_: 10)
    flopsight.torch.register("flopsight_kernels::whole", lambda a, out: 7)
    kernel = make()
    library.define("whole(Tensor a) -> Tensor")
    library.impl("whole", lambda a: (kernel[(1,)](*tensors(), BLOCK=4), a.clone())[1], "CPU")
    with flopsight.torch.counting() as c:
        torch.ops.flopsight_kernels.whole(torch.ones(3))
    assert c.flops.required == 7


def test_a_kernel_captured_by_a_compiler(triton, monkeypatch):
    """The higher-order op that a compiler makes of a launch: executed, and counted by the same name."""
    from torch._higher_order_ops import triton_kernel_wrap as wrap

    flopsight.torch.register("product_kernel", lambda a, b, **_: 2 * a.numel() * b.shape[-1])
    kernel, (a, b, out) = make(), tensors()
    monkeypatch.setattr(wrap.kernel_side_table, "id_to_kernel", {0: kernel})
    monkeypatch.setattr(wrap.kernel_side_table, "constant_args", {0: {"BLOCK": 4}})
    op = torch.ops.higher_order.triton_kernel_wrapper_mutation
    with flopsight.torch.counting() as c:
        op(
            kernel_idx=0, constant_args_idx=0, grid=[(1,)], tma_descriptor_metadata={},
            kwargs={"a": a, "b": b, "out": out},
        )  # fmt: skip
    assert kernel.ran == 1
    assert c.flops.required == 2 * 8 * 4 * 6
    assert c.by_op()["triton.product_kernel"].calls == 1
