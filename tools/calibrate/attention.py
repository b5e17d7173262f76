"""Attention: factors on a plain roofline, by chip and kind of call, from published kernel timings.

Prompts take the geometric mean of the two fastest backends of a shape; decode takes one backend's table a chip, since
a mean of kernels that switch at different lengths is nobody's. Blocks of shapes that occur in published evidence rows
(64 or 32 query heads over 8, width 128, H100, B200 and A100) are left out of every fit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tools.calibrate.surfaces as surfaces
from tools.calibrate.gates import IDS, best_two
from tools.calibrate.surfaces import Axes, design, error_of, fit_surface, fold_of, packed

from flopsight.hardware.catalog import find
from flopsight.predict.device import Device, device_of
from flopsight.predict.kernels.attention import BASE, CACHED, SHARPNESS, class_of

LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
BLOCKS = (1, 4, 16, 32, 64, 128, 192, 256, 512, 1024, 4096, 16384)
BYTES = (2**10, 2**14, *(2**n for n in range(17, 29) if n != 18), 2**30, 2**32)
AXES = {
    "prompt": Axes(LENGTHS, BLOCKS, (64, 128, 192, 256)), "latent_prompt": Axes(LENGTHS, BLOCKS, (64, 128, 192, 256)),
    "decode": Axes(BYTES, (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096), (1, 2, 4, 8, 16, 32)),
    "latent_decode": Axes(BYTES, (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024), (1, 2, 4, 8, 16, 32, 64, 128)),
}  # fmt: skip
SMOOTH = {"prompt": (0.02, 0.5, 0.5), "latent_prompt": (0.02, 0.5, 0.5),
          "decode": (0.1, 0.2, 0.3), "latent_decode": (0.1, 0.2, 0.3)}  # fmt: skip
TABLES = ("trtllm", "vllm", "sglang")
BROKEN = (("a100_sxm", "trtllm"),)
"""Decode tables above the memory's bandwidth throughout."""
WIDTHS = (64, 128, 256)
NAMES = {"bfloat16": "bf16", "fp8": "fp8"}
PROTOCOL = (
    "log2 of measured time over a plain roofline, fitted by a smooth trilinear surface with robust least squares; one "
    "shape block in five (heads, key-value heads, width, batch) left out for the errors, then fitted on all; a "
    "family's surface is fitted on its chips together, and judged on a chip left out. The backward rate is 0.85 of the "
    "forward's: bar charts of FlashAttention 2 and 3 at 16k tokens give 0.82 to 0.87 (A100 227 ahead, 203 both; H100 "
    "FA2 370, 335), and no row is fitted."
)


@dataclass(frozen=True)
class Calls:
    """Rows of one chip, kind and format: what a call is given, and what it took."""

    x: tuple[np.ndarray, np.ndarray, np.ndarray]
    base: np.ndarray
    t: np.ndarray
    fold: np.ndarray

    def take(self, keep: np.ndarray) -> Calls:
        """The rows where `keep` is true."""
        return Calls(tuple(v[keep] for v in self.x), self.base[keep], self.t[keep], self.fold[keep])  # type: ignore[arg-type]


def joined(several: list[Calls]) -> Calls:
    """Rows of several chips together."""
    x = tuple(np.concatenate([c.x[i] for c in several]) for i in range(3))
    rest = (np.concatenate([getattr(c, name) for c in several]) for name in ("base", "t", "fold"))
    return Calls(x, *rest)  # type: ignore[arg-type]


def run(folder: Path) -> dict[str, Any]:
    """The coefficients of every kind of call."""
    rejected: Counter[str] = Counter()
    found = {**_prompts(folder, rejected), **_decodes(folder, rejected), **_latents(folder, rejected)}
    chips: dict[str, Any] = {}
    error: dict[str, Any] = {}
    for (system, kind, formats), calls in sorted(found.items()):
        chips.setdefault(IDS[system], {}).setdefault(kind, {})[formats] = packed(_fit(kind, calls))
        error[f"{IDS[system]} {kind} {formats}"] = _judged(kind, calls, _fit(kind, calls.take(calls.fold != 0)))
    classes, logo = _classes(found)
    spread = {"chips": _spreads(error), "classes": _spreads(logo)}
    axes = {kind: [list(a.m), list(a.n), list(a.k)] for kind, a in AXES.items()}
    return {
        "source": "aiconfigurator-core 0.12.0, systems/data/*/attention and mla (Apache-2.0)", "protocol": PROTOCOL,
        "error": error, "error_of_chips_left_out": logo, "rejected": dict(rejected), "axes": axes, "chips": chips,
        "classes": classes, "spread": spread,
    }  # fmt: skip


