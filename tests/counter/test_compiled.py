"""Counting runs compiled code eagerly and spoils nothing: it is compiled when it is called afterwards."""

import contextlib

import pytest

torch = pytest.importorskip("torch")

import flopsight.torch  # noqa: E402

N, ROWS = 16, 8
ONE = 2 * ROWS * N * N


@pytest.fixture
def graphs():
    """How many graphs were compiled, and called."""
    torch._dynamo.reset()
    seen = {"compiled": 0, "called": 0}

    def backend(module, inputs):
        seen["compiled"] += 1

        def call(*args):
            seen["called"] += 1
            return module(*args)

        return call

    seen["backend"] = backend
    yield seen
    torch._dynamo.reset()


class Net(torch.nn.Module):
    """nn.Sequential is never compiled in place."""

    def __init__(self):
        super().__init__()
        self.up, self.down = torch.nn.Linear(N, N), torch.nn.Linear(N, N)

    def forward(self, x):
        return self.down(self.up(x).relu())


def model():
    torch.manual_seed(0)
    return Net()


def x():
    return torch.ones(ROWS, N)


@pytest.mark.parametrize("fullgraph", [False, True])
@pytest.mark.parametrize("inplace", [False, True])
def test_a_cold_module_is_counted_and_compiled_afterwards(graphs, fullgraph, inplace):
    net = model()
    if inplace:
        net.compile(backend=graphs["backend"], fullgraph=fullgraph)
    else:
        net = torch.compile(net, backend=graphs["backend"], fullgraph=fullgraph)
    with flopsight.torch.counting() as c:
        net(x())
    assert (c.flops.required, graphs["compiled"]) == (2 * ONE, 0)
    net(x())
    net(x())
    assert (graphs["compiled"], graphs["called"]) == (1, 2)


def test_a_warm_module_counts_the_same_and_stays_warm(graphs):
    net = torch.compile(model(), backend=graphs["backend"])
    net(x()).sum().backward()
    with flopsight.torch.counting() as c:
        net(x()).sum().backward()
    eager = model()
    with flopsight.torch.counting() as plain:
        eager(x()).sum().backward()
    assert c.flops == plain.flops
    called = graphs["called"]
    net(x()).sum().backward()
    assert (graphs["compiled"], graphs["called"]) == (1, called + 1)


def test_aot_compiled_too():
    torch._dynamo.reset()
    net = torch.compile(model(), backend="aot_eager")
    with flopsight.torch.counting() as cold:
        net(x()).sum().backward()
    net(x()).sum().backward()
    with flopsight.torch.counting() as warm:
        net(x()).sum().backward()
    assert cold.flops == warm.flops
    assert cold.flops.required == (2 + 3) * ONE


def test_nested_compiles(graphs):
    inner = torch.compile(model(), backend=graphs["backend"])

    class Outer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x) @ torch.ones(N, N)

    outer = torch.compile(Outer(), backend=graphs["backend"])
    with flopsight.torch.counting() as c:
        outer(x())
    assert (c.flops.required, graphs["compiled"]) == (3 * ONE, 0)
    outer(x())
    assert graphs["compiled"] >= 1


def test_compiled_functions(graphs):
    @torch.compile(backend=graphs["backend"], fullgraph=True)
    def run(a):
        return (a @ a.t()).sum()

    with flopsight.torch.counting() as c:
        run(x())
    assert (c.flops.required, graphs["compiled"]) == (2 * ROWS * N * ROWS, 0)
    run(x())
    assert graphs["compiled"] == 1


def test_the_stance_is_put_back_after_an_error(graphs):
    net = torch.compile(model(), backend=graphs["backend"])
    with pytest.raises(ValueError, match="inside"), flopsight.torch.counting():  # noqa: PT012
        net(x())
        raise ValueError("inside")
    net(x())
    assert graphs["compiled"] == 1


# around a run


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, contextlib.nullcontext])
def test_contexts(context):
    net = model()
    with context(), flopsight.torch.counting() as c:
        net(x())
    with flopsight.torch.counting() as inside, context():
        net(x())
    assert c.flops.required == inside.flops.required == 2 * ONE


