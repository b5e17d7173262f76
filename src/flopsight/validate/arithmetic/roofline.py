"""What memory bandwidth allows: step times, critical batches, tokens a second, MBU."""

from __future__ import annotations

from flopsight.validate.arithmetic.constants import BOOK, Constants
from flopsight.validate.arithmetic.problem import NUMBER, Problem, Rule

BOOK_CHIP = "v5e"
MATMULS = {"arith-sb-tpus": (4096.0, 16384.0)}
"""Widths of the matmul that a chapter's questions with "..." go on about: scaling book, tpus.md question 4."""


def chip_of(p: Problem) -> Constants:
    """The chip named, else the one the scaling book's examples take."""
    return p.chip or BOOK[BOOK_CHIP]


def bandwidth(p: Problem) -> float | None:
    """B/s of one chip: an input, "2039 GB/s", "1.23e12 B/s", "2 TB/s", else the chip's."""
    stated = p.get("bw", "bandwidth", "W_hbm")
    if stated is not None:
        return stated
    for unit, scale in (("gb/s", 1e9), ("tb/s", 1e12), ("b/s", 1.0), ("bytes/s", 1.0)):
        found = p.number(rf"{NUMBER}\s?{unit}")
        if found is not None:
            return found * scale
    return p.chip.bandwidth if p.chip else None


def moved(p: Problem) -> float | None:
    """Bytes: an input, or "112 GB" of the question."""
    stated = p.get("bytes", "total_bytes")
    if stated is not None and stated > 1e3:
        return stated
    found = p.number(rf"{NUMBER}\s?gb\b(?!/s)")
    return found * 1e9 if found else p.number(rf"{NUMBER} bytes\b(?!/)")


def _seconds(p: Problem, value: float | None) -> float | None:
    return None if value is None else value / {"ms": 1e-3, "us": 1e-6}.get(p.unit, 1)


def _is_time(p: Problem) -> bool:
    return p.unit in ("s", "ms", "us")


def _read(p: Problem) -> float | None:
    """Bytes over the bandwidth of all chips."""
    asked = (
        p.any(r"\bload\b", "reading", r"\bread\b", "step time", "hbm load")
        and not p.given("hbm")
        and not p.any("pcie", r"\bici\b")
    )
    if not asked or not _is_time(p) or p.given("kv", "params") or p.any("prefill"):
        return None
    size, rate = moved(p) or p.times(p.nominal, p.width), bandwidth(p) or _book(p)
    return _seconds(p, size / rate / (p.chips or 1)) if size and rate else None


def _book(p: Problem) -> float | None:
    """The bandwidth of the chip that the scaling book's examples take."""
    return BOOK[BOOK_CHIP].bandwidth if p.chapter.startswith("arith-sb") else None


def _over_links(p: Problem) -> float | None:
    """Bytes over several links or axes: "8 GB over 8 links of 1.5e10 B/s"."""
    links, rate = p.number(r"over (\d+) (?:links?|axes|ports?)"), p.number(rf"of {NUMBER} b(?:ytes)?/s") or p.get("bw")
    size = moved(p)
    return _seconds(p, size / (links * rate)) if _is_time(p) and links and rate and size else None


def _decode_step(p: Problem) -> float | None:
    """Caches over bandwidth, and the longer of weights over bandwidth and FLOPs over peak."""
    weights, cache, rate = p.get("params"), p.get("kv"), bandwidth(p)
    batch, chips = p.batch, p.chips or 1
    if not p.any("step") or not _is_time(p) or not (weights and cache and rate and batch):
        return None
    compute = 2 * batch * (p.get("N") or weights) / (p.get("flops", "peak", "C") or chip_of(p).bf16)
    return _seconds(p, (batch * cache / rate + max(weights / rate, compute)) / chips)


def _full_step(p: Problem) -> float | None:
    """All of a chip's memory read once."""
    asked = p.any("step", "latency") and not p.any("prefill", "left", "needed", "reading")
    memory, rate = p.get("hbm"), p.get("bw")
    return _seconds(p, memory / rate) if asked and _is_time(p) and memory and rate else None


