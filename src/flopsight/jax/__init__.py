"""Count what a JAX function does: exact FLOPs and bytes by op, module and pass, and what could not be counted.

>>> import jax, flopsight.jax
>>> x, w = jax.ShapeDtypeStruct((2, 4), "float32"), jax.ShapeDtypeStruct((4, 8), "float32")
>>> flopsight.jax.count(lambda x, w: x @ w, x, w).flops.required
128
"""

from __future__ import annotations

try:
    import jax as _jax  # noqa: F401
except ImportError as error:
    from flopsight.errors import MissingCapability

    raise MissingCapability(
        "Counting a JAX function needs jax, which is not installed; pip install 'flopsight[jax]'."
    ) from error

from flopsight.jax.registry import register
from flopsight.jax.tracing import count

__all__ = ["count", "register"]
