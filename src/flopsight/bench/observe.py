"""Who is at work: modules in the forward pass, and in the backward pass the module that made the autograd node."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from flopsight.bench.timeline import BETWEEN, UNTIMED, Clock, Owner, Timeline

SAMPLER: Final = "sampler"
"""The ledger's name for what follows the logits: the loss in training, the choice of a token elsewhere."""


class Observer(Protocol):
    """What a step tells of itself while it runs."""

    @contextmanager
    def inside(self, path: str, during: str = "forward") -> Iterator[None]:
        """Time inside belongs to this path."""
        ...

    def backward(self, loss: Any) -> None:
        """Run the backward pass."""
        ...


class Unobserved:
    """Runs a step as it is."""

    @contextmanager
    def inside(self, path: str, during: str = "forward") -> Iterator[None]:
        """Nothing is noted."""
        yield

    def backward(self, loss: Any) -> None:
        """Plain."""
        loss.backward()


class Observed:
    """Hooks on every module and, before a backward pass, on every autograd node; removed on leaving.

    Autograd numbers its nodes as the forward pass makes them, so that a node's number tells which module made it.
    """

    def __init__(self, model: Any, clock: Clock, torch: Any) -> None:
        self.timeline = Timeline(clock)
        self._torch = torch
        self._stack: list[Owner] = [BETWEEN]
        self._numbers: list[int] = []
        self._paths: list[str] = []
        self._handles: list[Any] = []
        self._model = model
        self._owners: dict[int, str] = {}

    def __enter__(self) -> Observed:
        for path, module in self._model.named_modules():
            self._handles += [
                module.register_forward_pre_hook(self._entering((path, "forward"))),
                module.register_forward_hook(self._leaving, always_call=True),
            ]
            for parameter in module.parameters(recurse=False):
                self._owners.setdefault(id(parameter), path)
        self.timeline.switch(BETWEEN)
        return self

    def __exit__(self, *_: Any) -> None:
        self.timeline.switch(BETWEEN)
        for handle in self._handles:
            handle.remove()

    def _entering(self, owner: Owner) -> Any:
        def entered(module: Any, args: Any) -> None:
            self._enter(owner)

        return entered

    def _enter(self, owner: Owner) -> None:
        self._stack.append(owner)
        self._note(owner)
        self.timeline.switch(owner)

    def _leaving(self, module: Any, args: Any, out: Any) -> None:
        self._leave()

    def _leave(self) -> None:
        self._stack.pop()
        self._note(self._stack[-1])
        self.timeline.switch(self._stack[-1])

    def _note(self, owner: Owner) -> None:
        """From this autograd number on, nodes are made by the owner."""
        self._numbers.append(self._torch.autograd._get_sequence_nr())
        self._paths.append(owner[0])

    @contextmanager
    def inside(self, path: str, during: str = "forward") -> Iterator[None]:
        """Time inside belongs to this path, as if it were a module."""
        self._enter((path, during))
        try:
            yield
        finally:
            self._leave()

    def backward(self, loss: Any) -> None:
        """The backward pass, node by node; hooking the nodes is not part of the step."""
        self.timeline.switch(UNTIMED)
        for node in _nodes(loss.grad_fn):
            self._hook(node)
        self.timeline.switch(BETWEEN)
        loss.backward()

    def _hook(self, node: Any) -> None:
        owner = (self._maker(node), "backward")
        switch = self.timeline.switch
        self._handles.append(node.register_prehook(lambda grads: switch(owner)))
        self._handles.append(node.register_hook(lambda inputs, outputs: switch(BETWEEN)))

    def _maker(self, node: Any) -> str:
        """The module that made a node, or that owns the parameter whose gradient the node adds up."""
        number = node._sequence_nr()
        if number >= 1 << 63:
            return self._owners.get(id(node.variable), "")
        place = bisect_right(self._numbers, number) - 1
        return self._paths[place] if place >= 0 else ""


def _nodes(root: Any) -> list[Any]:
    """Every node of an autograd graph, the gradient sums of parameters included."""
    found, waiting = [root], [root]
    seen = {root}
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is not None and node not in seen:
                seen.add(node)
                found.append(node)
                waiting.append(node)
    return found
