"""Published utilization from published throughput, under the convention the row names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from flopsight.conventions.catalog import convention
from flopsight.conventions.view import View, view
from flopsight.facts import Unknown
from flopsight.models.ledger import ledger
from flopsight.models.tree import Model
from flopsight.validate.readings import Reading, reading_of
from flopsight.validate.rounding import FORMULA, by_whole_sequences, half_digit
from flopsight.validate.rows import Row
from flopsight.validate.shapes import model_of, window_unprinted, with_further_tokens
from flopsight.workload import Workload

DAY: Final = 86_400
LONGEST: Final = 2**40
GPT3_TOKENS: Final = 300e9


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a row: what was printed, what comes out, and how far apart rounding lets them be.

    published   None where the source prints none and ours stands alone
    ours        None where nothing was computed, then `why` says why
    low, high   the ends of the 90 % interval, in the quantity's own unit; None for what is no prediction
    """

    quantity: str
    published: float | None
    ours: float | None
    tolerance: float = FORMULA
    counted: str = ""
    why: str = ""
    notes: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def inside(self) -> bool | None:
        """Whether the published number lies in the interval; None where there is none."""
        if self.published is None or self.low is None or self.high is None:
            return None
        return min(self.low, self.high) <= self.published <= max(self.low, self.high)

    @property
    def error(self) -> float | None:
        """ours / published - 1."""
        return None if self.published is None or self.ours is None else self.ours / self.published - 1

    @property
    def within(self) -> bool | None:
        """Whether the error is inside the tolerance; None where there is none."""
        return None if self.error is None else abs(self.error) <= self.tolerance


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens a second of one device, how they follow from the print, and how exactly they are known (relative)."""

    each: float
    known: float
    how: str


@dataclass(frozen=True, slots=True)
class Case:
    """A row with what was read out of it."""

    row: Row
    reading: Reading | Unknown
    model: Model | Unknown
    rate: Rate | Unknown
    seq: int | None
    count: float | None
    peak: float | None
    notes: tuple[str, ...] = field(default=())

    def printed(self, name: str) -> float | None:
        """A measured number of the row."""
        return self.row.number(self.row.measured, name)


def recompute(row: Row) -> tuple[Figure, ...]:
    """The row's main figure first, then whatever else it prints that can be checked."""
    case = _case(row)
    found = [*_from_rate(case), *_from_flops(case), *_from_hours(case)]
    printed = [one for one in found if one.published is not None and one.ours is not None]
    alone = [one for one in found if one.published is None and one.ours is not None]
    best = printed or alone or found or [Figure("mfu_pct", case.printed("mfu_pct"), None, why=_why(case))]
    rest = [one for one in [*found, *_aside(case)] if one is not best[0] and one.published is not None]
    return (best[0], *rest)


def _case(row: Row) -> Case:
    seq, count = row.whole(row.workload, "seq_len"), row.number(row.hardware, "count")
    return Case(row, reading_of(row), model_of(row), _rate(row, seq, count), seq, count, _peak(row))


def _why(case: Case) -> str:
    reasons = [one.why for one in (case.reading, case.model, case.rate) if isinstance(one, Unknown)]
    return "; ".join(reasons) or "the row prints nothing that can be recomputed"


def _peak(row: Row) -> float | None:
    """The denominator behind the print in TFLOP/s, else the dense peak of the dtype it names."""
    used = row.number(row.hardware, "peak_tflops_used")
    if used:
        return used
    vendor = row.hardware.get("vendor_peak_tflops")
    dtype = str(row.hardware.get("peak_dtype_used") or row.dtype.split(" ")[0])
    value = vendor.get(dtype) if isinstance(vendor, dict) else None
    return None if value is None else row.checked(f"vendor_peak_tflops.{dtype}", value)


# ------------------------------------------------------------ throughput


def _rate(row: Row, seq: int | None, count: float | None) -> Rate | Unknown:
    """Tokens a second of one device from whichever of the printed rates is the most direct."""
    each, together = row.number(row.measured, "tokens_per_s_per_gpu"), row.number(row.measured, "tokens_per_s")
    if together and count:
        return Rate(together / count, half_digit(together), "tokens/s")
    if each:
        known = half_digit(each) if not (seq and count) else max(half_digit(each), by_whole_sequences(each, seq, count))
        return Rate(each, known, "tokens/s a device")
    return _rate_of_steps(row, seq, count)


