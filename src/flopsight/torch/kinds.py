"""What kind of op an aten op is: free, moving, arithmetic on elements, a contraction, or unknown to us."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from flopsight.opnames import CONTRACTION, FREE, GATHER, MOVE, POINTWISE, REDUCTION, SCATTER, WRITE

Kind = Literal["free", "pointwise", "reduction", "move", "gather", "scatter", "write", "contraction", "strange"]

NO_WORK: Final = frozenset(
    {
        "prim",
        "profiler",
        "_c10d_functional",
        "c10d",
        "_c10d_functional_autograd",
        "inductor_prims",
        "_dtensor",
        "debugprims",
        "streams",
    }
)
"""Namespaces that move data between devices or only ask: no FLOPs."""
COPIES: Final = frozenset({"fsdp", "symm_mem"})
"""Namespaces that pack and send parts of tensors; some of their ops multiply what arrives."""
OURS: Final = frozenset({"quantized", "_quantized", "mkldnn", "onednn", "mkl", "quantization", "inductor", "rngprims"})
"""Namespaces that come with PyTorch."""
QUESTION: Final = re.compile(r"_(stride|padding|dilation|groups|transpose|output_padding|sizes|nbytes|md|supported)$")


def kind_of(op: Any) -> Kind:
    """The kind of an op that has no formula."""
    namespace, name = op._schema.name.split("::")
    if namespace in NO_WORK:
        return "free"
    if namespace in COPIES:
        return "contraction" if CONTRACTION.search(name) else "move"
    if namespace in OURS:
        return _packed(name)
    if namespace not in ("aten", "prims"):
        return "strange"
    return _aten(op, name)


def _packed(name: str) -> Kind:
    """Of PyTorch's own ops on packed and quantized tensors."""
    if "pack" in name or "reorder" in name or "params" in name or QUESTION.search(name):
        return "move"
    return "contraction" if CONTRACTION.search(name) else "pointwise"


def _aten(op: Any, name: str) -> Kind:
    # a list that names an op wins over what its name looks like
    for kind, names in _LISTED:
        if name in names:
            return kind
    if name.endswith("_copy"):
        return "move"  # views made whole
    if CONTRACTION.search(name):
        return "contraction"
    if op.is_view:
        return "free"
    return "pointwise"


_LISTED: Final[tuple[tuple[Kind, frozenset[str]], ...]] = (
    ("free", FREE), ("move", MOVE), ("gather", GATHER), ("scatter", SCATTER), ("write", WRITE),
    ("reduction", REDUCTION), ("pointwise", POINTWISE),
)  # fmt: skip
