"""How the power of a busy device rises with its use, from the tables of aiconfigurator-core that hold watts.

Only B200 under one engine was recorded. Readings average over a longer time than short calls last, so only calls of a
third of a millisecond and more are taken; a device that is awake and does little draws what the shortest calls do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from scipy.optimize import least_squares

from flopsight.hardware.catalog import find
from flopsight.predict.device import device_of
from flopsight.predict.energy import drawn

CHIP: Final = "nvidia-b200-sxm"
SOURCE: Final = "aiconfigurator-core 0.12.0 (Apache-2.0), attention and expert kernels of vLLM 0.22.0 with watts, B200"
PROTOCOL: Final = (
    "watts / limit = awake + engine·(1 - exp(-steep·C)) + memory·M, at most 1; C and M the shares of peak FLOP/s and "
    "of bandwidth that a kernel of 0.3 ms and more reaches; soft log errors, kinds of equal weight. `left_out`: "
    "each kind of kernel from the constants of the other two. awake is the first decile over calls under 10 us. steep "
    "lies at its bound: a matrix engine that runs at all draws nearly its whole part. idle is of other cards, see its "
    "source. Other chips were not recorded. spread is the mean p90 of what was left out, over 1.645."
)
LEAST: Final = 3e-4
SHORT: Final = 1e-5
STEEPEST: Final = 40.0
BYTES: Final = {"bfloat16": 2, "fp8": 1, "fp8_block": 1}


def run(folder: Path) -> dict[str, Any]:
    """The content of energy.json from the folder `systems` of the package."""
    base = folder / "data/b200_sxm"
    kinds = {
        "prefill attention": _attention(base / "attention/vllm/0.22.0/context_attention_perf.parquet"),
        "decode attention": _decode(base / "attention/vllm/0.22.0/generation_attention_perf.parquet"),
        "experts": _experts(base / "moe/vllm/0.22.0/moe_perf.parquet"),
    }
    short = pl.read_parquet(base / "attention/vllm/0.22.0/generation_attention_perf.parquet")
    short = short.filter(pl.col("latency") < SHORT * 1e3)
    awake = float((short["power"] / short["power_limit"]).quantile(0.1) or 0.0)
    names = list(kinds)
    left = {out: _summary(_fit([kinds[n] for n in names if n != out], awake), awake, kinds[out]) for out in names}
    constants = _fit(list(kinds.values()), awake)
    short_calls = sum(k["short"] for k in kinds.values())
    return {
        "source": SOURCE, "protocol": PROTOCOL, "rejected": {"shorter than 0.3 ms": short_calls},
        "error": {"left_out": left}, "awake": _three(awake), **constants,
        "idle": {"share": 0.11, "source": "L40S 35.7 of 350 W (dcgm-exporter), H200 80.3 of 700 W (Alice benchmark)"},
        "spread": _three(np.mean([each["p90"] for each in left.values()]) / 1.645),
    }  # fmt: skip


def _attention(path: Path) -> dict[str, Any]:
    table = pl.read_parquet(path).filter(pl.col("window_size") == 0)
    b, s, h, kv, d = (table[n].to_numpy().astype(float) for n in
                      ("batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim"))  # fmt: skip
    return _kernel(table, 2 * b * h * s * s * d, 4 * b * s * d * (h + kv), 2.0)


def _decode(path: Path) -> dict[str, Any]:
    table = pl.read_parquet(path).filter(pl.col("window_size") == 0)
    b, s, h, kv, d = (table[n].to_numpy().astype(float) for n in
                      ("batch_size", "step", "num_heads", "num_key_value_heads", "head_dim"))  # fmt: skip
    width = np.array([BYTES[name] for name in table["kv_cache_dtype"].to_list()], dtype=float)
    return _kernel(table, 4 * b * h * (s + 1) * d, 2 * b * kv * (s + 1) * d * width, 2.0)


def _experts(path: Path) -> dict[str, Any]:
    table = pl.read_parquet(path).filter(pl.col("moe_dtype").is_in(list(BYTES)))
    n, d, f, k, e, tp, ep = (table[c].to_numpy().astype(float) for c in
        ("num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size"))  # fmt: skip
    width = np.array([BYTES[name] for name in table["moe_dtype"].to_list()], dtype=float)
    visited = e / ep * (1 - (1 - k / e) ** n)
    return _kernel(table, 6 * n * k * d * f / tp / ep, 3 * visited * d * f / tp * width, width)


def _kernel(table: pl.DataFrame, flops: Any, moved: Any, width: Any) -> dict[str, Any]:
    """Shares of the peaks and of the limit; `short` calls are counted and dropped."""
    device, seconds = device_of(find(CHIP)), table["latency"].to_numpy() / 1e3
    keep = seconds >= LEAST
    compute = flops / seconds / (device.rate("bf16") * 2 / width)
    power = (table["power"] / table["power_limit"]).to_numpy()
    found = {"compute": compute, "memory": moved / seconds / device.bandwidth, "power": power}
    return {**{name: each[keep] for name, each in found.items()}, "short": int((~keep).sum())}


def _fit(kinds: list[dict[str, Any]], awake: float) -> dict[str, float]:
    """The constants of `drawn` but for awake."""

    def away(q: Any) -> Any:
        logs = [np.log(drawn(awake, *q, k["compute"], k["memory"]) / k["power"]) for k in kinds]
        return np.concatenate([each / np.sqrt(len(each)) * 100 for each in logs])

    bounds = ([0, 0, 0], [1 - awake, STEEPEST, 1 - awake])
    found = least_squares(away, [0.5, 5.0, 0.5], bounds=bounds, loss="soft_l1")
    return dict(zip(("engine", "steep", "memory"), map(_three, found.x), strict=True))


def _summary(found: dict[str, float], awake: float, k: dict[str, Any]) -> dict[str, Any]:
    logs = np.log(drawn(awake, *found.values(), k["compute"], k["memory"]) / k["power"])
    away = np.abs(logs)
    return {"median": _three(np.median(away)), "p90": _three(np.quantile(away, 0.9)), "n": len(away),
            "bias": _three(np.exp(np.median(logs)))}  # fmt: skip


def _three(value: Any) -> float:
    return float(f"{float(value):.3g}")
