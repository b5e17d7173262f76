"""Traces -> their result: readings set against peaks, ranks side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from flopsight.achieved.advice import findings_of
from flopsight.achieved.beside import Beside, beside
from flopsight.achieved.ops import ModuleTime, NameTime, OpTime
from flopsight.achieved.peaks import Roofs
from flopsight.achieved.reading import Reading
from flopsight.achieved.timeline import DeviceTime
from flopsight.counted import Flops
from flopsight.facts import Fact, Unknown
from flopsight.models.tree import Model
from flopsight.report.trace import (
    BesideRow,
    CounterRow,
    CoverageRow,
    DeviceRow,
    FlopsRow,
    KernelRow,
    ModuleRow,
    OneTrace,
    OpRow,
    PartRow,
    TraceResult,
    UnreadRow,
    UtilizationRow,
    WindowRow,
    WitnessRow,
)  # fmt: skip
from flopsight.report.trace_ranks import notes_on, ranks_of
from flopsight.report.trace_verdict import verdict
from flopsight.trace import Device, Signature
from flopsight.witness import Testimony

MOST: Final = 30
SLOW_SHARE: Final = 0.01
"""Ops below this share of the time are not explained."""


def build(readings: Sequence[Reading], roofs: Sequence[Roofs], model: Model | None = None) -> TraceResult:
    """The result of one or many traces, each with the peaks of its device, and the model that they ran."""
    traces = [_one(reading, roof, model) for reading, roof in zip(readings, roofs, strict=True)]
    first, ranks = traces[0], ranks_of(readings)
    return TraceResult(
        verdict=verdict(readings, traces), device=first.device, flops=first.flops, coverage=first.coverage,
        utilization=first.utilization, unread=first.unread, traces=traces, ranks=ranks, rank_notes=notes_on(ranks),
        model=model.name if model else "", next=_next(readings[0], first, model),
    )  # fmt: skip


def _one(reading: Reading, roof: Roofs, model: Model | None) -> OneTrace:
    chip = None if isinstance(roof.chip, Unknown) else roof.chip
    joined = beside(reading, model, chip) if model is not None else ""
    total = sum(t.window for t in reading.total)
    parts: dict[str, int] = {}
    for time in reading.total:
        for name, ns in time.parts.items():
            parts[name] = parts.get(name, 0) + ns
    devices = [_device(reading.devices, time) for time in reading.whole] if reading.device_side else []
    kernel_ns = sum(n.duration for n in reading.names)
    return OneTrace(
        source=reading.source, format=reading.format, rank=reading.rank, device_side=reading.device_side,
        device=devices[0] if devices else _idle_device(reading), devices=devices, windows=_windows(reading),
        parts=[PartRow(part=k, us=n / 1e3, share=n / total) for k, n in sorted(parts.items(), key=lambda x: -x[1])],
        hidden={k: sum(t.hidden[k] for t in reading.total) / 1e3 for k in ("communication", "copies")},
        flops=_flops(reading.flops), witnesses=[*_ledger(joined), *map(_witness, reading.testimonies)],
        counters=[
            CounterRow(name=c.name, unit=c.unit, labels=c.labels, over=c.over, value=c.value, known=c.known, why=c.why)
            for c in reading.series
        ],
        beside=_beside(joined), beside_of=joined if isinstance(joined, str) else _told(joined),
        coverage=_coverage(reading), utilization=_utilization(reading, roof),
        ops=[_op(op, reading, roof, kernel_ns) for op in reading.ops[:MOST]],
        modules=_modules(reading.modules, kernel_ns), kernels=[_kernel(n, kernel_ns) for n in reading.names[:MOST]],
        unmodelled=_unmodelled(reading.names, kernel_ns),
        unread=[UnreadRow(what=u.what, count=u.count, why=u.why) for u in reading.unread],
        notes=[*_notes(reading), *(joined.notes if isinstance(joined, Beside) else ())],
    )  # fmt: skip


def _device(devices: Sequence[Device], time: DeviceTime) -> DeviceRow:
    device = devices[time.device] if time.device < len(devices) else Device(time.device)
    return DeviceRow(
        name=device.name, id=device.id, kernels=time.kernels, kernel_sum_us=time.kernel_sum / 1e3,
        busy_us=time.busy / 1e3, span_us=time.window / 1e3,
        idle_fraction=time.idle / time.window if time.window else None, comm_us=time.communication / 1e3,
        comm_kernels=time.talking, exposed_comm_us=time.exposed / 1e3,
    )  # fmt: skip


def _idle_device(reading: Reading) -> DeviceRow | None:
    """A device that the file names and on which nothing was recorded: its idleness is not known."""
    if not reading.device_side and reading.devices and reading.devices[0].vendor == "cpu":
        return DeviceRow(name="", id=-1, kernels=0, kernel_sum_us=0, busy_us=0, span_us=0, idle_fraction=None,
                         comm_us=0, comm_kernels=0, exposed_comm_us=0)  # fmt: skip
    name = reading.devices[0].name if reading.devices else ""
    kernels = sum(n.count for n in reading.names)
    ns = sum(n.duration for n in reading.names)
    return DeviceRow(name=name, id=0, kernels=kernels, kernel_sum_us=ns / 1e3, busy_us=0, span_us=0,
                     idle_fraction=None, comm_us=0, comm_kernels=0, exposed_comm_us=0)  # fmt: skip


def _windows(reading: Reading) -> list[WindowRow]:
    return [
        WindowRow(
            name=window.name,
            device=reading.devices[t.device].id if t.device < len(reading.devices) else t.device,
            us=t.window / 1e3,
            host_us=window.host / 1e3,
            busy=t.busy / t.window,
            idle=t.idle / t.window,
            exposed_comm=t.exposed / t.window,
        )
        for window, times in zip(reading.windows, reading.times, strict=False)
        for t in times
        if t.window
    ]


def _flops(by_dtype: dict[str, Flops]) -> FlopsRow:
    whole = sum(by_dtype.values(), Flops(0, 0, 0))
    return FlopsRow(
        required=whole.required, full_square=whole.full_square, executed=whole.executed,
        by_dtype={dtype or "unknown": one.executed for dtype, one in by_dtype.items()},
    )  # fmt: skip


def _witness(one: Testimony) -> WitnessRow:
    return WitnessRow(
        witness=one.witness, quantity=one.quantity, value=one.total, trust=one.trust, engine=one.engine,
        dtype=one.dtype, over=one.over, formula=one.formula, why=one.why,
    )  # fmt: skip


def _beside(joined: Beside | str) -> list[BesideRow]:
    if isinstance(joined, str):
        return []
    return [
        BesideRow(
            part=p.part,
            predicted_us=None if p.predicted is None else p.predicted * 1e6,
            achieved_us=p.achieved * 1e6,
            ledger_flops=p.ledger,
            counted_flops=p.counted,
            calls=p.calls,
        )
        for p in joined.parts
    ]


def _told(joined: Beside) -> str:
    w = joined.setting.workload
    what = f"decode of {w.batch} behind {w.past:,}" if w.phase == "decode" else f"{w.phase} of {w.batch} x {w.seq:,}"
    steps = f", the mean of {joined.steps} steps" if joined.steps > 1 else ""
    return f"{what}, told by {joined.setting.told_by}{steps}"


def _ledger(joined: Beside | str) -> list[WitnessRow]:
    """What the model requires for the workload of the steps, as a witness of its own."""
    if isinstance(joined, str):
        return []
    return [
        WitnessRow(
            witness="the model's ledger",
            quantity="flops",
            value=float(joined.ledger_flops * joined.steps),
            trust="exact",
            engine="matrix",
            over="steps",
            why=f"required, for {_told(joined)}",
        )
    ]


def _coverage(reading: Reading) -> CoverageRow:
    c = reading.coverage
    return CoverageRow(flops=c.flops, cost=c.cost, bytes=c.bytes, op=c.op, module=c.module)


def _utilization(reading: Reading, roof: Roofs) -> UtilizationRow:
    devices = len(reading.total)
    window = sum(t.window for t in reading.total)
    if not window:
        return UtilizationRow(window_us=0.0, why="the file has no times of a device on one clock")
    busy = sum(t.busy for t in reading.total) / window
    row = UtilizationRow(window_us=window / devices / 1e3, busy=busy, basis=roof.basis)
    required = sum(f.required for f in reading.flops.values())
    if not required:
        row.why = "no matrix product of known shape ran in the steps; record shapes (record_shapes=True)"
        return row
    if not reading.device_side and not roof.given:
        row.why = "no device was recorded; if a processor ran this, name it with --on (here: this machine)"
        return row
    row.achieved_flops_per_s = required / window * 1e9 * devices
    row.dtype = max(reading.flops, key=lambda d: reading.flops[d].required)
    needed = {dtype: (roof.peak(dtype), flops) for dtype, flops in reading.flops.items()}
    missing = [(d, p) for d, (p, _) in needed.items() if isinstance(p, Unknown)]
    if missing:
        dtype, why = missing[0]
        row.why = f"no peak for {dtype or 'an unknown format'}: {why.why}" if isinstance(why, Unknown) else ""
        return row
    known = {d: (p, f) for d, (p, f) in needed.items() if isinstance(p, Fact)}
    # several formats: seconds that each would need at its own peak, added up
    row.mfu = sum(f.required / float(p.value) for p, f in known.values()) / (window / 1e9)
    row.hfu = sum(f.executed / float(p.value) for p, f in known.values()) / (window / 1e9)
    main = known[row.dtype][0]
    row.peak_flops_per_s, row.peak_source = float(main.value), main.source
    return row


def _op(op: OpTime, reading: Reading, roof: Roofs, kernel_ns: int) -> OpRow:
    seconds = op.duration / 1e9
    done = op.flops.executed
    share = op.duration / kernel_ns if kernel_ns else 0.0
    rate = done / seconds if done and seconds else None
    moved = op.bytes
    device = reading.devices[0] if reading.devices else Device(0)
    chip = None if isinstance(roof.chip, Unknown) else roof.chip
    bound, best = _roof(op, roof)
    _, best_measured = _roof(op, Roofs(roof.chip, "measured"))
    return OpRow(
        op=op.op, kind=op.kind, shapes=shapes(op.signature), dtype=op.dtype, calls=op.calls, us=op.duration / 1e3,
        share=share, flops=done, bytes=moved, flops_per_s=rate,
        bytes_per_s=moved / seconds if moved and seconds else None,
        intensity=done / moved if done and moved else None, roof=best / seconds if best and seconds else None,
        roof_measured=best_measured / seconds if best_measured and seconds else None, bound=bound, kernel=op.kernel,
        findings=findings_of(op, device.units, device.capability, chip) if share >= SLOW_SHARE else [],
    )  # fmt: skip


def _roof(op: OpTime, roof: Roofs) -> tuple[str, float | None]:
    """What binds an op, and the least seconds its calls could take on this device; None where it is not known."""
    bandwidth, moved = roof.bandwidth(), op.bytes
    if isinstance(bandwidth, Unknown) or moved is None:
        return "", None
    memory = moved / float(bandwidth.value)
    if not op.flops.executed:
        return "memory", memory or None
    peak = roof.peak(op.dtype)
    if isinstance(peak, Unknown):
        return "", None
    compute = op.flops.executed / float(peak.value)
    return ("compute", compute) if compute >= memory else ("memory", memory)


def shapes(signature: Signature) -> str:
    """[8944, 1024] x [1024, 2816], without arguments that are no tensors."""
    said = [f"[{', '.join(map(str, dims))}]" for dims in signature.dims if dims and isinstance(dims[0], int)]
    lists = [f"{len(dims)} tensors" for dims in signature.dims if dims and not isinstance(dims[0], int)]
    return " x ".join((said + lists)[:4]) + (" ..." if len(said) + len(lists) > 4 else "")


def _modules(modules: Sequence[ModuleTime], kernel_ns: int) -> list[ModuleRow]:
    """Modules of one path with the numbers of layers folded away, in the order of their first call."""
    folded: dict[str, ModuleRow] = {}
    for one in modules:
        path = fold(one.path)
        row = folded.setdefault(path, ModuleRow(path=path, calls=0, us=0.0, share=0.0, flops=0))
        row.calls += one.calls
        row.us += one.duration / 1e3
        row.share += one.duration / kernel_ns if kernel_ns else 0.0
        row.flops += one.flops.required
    return list(folded.values())


NUMBER: Final = re.compile(r"_(\d+)(?=\.|$)")


def fold(path: str) -> str:
    """Qwen2Model_0.Qwen2DecoderLayer_3.Linear_21 -> Qwen2Model.Qwen2DecoderLayer.Linear."""
    return NUMBER.sub("", path)


def _kernel(one: NameTime, kernel_ns: int) -> KernelRow:
    return KernelRow(
        name=one.name, kind=one.kind, count=one.count, us=one.duration / 1e3,
        share=one.duration / kernel_ns if kernel_ns else 0.0, modelled=one.modelled * 2 > one.duration,
    )  # fmt: skip


def _unmodelled(names: Sequence[NameTime], kernel_ns: int) -> list[KernelRow]:
    """Kernels whose work is not known, heaviest first."""
    found = [n for n in names if n.kind != "communication" and n.modelled < n.duration]
    rows = [_kernel(n, kernel_ns) for n in found]
    for row, one in zip(rows, found, strict=True):
        row.us = (one.duration - one.modelled) / 1e3
        row.share = (one.duration - one.modelled) / kernel_ns if kernel_ns else 0.0
    return sorted(rows, key=lambda r: -r.us)[:MOST]


def _notes(reading: Reading) -> list[str]:
    notes = list(reading.notes)
    if not reading.device_side and reading.names:
        notes.append(
            "No device activity was recorded: times are those of ops on their threads. If a GPU ran this, record its "
            "activity too (ProfilerActivity.CUDA); an idle share of it cannot be told from this file."
        )
    outside = sum(w.kernels for w in reading.whole) - sum(t.kernels for t in reading.total)
    if outside > 0 and reading.device_side:
        notes.append(f"{outside:,} kernels lie outside of the steps and are only in the whole-file numbers.")
    untimed = sum(t.untimed for t in reading.whole)
    if untimed:
        notes.append(f"{untimed:,} kernels have no known duration and are in no time.")
    if reading.replayed:
        notes.append(
            f"{reading.replayed:,} kernels were replayed from graphs whose ops are not known: pass the profile of the "
            "graph's capture as a second file."
        )
    if any(d.properties.get("slice") for d in reading.devices):
        notes.append("A device is a slice of a chip (MIG): shares of a whole chip's peak are too low for it.")
    return notes


def _next(reading: Reading, first: OneTrace, model: Model | None) -> str:
    if not reading.device_side:
        return "flopsight trace FILE --on CHIP names the processor whose peak divides"
    if first.utilization.mfu is None and first.flops.required:
        return "flopsight trace FILE --on CHIP names the chip whose peak divides"
    if not first.flops.required:
        return "profile again with record_shapes=True, or pass the graph-capture trace as a second file"
    if model is None:
        return "flopsight trace FILE --model MODEL sets predicted beside achieved, part by part"
    return "flopsight predict MODEL --on CHIP shows what binds each part"
