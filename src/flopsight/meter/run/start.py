"""What runs inside the metered program: find its model, meter it, and report when it ends.

Nothing here raises into the program: what goes wrong is said once on stderr, and the program runs on unmetered.
"""

from __future__ import annotations

import atexit
import os
import sys
from types import ModuleType
from typing import Any

from flopsight.meter.run.find import FirstCall, holds_any
from flopsight.meter.run.launch import RunOptions, options_of


def start(module: ModuleType) -> None:
    """Begin to look, right after `torch.nn.modules.module` was imported."""
    program = Program(options_of(os.environ), module.Module)
    program.first.wait()
    atexit.register(program.end)


class Program:
    """The metered program: at most one meter at a time, on the model that the optimizer steps."""

    def __init__(self, options: RunOptions, module_class: Any) -> None:
        self._options = options
        self._meter: Any = None
        self._hook: Any = None
        self._optimizer: Any = None
        self.first = FirstCall(module_class, self._guarded_found)

    def _guarded_found(self, model: Any) -> None:
        try:
            self._found(model)
        except Exception as error:  # noqa: BLE001 - the program goes on
            say(f"not metered: {type(error).__name__}: {error}")

    def _found(self, model: Any) -> None:
        from flopsight.meter import Meter

        o = self._options
        log: list[Any] = [] if o.log is None else [o.log]
        self._meter = Meter(model, on=o.on, every=o.every, log=log if o.quiet else [*log, lines])
        if self._hook is None:
            from torch.optim.optimizer import register_optimizer_step_pre_hook

            self._hook = register_optimizer_step_pre_hook(self._first_step)

    def _first_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """The optimizer tells which model is trained; a teacher or a frozen tower may have been called first."""
        if self._optimizer is not None:
            return  # hooks cannot be taken away while they run
        try:
            mine = holds_any(optimizer)
            if mine(self._meter.model):
                self._optimizer = optimizer
                self._meter.stepped_by(optimizer)
            else:
                self._meter.detach()
                self.first.wait(mine)
        except Exception as error:  # noqa: BLE001 - the program goes on
            say(f"not metered: {type(error).__name__}: {error}")

    def end(self) -> None:
        """The report of the whole run, from the first rank only."""
        self.first.stop()
        if os.environ.get("RANK", "0") != "0":
            return
        if self._meter is None:
            say("nothing was metered: no module with parameters was called.")
            return
        try:
            say(str(self._meter.report()))
        except Exception as error:  # noqa: BLE001 - the program ends with its own exit code
            say(f"no report: {type(error).__name__}: {error}")


def lines(values: Any, step: int) -> None:
    """One line on stderr, from the first rank only."""
    if os.environ.get("RANK", "0") == "0":
        from flopsight.meter.line import line

        say(line(values, step))


def say(text: str) -> None:
    """Talk to the person, not to the program's output."""
    try:
        sys.stderr.write(f"flopsight: {text}\n")
    except (OSError, ValueError):
        return  # nobody listens any more