def _rate_of_steps(row: Row, seq: int | None, count: float | None) -> Rate | Unknown:
    step, batch = row.number(row.measured, "step_time_s"), row.whole(row.workload, "global_batch")
    samples = row.number(row.measured, "samples_per_s") or row.number(row.measured, "log_samples_per_s_example")
    if step and batch and seq and count:
        return Rate(batch * seq / step / count, half_digit(step), "step time x batch x length")
    if samples and seq and count:
        return Rate(samples * seq / count, half_digit(samples), "samples/s x length")
    return _rate_of_run(row, count)


def _rate_of_run(row: Row, count: float | None) -> Rate | Unknown:
    """Tokens of a whole run over its hours or days."""
    tokens, hours = row.number(row.measured, "training_tokens"), row.number(row.measured, "training_hours")
    days = row.number(row.measured, "training_days")
    seconds = hours * 3600 if hours else days * DAY if days else None
    if tokens and seconds and count:
        return Rate(tokens / seconds / count, half_digit(hours or days or 1), "tokens over the time of the run")
    return Unknown("the row prints no throughput")


# ------------------------------------------------------------ FLOPs a token


def seen(case: Case) -> View | Unknown:
    """The model of the row under its own sequence length."""
    if isinstance(case.model, Unknown):
        return case.model
    if not case.seq or case.seq > LONGEST:
        return Unknown("the row prints no sequence length")
    reading = case.reading
    further = isinstance(reading, Reading) and reading.further
    found = _view(case.model, case.seq, further)
    return _stated(found, case.row) if isinstance(reading, Reading) and reading.stated else found


@lru_cache(256)
def _view(model: Model, seq: int, further: bool) -> View:
    """The view of a model in training at one length; many rows share it."""
    return view(ledger(with_further_tokens(model) if further else model), Workload("train", 1, seq, logits="all"))


def _stated(v: View, row: Row) -> View:
    """The view with the parameter count the row prints: its formula is one in N."""
    total, active = row.number(row.model, "params"), row.number(row.model, "active_params")
    if active:
        return replace(v, small=v.small + round(active) - v.active)
    return replace(v, small=v.small + round(total) - v.total) if total and not v.idle else v


@dataclass(frozen=True, slots=True)
class Counted:
    """FLOPs a token, how they were counted, and how far they are open (relative)."""

    per_token: float
    name: str
    open: float = 0.0
    note: str = ""


def _counts(case: Case, names: tuple[str, ...]) -> list[Counted] | Unknown:
    if not names:
        return Unknown("the row's convention counts no such FLOPs")
    v = seen(case)
    if isinstance(v, Unknown):
        return v
    fitting = [name for name in names if convention(name).applies(v)]
    if not fitting:
        return Unknown(f"how {names[0]} counts this kind of model is not known")
    return [_open_window(case, v, name) for name in fitting]


def _open_window(case: Case, v: View, name: str) -> Counted:
    """The count; where a window was used and its length is not printed, half the attention, give or take half."""
    terms = convention(name).terms(v)
    total = float(sum(terms.values()))
    if not window_unprinted(case.row):
        return Counted(total, name)
    half = float(terms.get("attention", 0)) / 2
    note = "a window was used whose length is not printed: attention is taken as half, give or take half"
    return Counted(total - half, name, half / total, note)


def _per_sequence(case: Case) -> list[Counted] | None:
    """The FLOPs a sequence the source itself prints."""
    printed = case.printed("model_flops_per_sequence")
    usable = isinstance(case.reading, Reading) and case.reading.per_sequence and case.seq and printed
    if not usable or printed is None or not case.seq:
        return None
    return [Counted(printed / case.seq, "the source's own FLOPs a sequence", half_digit(printed))]


def _model_counts(case: Case) -> list[Counted] | Unknown:
    if isinstance(case.reading, Unknown):
        return case.reading
    return _per_sequence(case) or _counts(case, case.reading.model)


def _hardware_counts(case: Case) -> list[Counted] | Unknown:
    if isinstance(case.reading, Unknown):
        return case.reading
    return _counts(case, (case.reading.hardware,) if case.reading.hardware else ())


# ------------------------------------------------------------ figures


