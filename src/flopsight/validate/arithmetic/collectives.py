"""Gathers, reductions and what sharding may cost: scaling book, sharding.md and training.md."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from flopsight.validate.arithmetic.problem import NUMBER, Problem, Rule

RATIO: Final = 2550.0
"""FLOP/s of a TPU v5p over its ICI bandwidth in both directions of one axis: 4.59e14 / 1.8e11."""


@dataclass(frozen=True, slots=True)
class Array:
    """An array of a chapter's question that its "..." and "the same" go on about: bytes, and devices of each axis."""

    size: float
    axis: int


ARRAYS: Final = {"arith-sb-sharding": Array(2 * 1024 * 4096, 4)}
"""Scaling book, sharding.md question 2: bf16 [B_X, D_Y] with B = 1024, D = 4096 on a 4x4x4 mesh."""


def _gather(p: Problem) -> float | None:
    """Bytes / (axes · bandwidth); twice that for an all-reduce; latency-bound ones are another rule."""
    found = re.search(r"\b(all-?gather|all-?reduce|reduce-?scatter|all-?to-?all)(?:_([xyz]{1,3}))?\b", p.q)
    if not found or p.unit not in ("s", "us") or p.any("latency-bound", "latency bound", r"\bhops?\b"):
        return None
    axes = len(found[2]) if found[2] else 1
    size, rate = _gathered(p, axes), p.get("bw", "W", "ici") or _link(p)
    if size is None or not rate:
        return None
    factor = {"allreduce": 2.0, "alltoall": 0.25}.get(found[1].replace("-", ""), 1.0)
    return factor * size / (axes * rate) / (1e-6 if p.unit == "us" else 1)


def _gathered(p: Problem, axes: int) -> float | None:
    """Bytes of the gathered array: an input, the array of the question, or the one it goes on about."""
    stated = p.get("bytes", "V", "size") or p.array_bytes() or _letters(p)
    known = ARRAYS.get(p.chapter)
    if stated is None and known and p.any("the same", r"^\.\.\."):
        stated = float(known.size)
    split = known.axis if known and axes == 1 and _sharded_elsewhere(p) else 1
    return None if stated is None else stated / split


def _letters(p: Problem) -> float | None:
    """B·D values of the question's first dtype."""
    sizes = (p.get("B") or p.number(r"\bb\s?=\s?(\d+)"), p.get("D") or p.number(r"\bd\s?=\s?(\d+)"))
    width = p.word_bytes() or 2.0
    return None if None in sizes else math.prod(one or 0 for one in sizes) * width


def _sharded_elsewhere(p: Problem) -> bool:
    """A gather over X of an array that stays sharded over Y: [B_X, D_Y]."""
    return p.any(r"all-?gather_x\b") and p.any(r"_x\s?,\s?[a-z0-9]*_y\]")


def _link(p: Problem) -> float | None:
    return 2 * p.chip.ici if p.chip and p.chip.ici else None


def _hops(p: Problem) -> float | None:
    """Half way round a ring, both directions at once."""
    ring, hop = p.number(r"ring of (\d+)") or p.get("Y", "ring"), p.number(rf"{NUMBER} ?us/hop") or p.get("hop_us")
    asked = p.any("latency-bound", "latency bound") and p.unit in ("s", "us")
    if not asked or not ring or not hop:
        return None
    return ring // 2 * hop * (1e-6 if p.unit == "s" else 1)


def _one_way(p: Problem) -> float | None:
    """Hops · shard / bandwidth, where no wraparound lets a ring go both ways."""
    hops, shard, rate = p.get("hops") or p.number(r"(\d+) hops"), p.get("shard", "bytes"), p.get("bw")
    asked = p.any("hops") and p.any("wraparound", "unidirectional", "one direction") and p.unit in ("s", "us")
    return hops * shard / rate / (1e-6 if p.unit == "us" else 1) if asked and hops and shard and rate else None


def _first_byte(p: Problem) -> float | None:
    """Hops between corners of a mesh without wraparound, times the latency of one."""
    corners = re.search(r"\{?(\d),\s?(\d)\}?\D{1,20}\{?(\d),\s?(\d)\}?", p.q)
    if not corners or not p.any("first byte") or p.unit not in ("s", "us"):
        return None
    a, b, c, d = (int(one) for one in corners.groups())
    hop = p.number(rf"{NUMBER} ?us") or 1.0
    return (abs(c - a) + abs(d - b)) * hop * (1e-6 if p.unit == "s" else 1)


def _point_to_point(p: Problem) -> float | None:
    """Bytes over two links of one way each."""
    size, chip = p.get("bytes") or p.array_bytes(), p.chip
    asked = (
        p.any(r"\bsend\b", r"\btransfer\b", r"\bcopy\b")
        and p.unit in ("s", "us")
        and not p.any("first byte", "over \\d+")
    )
    rate = p.get("bw") or (2 * chip.ici if chip else None)
    return size / rate / (1e-6 if p.unit == "us" else 1) if asked and size and rate else None


def _matmul_comms(p: Problem) -> float | None:
    """2·B·D / W: activations of a matmul in bf16 over ICI."""
    asked = p.any(r"t_ici", r"2bd/w")
    done = p.times(2, p.get("B"), p.get("D"))
    return done / (p.get("W", "bw") or math.inf) if asked and done and p.get("W", "bw") else None


def _matmul_memory(p: Problem) -> float | None:
    """2·D·F / (Y·W): weights of a matmul in bf16 out of HBM."""
    done, rate = p.times(2, p.get("D"), p.get("F")), p.get("W", "bw")
    return done / ((p.get("Y") or p.chips or 1) * rate) if p.any(r"t_hbm") and done and rate else None


