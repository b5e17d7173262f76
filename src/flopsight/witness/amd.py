"""AMD's counters: FLOPs of both engines, bytes of HBM, how long the matrix engine worked.

Sources: the counter definitions of rocprofiler-sdk and the metric formulas of the ROCm compute profiler; the request
sizes of HBM were checked on vector copies of known size (8,388,608 bytes read on MI200 and MI300X).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from flopsight.trace import Trace
from flopsight.witness.testimony import Testimony

LANES: Final = 64
MOPS: Final = 512
"""FLOPs that one count of SQ_INSTS_VALU_MFMA_MOPS stands for, by its definition."""
VALU: Final = {"F16": "fp16", "F32": "fp32", "F64": "fp64"}
MATRIX: Final = {"F8": "fp8", "F16": "fp16", "BF16": "bf16", "F32": "fp32", "F64": "fp64", "I8": "int8", "F6F4": "fp4"}
DIVERGENT: Final = "every instruction is taken to run in all 64 lanes"
SIMDS: Final = 4


def testimonies(trace: Trace) -> tuple[Testimony, ...]:
    """All that these counters allow; a formula that lacks one of its counters says nothing."""
    c = _Counters(trace)
    found = [*_matrix(c), *_vector(c), *_read(c), *_written(c), *_active(c)]
    return tuple(found)


class _Counters:
    """Counters by name, in the spellings of the tools."""

    def __init__(self, trace: Trace) -> None:
        self._by = {metric.name.upper(): metric.values for metric in trace.metrics}
        device = trace.devices[0] if trace.devices else None
        gfx = (device.capability or str(device.properties.get("gfx", ""))) if device is not None else ""
        self.generation = gfx.lower().partition(":")[0]
        self.units = device.units if device is not None else None
        self.chips = float(device.properties.get("xcds", 1)) if device is not None else 1.0

    def get(self, *names: str) -> Any:
        """The first of these that was collected; None where none was."""
        return next((self._by[n.upper()] for n in names if n.upper() in self._by), None)


def _matrix(c: _Counters) -> list[Testimony]:
    found = []
    for form, dtype in MATRIX.items():
        count = c.get(f"SQ_INSTS_VALU_MFMA_MOPS_{form}")
        if count is not None:
            formula = f"{MOPS} x SQ_INSTS_VALU_MFMA_MOPS_{form}"
            found.append(Testimony("matrix instructions", "flops", MOPS * count, formula, engine="matrix", dtype=dtype))
    return found


def _vector(c: _Counters) -> list[Testimony]:
    found = []
    for form, dtype in VALU.items():
        parts = [(c.get(f"SQ_INSTS_VALU_{op}_{form}"), weight) for op, weight in
                 (("ADD", 1), ("MUL", 1), ("TRANS", 1), ("FMA", 2))]  # fmt: skip
        if all(count is not None for count, _ in parts):
            total = LANES * sum(weight * count for count, weight in parts)
            formula = f"{LANES} x (ADD + MUL + TRANS + 2 FMA) of SQ_INSTS_VALU_*_{form}"
            found.append(
                Testimony("vector instructions", "flops", np.asarray(total), formula, "upper bound", "vector", dtype,
                          why=DIVERGENT)
            )  # fmt: skip
    return found


def _read(c: _Counters) -> list[Testimony]:
    """HBM reads: requests of 128, 64 and 32 bytes, counted in another way by each generation."""
    every = c.get("TCC_EA0_RDREQ_sum", "TCC_EA_RDREQ_sum")
    small = c.get("TCC_EA0_RDREQ_32B_sum", "TCC_EA_RDREQ_32B_sum", "TCC_EA0_RDREQ_32B", "TCC_EA_RDREQ_32B")
    if every is None:
        return []
    if c.generation.startswith("gfx95"):
        wide, middle = c.get("TCC_EA0_RDREQ_128B_sum"), c.get("TCC_EA0_RDREQ_64B_sum")
        if wide is None or middle is None or small is None:
            return []
        return [
            _bytes("dram_read", 128 * wide + 64 * middle + 32 * small, "128 RDREQ_128B + 64 RDREQ_64B + 32 RDREQ_32B")
        ]
    if c.generation.startswith("gfx94"):
        bubble = c.get("TCC_BUBBLE_sum")
        if bubble is None or small is None:
            return []
        total = 128 * bubble + 64 * (every - bubble - small) + 32 * small
        return [_bytes("dram_read", total, "128 BUBBLE + 64 (RDREQ - BUBBLE - RDREQ_32B) + 32 RDREQ_32B")]
    if c.generation.startswith("gfx90") and small is not None:
        return [_bytes("dram_read", 64 * (every - small) + 32 * small, "64 (RDREQ - RDREQ_32B) + 32 RDREQ_32B")]
    return []


def _written(c: _Counters) -> list[Testimony]:
    every = c.get("TCC_EA0_WRREQ_sum", "TCC_EA_WRREQ_sum")
    full = c.get("TCC_EA0_WRREQ_64B_sum", "TCC_EA_WRREQ_64B_sum")
    if every is None or full is None or not c.generation.startswith("gfx9"):
        return []
    why = "a write-back cache hides what is overwritten before it leaves" if c.generation.startswith("gfx90") else ""
    return [_bytes("dram_written", 64 * full + 32 * (every - full), "64 WRREQ_64B + 32 (WRREQ - WRREQ_64B)", why)]


def _bytes(quantity: Any, values: Any, formula: str, why: str = "") -> Testimony:
    return Testimony("HBM requests", quantity, np.asarray(values), formula, why=why)


def _active(c: _Counters) -> list[Testimony]:
    """Share of the cycles in which the matrix engine worked: GRBM counts once on each chip of the package."""
    busy, cycles = c.get("SQ_VALU_MFMA_BUSY_CYCLES"), c.get("GRBM_GUI_ACTIVE")
    if busy is None or cycles is None or not c.units or c.chips <= 0:
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        share = busy / (cycles / c.chips * c.units * SIMDS)
    share = np.where(np.isfinite(share), share, np.nan)
    formula = f"SQ_VALU_MFMA_BUSY_CYCLES / (GRBM_GUI_ACTIVE / {c.chips:g} x {c.units} x {SIMDS})"
    return [Testimony("matrix engine's cycles", "active", share, formula, engine="matrix")]
