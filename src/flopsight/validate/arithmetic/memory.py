"""Bytes of weights, optimizer state, caches and checkpoints, and the chips they need."""

from __future__ import annotations

import re

from flopsight.validate.arithmetic.problem import NUMBER, Problem, Rule

ROUNDED = 0.025
"""How far a rounded input may lie from the exact number it stands for."""


def cache_per_token(p: Problem) -> float | None:
    """2·L·K·H values; one byte each unless the question names another dtype."""
    layers, keys = p.dims.get("L"), p.dims.keys
    width = p.get("bytes") or p.word_bytes() or 1.0
    return 2 * layers * keys * width if layers and keys else None


def exact_cache(p: Problem) -> float | None:
    """Bytes a token: computed, where the input is a rounding of it (162e3 for 163,840), else the input."""
    stated = p.get("per_token", "kv_per_token")
    computed = cache_per_token(p)
    if stated is None or (computed and abs(stated / computed - 1) < ROUNDED):
        return computed
    return stated


def _per_token(p: Problem) -> float | None:
    asked = p.has(r"kv cache") and p.any(r"per[ -]token", r"/\s?token", "a token") and not p.given("tokens")
    return cache_per_token(p) if asked and p.unit.startswith(("byte", "B")) and not p.any("per step") else None


def _per_sequence(p: Problem) -> float | None:
    """One sequence, or a batch of them."""
    if not p.any(r"kv caches?\b") or p.any("needed", "left", "remaining", "plus", "evict", "step", "total"):
        return None
    if p.any(r"per[ -]token", r"/\s?token") and not p.given("tokens"):
        return None
    if p.unit not in ("bytes", "B", "GB", "TB") or p.any("number of", "how many", "max"):
        return None
    return _in_unit(p, p.times(exact_cache(p), p.tokens, p.batch or 1))


def _in_unit(p: Problem, value: float | None) -> float | None:
    scale = {"GB": 1e9, "TB": 1e12, "GiB": 2**30, "MB": 1e6}.get(p.unit, 1)
    return None if value is None else value / scale


def _total_to_serve(p: Problem) -> float | None:
    """Weights and caches."""
    asked = p.any("total memory", "total bytes", "memory to serve") and p.any(r"\bkv", "cache", "serv", "batch|bs")
    weights = p.get("params") or p.times(p.nominal, p.width)
    cache = p.times(exact_cache(p), p.tokens, p.batch)
    return weights + cache if asked and weights and cache and p.unit.startswith("byte") else None


def _chips(p: Problem) -> float | None:
    """What must be held over what one chip holds; not rounded up."""
    memory = p.get("hbm", "memory") or (p.chip.memory if p.chip else None)
    if (
        p.unit not in ("chips", "TPUs", "GPUs", "devices")
        or not memory
        or not p.any("minimum", "min ", "needed", "how many")
    ):
        return None
    held = p.get("total", "bytes_total") or _serving(p) or p.times(p.nominal, p.width)
    return held / memory if held else None


def _serving(p: Problem) -> float | None:
    """Weights plus caches, the caches from their own sizes where the input is a rounding of that."""
    weights, cache = p.get("params"), p.get("kv")
    if weights is None or cache is None:
        return None
    computed = p.times(cache_per_token(p), p.tokens, p.batch)
    return weights + (computed if computed and abs(cache / computed - 1) < ROUNDED else cache)


def _left(p: Problem) -> float | None:
    """HBM of all chips less the weights."""
    if not p.any(r"\bleft\b", r"\bremain") or not p.unit.startswith("byte"):
        return None
    memory, weights = p.get("hbm") or (p.chip.memory if p.chip else None), p.times(p.nominal, p.width)
    return p.chips * memory - weights if memory and weights and p.chips else None


def _most_caches(p: Problem) -> float | None:
    """What is left over the cache of one sequence."""
    asked = p.any("number of", "how many", r"caches?\b.* fit", "largest batch", "max(imum)? batch", "num kv")
    if not asked or p.any("compute|flop|bound|critical") or not p.any(r"\bkv\b", "cache", "batch"):
        return None
    if p.unit in ("chips", "bytes", "TPUs", "GPUs", "hosts", "params"):
        return None
    left, memory = p.get("left", "free", "remaining"), p.get("hbm") or (p.chip.memory if p.chip else None)
    weights = p.times(p.nominal, p.width)
    if left is None and memory and p.chips and weights:
        left = p.chips * memory - weights
    one = p.get("kv", "kv_per_seq") or p.times(exact_cache(p), p.tokens)
    return left / one if left and one else None


def _per_chip(p: Problem) -> float | None:
    total = p.get("total", "bytes_total")
    asked = p.any(r"(memory|bytes|hbm) per[ -](chip|device|gpu|tpu)")
    return total / p.chips if asked and total and p.chips and p.unit.startswith("byte") else None


