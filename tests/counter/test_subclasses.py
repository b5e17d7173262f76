"""Tensors of other classes do not break a run: they unpack themselves, and what they run is counted."""

import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import return_and_correct_aliasing  # noqa: E402
from torch.utils._pytree import tree_map  # noqa: E402

import flopsight.torch  # noqa: E402

N, ROWS = 16, 8
ONE = 2 * ROWS * N * N


class Logging(torch.Tensor):
    """The plainest wrapper: it keeps a tensor and notes every op."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    def __init__(self, inner):
        self.inner = inner

    seen = []  # noqa: RUF012

    @classmethod
    def __torch_dispatch__(cls, op, types, args=(), kwargs=None):
        cls.seen.append(str(op))
        args, kwargs = tree_map(lambda t: t.inner if isinstance(t, cls) else t, (args, kwargs or {}))
        return tree_map(lambda t: cls(t) if isinstance(t, torch.Tensor) else t, op(*args, **kwargs))


class Int8Weight(torch.Tensor):
    """As torchao does: an int8 weight that is made wide when it is multiplied."""

    @staticmethod
    def __new__(cls, data, scale):
        return torch.Tensor._make_wrapper_subclass(cls, data.shape, dtype=scale.dtype)

    def __init__(self, data, scale):
        self.data8, self.scale = data, scale

    @classmethod
    def __torch_dispatch__(cls, op, types, args=(), kwargs=None):
        if op in (torch.ops.aten.t.default, torch.ops.aten.detach.default):
            (weight,) = args
            return return_and_correct_aliasing(op, args, kwargs or {}, cls(op(weight.data8), op(weight.scale)))
        wide = tree_map(lambda t: t.data8.to(t.scale.dtype) * t.scale if isinstance(t, cls) else t, args)
        return op(*wide, **(kwargs or {}))


def test_a_logging_tensor():
    Logging.seen.clear()
    with flopsight.torch.counting() as c:
        out = Logging(torch.ones(ROWS, N)) @ Logging(torch.ones(N, N))
    assert isinstance(out, Logging)
    assert any("mm" in op for op in Logging.seen)
    assert c.flops.required == ONE
    assert not c.uncounted


def test_a_quantized_weight():
    weight = Int8Weight(torch.ones(N, N, dtype=torch.int8), torch.ones(N, 1))
    with flopsight.torch.counting() as c:
        torch.nn.functional.linear(torch.ones(ROWS, N), weight)
    assert c.flops.required == ONE


@pytest.mark.filterwarnings("ignore:.*[Mm]asked")
def test_masked_tensors():
    from torch.masked import masked_tensor

    a = masked_tensor(torch.ones(ROWS, N), torch.ones(ROWS, N, dtype=torch.bool))
    with flopsight.torch.counting() as c:
        a + a
    assert c.elementwise >= ROWS * N


@pytest.mark.filterwarnings("ignore:.*[Nn]ested")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors_count_real_lengths(layout):
    ragged = torch.nested.nested_tensor([torch.ones(3, N), torch.ones(5, N)], layout=layout)
    weight = torch.nn.Linear(N, N, bias=False)
    with flopsight.torch.counting() as c:
        weight(ragged)
    assert c.flops.required == 2 * 8 * N * N


def test_a_subclass_without_dispatch():
    class Named(torch.Tensor):
        pass

    with flopsight.torch.counting() as c:
        torch.ones(ROWS, N).as_subclass(Named) @ torch.ones(N, N)
    assert c.flops.required == ONE


def test_functional_tensors():
    def run(x):
        y = x.clone()
        y.add_(1)
        return y @ y.t()

    with flopsight.torch.counting() as c:
        torch.func.functionalize(run)(torch.ones(ROWS, N))
    assert c.flops.required == 2 * ROWS * N * ROWS


@pytest.fixture
def mesh(tmp_path):
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def test_distributed_tensors_count_local_shapes(mesh):
    from torch.distributed.tensor import Shard, distribute_tensor

    a = distribute_tensor(torch.ones(ROWS, N), mesh, [Shard(0)])
    b = distribute_tensor(torch.ones(N, N), mesh, [Shard(1)])
    with flopsight.torch.counting() as c:
        a @ b.redistribute(mesh, [torch.distributed.tensor.Replicate()])
    assert c.flops.required == ONE
    assert not c.uncounted


def test_a_sharded_world_counts_its_own_part(tmp_path):
    """Two ranks, one process: the fake process group moves nothing and tells each rank its shapes."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        mesh = init_device_mesh("cpu", (2,))
        a = distribute_tensor(torch.ones(ROWS, N), mesh, [Replicate()])
        b = distribute_tensor(torch.ones(N, N), mesh, [Shard(1)])
        with flopsight.torch.counting() as c:
            a @ b
        assert c.flops.required == ONE // 2
    finally:
        dist.destroy_process_group()
