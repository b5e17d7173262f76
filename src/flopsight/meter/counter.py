"""Count one call of the model where it happens, or beside it where it is compiled.

An eager call is counted while it runs: its values, gradients and random numbers are the same. A compiled one must run
as it is, so its shapes are run through the same formulas without values, once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from flopsight.counted import Counted
from flopsight.torch.abstract import count_abstract
from flopsight.torch.counting import surroundings
from flopsight.torch.mode import CountingMode
from flopsight.torch.passes import Passes


class Watch:
    """Counts from its beginning until `end`, or until an optimizer begins to step."""

    def __init__(self, model: torch.nn.Module | None, done: Callable[[Counted], None]) -> None:
        self._done = done
        self._mode = CountingMode(Passes(model))
        self._stack = ExitStack()
        self._stack.enter_context(surroundings(self._mode))
        self._stack.callback(register_optimizer_step_pre_hook(lambda *_: self._stop()).remove)
        self._mode.__enter__()
        self._running = True

    def _stop(self) -> None:
        """Leave the mode; what is around it stays, since hooks cannot be taken away while they run."""
        if self._running:
            self._running = False
            self._mode.__exit__(None, None, None)

    def end(self) -> None:
        """Stop, and hand over what was counted."""
        self._stop()
        self._stack.close()
        self._done(self._mode.counted())


def beside(model: torch.nn.Module, args: Any, kwargs: Mapping[str, Any], *, backward: bool) -> Counted:
    """The count of a call that must not be touched; random numbers stay where they are."""
    original = getattr(model, "_orig_mod", model)  # torch.compile's wrapper keeps the module under this name
    with torch.random.fork_rng(enabled=False), torch.compiler.set_stance("force_eager"):
        return count_abstract(original, *args, backward=backward, **kwargs)


def is_compiled(model: torch.nn.Module) -> bool:
    """Whether the module or one below is compiled, or anything was compiled before."""
    if "torch._dynamo" not in sys.modules:
        return False
    from torch._dynamo.eval_frame import OptimizedModule

    return any(isinstance(m, OptimizedModule) or m._compiled_call_impl is not None for m in model.modules())


def compilations() -> int:
    """How many graphs have been compiled in this process."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    return int(dynamo.counters["stats"]["unique_graphs"]) if dynamo else 0
