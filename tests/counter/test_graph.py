"""Captured graphs count like the run that they were captured from."""

import pytest

torch = pytest.importorskip("torch")

import flopsight.torch  # noqa: E402
from flopsight.errors import UsageError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec")
N, ROWS = 16, 8
ONE = 2 * ROWS * N * N


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = torch.nn.Linear(N, 2 * N), torch.nn.Linear(2 * N, N)

    def forward(self, x):
        y = self.down(self.up(x).relu())
        return torch.nn.functional.scaled_dot_product_attention(
            y[None, None], y[None, None], y[None, None], is_causal=True
        )


def run_of(net, x):
    with torch.no_grad(), flopsight.torch.counting(net) as c:
        net(x)
    return c.counted


def test_an_exported_graph():
    net, x = Net(), torch.ones(ROWS, N)
    exported = torch.export.export(net, (x,))
    real = run_of(net, x)
    for graph in (exported.module(), exported.graph_module):
        found = flopsight.torch.count_graph(graph)
        assert found.flops == real.flops
        assert not found.uncounted
    # taken apart, attention is plain products, which run over the whole square
    apart = flopsight.torch.count_graph(exported.run_decompositions().graph_module)
    assert apart.flops.full_square == apart.flops.executed == real.flops.full_square
    assert {"up", "down"} <= set(flopsight.torch.count_graph(exported.graph_module).by_module())


def test_symbolic_sizes_take_the_traced_value():
    net, x = Net(), torch.ones(ROWS, N)
    exported = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("rows", min=2, max=64)},))
    assert flopsight.torch.count_graph(exported.graph_module).flops == run_of(net, x).flops


def test_what_a_backend_is_handed():
    found = []
    torch._dynamo.reset()

    def backend(graph, inputs):
        found.append(flopsight.torch.count_graph(graph))
        return graph

    net, x = Net(), torch.ones(ROWS, N)
    torch.compile(net, backend=backend)(x)
    torch._dynamo.reset()
    assert [c.flops for c in found] == [run_of(net, x).flops]


def test_a_joint_graph_tells_forward_from_backward():
    from torch._functorch.aot_autograd import aot_module_simplified, make_boxed_func

    parts = {}

    def keep(name):
        def compiler(graph, inputs):
            parts[name] = flopsight.torch.count_graph(graph)
            return make_boxed_func(graph.forward)

        return compiler

    net, x = torch.nn.Linear(N, N), torch.ones(ROWS, N, requires_grad=True)
    torch._dynamo.reset()
    torch.compile(
        net,
        backend=lambda graph, inputs: aot_module_simplified(
            graph, inputs, fw_compiler=keep("forward"), bw_compiler=keep("backward")
        ),
    )(x).sum().backward()
    torch._dynamo.reset()
    assert (parts["forward"].flops.required, parts["backward"].flops.required) == (ONE, 2 * ONE)
    assert parts["forward"].during("forward").flops.required == ONE
    assert parts["backward"].during("backward").flops.required == 2 * ONE


def test_branches():
    class Branch(torch.nn.Module):
        def forward(self, x):
            return torch.cond(x.sum() > 0, lambda x: x @ x.t(), lambda x: x @ x.t() @ x @ x.t(), (x,))

    exported = torch.export.export(Branch(), (torch.ones(ROWS, N),))
    found = flopsight.torch.count_graph(exported.graph_module)
    assert found.flops.required == 2 * 2 * ROWS * ROWS * N + 2 * ROWS * ROWS * N
    assert any("larger branch" in note for note in found.notes)


def test_a_graph_without_shapes():
    graph = torch.fx.symbolic_trace(torch.nn.Linear(N, N))
    with pytest.raises(UsageError, match=r"torch\.export"):
        flopsight.torch.count_graph(graph)
