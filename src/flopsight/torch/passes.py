"""Which pass an op runs in (forward, backward, recompute, optimizer), and whose backward it is."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Protocol

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from flopsight.counted import During

_sequence: Final = torch.autograd._get_sequence_nr
_task: Final = torch._C._current_graph_task_id
_node: Final = torch._C._current_autograd_node
_grad: Final = torch.is_grad_enabled


class Whereabouts(Protocol):
    """Tells, while it is entered, in which module and pass an op runs."""

    def __enter__(self) -> Any: ...

    def __exit__(self, kind: Any, error: Any, at: Any) -> None: ...

    def now(self) -> tuple[str, During]:
        """The module path and pass of the op that is running."""
        ...


class Passes:
    """Follows modules and autograd while it is entered.

    A forward op belongs to the innermost module that is running. Autograd numbers its nodes as the forward pass makes
    them, so that the number of the node that runs in the backward pass tells which module made it.
    An op inside a backward pass with gradients switched on is a forward pass run again: activation checkpointing.
    """

    def __init__(self, root: torch.nn.Module | None = None) -> None:
        self._names: dict[int, str] = {}
        self._known: list[torch.nn.Module] = []
        self._stack: list[str] = []
        self._marks: dict[int, tuple[list[int], list[str]]] = {}
        self._thread = threading.get_ident()
        self._here: tuple[str, During] = ("", "forward")
        self._last: tuple[int, str] = (-1, "")
        self._handles: list[Any] = []
        self._original: Callable[..., Any] = torch.nn.Module.__call__
        self._call = _following(self)
        if root is not None:
            self._learn(root)

    def __enter__(self) -> Passes:
        self._thread = threading.get_ident()
        self._original = torch.nn.Module.__call__
        torch.nn.Module.__call__ = self._call  # hooks on all modules would cost ten times as much
        self._handles = [
            register_optimizer_step_pre_hook(lambda *_: self._place("optimizer")),
            register_optimizer_step_post_hook(lambda *_: self._place("forward")),
        ]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if torch.nn.Module.__call__ is self._call:
            torch.nn.Module.__call__ = self._original
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def now(self) -> tuple[str, During]:
        """The module path and pass of the op that is running."""
        if _task() == -1:
            return self._here
        node = _node()
        if _grad() and (self._stack or node is None):
            return self._here[0], "recompute"
        return self._owner(node), "backward"

    def run(self, module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
        """Call a module, and know meanwhile that it is running."""
        name = self._names.get(id(module))
        if name is None:
            self._learn(module)
            name = self._names[id(module)]
        self._stack.append(name)
        self._mark(name)
        try:
            return self._original(module, *args, **kwargs)
        finally:
            self._stack.pop()
            self._mark(self._stack[-1] if self._stack else "")

    def _owner(self, node: Any) -> str:
        """The module whose forward pass made an autograd node."""
        if node is None:
            return ""
        number = node._sequence_nr()
        if number != self._last[0]:
            self._last = number, self._made_in(number)
        return self._last[1]

    def _made_in(self, number: int) -> str:
        for thread in (threading.get_ident(), self._thread):
            numbers, paths = self._marks.get(thread, ((), ()))
            position = bisect_right(numbers, number) - 1
            if position >= 0 and number < (1 << 63):
                return paths[position]
        return ""

    def _mark(self, path: str) -> None:
        self._here, self._last = (path, self._here[1]), (-1, "")
        numbers, paths = self._marks.setdefault(threading.get_ident(), ([], []))
        number = _sequence()
        # many modules make no node of their own: keep only the last mark of a number
        if numbers and numbers[-1] == number:
            paths[-1] = path
        else:
            numbers.append(number)
            paths.append(path)

    def _learn(self, root: torch.nn.Module) -> None:
        """Name a module and those below it; one that turns up inside of another gets that one's path before its own."""
        self._known.append(root)  # keeps the id alive
        inside = f"{self._stack[-1]}." if self._stack and self._stack[-1] else ""
        own = f"{inside}{type(root).__name__}" if inside or self._names else ""
        for name, module in root.named_modules():
            self._names.setdefault(id(module), ".".join(part for part in (own, name) if part))

    def _place(self, during: During) -> None:
        self._here = self._here[0], during


def _following(passes: Passes) -> Callable[..., Any]:
    def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        return passes.run(module, args, kwargs)

    return call