def _decode_token(p: Problem) -> float | None:
    """Weights over bandwidth, one token at a time."""
    asked = p.any(r"decode latency", r"latency per token", r"per-token latency") and p.any(r"ideal", r"per token")
    rate = bandwidth(p)
    if not asked or not _is_time(p) or not p.nominal or not rate or p.any("prefill"):
        return None
    return _seconds(p, p.nominal * (p.width or 2) / (rate * (p.chips or 1)))


def _throughput(p: Problem) -> float | None:
    """Batch over step time."""
    step = p.get("step", "step_s", "t")
    asked = p.unit.startswith(("tokens/s", "tok/s")) and not p.any("per chip", "/chip")
    return p.batch / step if asked and step and p.batch and not p.given("tokens") else None


def _throughput_each(p: Problem) -> float | None:
    total = p.get("total", "tokens_per_s", "throughput")
    asked = p.any("per chip", "/chip", "per gpu") and p.unit.startswith(("tokens/s", "tok/s"))
    return total / p.chips if asked and total and p.chips else None


def _queries(p: Problem) -> float | None:
    """Batch / (step · tokens · chips)."""
    step = p.get("step") or (p.number(rf"{NUMBER} ?ms/step") or 0) / 1e3
    if not p.any(r"\bqps\b", "queries") or not (p.batch and step and p.tokens):
        return None
    each = p.chips if p.any("per chip", "/ ?chip") or p.unit.endswith("/chip") else 1
    return p.batch / (step * p.tokens * each) if each else None


def _critical_batch(p: Problem) -> float | None:
    """Peak · bytes of a weight / (2 · bandwidth)."""
    asked = p.any(
        r"critical batch", r"compute-bound", r"flops?-bound", r"\bint8 flops", r"\bbf16 flops", "bfloat16 flops"
    )
    if not asked or p.unit not in ("tokens", "batch", "") or p.arrays() or p.any("vmem") or p.given("D", "F"):
        return None
    chip = chip_of(p)
    width = p.get("bytes") or p.word_bytes() or 2.0
    eight_bits = p.any(r"int8 flops", r"with int8 ops", r"int8 ops", "fp8 flops") or (
        p.any("int8|fp8") and not p.any("bf16|bfloat16")
    )
    peak = p.get("flops", "peak", "C") or (chip.byte if eight_bits else chip.bf16)
    return peak * width / (2 * (bandwidth(p) or chip.bandwidth))


def _pcie_batch(p: Problem) -> float | None:
    """The same where weights come over PCIe: peak / bandwidth in bf16."""
    if not p.any("pcie") or not p.any("batch", "bound") or p.unit not in ("tokens", "batch", ""):
        return None
    chip, rate = p.chip, p.get("bw", "pcie") or p.number(rf"{NUMBER} ?b(?:ytes)?/s")
    peak = p.get("flops", "peak", "C") or (chip.bf16 if chip else None)
    return (
        peak / (rate or chip.pcie) if peak and chip and (rate or chip.pcie) else peak / rate if peak and rate else None
    )


def _matmul_batch(p: Problem) -> float | None:
    """B of int8[F, D] x int8[B, D] with inputs and outputs moved too: 1 / (2·W/C - 1/D - 1/F)."""
    if not (p.any("vmem", "hbm", "compute-bound", "flops?-bound", "bound") and p.unit in ("tokens", "batch")):
        return None
    widths = next((sizes for _, sizes in p.arrays() if len(sizes) == 2 and None not in sizes), None)
    pair = tuple(one or 0 for one in widths) if widths else MATMULS.get(p.chapter) if p.text.startswith("...") else None
    rate = p.get("bw") or chip_of(p).bandwidth * (p.number(r"(\d+)x hbm") or 1)
    width, inner = p.get("D"), p.get("F")
    pair = (width, inner) if width and inner else pair
    if not pair or p.any("pcie", "fsdp", "ici", "model-parallel"):
        return None
    left = 2 * rate / (p.get("flops", "peak") or chip_of(p).byte) - 1 / pair[0] - 1 / pair[1]
    return 1 / left if left > 0 else None


