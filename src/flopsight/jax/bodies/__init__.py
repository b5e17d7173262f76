"""Equations that hold jaxprs: calls, scans, loops, conditionals, one file each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flopsight.jax.bodies.body import Body, Branches, Choices, Walk
from flopsight.jax.bodies.branch import branch
from flopsight.jax.bodies.call import Call, Same, pmap, shard_map
from flopsight.jax.bodies.loop import while_loop
from flopsight.jax.bodies.scan import scan

__all__ = ["OPAQUE", "Body", "Branches", "Choices", "Walk", "body_of"]

OPAQUE: Final = {
    "pallas_call": "a Pallas kernel",
    "custom_linear_solve": "an iterative solver",
    "ffi_call": "a foreign call",
    "custom_call": "a foreign call",
    "pure_callback": "a Python callback",
    "io_callback": "a Python callback",
    "triton_kernel_call": "a Triton kernel",
    "run_state": "a stateful kernel",
    "core_map": "a kernel",
    "mpmd_map": "a kernel",
}
"""Primitives whose work cannot be read from the jaxpr, although some hold one."""

_BODIES: Final[dict[str, Callable[[Any], Body]]] = {
    "scan": scan, "while": while_loop, "cond": branch, "shard_map": shard_map, "xla_pmap": pmap,
}  # fmt: skip
_SAME: Final = frozenset(
    {"optimization_barrier", "sharding_constraint", "pvary", "pcast", "pbroadcast", "reshard", "mesh_cast", "name"}
)
_JAXPRS: Final = frozenset({"Jaxpr", "ClosedJaxpr"})


def body_of(eqn: Any) -> Body | None:
    """The body of an equation, None if it has none that can be walked."""
    name = eqn.primitive.name
    if name in _BODIES:
        return _BODIES[name](eqn)
    if name in OPAQUE:
        return None
    if name in _SAME and len(eqn.invars) == len(eqn.outvars):
        return Same()
    inside = [value for value in eqn.params.values() if type(value).__name__ in _JAXPRS]
    if len(inside) != 1:
        return None
    jaxpr = getattr(inside[0], "jaxpr", inside[0])
    fits = len(jaxpr.invars) == len(eqn.invars) and len(jaxpr.outvars) == len(eqn.outvars)
    return Call(inside[0]) if fits else None
