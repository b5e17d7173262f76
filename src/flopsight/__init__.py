"""flopsight: how much of this machine is a transformer really using, and where does the rest go?

    >>> import flopsight
    >>> flopsight.count("gpt3-175b")
    gpt3-175b: 174,604,259,328 parameters; a forward token costs 354.0 GFLOP over a 2,048-token prompt = 349.1 in \
weights + 4.8 in causal attention.

The verbs load what they need when they are called; importing the package loads nothing heavy.
"""

from __future__ import annotations

# type checkers know the name; importing it from typing would be nearly all the time that this import takes
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from flopsight.api import bench as bench
    from flopsight.api import can as can
    from flopsight.api import ceiling as ceiling
    from flopsight.api import count as count
    from flopsight.api import hardware as hardware
    from flopsight.api import mfu as mfu
    from flopsight.api import plan as plan
    from flopsight.api import predict as predict
    from flopsight.api import trace as trace
    from flopsight.meter import Meter as Meter

__version__ = "0.1.0"
__all__ = ["Meter", "__version__", "bench", "can", "ceiling", "count", "hardware", "mfu", "plan", "predict", "trace"]


def __getattr__(name: str) -> Any:
    if name not in (*__all__, "torch", "jax"):  # the counters of these frameworks, loaded when they are asked for
        raise AttributeError(f"module 'flopsight' has no attribute {name!r}")
    from importlib import import_module

    if name in ("bench", "ceiling", "hardware", "jax", "plan", "predict", "torch", "trace"):
        return import_module(f"flopsight.{name}")  # modules, most of which can be called
    return getattr(import_module("flopsight.meter" if name == "Meter" else "flopsight.api"), name)