def _from_rate(case: Case) -> Iterator[Figure]:
    """Utilizations and TFLOP/s from tokens a second."""
    if isinstance(case.rate, Unknown):
        return
    model, hardware = _model_counts(case), _hardware_counts(case)
    yield from _shares(case, case.rate, model, (("mfu_pct", True), ("model_tflops_per_gpu", False)))
    names = (("hfu_pct", True), ("hardware_tflops_per_gpu", False), ("log_tflops_example", False))
    yield from _shares(case, case.rate, hardware, names)
    if not any(case.printed(name) for name in ("mfu_pct", "model_tflops_per_gpu", *[n for n, _ in names])):
        yield _alone(case, case.rate, model)


def _shares(
    case: Case, rate: Rate, counts: list[Counted] | Unknown, names: tuple[tuple[str, bool], ...]
) -> Iterator[Figure]:
    for name, of_peak in names:
        printed = case.printed(name)
        if printed is None:
            continue
        if isinstance(counts, Unknown):
            yield Figure(name, printed, None, why=counts.why)
        elif of_peak and not case.peak:
            yield Figure(name, printed, None, why="the row names no peak")
        else:
            yield _closest(case, rate, counts, name, printed, of_peak=of_peak)


def _closest(case: Case, rate: Rate, counts: list[Counted], name: str, printed: float, *, of_peak: bool) -> Figure:
    """The figure under the one convention, or the one of several that reproduces the print, which is then said."""
    divisor = case.peak / 100 if of_peak and case.peak else 1.0
    figures = [
        Figure(
            name, printed, rate.each * one.per_token / 1e12 / divisor,
            FORMULA + half_digit(printed) + rate.known + one.open, f"{one.name}, from {rate.how}",
            notes=(one.note,) if one.note else (),
        )
        for one in counts
    ]  # fmt: skip
    best = min(figures, key=lambda one: abs(one.error or 0))
    return best if len(figures) == 1 else replace(best, notes=(*best.notes, _chosen(figures)))


def _chosen(figures: list[Figure]) -> str:
    values = ", ".join(f"{one.counted.split(',')[0]} {one.ours:.4g}" for one in figures)
    return f"more than one count fits the words of the source; the one nearest to the print was taken: {values}"


def _alone(case: Case, rate: Rate, counts: list[Counted] | Unknown) -> Figure:
    """An MFU of ours where the source prints a throughput and no utilization."""
    if isinstance(counts, Unknown) or not case.peak:
        why = counts.why if isinstance(counts, Unknown) else "the row names no peak"
        return Figure("mfu_pct", None, None, why=why)
    ours = rate.each * counts[0].per_token / 1e10 / case.peak
    return Figure("mfu_pct", None, ours, counted=f"{counts[0].name}, from {rate.how}")


RATIOS: Final = (
    ("mfu_pct", "model_tflops_per_gpu"), ("hfu_pct", "hardware_tflops_per_gpu"),
    ("hfu_pct_single_gpu", "hardware_tflops_single_gpu_baseline"), ("mfu_pct", "tflops_per_gpu"),
)  # fmt: skip


def _from_flops(case: Case) -> Iterator[Figure]:
    """Utilizations from printed TFLOP/s, where there is no throughput; and days of training."""
    yield from _from_parts(case)
    yield from _days(case)
    if not isinstance(case.rate, Unknown):
        return
    for share, flops in RATIOS:
        done, printed = case.printed(flops), case.printed(share)
        if done and case.peak:
            tolerance = FORMULA + half_digit(done) + (half_digit(printed) if printed else 0)
            yield Figure(share, printed, 100 * done / case.peak, tolerance, "TFLOP/s over the peak")


def _from_parts(case: Case) -> Iterator[Figure]:
    """MFU from TFLOP/s that leave attention out: more by attention's share of the count."""
    done, printed = case.printed("non_attention_model_tflops_per_gpu"), case.printed("mfu_pct")
    if done is None:
        return
    v = seen(case)
    if isinstance(v, Unknown) or isinstance(case.reading, Unknown) or not case.reading.model or not case.peak:
        yield Figure("mfu_pct", printed, None, why=_why(case))
        return
    terms = convention(case.reading.model[0]).terms(v)
    total, attention = float(sum(terms.values())), float(terms.get("attention", 0))
    ours = 100 * done * total / (total - attention) / case.peak
    tolerance = FORMULA + half_digit(done) + (half_digit(printed) if printed else 0)
    yield Figure("mfu_pct", printed, ours, tolerance, f"{case.reading.model[0]}, from TFLOP/s without attention")


