"""Attention kernels of published tables and charts, against the time predicted for one call.

Charts are of a kernel's generation. Predictions are of today's best; FlashAttention 2 runs on Hopper without its
instructions and takes 1.5 to 2 times as long as 3 (Shah et al. 2024, arXiv 2407.08608), FlashAttention 1 twice as long
as 2 (Dao 2023, arXiv 2307.08691). The middle of those claims is taken, and said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from flopsight.facts import Unknown
from flopsight.predict.device import Device
from flopsight.predict.kernels.attention import (
    Heads,
    attention_backward_seconds,
    attention_seconds,
    attention_spread,
)
from flopsight.validate.predicted.bands import NINETY, kernel_sigma
from flopsight.validate.predicted.device import device_of_row
from flopsight.validate.recompute import Figure
from flopsight.validate.rows import Row

TIMES: Final = (("time_ms", 1e3), ("time_us", 1e6))
OLDER: Final = 0.2
"""Added spread where a kernel's generation is known by a published claim only."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of a row: shapes, FLOPs as its source counts them, and how its kernel compares with today's."""

    heads: Heads
    batch: int
    queries: int
    flops: float
    cache: float
    bits: float
    compute: str
    backward: str
    generation: float
    note: str

    def seconds(self, device: Device) -> float:
        """The time of the pass the row measures."""
        ahead = attention_seconds(
            device, self.heads, sequences=self.batch, queries=self.queries, flops=self.flops, cache_bytes=self.cache,
            other_bytes=2.0 * self.batch * self.queries * self.heads.heads * _widths(self.heads),
            compute=self.compute, cache_bits=self.bits,
        )  # fmt: skip
        back = attention_backward_seconds(
            device, self.heads, sequences=self.batch, queries=self.queries, flops=2.5 * self.flops, compute=self.compute
        )
        passes = {"fwd": ahead, "bwd": back}.get(self.backward, ahead + back)
        return float(passes) * self.generation

    @property
    def counted(self) -> float:
        """FLOPs of the measured pass: a backward pass counts 2.5 forward ones."""
        return self.flops * {"fwd": 1.0, "bwd": 2.5}.get(self.backward, 3.5)


def predict(row: Row) -> Figure | None:
    """Time or TFLOP/s of an attention row; None for rows of other kernels."""
    if row.model.get("op") not in ("attention", "gqa_decode", "mla_decode", "mla_attention"):
        return None
    device = device_of_row(row)
    if isinstance(device, Unknown):
        return Figure("time", None, None, why=device.why)
    asked = _asked(row, device)
    return _ceiling(row, device) if asked is None else _figure(row, device, asked)


def _figure(row: Row, device: Device, asked: Asked) -> Figure:
    seconds = asked.seconds(device)
    spread = attention_spread(device, decode=asked.queries == 1) + (OLDER if asked.generation != 1 else 0.0)
    wide = math.exp(NINETY * kernel_sigma(row, spread))
    notes = (asked.note,) if asked.note else ()
    for name, scale in TIMES:
        printed = row.number(row.measured, name)
        if printed:
            ours = seconds * scale
            return Figure(name, printed, ours, counted="one call", notes=notes, low=ours / wide, high=ours * wide)
    ours = asked.counted / seconds / 1e12
    printed = row.number(row.measured, "tflops")
    return Figure("tflops", printed, ours, counted="one call", notes=notes, low=ours / wide, high=ours * wide)


def _ceiling(row: Row, device: Device) -> Figure:
    """A best value without its shape: the best latent decode this device is predicted to reach."""
    heads = Heads(128, 1, 576, 512, latent=True, expanded=320)
    best = 0.0
    for batch, keys in ((64, 4096), (128, 4096), (128, 8192), (256, 8192), (128, 16384)):
        flops = 2.0 * batch * 128 * keys * 1088
        seconds = attention_seconds(
            device, heads, sequences=batch, queries=1, flops=flops, cache_bytes=2.0 * batch * keys * 576,
            other_bytes=2.0 * batch * 128 * 1088,
        )  # fmt: skip
        best = max(best, flops / float(seconds) / 1e12)
    wide = math.exp(NINETY * kernel_sigma(row, 2 * attention_spread(device, decode=True)))
    printed = row.number(row.measured, "tflops") or None
    if printed is None:
        held, rate = row.number(row.measured, "bandwidth_gb_s"), device.bandwidth / 1e9
        return Figure("bandwidth_gb_s", held, 0.85 * rate, counted="85 % of the data sheet", low=0.6 * rate, high=rate)
    note = "the source prints no shape: the best of five is taken"
    return Figure(
        "tflops", printed, best, counted="best of five shapes", notes=(note,), low=best / wide, high=best * wide
    )


# ------------------------------------------------------------ what a row asks


def _asked(row: Row, device: Device) -> Asked | None:
    op = row.model.get("op")
    batch, heads = row.whole(row.workload, "batch"), row.whole(row.model, "heads")
    if not batch or not heads:
        return None
    if op == "mla_decode":
        return _latent(row, batch, heads)
    return _decode(row, batch, heads) if op == "gqa_decode" else _prompt(row, device, batch, heads)


def _cached(row: Row) -> float:
    words = f"{row.dtype} {row.workload.get('kv_dtype') or ''}".lower()
    return 8.0 if "kv fp8" in words or row.workload.get("kv_dtype") == "fp8" else 16.0


def _compute(row: Row) -> str:
    return "fp8" if "attn fp8" in row.dtype.lower() else "bf16"


def _latent(row: Row, batch: int, heads: int) -> Asked | None:
    keys = row.whole(row.workload, "kv_len")
    rank, rope = row.whole(row.model, "kv_lora_rank"), row.whole(row.model, "rope_dim")
    if not keys or not rank or not rope:
        return None
    shape = Heads(heads, 1, rank + rope, rank, latent=True)
    bits = _cached(row)
    flops, cache = 2.0 * batch * heads * keys * (2 * rank + rope), batch * keys * (rank + rope) * bits / 8
    return Asked(shape, batch, 1, flops, cache, bits, "bf16", "fwd", 1.0, "")


def _decode(row: Row, batch: int, heads: int) -> Asked | None:
    keys, kv, width = (
        row.whole(t, n) for t, n in ((row.workload, "kv_len"), (row.model, "kv_heads"), (row.model, "head_dim"))
    )
    if not keys or not kv or not width:
        return None
    bits = _cached(row)
    flops, cache = 4.0 * batch * heads * keys * width, 2.0 * batch * keys * kv * width * bits / 8
    return Asked(Heads(heads, kv, width, width), batch, 1, flops, cache, bits, "bf16", "fwd", 1.0, "")


def _prompt(row: Row, device: Device, batch: int, heads: int) -> Asked | None:
    length = row.whole(row.workload, "seq_len") or row.whole(row.workload, "isl")
    width = row.whole(row.model, "head_dim")
    key, value = row.whole(row.model, "qk_head_dim") or width, row.whole(row.model, "v_head_dim") or width
    if not length or not key or not value:
        return None
    kv = row.whole(row.model, "kv_heads") or heads
    pairs = length * length / (2 if row.model.get("causal") is True else 1)
    bits = _cached(row)
    factor, note = _generation(row, device)
    flops, cache = 2.0 * batch * heads * (key + value) * pairs, batch * length * kv * (key + value) * bits / 8
    passes = str(row.workload.get("pass_") or "fwd")
    return Asked(Heads(heads, kv, key, value), batch, length, flops, cache, bits, _compute(row), passes, factor, note)


def _generation(row: Row, device: Device) -> tuple[float, str]:
    """How much longer the row's kernel takes than today's, from published claims."""
    name = str(row.model.get("name") or "")
    hopper = device.family == "Hopper"
    if "FlashAttention-2" in name and hopper:
        return 1.75, "FlashAttention 2 on Hopper: 1.75 times the time of 3"
    if "v1" in name:
        return 2.0 * (1.75 if hopper else 1.0), "FlashAttention 1: twice the time of 2"
    return 1.0, ""


def _widths(heads: Heads) -> int:
    return heads.key_width + heads.value_width