def _pod(p: Problem) -> float | None:
    """Chips of a pod times FLOP/s, HBM, cores or hosts of one."""
    chip = p.chip
    if not p.any(r"\bpod\b", r"\bslice\b") or chip is None or p.any("left", "minimum", "step", "per chip,", "fit"):
        return None
    chips = p.get("chips") or (p.slice if p.any("slice") else None) or chip.pod
    if p.any(r"\bhosts?\b"):
        return chips / chip.host if chip.host else None
    if p.any("cores?"):
        return chips * chip.cores
    if p.unit.lower() in ("flop/s", "flops/s") or p.any("flop/s|flops/s"):
        stated = p.get("peak") or p.number(rf"\({NUMBER}(?: per chip)?\)")
        return chips * (stated or (chip.byte if p.any("int8|fp8") else chip.bf16))
    if p.any("hbm|memory") and p.unit.startswith("byte"):
        return chips * (p.get("hbm") or chip.memory)
    return chips if p.unit in ("chips", "TPUs") else None


def _state(p: Problem) -> float | None:
    """Weights in bf16 (2 B), two Adam moments in fp32 (8 B), or as many bytes a parameter as the question says."""
    if p.unit not in ("bytes", "GB", "TB") or p.any(r"\btotal training", "activation", "checkpoint", r"\bkv\b", "left"):
        return None
    count, each = p.nominal, p.number(rf"{NUMBER} bytes?/param") or p.number(rf"{NUMBER} bytes? per param")
    if count is None or p.get("total") is not None or p.given("chips"):
        return None
    optimizer, weights = p.any("optimi[sz]er", r"\badam\b"), p.any(r"\bparam\w*\b", "weights", "model")
    if each is None and not optimizer:
        return None
    moments = p.any("optimi[sz]er state") and not p.any(r"param.*(\+|\band\b|\bplus\b|,)", r"weights.*(\+|\band\b)")
    return _in_unit(p, count * (each or (8 if moments or not weights else 10)))


def _weights(p: Problem) -> float | None:
    """N times the bytes of the dtype."""
    asked = p.any(
        r"^(param\w*|weights?) in \w+$",
        r"(param\w*|weights?) (memory|bytes|size)",
        r"(bytes|memory|size) (of|for) (the )?(\w+ )?(param|weights)",
    )
    if not asked or p.any("optimi[sz]er", "kv", "left", "activation", "step", "load", "needed"):
        return None
    return _in_unit(p, p.times(p.nominal, p.width)) if p.unit in ("bytes", "GB", "TB") else None


def _checkpoints(p: Problem) -> float | None:
    """2·L·B·(widths that are kept a layer): D times how many, or D + 2F after each of the three matrices."""
    if not p.any("checkpoint", "activations") or p.given("tp") or p.unit not in ("bytes", "TB", "GB") or p.any("total"):
        return None
    dims, batch = p.dims.all("L", "D"), p.get("B", "batch_tokens", "tokens") or _tokens(p)
    if dims is None or batch is None:
        return None
    layers, width = dims
    inner = p.dims.get("F")
    if p.any(r"two of size f", r"d\s?\+\s?2\s?f") or (p.given("F") and not p.any(r"per layer")):
        kept = width + 2 * inner if inner else None
    else:
        many = p.get("n", "per_layer", "ckpt", "checkpoints") or p.number(r"(\d+)(?:x| times)? per layer")
        kept = many * width if many else None
    return _in_unit(p, p.times(2, layers, batch, kept))


def _tokens(p: Problem) -> float | None:
    found = re.search(r"(?:bs|batch)\s*=?\s*(\d+(?:\.\d+)?)m\b", p.q)
    return float(found[1]) * 1e6 if found else None


def _training_total(p: Problem) -> float | None:
    """Weights, optimizer state and checkpoints added."""
    if not p.any("total training", "total memory", r"\btotal\b") or not p.any("checkpoint", "training (memory|state)"):
        return None
    parts = [
        p.get("params", "params_bytes", "weights"),
        p.get("opt", "optimizer"),
        p.get("ckpt", "checkpoints", "acts"),
    ]
    known = [one for one in [*parts, p.get("state")] if one is not None]
    return sum(known) if len(known) >= 2 and p.unit.startswith("byte") else None


RULES = (
    Rule("KV cache of a token", "2·L·K·H·bytes", _per_token),
    Rule("KV cache of sequences", "bytes a token · tokens · batch", _per_sequence),
    Rule("memory to serve", "weights + caches", _total_to_serve),
    Rule("chips to hold", "bytes / HBM", _chips),
    Rule("HBM left", "chips · HBM - weights", _left),
    Rule("caches that fit", "HBM left / cache of a sequence", _most_caches),
    Rule("memory a chip", "total / chips", _per_chip),
    Rule("a pod", "chips · one chip", _pod),
    Rule("weights and optimizer", "N · bytes a parameter", _state),
    Rule("weights", "N · bytes", _weights),
    Rule("checkpoints", "2·L·B·widths", _checkpoints),
    Rule("training memory", "weights + optimizer + checkpoints", _training_total),
)
