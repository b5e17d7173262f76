"""Which pass an op runs in (forward, backward, recompute, optimizer), and whose backward it is."""

from __future__ import annotations

import threading
from bisect import bisect_right
from types import TracebackType
from typing import Any, Final, Protocol

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
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
        self._optimizing = False
        self._handles: list[Any] = []
        if root is not None:
            self._learn(root)

    def __enter__(self) -> Passes:
        self._thread = threading.get_ident()
        self._handles = [
            register_module_forward_pre_hook(self._entered),
            register_module_forward_hook(self._left, always_call=True),
            register_optimizer_step_pre_hook(self._optimizer),
            register_optimizer_step_post_hook(self._optimized),
        ]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def now(self) -> tuple[str, During]:
        """The module path and pass of the op that is running."""
        if _task() == -1:
            return (self._stack[-1] if self._stack else ""), "optimizer" if self._optimizing else "forward"
        node = _node()
        if _grad() and (self._stack or node is None):
            return (self._stack[-1] if self._stack else ""), "recompute"
        return self._owner(node), "backward"

    def _owner(self, node: Any) -> str:
        """The module whose forward pass made an autograd node."""
        if node is None:
            return ""
        number = node._sequence_nr()
        for thread in (threading.get_ident(), self._thread):
            numbers, paths = self._marks.get(thread, ((), ()))
            position = bisect_right(numbers, number) - 1
            if position >= 0 and number < (1 << 63):
                return paths[position]
        return ""

    def _mark(self) -> None:
        # many modules make no node of their own: keep only the last mark of a number
        numbers, paths = self._marks.setdefault(threading.get_ident(), ([], []))
        number = _sequence()
        if numbers and numbers[-1] == number:
            paths[-1] = self._stack[-1] if self._stack else ""
        else:
            numbers.append(number)
            paths.append(self._stack[-1] if self._stack else "")

    def _entered(self, module: torch.nn.Module, args: Any) -> None:
        if id(module) not in self._names:
            self._learn(module)
        self._stack.append(self._names[id(module)])
        self._mark()

    def _left(self, module: torch.nn.Module, args: Any, out: Any) -> None:
        if self._stack:
            self._stack.pop()
        self._mark()

    def _learn(self, root: torch.nn.Module) -> None:
        """Name a module and those below it; one that turns up inside of another gets that one's path before its own."""
        self._known.append(root)  # keeps the id alive
        inside = f"{self._stack[-1]}." if self._stack and self._stack[-1] else ""
        own = f"{inside}{type(root).__name__}" if inside or self._names else ""
        for name, module in root.named_modules():
            self._names.setdefault(id(module), ".".join(part for part in (own, name) if part))

    def _optimizer(self, *_: Any) -> None:
        self._optimizing = True

    def _optimized(self, *_: Any) -> None:
        self._optimizing = False
