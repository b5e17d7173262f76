"""Feed-forward blocks: gated, two-matrix, and routed experts with their router."""

from __future__ import annotations

from flopsight.models.tree import Node, branch, leaf
from flopsight.parts.linear import Linear
from flopsight.parts.moe import Experts
from flopsight.parts.vector import activation, softmax

ACTIVATIONS = {
    "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_python": "gelu",
    "quick_gelu": "silu", "swish": "silu", "swiglu": "silu", "silu": "silu", "gelu": "gelu", "relu": "relu",
    "relu2": "relu2", "relu_squared": "relu2", "geglu": "gelu", "gelu_10": "gelu", "tanh": "tanh", "sigmoid": "sigmoid",
}  # fmt: skip


def act(name: str) -> str:
    """One of the names in `parts.vector.FLOPS_OF` for a framework's name of an activation."""
    return ACTIVATIONS.get(name, "silu")


def gated_mlp(
    width: int,
    inner: int,
    name: str = "mlp",
    *,
    bias: bool = False,
    names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj"),
    fused: str = "",
    kind: str = "mlp",
    activate: str = "silu",
) -> Node:
    """down(act(gate(x)) * up(x)): three matrices, or two where `fused` names one matrix for gate and up."""
    first = (
        [leaf(fused, Linear(kind, width, 2 * inner, bias))]
        if fused
        else [leaf(n, Linear(kind, width, inner, bias)) for n in names[:2]]
    )
    gate = leaf("act", activation(act(activate), inner, gated=True))
    return branch(name, *first, gate, leaf(names[2], Linear(kind, inner, width, bias)))


def plain_mlp(
    width: int,
    inner: int,
    name: str = "mlp",
    *,
    bias: bool = True,
    names: tuple[str, str] = ("fc1", "fc2"),
    transposed: bool = False,
    kind: str = "mlp",
    activate: str = "gelu",
    output: int = 0,
) -> Node:
    """down(act(up(x))): two matrices. An empty `name` puts them directly into the parent."""
    return branch(
        name,
        leaf(names[0], Linear(kind, width, inner, bias, transposed)),
        leaf("act", activation(act(activate), inner)),
        leaf(names[1], Linear(kind, inner, output or width, bias, transposed)),
    )


def moe(
    experts: Experts,
    *,
    name: str = "mlp",
    router: str = "gate",
    router_bias: bool = False,
    experts_name: str = "experts",
    shared: Node | None = None,
    extra: tuple[Node, ...] = (),
) -> Node:
    """A router, the experts it picks from, and whatever every token also visits."""
    return branch(
        name,
        leaf(router, Linear("router", experts.width, experts.experts, router_bias)),
        leaf("route", softmax(experts.experts, "softmax, top-k")),
        leaf(experts_name, experts),
        shared,
        *extra,
    )
