"""The optimizer that steps, inside of what trainers wrap around it."""

from __future__ import annotations

from typing import Any


def unwrapped(optimizer: Any) -> Any:
    """The innermost optimizer.

    Wrappers keep it as `optimizer` and step it only where gradients are complete: accelerate's AcceleratedOptimizer
    returns from `step()` without a step while gradients accumulate, and takes no hooks.
    """
    while (inner := vars(optimizer).get("optimizer")) is not None:
        optimizer = inner
    return optimizer