def _fit(kind: str, calls: Calls) -> Any:
    surfaces.SMOOTH = SMOOTH[kind]
    return fit_surface(AXES[kind], design(AXES[kind], *calls.x), np.log2(calls.t / calls.base))


def _judged(kind: str, calls: Calls, fitted: Any) -> dict[str, float]:
    """The error on shape blocks the fit did not see."""
    left = calls.take(calls.fold == 0)
    return error_of(_predicted(kind, left, fitted), left.t)


def _predicted(kind: str, calls: Calls, fitted: Any) -> np.ndarray:
    found: np.ndarray = calls.base * np.exp2(design(AXES[kind], *calls.x) @ fitted.values.ravel())
    return found


def _classes(found: dict[tuple[str, str, str], Calls]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Surfaces of families and of all chips, and what they miss on a chip left out."""
    families = {s: class_of((d := device_of(find(i))).family, d.memory_kind) for s, i in IDS.items()}
    classes: dict[str, Any] = {}
    logo: dict[str, Any] = {}
    for kind, formats in sorted({(k, f) for _, k, f in found}):
        each = {s: c for (s, k, f), c in found.items() if (k, f) == (kind, formats)}
        for family in ("all", *sorted({families[s] for s in each})):
            members = [c for s, c in each.items() if family in ("all", families[s])]
            classes.setdefault(family, {}).setdefault(kind, {})[formats] = packed(_fit(kind, joined(members)))
        for system, calls in each.items():
            kin = [c for s, c in each.items() if s != system and families[s] == families[system]]
            others = kin or [c for s, c in each.items() if s != system]
            if others:
                name = f"{IDS[system]} {kind} {formats} from {'its family' if kin else 'all others'}"
                logo[name] = error_of(_predicted(kind, calls, _fit(kind, joined(others))), calls.t)
    return classes, logo


def _spreads(error: dict[str, Any]) -> dict[str, float]:
    """The median spread of prompts and of decode steps."""
    found = {}
    for word in ("prompt", "decode"):
        found[word] = round(float(np.median([e["spread"] for name, e in error.items() if word in name])), 3)
    return found


# ------------------------------------------------------------ rows


def _read(folder: Path, pattern: str, columns: list[str]) -> pl.DataFrame:
    frames = []
    for file in sorted(folder.glob(f"data/*/*/*/*/{pattern}.parquet")):
        system, _, backend = file.relative_to(folder / "data").parts[:3]
        if system not in IDS:
            continue
        frame = pl.read_parquet(file)
        if "window_size" in columns and "window_size" not in frame.columns:
            frame = frame.with_columns(window_size=pl.lit(0, dtype=pl.Int64))
        kept = frame.select(*columns, (pl.col("latency") * 1e-3).alias("t"))
        frames.append(kept.with_columns(system=pl.lit(system), table=pl.lit(backend)))
    return pl.concat(frames, how="vertical_relaxed")


def _numbers(frame: pl.DataFrame, *names: str) -> list[np.ndarray]:
    return [frame[name].to_numpy().astype(float) for name in names]


def _evidence(frame: pl.DataFrame) -> pl.Expr:
    """Blocks of shapes that published evidence rows hold; they are judged, never fitted."""
    chips = pl.col("system").is_in(["h100_sxm", "b200_sxm", "a100_sxm"])
    return (
        chips & (pl.col("head_dim") == 128) & (pl.col("num_key_value_heads") == 8) & pl.col("num_heads").is_in([32, 64])
    )


def _prompts(folder: Path, rejected: Counter[str]) -> dict[tuple[str, str, str], Calls]:
    shape = ["attn_dtype", "kv_cache_dtype", "window_size", "batch_size", "isl", "num_heads", "num_key_value_heads",
             "head_dim"]  # fmt: skip
    rows = _read(folder, "context_attention_perf", shape)
    rows = rows.filter((pl.col("isl") >= 16) & pl.col("head_dim").is_in(WIDTHS) & ~_evidence(rows))
    found = {}
    for (system, a, k), g in best_two(rows, ["system", *shape]).group_by("system", "attn_dtype", "kv_cache_dtype"):
        b, q, h, kv, d, w = _numbers(
            g, "batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim", "window_size"
        )
        m = np.where(w > 0, np.minimum(q, w), q)
        pairs = m * (m + 1) / 2 + (q - m) * m
        flops, moved = 4 * b * h * d * pairs, b * q * d * (4 * h + 2 * kv * (1 if k == "fp8" else 2))
        x = (2 * pairs / q, b * h * np.ceil(q / 128), d)
        calls = Calls(x, np.zeros(0), g["t"].to_numpy(), fold_of(h, kv, d, b))
        key = (str(system), "prompt", f"{NAMES[str(a)]}/{NAMES[str(k)]}")
        found[key] = _gated(key, calls, flops, moved, np.zeros(len(q)), NAMES[str(a)], rejected)
    return found


def _decodes(folder: Path, rejected: Counter[str]) -> dict[tuple[str, str, str], Calls]:
    shape = ["kv_cache_dtype", "batch_size", "step", "num_heads", "num_key_value_heads", "head_dim"]
    rows = _read(folder, "generation_attention_perf", [*shape, "window_size"])
    whole = (pl.col("num_heads") % pl.col("num_key_value_heads")) == 0
    rows = rows.filter((pl.col("window_size") == 0) & pl.col("head_dim").is_in(WIDTHS) & whole & ~_evidence(rows))
    found = {}
    for system in sorted(rows["system"].unique()):
        own = rows.filter(pl.col("system") == system)
        tables = [t for t in TABLES if (system, t) not in BROKEN and len(own.filter(pl.col("table") == t))]
        rejected["decode tables above the bandwidth"] += len(own) if (system, "trtllm") in BROKEN else 0
        own = own.filter(pl.col("table") == tables[0]).group_by(shape).agg(pl.col("t").median()).sort(shape)
        for (k,), g in own.group_by("kv_cache_dtype"):
            b, n, h, kv, d = _numbers(g, "batch_size", "step", "num_heads", "num_key_value_heads", "head_dim")
            cache = 2 * b * kv * d * (n + 1) * (1 if k == "fp8" else 2)
            flops, moved = 4 * b * h * d * (n + 1), cache + 4 * b * h * d
            calls = Calls((cache, b * kv, h / kv), np.zeros(0), g["t"].to_numpy(), fold_of(h, kv, d, b))
            key = (system, "decode", f"bf16/{NAMES[str(k)]}")
            found[key] = _gated(key, calls, flops, moved, cache, "bf16", rejected)
    return found


def _latents(folder: Path, rejected: Counter[str]) -> dict[tuple[str, str, str], Calls]:
    shape = ["kv_cache_dtype", "num_heads", "batch_size", "isl", "step"]
    found = {}
    for kind, pattern in (("latent_prompt", "context_mla_perf"), ("latent_decode", "generation_mla_perf")):
        rows = best_two(_read(folder, pattern, shape).filter(pl.col("t") > 0), ["system", *shape])
        for (system, k), g in rows.group_by("system", "kv_cache_dtype"):
            h, b, q, n = _numbers(g, "num_heads", "batch_size", "isl", "step")
            each = 576 * (1 if k == "fp8" else 2)
            if kind == "latent_prompt":
                cache, flops, other = 0 * q, 320 * b * h * q * (q + 1), b * q * (each + 640 * h)
                x = (q + 1, b * h * np.ceil(q / 128), np.full(len(q), 160.0))
            else:
                cache, flops, other = b * (n + 1) * each, 2 * b * h * (n + 1) * 1088, b * h * 1088 * 2
                x = (cache, b, h)
            calls = Calls(x, np.zeros(0), g["t"].to_numpy(), fold_of(h, b))
            key = (str(system), kind, f"bf16/{NAMES[str(k)]}")
            found[key] = _gated(key, calls, flops, cache + other, cache, "bf16", rejected)
    return found


def _gated(
    key: tuple[str, str, str], calls: Calls, flops: np.ndarray, moved: np.ndarray, cache: np.ndarray, compute: str,
    rejected: Counter[str],
) -> Calls:  # fmt: skip
    """Rows that physics allows, with their plain roofline."""
    device: Device = device_of(find(IDS[key[0]]))
    start, c, b = BASE[key[1]]
    busy = flops / device.rate(compute)
    base = start + ((busy / c) ** SHARPNESS + (moved / (device.bandwidth * b)) ** SHARPNESS) ** (1 / SHARPNESS)
    fast = (busy > 1.05 * calls.t) | ((cache / device.bandwidth > 1.03 * calls.t) & (cache > CACHED * device.l2))
    rejected["faster than light speed"] += int(fast.sum())
    return Calls(calls.x, base, calls.t, calls.fold).take(~fast)