def _days(case: Case) -> Iterator[Figure]:
    """Days for 300e9 tokens, from tokens a second or from hardware TFLOP/s."""
    printed = case.printed("training_days_300B_tokens")
    if printed is None:
        return
    rate = case.rate if isinstance(case.rate, Rate) else _rate_of_flops(case)
    if isinstance(rate, Unknown) or not case.count:
        yield Figure("training_days_300B_tokens", printed, None, why=_why(case))
        return
    ours = GPT3_TOKENS / (rate.each * case.count) / DAY
    tolerance = FORMULA + half_digit(printed) + rate.known
    yield Figure("training_days_300B_tokens", printed, ours, tolerance, f"300e9 tokens, from {rate.how}")


def _rate_of_flops(case: Case) -> Rate | Unknown:
    """Tokens a second from hardware TFLOP/s and the FLOPs of a token, attention in.

    8·T·P/(n·X), the approximation of Narayanan et al. 2021, leaves attention and logits out and is 1.5 to 3 % short.
    """
    done, counts = case.printed("hardware_tflops_per_gpu"), _hardware_counts(case)
    if isinstance(counts, Unknown) or done is None:
        return counts if isinstance(counts, Unknown) else Unknown("the row prints no TFLOP/s")
    return Rate(done * 1e12 / counts[0].per_token, half_digit(done), f"TFLOP/s over {counts[0].name}")


def _from_hours(case: Case) -> Iterator[Figure]:
    """The utilization of a whole run: 6·N_act·tokens / (hours · 3600 · peak)."""
    hours, tokens = case.printed("gpu_hours"), case.printed("training_tokens")
    active = case.row.number(case.row.model, "active_params") or case.row.number(case.row.model, "params")
    if hours and tokens and active and case.peak:
        ours = 100 * 6 * active * tokens / (hours * 3600 * case.peak * 1e12)
        yield Figure("whole_run_utilization_pct", None, ours, counted="6n-active, from GPU hours")


def _aside(case: Case) -> Iterator[Figure]:
    """What follows from other numbers of the same row."""
    yield from _without_attention(case)
    yield from _a_sequence(case)
    yield from _together(case)
    yield from _tokens(case)


def _without_attention(case: Case) -> Iterator[Figure]:
    printed = case.printed("mfu_no_attention_pct")
    v = seen(case)
    if printed is None or isinstance(case.rate, Unknown) or isinstance(v, Unknown) or not case.peak:
        return
    ours = case.rate.each * 6 * v.total / 1e10 / case.peak
    yield Figure("mfu_no_attention_pct", printed, ours, FORMULA + half_digit(printed) + case.rate.known, "6N")


def _a_sequence(case: Case) -> Iterator[Figure]:
    """The source's FLOPs a sequence beside a count of ours."""
    printed = case.printed("model_flops_per_sequence")
    if printed is None or not case.seq or isinstance(case.reading, Unknown):
        return
    counts = _counts(case, case.reading.model)
    if isinstance(counts, Unknown):
        return
    best = min(counts, key=lambda one: abs(one.per_token * (case.seq or 1) / printed - 1))
    ours, tolerance = best.per_token * case.seq, FORMULA + half_digit(printed)
    yield Figure("model_flops_per_sequence", printed, ours, tolerance, best.name)


def _together(case: Case) -> Iterator[Figure]:
    """PFLOP/s of all devices: TFLOP/s of one times their number, or MFU times the peak."""
    printed = case.printed("aggregate_pflops")
    done = case.printed("model_tflops_per_gpu") or case.printed("hardware_tflops_per_gpu")
    share = case.printed("mfu_pct")
    if done is None and share and case.peak:
        done = share / 100 * case.peak
    if printed and done and case.count:
        known = half_digit(printed) + half_digit(share if share and case.printed("step_time_s") else done)
        yield Figure("aggregate_pflops", printed, done * case.count / 1000, FORMULA + known, "one device times all")


def _tokens(case: Case) -> Iterator[Figure]:
    """Tokens a second from the step time."""
    step, batch = case.printed("step_time_s"), case.row.whole(case.row.workload, "global_batch")
    if not (step and batch and case.seq and case.count):
        return
    for name, devices in (("tokens_per_s", 1.0), ("tokens_per_s_per_gpu", case.count)):
        printed = case.printed(name)
        if printed:
            tolerance = FORMULA + half_digit(printed) + half_digit(step)
            yield Figure(name, printed, batch * case.seq / step / devices, tolerance, "batch x length / step time")
