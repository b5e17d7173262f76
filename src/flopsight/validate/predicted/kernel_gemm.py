"""Rows of single matrix products and of grouped ones: the time or rate of one kernel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from flopsight.errors import FlopsightError
from flopsight.facts import Unknown
from flopsight.hardware.catalog import find
from flopsight.predict.device import Device
from flopsight.predict.kernels.gemm import gemm_seconds, gemm_spread
from flopsight.predict.kernels.grouped import grouped_seconds, grouped_spread
from flopsight.validate.predicted.bands import NINETY, kernel_sigma
from flopsight.validate.predicted.device import device_of_row, scaled
from flopsight.validate.recompute import Figure
from flopsight.validate.rows import Row

OPS: Final = ("matmul", "grouped_matmul")
FORMATS: Final = (
    # how the row's dtype begins: computed in, bits a weight
    ("bf16", "bf16", 16.0), ("bfloat16", "bf16", 16.0), ("fp16", "bf16", 16.0), ("fp8", "fp8", 8.0),
    ("nvfp4", "fp4", 4.5), ("int8_wo", "bf16", 8.0), ("int4_wo", "bf16", 4.25), ("int8", "int8", 8.0),
)  # fmt: skip
BLOCKED: Final = ("deepgemm", "infersim")
"""Groups measured with DeepGEMM, whose scales lie on blocks; their rows say fp8."""


@dataclass(frozen=True, slots=True)
class Product:
    """[m, k] x [k, n], `groups` of them in one launch (0: a dense product); the name under which its time is printed.

    per   units of the printed time in a second; 0 where the row prints TFLOP/s
    """

    m: int
    n: int
    k: int
    groups: int
    name: str
    per: float

    @property
    def flops(self) -> float:
        """2·m·n·k of every group."""
        return 2.0 * self.m * self.n * self.k * max(self.groups, 1)


def predict(row: Row) -> tuple[Figure, ...] | None:
    """The printed times or rates of a row's products, the main one first; None for a row of anything else."""
    if row.kind != "kernel" or row.model.get("op") not in OPS:
        return None
    products = list(_products(row))
    if not products:
        return (Figure("time_us", None, None, why="the row prints neither the shape nor a time of its product"),)
    device, form = _device(row), _format(row)
    if isinstance(device, Unknown) or isinstance(form, Unknown):
        why = device.why if isinstance(device, Unknown) else form.why if isinstance(form, Unknown) else ""
        name = products[0].name
        return (Figure(name, row.number(row.measured, name), None, why=why),)
    return tuple(_figure(row, device, form, one) for one in products)


def _products(row: Row) -> Iterator[Product]:
    """The row's own product, and that of the down projection where its time is printed beside gate and up."""
    m, n, k = (row.whole(row.model, name) for name in "MNK")
    if not (m and n and k):
        return
    grouped = row.model.get("op") == "grouped_matmul" or "grouped" in str(row.model.get("name") or "").lower()
    groups = (row.whole(row.model, "groups") or 1) if grouped else 0
    for name, per in (("time_us", 1e6), ("time_ms", 1e3), ("tflops", 0.0)):
        if row.measured.get(name) is not None:
            yield Product(m, n, k, groups, name, per)
            break
    for name, per in (("down_time_us", 1e6), ("down_proj_ms", 1e3)):
        if row.measured.get(name) is not None:
            yield Product(m, k, n // 2, groups, name, per)


def _device(row: Row) -> Device | Unknown:
    """One device as a framework shows it: a kernel runs on one of a chip's two."""
    found = device_of_row(row)
    if isinstance(found, Unknown):
        found = _listed(str(row.hardware.get("name") or "")) or found
    if isinstance(found, Unknown) or not found.id:
        return found
    shown = find(found.id).software_devices
    return found if shown == 1 else scaled(found, 1 / shown, f"{found.label}, one of {shown} devices")


def _listed(name: str) -> Device | None:
    """A module by its family's name alone, as lists of achievable rates write it."""
    from flopsight.predict.device import device_of

    known = {
        "NVIDIA A100 SXM": "nvidia-a100-sxm4-80gb", "NVIDIA H100 SXM": "nvidia-h100-sxm5-80gb",
        "NVIDIA B200 SXM": "nvidia-b200-sxm", "NVIDIA B300 SXM": "nvidia-b300-sxm",
        "NVIDIA GB200 SXM": "nvidia-gb200-nvl72-gpu", "NVIDIA GH200 SXM": "nvidia-gh200-96gb",
        "AMD MI300X": "amd-mi300x", "Intel Gaudi 3": "intel-gaudi3",
    }  # fmt: skip
    try:
        return device_of(find(known.get(name, name)))
    except FlopsightError:
        return None


def _format(row: Row) -> tuple[str, float, bool] | Unknown:
    dtype = row.dtype.lower()
    for begins, compute, bits in FORMATS:
        if dtype.startswith(begins):
            block = compute == "fp8" and ("block" in dtype or "128" in dtype or row.group.startswith(BLOCKED))
            return compute, bits, block
    return Unknown(f"the row's format, {row.dtype[:40] or 'none'}, is none that products are predicted in")


def _figure(row: Row, device: Device, form: tuple[str, float, bool], one: Product) -> Figure:
    """The quantity as printed, with the 90 % interval that the spread of shapes left out gives."""
    compute, bits, block = form
    notes = []
    if not device.has(compute) and compute == "fp8":
        compute = "bf16"
        notes.append(f"{device.label} has no fp8 rate: weights are stored in fp8 and multiplied in bf16")
    if one.groups:
        visited = _visited(row, one)
        if visited < one.groups:
            notes.append("rows of an expert are a mean: experts that none visits are not read")
        seconds = float(
            grouped_seconds(
                device, one.m * one.groups, visited, one.n, one.k, compute=compute, weight_bits=bits, block=block
            )
        )
        sigma = grouped_spread(device, compute, bits, block)
    else:
        seconds = float(gemm_seconds(device, one.m, one.n, one.k, compute=compute, weight_bits=bits, block=block))
        sigma = gemm_spread(device, compute, bits, block)
    sigma = kernel_sigma(row, sigma)
    low, middle, high = sorted(_shown(one, seconds * math.exp(z * sigma)) for z in (-NINETY, 0.0, NINETY))
    published = row.number(row.measured, one.name)
    return Figure(one.name, published, middle, counted="one kernel", notes=tuple(notes), low=low, high=high)


def _visited(row: Row, one: Product) -> float:
    """Experts that get a row: all, unless rows arrive at random and are few (Poisson)."""
    random = row.model.get("op") == "grouped_matmul"
    return one.groups * (1 - math.exp(-one.m)) if random else float(one.groups)


def _shown(one: Product, seconds: float) -> float:
    return seconds * one.per if one.per else one.flops / seconds / 1e12
