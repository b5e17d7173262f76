"""Training rows: the time of a step, predicted, beside the one that follows from what is printed."""

from __future__ import annotations

from dataclasses import replace

from flopsight.facts import Unknown
from flopsight.predict.interval import lognormal
from flopsight.predict.train import TrainStep, train_step
from flopsight.validate.predicted.training_run import Run, class_of, run_of
from flopsight.validate.recompute import Case, Figure, Rate, _case, _counts, _hardware_counts, _model_counts
from flopsight.validate.rows import Row

QUANTITY = "step_time_s"
WHOLE_RUN = 0.3
"""Standard deviation that restarts, other stages and idle hours add where only the hours of a whole run are printed."""


def predict(row: Row) -> Figure | None:
    """Seconds of a step: printed or what a printed rate makes of it, and ours."""
    if row.kind != "train_mfu":
        return None
    run = run_of(row)
    if isinstance(run, Unknown):
        return Figure(QUANTITY, None, None, why=run.why)
    found = predicted(run, row)
    case = _case(row)
    rate = published_rate(replace(case, seq=case.seq or run.batch.seq))
    published = None
    notes = (*run.chosen, *found.notes)
    if isinstance(rate, Unknown):
        notes = (*notes, rate.why)
    else:
        published = found.tokens / (rate.each * run.plan.devices)
    sigma = (found.sigma**2 + run.doubt**2 + (WHOLE_RUN**2 if row.measured.get("gpu_hours") else 0.0)) ** 0.5
    band = lognormal(found.seconds, sigma)
    return Figure(
        QUANTITY, published, found.seconds, counted=f"{run.soft}, {run.plan}", notes=notes,
        low=band.low, high=band.high,
    )  # fmt: skip


def predicted(run: Run, row: Row) -> TrainStep:
    """The step of a run, under the class of software its row names."""
    return train_step(run.book, run.device, run.plan, run.formats, run.batch, class_of(row))


def published_rate(case: Case) -> Rate | Unknown:
    """Tokens a second of one device: printed, else from printed FLOP/s or utilization under the row's own count."""
    if isinstance(case.rate, Rate):
        return case.rate
    hours, tokens = case.printed("gpu_hours"), case.printed("training_tokens")
    if hours and tokens:
        return Rate(tokens / (hours * 3600), 0.0, "tokens over GPU hours")
    return _from_flops(case)


PRINTED = (("mfu_pct", "model_tflops_per_gpu"), ("mfu_pct", "tflops_per_gpu"), ("hfu_pct", "hardware_tflops_per_gpu"))


def _from_flops(case: Case) -> Rate | Unknown:
    """From TFLOP/s or a utilization; where the row's words name no count, 6 FLOPs a matmul parameter and attention."""
    for share, flops in PRINTED:
        done = case.printed(flops) or (case.printed(share) or 0.0) / 100 * (case.peak or 0.0)
        counts = _hardware_counts(case) if share == "hfu_pct" else _model_counts(case)
        if isinstance(counts, Unknown) and share == "mfu_pct":
            counts = _counts(case, ("torchtitan",))
        size = case.row.number(case.row.model, "params")
        if done and isinstance(counts, Unknown) and size:
            return Rate(done * 1e12 / (6 * size), 0.0, "FLOP/s over 6 a parameter")
        if done and not isinstance(counts, Unknown):
            each = [done * 1e12 / one.per_token for one in counts]
            return Rate(sum(each) / len(each), 0.0, f"{flops if case.printed(flops) else share} over {counts[0].name}")
    return Unknown("the row prints no rate that can be turned into a step time")
