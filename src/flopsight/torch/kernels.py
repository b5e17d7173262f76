"""Launches of Triton kernels, counted by the kernel's name through `flopsight.torch.register`.

A launch from Python never becomes an op, so that no dispatch mode sees it. While something is counted, and only if
Triton has been imported, its one launching function is wrapped; what the autotuner tries out is not counted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from flopsight.counted import Bytes, Flops
from flopsight.torch.call import Call, tensors
from flopsight.torch.plan import OpPlan
from flopsight.torch.registry import CUSTOM, Uncountable, as_flops

if TYPE_CHECKING:
    from flopsight.torch.mode import CountingMode


@contextmanager
def watched(mode: CountingMode) -> Iterator[None]:
    """Count plain Triton launches inside."""
    triton = sys.modules.get("triton")
    if triton is None:
        yield
        return
    launcher, tuner = triton.runtime.JITFunction, triton.runtime.Autotuner
    launch, bench = launcher.run, tuner._bench

    def run(kernel: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        if not warmup and _seen(mode):
            arguments = {**dict(zip(kernel.arg_names, args, strict=False)), **kwargs}
            count(mode, name_of(kernel), arguments, grid)
        return launch(kernel, *args, grid=grid, warmup=warmup, **kwargs)

    def tried(self: Any, *args: Any, **kwargs: Any) -> Any:
        with suspended(mode):
            return bench(self, *args, **kwargs)

    launcher.run, tuner._bench = run, tried
    try:
        yield
    finally:
        launcher.run, tuner._bench = launch, bench


def count(mode: CountingMode, name: str, arguments: Mapping[str, Any], grid: Any) -> None:
    """Add one launch up."""
    mode.launches += 1
    shape = grid(arguments) if callable(grid) else grid
    mode.add_product(None, _plan(name), (list(tensors(arguments.values())), arguments, shape), {}, None)


@contextmanager
def suspended(mode: CountingMode) -> Iterator[None]:
    """Launches inside are tried out or counted already."""
    mode.deaf += 1
    try:
        yield
    finally:
        mode.deaf -= 1


def name_of(kernel: Any) -> str:
    """The name of the function that a kernel was made of, tuners and heuristics unwrapped."""
    while not hasattr(kernel, "__name__"):
        kernel = kernel.fn
    return str(kernel.__name__)


def _seen(mode: CountingMode) -> bool:
    """A launch inside an op that has a formula is that op's work; there the mode is off."""
    return not mode.deaf and (mode.inside > 0 or mode in _get_current_dispatch_mode_stack())


@lru_cache(1024)
def _plan(name: str) -> OpPlan:
    def ask(call: Call) -> tuple[Flops | Uncountable, Bytes | None]:
        _, arguments, grid = call.args
        custom = CUSTOM.get(name)
        if custom is None:
            return Uncountable(f"a Triton kernel; give its formula with flopsight.torch.register({name!r}, ...)"), None
        flops = as_flops(custom.flops(**arguments, grid=grid))
        moved = None if custom.bytes is None else custom.bytes(**arguments, grid=grid)
        return flops, Bytes(moved) if isinstance(moved, int) else moved

    return OpPlan(f"triton.{name}", f"triton::{name}", "formula", formula=ask)
