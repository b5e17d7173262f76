"""Count a captured graph: what torch.export gave, or what a compiler's backend is handed, without running it for real.

The graph is walked with abstract tensors of the shapes that its inputs carry, so that the same formulas see the same
ops as in a run. Symbolic sizes take the value that they were traced with.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule, Interpreter, Node
from torch.utils._pytree import tree_map

from flopsight.counted import Counted, During
from flopsight.errors import UsageError
from flopsight.torch.counting import watching
from flopsight.torch.mode import CountingMode
from flopsight.torch.values import Values

_GUARDS: Final = "_guards_fn"


def count_graph(graph: GraphModule) -> Counted:
    """The work of one run of a graph module.

        count_graph(torch.export.export(model, (x,)).module())
        torch.compile(model, backend=lambda graph, inputs: (print(count_graph(graph).flops), graph)[1])

    graph   an FX graph of aten or torch ops, higher-order ones among them, whose inputs know their shapes: in
            meta["val"] (torch.export, AOTAutograd) or meta["example_value"] (Dynamo)

    Nodes that AOTAutograd marks as backward are counted as such; module paths are those that the tracer kept.
    Raises UsageError for a graph whose inputs carry no shapes.
    """
    place, values = Place(), Values()
    mode = CountingMode(place)
    mode.real = values.real
    with FakeTensorMode(allow_non_fake_inputs=True):
        inputs = [_input(node) for node in graph.graph.nodes if node.op == "placeholder"]
        with values, watching(mode), torch.no_grad():
            Walk(graph, place).run(*inputs, enable_io_processing=False)
    return mode.counted()


class Place:
    """Where the walk is: module path and pass of the present node."""

    def __init__(self) -> None:
        self.at: tuple[str, During] = ("", "forward")

    def now(self) -> tuple[str, During]:
        """The module path and pass of the op that is running."""
        return self.at

    def __enter__(self) -> Place:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass


class Walk(Interpreter):
    """Runs a graph node by node and tells the counter whose node it is."""

    def __init__(self, graph: GraphModule, place: Place) -> None:
        super().__init__(graph, garbage_collect_values=True)
        self.place = place

    def run_node(self, node: Node) -> Any:
        """One node, as it is run elsewhere."""
        if node.op == "call_module" and node.target == _GUARDS:
            return None  # checks of shapes, which are those that the graph was made with
        backward = node.meta.get("partitioner_tag") in ("is_backward", "must_be_in_backward")
        self.place.at = (_module(node), "backward" if backward else "forward")
        return super().run_node(node)


def _module(node: Node) -> str:
    """The innermost module's path."""
    stack = node.meta.get("nn_module_stack") or node.meta.get("fwd_nn_module_stack") or {}
    path = next(reversed(stack.values()), ("",))[0] if stack else ""
    return str(path).removeprefix("L['self']").removeprefix(".")


def _input(node: Node) -> Any:
    for key in ("val", "example_value"):
        if key in node.meta:
            return tree_map(_concrete, node.meta[key])
    raise UsageError(
        f"The input {node.name} of the graph carries no shape (meta['val'] or meta['example_value']). Take the graph "
        "from torch.export or from a backend of torch.compile."
    )


def _concrete(value: Any) -> Any:
    """An abstract tensor of the sizes that a symbolic one was traced with."""
    if isinstance(value, torch.Tensor):
        sizes, strides = [int(n) for n in value.shape], [int(n) for n in value.stride()]
        return torch.empty_strided(sizes, strides, dtype=value.dtype, device=value.device)
    return int(value) if isinstance(value, torch.SymInt) else value
