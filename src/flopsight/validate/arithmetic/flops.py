"""FLOPs, and the time or the days they take at a peak."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from flopsight.hardware.catalog import find
from flopsight.validate.arithmetic.constants import dims_of_model, view_in
from flopsight.validate.arithmetic.problem import NUMBER, Problem, Rule

DAY: Final = 86_400
YEAR: Final = 365 * DAY


@dataclass(frozen=True, slots=True)
class Run:
    """A training run whose problems quote no inputs: active parameters, tokens, device hours, peak of one device."""

    active: float
    tokens: float
    hours: float
    chip: str
    dtype: str


RUNS: Final = {"deepseek-v3": Run(37e9, 14.8e12, 2.79e6, "nvidia-h800-pcie-80gb", "fp8")}
"""arXiv 2412.19437, table 1; scaling book, transformers.md question 7, takes the fp8 peak of the PCIe H800."""


@dataclass(frozen=True, slots=True)
class Log:
    """TFLOP of one device and step, and seconds of the step, in a worked log."""

    tflop: float
    seconds: float


LOGS: Final = {"arith-maxtext": Log(764.67, 5.667)}
"""AI-Hypercomputer/maxtext:docs/guides/monitoring_and_debugging/understand_logs_and_metrics.md, sections 3.3 and 4."""


def _per_token(p: Problem) -> float | None:
    """6·N to train, 2·N to run; with attention where the question writes 12LHQT."""
    if p.given("flops_per_token", "tokens") or not p.any(r"flops? per[ -]token", r"flops?/token", r"6n\s?\+"):
        return None
    if p.any("utilization", "mfu", "throughput", "time", "tokens/s"):
        return None
    forward = p.any("forward", "inference", "decode") and not p.any("train", "backward")
    if p.any("lhq") and (v := view_in(p.q) or view_in("palm 540b")):
        return 6 * v.total + 3 * v.square()
    return p.times(2 if forward else 6, p.nominal)


def _total(p: Problem) -> float | None:
    """FLOPs a token times tokens."""
    if not p.any("total", "training flops", "flops to train") or not p.unit.lower().startswith("flop"):
        return None
    if p.unit.lower().endswith("/s") or p.any(r"\bpod\b", "available"):
        return None
    run = _run(p)
    if run:
        return 6 * run.active * run.tokens
    count = p.get("flops_per_token") or p.times(6, p.get("N_active", "active") or p.nominal)
    return p.times(count, p.get("tokens"))


def _run(p: Problem) -> Run | None:
    return next((run for name, run in RUNS.items() if name in p.q and not p.inputs), None)


def _peak(run: Run) -> float:
    known = find(run.chip).peak(run.dtype)
    return float(known.value)  # type: ignore[union-attr]


def _available(p: Problem) -> float | None:
    """Device hours times the peak."""
    asked = p.any("available", "could have", "at peak", "peak flops", "capacity", r"h800[- ]hours?")
    if not asked or p.any("utili[sz]ation") or not p.unit.lower().startswith("flop") or p.unit.endswith("/s"):
        return None
    run = _run(p)
    return run.hours * 3600 * _peak(run) if run else p.times(p.get("hours"), 3600, p.get("peak"))


def _run_utilization(p: Problem) -> float | None:
    """6·N_act·tokens / (hours · 3600 · peak)."""
    if not p.any(r"utili[sz]ation", r"\bmfu\b") or p.unit not in ("fraction", "%"):
        return None
    run = _run(p)
    share = 6 * run.active * run.tokens / (run.hours * 3600 * _peak(run)) if run else None
    if share is None and p.given("hours", "peak", "tokens"):
        done = p.times(6, p.get("active", "N_active", "N"), p.get("tokens"))
        share = done / math.prod((p.get("hours") or 1, 3600, p.get("peak") or 1)) if done else None
    return share * 100 if share is not None and p.unit == "%" else share


def _equal_length(p: Problem) -> float | None:
    """4·T²·D of scores and mix equal 8·T·D² of the projections at T = 2·D."""
    asked = p.any("sequence length", "context length") and p.has("attention flops", "equal", "projection")
    return p.times(2, p.dims.get("D")) if asked and p.unit == "tokens" else None


def _step(p: Problem) -> float | None:
    """6·N·tokens of a batch over the peak of all devices."""
    batch, peak = p.get("B", "tokens", "batch_tokens"), p.get("peak", "C") or (p.chip.bf16 if p.chip else None)
    asked = p.any("step") and p.any("train") and p.unit in ("s", "ms") and not p.any("decode", "generat", "token of")
    if not asked or not (p.nominal and batch and peak and p.chips) or p.given("flops"):
        return None
    return 6 * p.nominal * batch / (peak * p.chips * (p.get("mfu", "util") or 1)) / (1e-3 if p.unit == "ms" else 1)


def _days_of_formula(p: Problem) -> float | None:
    """8·T·P/(n·X): tokens, parameters, devices, achieved FLOP/s of one, full recomputation in."""
    tokens, count, devices, rate = (p.get(name) for name in ("T", "P", "n", "X"))
    if not p.any(r"8\s?\*?\s?t\s?\*?\s?p") or not (tokens and count and devices and rate):
        return None
    seconds = 8 * tokens * count / (devices * (rate if rate > 1e6 else rate * 1e12))
    return seconds / (DAY if p.unit.startswith("day") else 1)


def _time(p: Problem) -> float | None:
    """FLOPs over the peak of all devices, in seconds or years."""
    done = p.get("flops", "FLOPs") or p.number(rf"{NUMBER} (?:int8 |bf16 )?(?:flops?|ops)\b(?!/)")
    peak = p.get("peak", "C") or (p.chip.bf16 if p.chip else None)
    asked = p.any(r"\btime\b", r"\bhow long\b", r"\blatency\b", r"\byears?\b", r"\bseconds?\b")
    if not asked or done is None or peak is None or p.unit not in ("s", "ms", "years") or p.given("tokens"):
        return None
    seconds = done / (peak * (p.get("chips", "gpus") or 1) * (p.get("mfu", "util") or 1))
    return seconds / {"s": 1, "ms": 1e-3, "years": YEAR}[p.unit]


def _days(p: Problem) -> float | None:
    """Total FLOPs over the achieved FLOP/s."""
    if (
        p.unit not in ("days", "day", "seconds", "s")
        or not p.any(r"\bdays?\b|\btrain", "how long")
        or not p.any("train")
    ):
        return None
    done = p.get("flops", "total_flops") or p.times(6, p.get("N"), p.get("tokens"))
    share = p.get("mfu", "util") or _percent(p)
    rate = p.times(p.chips, p.get("peak", "C") or (p.chip.bf16 if p.chip else None), share)
    if done is None or not rate or p.given("days"):
        return None
    return done / rate / (DAY if p.unit.startswith("day") else 1)


def _percent(p: Problem) -> float | None:
    found = p.number(rf"{NUMBER}\s?%\s*(?:mfu|flops|util)")
    return found / 100 if found else None


def _days_on_others(p: Problem) -> float | None:
    """Days on one number of devices from days on another."""
    days, old = p.get("days", "T_days"), p.get("chips", "from_chips", "old_chips", "chips_old")
    new = p.get("new", "n", "min_chips", "new_chips", "chips2", "to_chips", "chips_new")
    return days * old / new if days and old and new and p.unit.startswith("day") else None


def _matmul(p: Problem) -> float | None:
    """2·m·k·n of two arrays that share an axis."""
    if p.unit.upper() not in ("FLOP", "FLOPS") or not p.any(r"\bflops? of\b", "how many flops", r"^flops?\b"):
        return None
    found = [sizes for _, sizes in p.arrays()]
    if len(found) != 2 or any(size is None for sizes in found for size in sizes):
        return None
    first, second = ([size or 0 for size in sizes] for sizes in found)
    shared = next((size for size in second if size in first), None)
    return 2 * math.prod(first) * math.prod(second) / shared if shared else None


def _sharded_matmul(p: Problem) -> float | None:
    """2·B·D·F, over X·Y for one device, times what is replicated for all."""
    if not p.given("B", "D", "F") or p.unit.upper() not in ("FLOP", "FLOPS"):
        return None
    whole = p.times(2, p.get("B"), p.get("D"), p.get("F")) or 0
    if p.any("per (device|chip|tpu)", "each (device|chip|tpu)"):
        return whole / math.prod(p.get(axis) or 1 for axis in ("X", "Y"))
    return whole * (p.get("Z") or 1) if p.any("total") else None


def _prefill(p: Problem) -> float | None:
    """2·N·tokens, and 4·L·D·T² where the architecture is known, over the achieved FLOP/s."""
    if not p.any(r"\bprefill") or p.unit not in ("s", "ms") or p.any("ratio", "generate"):
        return None
    tokens, chip = p.tokens, p.chip
    peak = p.get("peak", "C") or p.number(rf"{NUMBER}\s?tflop")
    peak = peak * 1e12 if peak and peak < 1e6 else peak or (chip.bf16 if chip else None)
    if not (p.nominal and tokens and peak):
        return None
    done = (2 * p.nominal * tokens + _attention(p, tokens)) * (p.get("bs", "batch") or 1)
    seconds = done / (peak * (p.chips or 1) * (p.get("util", "mfu") or 1))
    return seconds * 1e3 if p.unit == "ms" else seconds


def _attention(p: Problem, tokens: float) -> float:
    """The whole score square of a model named in the question."""
    dims = p.dims.all("L", "D") if dims_of_model(p.q) else None
    return 4 * dims[0] * dims[1] * tokens * tokens if dims and not p.given("util") else 0.0


def _palm_rate(p: Problem) -> float | None:
    """R = P / (6N + 12·L·H·Q·T)."""
    if not p.any("max(imum)? throughput", "tokens/s at peak", "theoretical") or not p.any(r"12\s?lhqt", "6n"):
        return None
    v, rate = view_in(p.q), p.times(p.get("peak"), p.chips)
    return rate / (6 * v.total + 3 * v.square()) if v and rate else None


def _palm_share(p: Problem) -> float | None:
    """Observed tokens a second over the theoretical most."""
    if not p.any(r"\bmfu\b", r"utili[sz]ation") or p.unit not in ("%", "fraction") or p.any("decode", "prefill"):
        return None
    v = view_in(p.q) if p.any(r"\bpalm\b|\bmt-nlg|\bgopher") else None
    rate = p.get("tokens_per_s", "tps", "R", "observed") or _kilo(p)
    most = p.times(p.get("peak"), p.chips)
    if v is None or not rate or not most:
        return None
    attention = 0 if p.any("without attention|no attention|excluding attention") else 3 * v.square()
    share = rate * (6 * v.total + attention) / most
    return share * 100 if p.unit == "%" else share


def _kilo(p: Problem) -> float | None:
    found = p.number(rf"{NUMBER}\s?k tokens/s")
    return found * 1e3 if found else p.number(rf"{NUMBER} tokens/s")


def _log_rate(p: Problem) -> float | None:
    """TFLOP of a step over its seconds."""
    if (
        not (p.any(r"tflop/s") or p.unit.lower().startswith("tflop"))
        or p.any("mfu", "tokens")
        or p.chapter not in LOGS
        or p.unit == "%"
    ):
        return None
    log, tflop, seconds = LOGS[p.chapter], p.get("tflop", "tflops", "flops"), p.get("seconds", "s", "step", "step_time")
    tflop = tflop or p.number(rf"{NUMBER} ?tflop\b")
    seconds = seconds or p.number(rf"{NUMBER} ?s(?:econds?|\b)")
    return (tflop or log.tflop) / (seconds or log.seconds)


def _share_of_peak(p: Problem) -> float | None:
    """TFLOP/s, given or of the problem before, over the peak in brackets."""
    peak = p.get("peak", "peak_tflops") or p.number(rf"\({NUMBER}(?: tflop/s)?\)")
    if not p.any(r"\bits mfu\b", r"^mfu\b") or not peak or p.unit not in ("%", "fraction"):
        return None
    log = LOGS.get(p.chapter)
    done = p.get("tflops", "tflop_s", "tflops_per_device") or p.earlier or (log.tflop / log.seconds if log else None)
    return done / peak * (100 if p.unit == "%" else 1) if done else None


RULES = (
    Rule("FLOPs a token", "6·N (2·N forward)", _per_token),
    Rule("FLOPs of a training run", "FLOPs a token · tokens", _total),
    Rule("FLOPs available to a run", "hours · 3600 · peak", _available),
    Rule("utilization of a run", "6·N_act·tokens / (hours·3600·peak)", _run_utilization),
    Rule("time at a peak", "FLOPs / (chips · peak · share)", _time),
    Rule("length where attention equals its projections", "2·D", _equal_length),
    Rule("time of a training step", "6·N·B / (chips · peak)", _step),
    Rule("days with full recomputation", "8·T·P/(n·X)", _days_of_formula),
    Rule("days of training", "FLOPs / (chips · peak · MFU) / 86400", _days),
    Rule("days on another number of chips", "days · old / new", _days_on_others),
    Rule("FLOPs of a matmul", "2·m·k·n", _matmul),
    Rule("FLOPs of a sharded matmul", "2·B·D·F / (X·Y), · Z", _sharded_matmul),
    Rule("prefill", "(2·N·T + 4·L·D·T²) / (chips · peak · share)", _prefill),
    Rule("most tokens a second", "P / (6N + 12·L·H·Q·T)", _palm_rate),
    Rule("MFU from tokens a second", "tokens/s · (6N + 12·L·H·Q·T) / P", _palm_share),
    Rule("TFLOP/s of a log", "TFLOP / seconds", _log_rate),
    Rule("MFU from TFLOP/s", "TFLOP/s / peak", _share_of_peak),
)
