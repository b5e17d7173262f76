"""Attention timings as calls: what a kernel is given, and the seconds that stand for it.

A prompt takes the geometric mean of the two fastest tables of its chip; a decode step takes one table, and the fastest
one where over 16 query heads share a key-value head: some kernels have no such case and fall back on one that takes
five times as long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import polars as pl
from tools.calibrate.gates import IDS
from tools.calibrate.surfaces import fold_of

from flopsight.hardware.catalog import find
from flopsight.predict.device import Device, device_of
from flopsight.predict.kernels.attention import CACHED

Key = tuple[str, str, str]
"""System, kind of call, formats."""
TABLES = ("trtllm", "vllm", "sglang")
BROKEN = (("a100_sxm", "trtllm"),)
"""Decode tables above the memory's bandwidth throughout."""
EXPANDED = "trtllm"
"""Whose latent prompts are computed head by head on every chip; others are absorbed on Hopper, 3.4 times the work."""
WIDTHS = (64, 128, 256)
WIDE = 16
"""Query heads to a key-value head above which the fastest table of a shape counts."""
NAMES = {"bfloat16": "bf16", "fp8": "fp8"}
EVIDENCE = ("h100_sxm", "b200_sxm", "a100_sxm")
"""Systems whose blocks of 64 or 32 heads over 8, width 128, are published evidence rows: judged, never fitted."""


@dataclass(frozen=True)
class Calls:
    """Rows of one chip, kind and format.

    a, b, c    the three axes of the surface
    sequences, blocks, flops, streamed, aside   what the physical part is given
    cache      bytes that light speed bounds
    light      FLOPs over the rate, seconds
    between    |log| of how far the kernels of one shape lie from what stands for them; nan where one is alone
    """

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    sequences: np.ndarray
    blocks: np.ndarray
    flops: np.ndarray
    streamed: np.ndarray
    aside: np.ndarray
    cache: np.ndarray
    light: np.ndarray
    t: np.ndarray
    between: np.ndarray
    fold: np.ndarray

    def take(self, keep: np.ndarray) -> Calls:
        """The rows where `keep` is true."""
        return Calls(*(getattr(self, one.name)[keep] for one in fields(self)))


def calls(folder: Path, rejected: Counter[str]) -> dict[Key, tuple[Device, Calls]]:
    """Every kind of call on every chip, as far as physics allows its rows."""
    found = {}
    for key, one in (*_prompts(folder), *_decodes(folder, rejected), *_latents(folder, rejected)):
        device = device_of(find(IDS[key[0]]))
        fast = one.light > 1.05 * one.t
        read = (one.cache / device.bandwidth > 1.03 * one.t) & (one.cache > CACHED * device.l2)
        rejected["faster than light speed"] += int((fast | read).sum())
        found[key] = device, one.take(~(fast | read))
    return found


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
    return pl.concat(frames, how="vertical_relaxed").filter(pl.col("t") > 0)


def _numbers(frame: pl.DataFrame, *names: str) -> list[np.ndarray]:
    return [frame[name].to_numpy().astype(float) for name in names]


def _usual(rows: pl.DataFrame) -> pl.DataFrame:
    """Whole groups of query heads, widths of language models, and no shape of the evidence."""
    heads, shared = pl.col("num_heads"), pl.col("num_key_value_heads")
    kept = pl.col("system").is_in(EVIDENCE) & (pl.col("head_dim") == 128) & (shared == 8) & heads.is_in([32, 64])
    return rows.filter(pl.col("head_dim").is_in(WIDTHS) & (heads % shared == 0) & ~kept)


def middle_of_two(rows: pl.DataFrame, shape: list[str]) -> pl.DataFrame:
    """The geometric mean of the two fastest tables, the same two for all shapes; of one where a chip has no second."""
    each = rows.group_by(*shape, "table").agg(pl.col("t").median())
    two = _fastest(each, shape)
    half = ((pl.col("t").max() / pl.col("t").min()).log() / 2).alias("between")
    found = each.filter(pl.col("table").is_in(two)).group_by(shape)
    met = found.agg(pl.col("t").log().mean().exp(), half, pl.len().alias("tables")).filter(pl.col("tables") == len(two))
    alone = pl.lit(float("nan")) if len(two) < 2 else pl.col("between")
    return met.with_columns(alone.alias("between")).drop("tables").sort(shape)


def _fastest(each: pl.DataFrame, shape: list[str]) -> list[str]:
    """The two tables that are fastest in the median, of those with at least half as many shapes as the largest."""
    held = dict(each.group_by("table").len().iter_rows())
    large = [name for name, n in sorted(held.items()) if 2 * n > max(held.values())]
    over = (pl.col("t") / pl.col("t").min().over(shape)).alias("over")
    alike = each.filter(pl.col("table").is_in(large)).filter(pl.len().over(shape) == len(large))
    slow = dict(alike.with_columns(over).group_by("table").agg(pl.col("over").median()).iter_rows())
    return sorted(large, key=lambda name: (slow.get(name, 0.0), name))[:2]


