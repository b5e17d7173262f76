"""XLA's cost model, as it stands beside each op in a profile of a TPU: what the compiler expects, not what was counted.

Its `bytes_accessed` are no testimony: they add up every memory an op touches, on-chip ones too.
"""

from __future__ import annotations

from flopsight.trace import Trace
from flopsight.witness.testimony import Testimony

WHY = "the compiler's estimate for the compiled op, element-wise work and recomputation in it; nothing counted it"
WHY_MODEL = (
    "the compiler's estimate of the program as it was written, for files that hold no estimate of the compiled op"
)


def testimonies(trace: Trace) -> tuple[Testimony, ...]:
    """FLOPs by op, where the profile holds them."""
    compiled, written = trace.metric("xla_flops"), trace.metric("xla_model_flops")
    if compiled is not None:
        return (Testimony("XLA's cost model", "flops", compiled.values, "flops", "approximate", why=WHY),)
    if written is not None:
        return (Testimony("XLA's cost model", "flops", written.values, "model_flops", "approximate", why=WHY_MODEL),)
    return ()
