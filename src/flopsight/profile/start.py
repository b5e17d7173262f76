"""What runs inside a Python program under torch.profiler: record a few steps of its model, and write them down.

Nothing here raises into the program.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from flopsight.meter.run.find import FirstCall
from flopsight.profile.tools import VARIABLE, Recording


def start(module: ModuleType) -> None:
    """Begin to look, right after `torch.nn.modules.module` was imported."""
    recording = msgspec.json.decode(os.environ[VARIABLE], type=Recording)
    program = Program(recording, module.Module)
    program.first.wait()
    atexit.register(program.end)


class Program:
    """The profiled program: a step ends where its optimizer steps; without one, where its model is called again."""

    def __init__(self, recording: Recording, module_class: Any) -> None:
        self._recording = recording
        self._profiler: Any = None
        self._trains = False
        self._calls = 0
        self.written: list[Path] = []
        self.first = FirstCall(module_class, self._guarded_found)

    def _guarded_found(self, model: Any) -> None:
        try:
            self._found(model)
        except Exception as error:  # noqa: BLE001 - the program goes on
            say(f"not profiled: {type(error).__name__}: {error}")

    def _found(self, model: Any) -> None:
        from torch.optim.optimizer import register_optimizer_step_post_hook
        from torch.profiler import profile, schedule

        r = self._recording
        plan = None if r.whole else schedule(wait=max(0, r.skip - 1), warmup=min(1, r.skip), active=r.steps, repeat=1)
        self._profiler = profile(
            schedule=plan, on_trace_ready=self._write, record_shapes=True, with_stack=True, acc_events=True
        )
        self._profiler.start()
        if not r.whole:
            register_optimizer_step_post_hook(self._stepped)
            model.register_forward_pre_hook(self._called)

    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._trains = True
        self._step()

    def _called(self, model: Any, args: Any) -> None:
        self._calls += 1
        if not self._trains and self._calls > 1 and not _training(model):
            self._step()

    def _step(self) -> None:
        if self._profiler is not None and not self.written:
            try:
                self._profiler.step()
            except Exception as error:  # noqa: BLE001 - the program goes on
                say(f"not profiled: {type(error).__name__}: {error}")
                self._profiler = None

    def _write(self, profiler: Any) -> None:
        rank = os.environ.get("RANK", "0")
        path = Path(self._recording.folder) / f"rank{rank}-{os.getpid()}.pt.trace.json.gz"
        part = path.with_name(f".{path.name}.part.json.gz")
        profiler.export_chrome_trace(str(part))
        os.replace(part, path)
        self.written.append(path)

    def end(self) -> None:
        """Write what is left when the program ends."""
        self.first.stop()
        profiler, self._profiler = self._profiler, None
        if profiler is None or self.written:
            return
        try:
            profiler.stop()
        except Exception as error:  # noqa: BLE001 - the program ends with its own exit code
            say(f"nothing was written: {type(error).__name__}: {error}")


def _training(model: Any) -> bool:
    import torch

    return bool(model.training and torch.is_grad_enabled())


def say(text: str) -> None:
    """Talk to the person, not to the program's output."""
    try:
        sys.stderr.write(f"flopsight: {text}\n")
    except (OSError, ValueError):
        return