def test_autocast_counts_the_format_that_runs():
    net = model()
    with torch.autocast("cpu", dtype=torch.bfloat16), flopsight.torch.counting() as c:
        net(x()).sum().backward()
    assert c.flops.required == 5 * ONE
    assert {row.dtype for row in c.rows if row.amount.flops.required} == {"bf16"}


def test_function_transforms():
    weight, rows = torch.randn(N, N), torch.randn(ROWS, N)

    def loss(w, row):
        return (row @ w).sum()

    with flopsight.torch.counting() as c:
        torch.func.grad(loss)(weight, rows)
    assert c.flops.required == 2 * ONE
    with flopsight.torch.counting() as c:
        torch.func.vmap(loss, (None, 0))(weight, rows)
    assert c.flops.required == ONE
    with flopsight.torch.counting() as c:
        torch.func.vmap(torch.func.grad(loss), (None, 0))(weight, rows)
    assert c.flops.required == 2 * ONE


def test_double_backward():
    weight = torch.randn(N, N, requires_grad=True)
    with flopsight.torch.counting() as c:
        (gradient,) = torch.autograd.grad((x() @ weight).pow(2).sum(), weight, create_graph=True)
        gradient.pow(2).sum().backward()
    # forward, weight gradient; its own backward: back through x'·(·), and once more into the weight
    assert c.flops.required == 4 * ONE


def test_custom_functions():
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a @ b

        @staticmethod
        def backward(ctx, gradient):
            a, b = ctx.saved_tensors
            return gradient @ b.t(), a.t() @ gradient

    a, b = torch.randn(ROWS, N, requires_grad=True), torch.randn(N, N, requires_grad=True)
    with flopsight.torch.counting() as c:
        Product.apply(a, b).sum().backward()
    assert (c.counted.during("forward").flops.required, c.flops.required) == (ONE, 3 * ONE)


# the program is the same


def state(count):
    torch.manual_seed(1)
    net = torch.nn.Sequential(model(), torch.nn.Dropout(0.5), torch.nn.LSTM(N, N, dropout=0.1, num_layers=2))
    optimizer = torch.optim.AdamW(net.parameters())
    losses = []
    with flopsight.torch.counting() if count else contextlib.nullcontext():
        for _ in range(3):
            loss = net(torch.randn(4, ROWS, N))[0].pow(2).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.detach())
    return [*losses, *(p.detach() for p in net.parameters()), torch.get_rng_state()]


def test_losses_weights_and_random_numbers_are_bit_equal():
    assert all(torch.equal(a, b) for a, b in zip(state(True), state(False), strict=True))


def test_errors_pass_through_and_hooks_are_gone():
    from torch.nn.modules.module import _global_forward_hooks, _global_forward_pre_hooks
    from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

    before = len(_global_forward_hooks), len(_global_forward_pre_hooks)
    with pytest.raises(RuntimeError, match="mat1"), flopsight.torch.counting():
        model()(torch.ones(2, 3))
    assert (len(_global_forward_hooks), len(_global_forward_pre_hooks)) == before
    assert not _get_current_dispatch_mode_stack()


def test_nothing_is_kept_alive():
    import gc
    import weakref

    with flopsight.torch.counting() as c:
        big = torch.ones(64, 64)
        out = big @ big
        refs = [weakref.ref(big), weakref.ref(out)]
        del big, out
        gc.collect()
        assert all(ref() is None for ref in refs)
    net = model()
    with flopsight.torch.counting(net) as c:
        net(x()).sum().backward()
    ref = weakref.ref(net)
    assert c.flops.required
    del net
    with flopsight.torch.counting():
        pass
    del c
    gc.collect()
    assert ref() is None


def test_counting_twice_at_once_counts_in_both():
    with flopsight.torch.counting() as outer, flopsight.torch.counting() as inner:
        x() @ torch.ones(N, N)
    assert inner.flops.required == outer.flops.required == ONE


def test_other_threads_are_not_counted_and_not_disturbed():
    import threading

    found = []
    with flopsight.torch.counting() as c:
        thread = threading.Thread(target=lambda: found.append(model()(x())))
        thread.start()
        thread.join()
        x() @ torch.ones(N, N)
    assert c.flops.required == ONE
    assert torch.equal(found[0], model()(x()))
