"""Ops that run programs: what runs is counted, results are the program's own, nothing is skipped in silence."""

import pytest

torch = pytest.importorskip("torch")

import flopsight.torch  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method")
N = 8
ONE = 2 * N**3
H = torch._higher_order_ops


def once(x):
    return x @ x


def twice(x):
    return x @ x @ x


def counted(run):
    with flopsight.torch.counting() as c:
        c.value = run()
    return c


@pytest.mark.parametrize(("chosen", "products"), [(True, 1), (False, 2)])
@pytest.mark.parametrize("gradient", [False, True])
def test_cond_counts_the_branch_that_runs(chosen, products, gradient):
    x = torch.randn(N, N, requires_grad=gradient)

    def run():
        y = torch.cond(torch.tensor(chosen), once, twice, (x,))
        return y.sum().backward() if gradient else y

    c = counted(run)
    assert c.flops.required == c.flops.executed == products * (3 if gradient else 1) * ONE
    assert not c.uncounted
    if gradient:
        found, x.grad = x.grad, None
        (once if chosen else twice)(x).sum().backward()
        assert torch.equal(found, x.grad)


def test_cond_at_inference():
    x = torch.randn(N, N)
    with torch.inference_mode():
        assert counted(lambda: torch.cond(torch.tensor(True), once, twice, (x,))).flops.required == ONE


def test_cond_without_a_value_takes_the_larger_branch_and_says_so():
    with torch._subclasses.FakeTensorMode():
        c = counted(lambda: torch.cond(torch.ones(()) > 0, once, twice, (torch.ones(N, N),)))
    assert c.flops.required == 2 * ONE
    assert any("larger branch" in note for note in c.notes)


def loop(x):
    return H.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x @ x), (torch.tensor(0), x))


def test_loops_count_every_pass():
    c = counted(lambda: loop(torch.eye(N)))
    assert c.flops.required == 3 * ONE
    assert torch.equal(c.value[1], torch.eye(N))


def test_loops_without_values_count_one_pass_and_say_so():
    with torch._subclasses.FakeTensorMode():
        c = counted(lambda: loop(torch.ones(N, N)))
    assert c.flops.required == ONE
    assert [u.op for u in c.uncounted] == ["higher_order.while_loop"]


@pytest.mark.parametrize("gradient", [False, True])
def test_scans_count_every_step(gradient):
    start, rows = torch.eye(N, requires_grad=gradient), torch.randn(4, N, N)

    def run():
        last, _ = H.scan(lambda c, x: (c @ x, c.clone()), start, rows)
        if gradient:
            last.sum().backward()

    assert counted(run).flops.required == (8 if gradient else 4) * ONE


def test_maps_count_every_row_and_return_what_they_return_outside():
    rows, weight = torch.randn(4, N, N), torch.randn(N, N)

    def run():
        return H.map(lambda x, w: x @ w, rows, weight)

    c = counted(run)
    assert c.flops.required == 4 * ONE
    assert torch.equal(c.value, rows @ weight)


def test_associative_scans_count_their_combinations():
    run = counted(lambda: H.associative_scan(torch.matmul, torch.randn(8, N, N), 0, combine_mode="generic"))
    assert run.flops.required == 11 * ONE  # 4 + 2 + 1 on the way up, 1 + 3 on the way down
    assert not run.uncounted


def test_products_that_widen():
    left, right = torch.ones(32, 32, dtype=torch.int8), torch.ones(32, 32, dtype=torch.int8)
    run = counted(lambda: H.out_dtype(torch.ops.aten.mm.default, torch.int32, left, right))
    assert run.flops.required == 2 * 32**3


def test_random_state_wrappers_count_the_op_inside():
    from torch._prims.rng_prims import run_and_save_rng_state

    run = counted(lambda: run_and_save_rng_state(torch.ops.aten.mm.default, torch.ones(N, N), torch.ones(N, N)))
    assert run.flops.required == ONE


def test_an_unknown_one_runs_and_is_named():
    class Strange(torch._ops.HigherOrderOperator):
        def __init__(self):
            super().__init__("flopsight_test_strange")

        def __call__(self, x):
            return super().__call__(x)

    strange = Strange()
    strange.py_impl(torch._C.DispatchKey.CPU)(lambda x: x @ x)
    strange.fallthrough(torch._C.DispatchKey.AutogradCPU)
    x = torch.randn(N, N)
    c = counted(lambda: strange(x))
    assert torch.equal(c.value, x @ x)
    assert [u.op for u in c.uncounted] == ["higher_order.flopsight_test_strange"]


def test_everything_is_put_back():
    ops = [torch.ops.higher_order.cond, torch.ops.higher_order.map_impl]
    before = [dict(op.py_kernels) for op in ops]
    with pytest.raises(ZeroDivisionError):
        counted(lambda: 1 / 0)
    assert [dict(op.py_kernels) for op in ops] == before
    assert torch.equal(torch.cond(torch.tensor(True), once, twice, (torch.eye(N),)), torch.eye(N))