def _prompts(folder: Path) -> Iterator[tuple[Key, Calls]]:
    shape = ["window_size", "batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim"]
    rows = _usual(_read(folder, "context_attention_perf", ["attn_dtype", "kv_cache_dtype", *shape]))
    rows = rows.filter(pl.col("isl") >= 16)
    for (system, a, k), own in rows.group_by("system", "attn_dtype", "kv_cache_dtype"):
        g = middle_of_two(own, shape)
        w, b, q, h, kv, d = _numbers(g, *shape)
        m = np.where(w > 0, np.minimum(q, w), q)
        pairs = m * (m + 1) / 2 + (q - m) * m
        kept = b * q * d * 2 * kv * (1 if k == "fp8" else 2)
        blocks = b * h * np.maximum(q / 128, 1)
        key = str(system), "prompt", f"{NAMES[str(a)]}/{NAMES[str(k)]}"
        yield key, _call(key, g, (2 * pairs / q, blocks, d), b, blocks, 4 * b * h * d * pairs, 0 * b,
                         kept + 4 * b * q * h * d, fold_of(h, kv, d, b))  # fmt: skip


def _decodes(folder: Path, rejected: Counter[str]) -> Iterator[tuple[Key, Calls]]:
    shape = ["batch_size", "step", "num_heads", "num_key_value_heads", "head_dim"]
    rows = _usual(_read(folder, "generation_attention_perf", ["kv_cache_dtype", "window_size", *shape]))
    rows = rows.filter(pl.col("window_size") == 0)
    for (system, k), own in rows.group_by("system", "kv_cache_dtype"):
        g = _one_table(str(system), own, shape, rejected)
        b, n, h, kv, d = _numbers(g, *shape)
        cache = 2 * b * kv * d * (n + 1) * (1 if k == "fp8" else 2)
        key = str(system), "decode", f"bf16/{NAMES[str(k)]}"
        x, flops = (cache / (b * kv), b * kv, h / kv), 4 * b * h * d * (n + 1)
        yield key, _call(key, g, x, b, b * kv, flops, cache, 4 * b * h * d, fold_of(h, kv, d, b))


def _one_table(system: str, own: pl.DataFrame, shape: list[str], rejected: Counter[str]) -> pl.DataFrame:
    broken = [table for name, table in BROKEN if name == system]
    rejected["decode tables above the bandwidth"] += len(own.filter(pl.col("table").is_in(broken)))
    each = own.filter(~pl.col("table").is_in(broken)).group_by(*shape, "table").agg(pl.col("t").median())
    first = next(table for table in TABLES if table in each["table"])
    taken = pl.col("t").filter(pl.col("table") == first).first()
    wide = pl.col("num_heads").first() > WIDE * pl.col("num_key_value_heads").first()
    between = ((pl.col("t").filter(pl.col("table") != first).first() / taken).log().abs() / 2**0.5).alias("between")
    found = (
        each.sort(*shape, "table")
        .group_by(shape)
        .agg(
            pl.when(wide).then(pl.col("t").min()).otherwise(taken).alias("t"),
            between,
            wide.alias("wide"),
            pl.len().alias("tables"),
        )
    )
    alone = pl.col("wide") & (pl.col("tables") < 2) & (each["table"].n_unique() > 1)
    rejected["wide groups in one table only"] += int(found.select(alone.sum()).item())
    return found.filter(pl.col("t").is_not_null() & ~alone).sort(shape)


def _latents(folder: Path, rejected: Counter[str]) -> Iterator[tuple[Key, Calls]]:
    shape = ["num_heads", "batch_size", "isl", "step"]
    for kind, pattern in (("latent_prompt", "context_mla_perf"), ("latent_decode", "generation_mla_perf")):
        rows = _read(folder, pattern, ["kv_cache_dtype", *shape])
        if kind == "latent_prompt":
            rejected["latent prompts computed absorbed"] += len(rows.filter(pl.col("table") != EXPANDED))
            rows = rows.filter(pl.col("table") == EXPANDED)
        for (system, k), own in rows.group_by("system", "kv_cache_dtype"):
            g = middle_of_two(own, shape)
            h, b, q, n = _numbers(g, *shape)
            key, each = (str(system), kind, f"bf16/{NAMES[str(k)]}"), 576 * (1 if k == "fp8" else 2)
            if kind == "latent_prompt":
                blocks, flops = b * h * np.maximum(q / 128, 1), 320 * b * h * q * (q + 1)
                x = (q + 1, blocks, np.full(len(q), 160.0))
                yield key, _call(key, g, x, b, blocks, flops, 0 * b, b * q * (each + 640 * h), fold_of(h, b))
            else:
                cache, flops = b * (n + 1) * each, 2 * b * h * (n + 1) * 1088
                yield key, _call(key, g, (cache / b, b, h), b, b, flops, cache, b * h * 1088 * 2, fold_of(h, b))


def _call(
    key: Key, g: pl.DataFrame, x: tuple[np.ndarray, ...], sequences: np.ndarray, blocks: np.ndarray,
    flops: np.ndarray, streamed: np.ndarray, aside: np.ndarray, fold: np.ndarray,
) -> Calls:  # fmt: skip
    rate = device_of(find(IDS[key[0]])).rate("fp8" if key[2].startswith("fp8") else "bf16")
    t, between = _numbers(g, "t", "between")
    return Calls(*x, sequences, blocks, flops, streamed, aside, streamed, flops / rate, t, between, fold)
