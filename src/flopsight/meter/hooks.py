"""Notice the model's calls and the optimizer's steps on these instances only.

A hook on a module that is itself being compiled would be compiled along; while a graph is traced it stands aside. A
module compiled in place (`module.compile()`) has its compiled call wrapped instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch


class Listener(Protocol):
    """Who wants to know."""

    def called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The model is about to be called."""

    def returned(self) -> None:
        """The call is over."""

    def stepped(self) -> None:
        """The optimizer has stepped."""


class Hooks:
    """Hooks that can be taken back."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._undo: list[Callable[[], Any]] = []

    def on_model(self, model: torch.nn.Module) -> None:
        """Notice outermost calls of a module."""
        if model._compiled_call_impl is not None:
            self._wrap_compiled(model)
            return
        before = model.register_forward_pre_hook(self._before, prepend=True, with_kwargs=True)
        after = model.register_forward_hook(self._after, always_call=True)
        self._undo += [before.remove, after.remove]

    def _wrap_compiled(self, model: torch.nn.Module) -> None:
        inner = model._compiled_call_impl

        def call(*args: Any, **kwargs: Any) -> Any:
            self._listener.called(args, kwargs)
            try:
                return inner(*args, **kwargs)
            finally:
                self._listener.returned()

        model._compiled_call_impl = call

        def undo() -> None:
            model._compiled_call_impl = inner

        self._undo.append(undo)

    def on_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Notice its steps."""
        self._undo.append(optimizer.register_step_post_hook(lambda *_: self._listener.stepped()).remove)

    def remove(self) -> None:
        """Take all back."""
        while self._undo:
            self._undo.pop()()

    def _before(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not torch.compiler.is_compiling():
            self._listener.called(args, kwargs)

    def _after(self, module: torch.nn.Module, args: Any, out: Any) -> None:
        if not torch.compiler.is_compiling():
            self._listener.returned()
