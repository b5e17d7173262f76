"""Why a matrix product is slow, from its shapes, its kernel's name and the chip."""

from __future__ import annotations

from flopsight.achieved.ops import OpTime
from flopsight.hardware.chip import Chip
from flopsight.kernels import look


def findings_of(op: OpTime, units: int | None, capability: str, chip: Chip | None) -> list[str]:
    """Sentences, the largest loss first; none for an op that multiplies nothing."""
    if op.product is None or op.engine != "matrix":
        return []
    seen = look(op.kernel, op.product, op.dtype, op.grid, op.block, chip, units, capability)
    return [finding.sentence for finding in seen.findings]