def _matmul_compute(p: Problem) -> float | None:
    """2·B·D·F / (Y·C)."""
    done, rate = p.times(2, p.get("B"), p.get("D"), p.get("F")), p.get("C", "peak", "flops")
    return (
        done / ((p.get("Y") or p.chips or 1) * rate)
        if p.any(r"t_math", r"t_comp", "t_flops") and done and rate
        else None
    )


def _threshold(p: Problem) -> float | None:
    """Tokens a device below which FSDP is bound by communication: 2550 / axes."""
    asked = p.any("fsdp") and p.any("below which", "threshold", "comms-bound", "communication-bound")
    if not asked or p.any("minimum batch", "mixed", r"tp\b"):
        return None
    limit, axes = p.get("threshold", "ratio") or RATIO, p.get("axes") or p.number(r"over (\d) ")
    return limit / axes if axes else None


def _per_device(p: Problem) -> float | None:
    """Tokens of the batch over devices."""
    asked = p.any(r"per-(device|chip|tpu) batch", r"batch per (device|chip|tpu)", r"tokens per (device|chip)")
    batch, chips = p.get("B", "batch", "tokens"), p.get("N", "chips")
    return batch / chips if asked and batch and chips and not p.any("below which", "threshold") else None


def _least_batch(p: Problem) -> float | None:
    """Devices times the least tokens of one: "850 tokens/chip"."""
    each = (
        p.get("per_chip")
        or p.number(rf"{NUMBER} tokens?/(?:chip|device)")
        or p.number(rf"{NUMBER} tokens? per (?:chip|device)")
    )
    return each * p.chips if p.any("minimum batch", "min batch", "smallest batch") and each and p.chips else None


def _mixed(p: Problem) -> float | None:
    """2·2550²/F tokens a device."""
    asked = p.any("mixed", r"2\s?\*\s?2550\^2") and p.any("fsdp", "threshold", "2550")
    inner = p.get("F")
    return 2 * RATIO**2 / inner if asked and inner and not p.any("sqrt", "optimal") else None


def _optimal(p: Problem) -> float | None:
    """sqrt(2·B·N/F)-way FSDP."""
    batch, chips, inner = p.get("B"), p.get("N", "chips"), p.get("F")
    asked = p.any("optimal", r"sqrt\(2") and p.any("fsdp", "degree")
    return math.sqrt(2 * batch * chips / inner) if asked and batch and chips and inner else None


def _most_parallel(p: Problem) -> float | None:
    """axes·F/2550 ways of model parallelism; F/(8·B) at a small batch."""
    asked = p.any("model[- ]parallel", r"\bici-bound\b") and p.unit in ("way", "chips", "ways")
    inner, axes = p.get("F") or p.number(r"f\s?=\s?(\d+)"), p.get("axes") or p.number(r"(\d)\s?\*\s?f\s?/\s?2550")
    batch = p.batch or p.get("B")
    if not asked or not inner:
        return None
    if p.any(r"f\s?/\s?\(?8") and batch:
        return inner / (8 * batch)
    return axes * inner / RATIO if axes else None


def _shard(p: Problem) -> float | None:
    """Bytes of an array over the axes it is sharded on; all devices together hold it once for each replica."""
    size = p.array_bytes()
    sharded = re.search(r"sharded (?:only )?(?:over|on) ([^()]+)", p.text)
    if size is None or not sharded or not p.unit.startswith("byte"):
        return None
    ways = math.prod(int(one) for one in re.findall(r"[XYZ]\s?=\s?(\d+)", sharded[1]))
    if p.any("per[- ](device|chip|tpu)"):
        return size / ways
    replicas = re.search(r"[XYZ]\s?=\s?(\d+)\s+replicated", p.text)
    return size * int(replicas[1]) if p.any("total") and replicas else None


def _copies(p: Problem) -> float | None:
    """How often all devices together hold an array: mesh over the axes it is sharded on."""
    mesh, sharded = p.slice, re.search(r"sharded (?:only )?(?:over|on) ([^()]+?)(?: of|$)", p.text)
    if not p.any("total/one", "one-copy", "one copy", "ratio") or not mesh or not sharded:
        return None
    ways = math.prod(int(one) for one in re.findall(r"[XYZ]\s?=\s?(\d+)", sharded[1]))
    return mesh / ways


RULES = (
    Rule("collective", "bytes / (axes · W), twice for an all-reduce", _gather),
    Rule("latency of a ring", "ring/2 · hop", _hops),
    Rule("gather in one direction", "hops · shard / W", _one_way),
    Rule("latency between corners", "hops · latency", _first_byte),
    Rule("point to point", "bytes / (2 · link)", _point_to_point),
    Rule("communication of a matmul", "2·B·D/W", _matmul_comms),
    Rule("weights of a matmul", "2·D·F/(Y·W)", _matmul_memory),
    Rule("FLOPs of a matmul", "2·B·D·F/(Y·C)", _matmul_compute),
    Rule("least batch of FSDP", "2550 / axes", _threshold),
    Rule("batch a device", "B / chips", _per_device),
    Rule("least batch of all", "tokens a chip · chips", _least_batch),
    Rule("least batch of FSDP and TP", "2·2550²/F", _mixed),
    Rule("best FSDP", "sqrt(2·B·N/F)", _optimal),
    Rule("most model parallelism", "axes·F/2550, F/(8·B)", _most_parallel),
    Rule("shard", "bytes / ways", _shard),
    Rule("copies", "mesh / ways", _copies),
)
