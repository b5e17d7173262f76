"""Compiled models inside of distributed wrappers: counted once, compiled afterwards."""

import pytest

torch = pytest.importorskip("torch")

import flopsight.torch  # noqa: E402

N, ROWS = 16, 8
ONE = 2 * ROWS * N * N


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = torch.nn.Linear(N, N), torch.nn.Linear(N, N)

    def forward(self, x):
        return self.down(self.up(x).relu())


@pytest.fixture
def world(tmp_path):
    import torch.distributed as dist

    torch._dynamo.reset()
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()
    torch._dynamo.reset()


def wrapped(kind, model):
    if kind == "DDP":
        return torch.nn.parallel.DistributedDataParallel(model)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    return fully_shard(model, mesh=init_device_mesh("cpu", (1,)))


@pytest.mark.parametrize("kind", ["DDP", "FSDP"])
@pytest.mark.parametrize("inside", [True, False])
def test_wrappers(world, kind, inside):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    net = Net()
    if inside:
        net.compile(backend=backend)
    model = wrapped(kind, net)
    if not inside:
        model = torch.compile(model, backend=backend)
    with flopsight.torch.counting() as c:
        model(torch.ones(ROWS, N)).sum().backward()
    assert c.flops.required == c.flops.executed == 5 * ONE
    assert not c.uncounted
    assert not graphs
    model(torch.ones(ROWS, N)).sum().backward()
    assert graphs
