"""Find the model of a program that does not name it: the first outermost module call, and the optimizer's first step.

`torch.nn.Module.__call__` is replaced until a module with parameters is called, and put back before that call goes
on; while a compiled function is traced the replacement stands aside.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


class FirstCall:
    """Calls `found(module)` just before the first module that `wanted` agrees to runs."""

    def __init__(self, module_class: Any, found: Callable[[Any], None]) -> None:
        self._class = module_class
        self._original: Callable[..., Any] = module_class.__call__
        self._found = found
        self._wanted: Callable[[Any], bool] = has_parameters
        self.waiting = False

    def wait(self, wanted: Callable[[Any], bool] | None = None) -> None:
        """Begin to look (again)."""
        self._wanted = wanted or has_parameters
        if not self.waiting:
            self.waiting = True
            self._class.__call__ = _watching(self)

    def stop(self) -> None:
        """Put the original back."""
        if self.waiting:
            self.waiting = False
            self._class.__call__ = self._original

    def called(self, module: Any) -> Callable[..., Any]:
        """What to call instead of the replacement."""
        if self.waiting and not _compiling() and self._wanted(module):
            self.stop()
            self._found(module)
        return self._original


def _watching(first: FirstCall) -> Callable[..., Any]:
    def call(module: Any, *args: Any, **kwargs: Any) -> Any:
        return first.called(module)(module, *args, **kwargs)

    return call


def has_parameters(module: Any) -> bool:
    """Whether a module holds a parameter, in itself or below."""
    return next(iter(module.parameters()), None) is not None


def holds_any(optimizer: Any) -> Callable[[Any], bool]:
    """Whether a module holds a parameter that this optimizer steps."""
    wanted = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return lambda module: any(id(parameter) in wanted for parameter in module.parameters())


def _compiling() -> bool:
    torch = sys.modules.get("torch")
    return bool(torch and "torch._dynamo" in sys.modules and torch.compiler.is_compiling())
