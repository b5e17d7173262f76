"""From a finished bench to the answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flopsight.bench.join import Part
from flopsight.bench.run import Bench, Case
from flopsight.ceiling.record import chip_of
from flopsight.counted import Amount
from flopsight.errors import UsageError
from flopsight.facts import Unknown
from flopsight.hardware.chip import Chip
from flopsight.hardware.detect import cpu_here
from flopsight.report.bench import BenchCase, BenchPart, BenchResult

TAKEN: Final = 0.05
"""Share of the processors that others may use before it is said."""
UNSTEADY: Final = 0.15


def build(found: Bench) -> BenchResult:
    """Every case of a bench."""
    ceilings, shares = found.machine.ceilings, None if isinstance(found.shares, Unknown) else found.shares
    chip = chip_of(str(found.device.device))
    cases = [_case(case, found) for case in found.cases]
    return BenchResult(
        model=found.book.model.name, device=ceilings.device, device_name=_name(found),
        chip=chip.id if isinstance(chip, Chip) else None, using=found.using, dtype=found.machine.dtype,
        dtype_chosen=found.format_chosen, layers=found.layers, all_layers=found.all_layers,
        why_layers=found.why_layers, params=found.book.params, threads=ceilings.threads, torch=ceilings.torch,
        date=ceilings.date, peak_flops_per_s=found.machine.peak or None,
        bandwidth_bytes_per_s=found.machine.bandwidth, launch_s=found.machine.launch,
        steal=shares.steal if shares else None, others=shares.others if shares else None, cases=cases,
        warnings=list(_warnings(found, cases)), notes=list(_notes(found)),
        next=f"flopsight predict {found.book.model.name} --on H100-SXM",
    )  # fmt: skip


def keep(result: BenchResult, out: str | Path | None) -> BenchResult:
    """Write the result as JSON where that was asked; UsageError where it cannot be written."""
    if out is not None:
        result.saved = str(out)
        try:
            Path(out).write_text(result.to_json(indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{out} cannot be written ({error.strerror}). Name another file.") from error
    return result


def check_out(out: str | Path | None) -> None:
    """UsageError before anything is measured, where the folder of a result is not there."""
    if out is not None and not Path(out).absolute().parent.is_dir():
        raise UsageError(f"{Path(out).absolute().parent} is no folder, so {out} cannot be written. Make it first.")


def _name(found: Bench) -> str:
    if found.device.kind != "cpu":
        return found.device.name
    return str(cpu_here().read.get("name", "CPU"))


def _case(case: Case, found: Bench) -> BenchCase:
    time, w, machine = case.measured.step, case.workload, found.machine
    forecasts = [part.forecast for part in case.parts if part.forecast]
    required, full = sum(f.required for f in forecasts), sum(f.full for f in forecasts)
    moved = sum(f.bytes for f in forecasts)
    counted = case.measured.counted
    compute, memory = (sum(getattr(f.bound, name) for f in forecasts) for name in ("compute", "memory"))
    must = sum(f.weights + f.cache for f in forecasts)
    executed = counted.flops.executed if counted else None
    return BenchCase(
        phase=w.phase, batch=int(w.batch), seq=int(w.seq), past=int(w.past), tokens=case.tokens,
        median_s=time.median, best_s=time.best, worst_s=time.worst, steps=time.samples,
        tokens_per_s=case.tokens / time.median, predicted_s=case.predicted, error=case.predicted / time.best - 1,
        error_of_median=case.predicted / time.median - 1, bound_s=max(compute, memory),
        binds=_binds(case, machine.launch),
        required=required, full_square=full, counted_required=counted.flops.required if counted else None,
        counted_executed=executed, counted_agrees=counted.flops.required == required if counted else None,
        not_counted=[case.measured.uncounted_why] if counted is None else sorted({u.op for u in counted.uncounted}),
        bytes=moved, intensity=required / moved if moved else 0.0, mfu=_share(required, time.median, machine.peak),
        hfu=_share(executed, time.median, machine.peak),
        mbu=None if w.phase == "train" else _share(must, time.median, machine.bandwidth),
        watched_ns=case.measured.total, between_ns=case.between, watched_steps=case.measured.repeats,
        whole_model_s=case.whole, parts=[_part(part, machine.launch) for part in case.parts],
    )  # fmt: skip


def _share(done: float | None, seconds: float, could: float) -> float | None:
    return done / seconds / could if done is not None and could else None


def _binds(case: Case, launch: float) -> str:
    """What the parts that take most of the predicted time wait for."""
    found: dict[str, float] = {}
    for part in case.parts:
        seconds = sum(part.predicted.values())
        name = _bound_by(part, launch)
        found[name] = found.get(name, 0.0) + seconds
    return max(found, key=lambda name: found[name]) if found else ""


def _bound_by(part: Part, launch: float) -> str:
    """Overhead where starting ops is most of the prediction, else the longer of compute and memory at light speed."""
    if part.forecast is None:
        return "overhead"
    bound = part.forecast.bound
    starts = part.counted.calls * launch if part.counted else bound.overhead
    if 2 * starts > sum(part.predicted.values()):
        return "overhead"
    return "compute" if bound.compute >= bound.memory else "memory"


def _part(part: Part, launch: float) -> BenchPart:
    f, counted = part.forecast, part.counted or Amount()
    known, there = f is not None, part.counted is not None
    bound = max(f.bound.compute, f.bound.memory) if f else None
    moved = f.bytes if f else 0.0
    return BenchPart(
        path=part.path, contains=list(part.leaves), ns=part.measured, ns_by_pass=dict(part.nanoseconds),
        predicted_s=sum(part.predicted.values()) if known or there else None, bound_s=bound,
        required=f.required if f else 0, counted=counted.flops.required if there else None, bytes=moved,
        counted_bytes=counted.bytes.total if there else None, ops=counted.calls if there else None,
        intensity=f.required / moved if f and moved else None,
        of_bound=bound / (part.measured / 1e9) if bound is not None and part.measured else None,
        binds=_bound_by(part, launch) if known else "",
    )  # fmt: skip


def _warnings(found: Bench, cases: list[BenchCase]) -> Iterator[str]:
    shares = None if isinstance(found.shares, Unknown) else found.shares
    if shares and shares.others > TAKEN:
        yield (
            f"other programs used {shares.others:.0%} of the processors' time: medians are not those of a quiet machine"
        )
    if shares and shares.steal > TAKEN:
        yield f"the hypervisor gave {shares.steal:.0%} of the processors' time to other guests"
    loose = [f"{c.phase} {c.median_s / c.best_s - 1:.0%}" for c in cases if c.median_s > (1 + UNSTEADY) * c.best_s]
    if loose:
        yield f"median step over the fastest: {', '.join(loose)}"
    for case in cases:
        if case.counted_agrees is False:
            yield (
                f"{case.phase}: the program was counted to do {case.counted_required:,} required FLOPs, the ledger "
                f"says {case.required:,}"
            )
        if case.not_counted:
            yield f"{case.phase}: not counted: {', '.join(case.not_counted)}"


def _notes(found: Bench) -> Iterator[str]:
    if found.layers < found.all_layers:
        yield f"{found.layers} of {found.all_layers} layers were run: {found.why_layers}"
    if found.format_chosen:
        yield f"{found.machine.dtype} was chosen, by the measured rates of this device; --dtype says otherwise"
    peaks = found.machine.ceilings.peaks
    yield "measured ceilings: " + ", ".join(f"{name} {rate / 1e12:.3g} TFLOP/s" for name, rate in peaks.items())
    yield from found.machine.ceilings.notes
    yield from found.book.model.unknown