def _intensity(p: Problem) -> float | None:
    """FLOP/s over B/s."""
    if not p.any("intensity", "ridge") or "/b" not in p.unit.lower():
        return None
    chip = chip_of(p)
    peak = p.get("flops", "peak") or (chip.byte if p.any("int8|fp8") else chip.bf16)
    return None if p.any("different matrix", "per batch element") else peak / (bandwidth(p) or chip.bandwidth)


def _mbu(p: Problem) -> float | None:
    """(weights + cache) / time per token / bandwidth."""
    time = p.get("tpot", "latency") or (p.number(rf"tpot (?:of )?{NUMBER} ?ms") or 0) / 1e3
    rate, size = bandwidth(p), p.times(p.nominal, p.width)
    if not p.any(r"\bmbu\b", "bandwidth utili") or not (time and rate and size):
        return None
    share = (size + (p.get("kv", "kv_bytes") or 0)) / time / rate
    return share * 100 if p.unit == "%" else share


def _most_tokens(p: Problem) -> float | None:
    """Bandwidth over bytes of the weights: the most tokens a second of one sequence."""
    asked = p.any("upper bound", "max(imum)? tokens", "tokens/s for", "bound on tokens") and p.unit.startswith(
        "tokens/s"
    )
    rate = bandwidth(p)
    size = p.times(p.nominal, p.width)
    if not asked or not rate or not size:
        return None
    overhead = p.get("overhead") or (2.0 if p.any("2x overhead") else 1.0)
    return rate / size / overhead


def _evicted(p: Problem) -> float | None:
    """B·(P + G)/G tokens a step; B/G sequences."""
    batch, prompt, generated = p.get("B", "bs"), p.get("P"), p.get("G")
    if not (batch and generated):
        return None
    if p.any("evict") and prompt and p.unit.startswith("tok"):
        return batch * (prompt + generated) / generated
    return batch / generated if p.any("sequences (that )?(finish|complete)", "finish") else None


def _servers(p: Problem) -> float | None:
    """Prefill servers a generate server: prefill time · batch / (step · generated tokens)."""
    prefill, step = p.get("prefill", "t_prefill", "prefill_s"), p.get("step", "t_step", "decode_s")
    count = p.get("tokens", "G", "decode_tokens")
    asked = p.any("ratio", "prefill:") and p.any("prefill") and p.any("generat", "decode")
    return prefill * p.batch / (step * count) if asked and prefill and step and count and p.batch else None


RULES = (
    Rule("bytes read", "bytes / (chips · bandwidth)", _read),
    Rule("bytes over links", "bytes / (links · bandwidth)", _over_links),
    Rule("decode step", "B·cache/W + max(weights/W, 2·B·N/C)", _decode_step),
    Rule("step with memory full", "HBM / bandwidth", _full_step),
    Rule("decode latency", "N·bytes / bandwidth", _decode_token),
    Rule("tokens a second", "batch / step", _throughput),
    Rule("tokens a second of a chip", "total / chips", _throughput_each),
    Rule("queries a second", "batch / (step · tokens · chips)", _queries),
    Rule("critical batch", "C·bytes / (2·W)", _critical_batch),
    Rule("critical batch over PCIe", "C / W", _pcie_batch),
    Rule("critical batch of a matmul", "1 / (2·W/C - 1/D - 1/F)", _matmul_batch),
    Rule("ridge point", "C / W", _intensity),
    Rule("MBU", "bytes / time a token / bandwidth", _mbu),
    Rule("most tokens a second", "W / (N·bytes)", _most_tokens),
    Rule("evictions a step", "B·(P+G)/G", _evicted),
    Rule("prefill servers", "prefill · batch / (step · tokens)", _servers),
)
