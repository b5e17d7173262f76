"""From a throughput to the answer of `mfu`."""

from __future__ import annotations

from fractions import Fraction

from flopsight.conventions.catalog import convention, conventions
from flopsight.conventions.convention import Convention, bridge
from flopsight.conventions.view import View, view
from flopsight.cost import Recompute
from flopsight.errors import UsageError
from flopsight.facts import Fact, Unknown
from flopsight.hardware.chip import Node
from flopsight.models.asked import check
from flopsight.models.ledger import Ledger, ledger
from flopsight.models.tree import Model
from flopsight.models.weights import cache_format, weights_of
from flopsight.report.mfu import ConventionShare, MfuResult, Peak, ShareRow
from flopsight.utilization import Share, bandwidth_of, peak_of, share, step_bytes
from flopsight.workload import Workload

BASES = ("datasheet", "clock", "measured")


def build(
    model: Model,
    workload: Workload,
    node: Node,
    tokens_per_s: float,
    *,
    dtype: str,
    basis: str,
    recompute: Recompute,
    name: str,
    cache_dtype: str | None,
) -> MfuResult:
    """Everything `mfu` says of a throughput."""
    if model.no_flops:
        raise UsageError(f"No utilization can be given for {model.name}: {model.no_flops}.")
    chosen, book = _chosen(name, workload), ledger(model)
    traced = model.confidence != "formula"
    if traced and chosen.name != "exact":
        raise UsageError(f"{model.name} is counted from traced modules, which other conventions say nothing about.")
    check(book, workload)
    peak, seen = peak_of(node, dtype, basis), view(book, workload, recompute)
    per_token = chosen.per_token(seen)
    mfu = share("MFU", tokens_per_s * float(per_token), peak, chosen.title, basis, node=node, dtype=dtype)
    hfu = share(
        "HFU",
        tokens_per_s * float(seen.executed),
        peak,
        f"executed, recompute {recompute}",
        basis,
        node=node,
        dtype=dtype,
    )
    mbu = _mbu(book, workload, node, tokens_per_s, basis, cache_dtype)
    return MfuResult(
        model=model.name, phase=workload.phase, batch=workload.batch, seq=workload.seq, past=workload.past,
        recompute=recompute, tokens_per_s=tokens_per_s, convention=chosen.name, flops_per_token=float(per_token),
        executed_per_token=float(seen.executed), peak=_peak(node, peak, dtype, basis), mfu=_row(mfu), hfu=_row(hfu),
        mbu=None if isinstance(mbu, Unknown) else _row(mbu), mbu_unknown=mbu.why if isinstance(mbu, Unknown) else "",
        conventions=[] if traced else _others(seen, tokens_per_s, float(peak.value), node.count),
        unknown=list(model.unknown),
        notes=list(model.notes), next=f"flopsight count {model.name} --phase {workload.phase} -v",
    )  # fmt: skip


def _chosen(name: str, workload: Workload) -> Convention:
    found = convention(name)
    if workload.phase not in found.phases:
        raise UsageError(
            f"The convention {name} counts {', '.join(found.phases)} only; pass another for {workload.phase}."
        )
    return found


def _mbu(
    book: Ledger, w: Workload, node: Node, tokens_per_s: float, basis: str, cache_dtype: str | None
) -> Share | Unknown:
    """Memory bandwidth utilization, which means something where every step reads all weights: decode."""
    if w.phase != "decode":
        return Unknown("MBU is given for decode, where each step must read the weights and the cache")
    bandwidth, stored = bandwidth_of(node, basis), weights_of(book)
    if isinstance(bandwidth, Unknown):
        return bandwidth
    if book.model.confidence != "formula":
        return Unknown("the cache of a model counted from traced modules is not known")
    if stored.total is None:
        return Unknown("the stored size of some weights is not known")
    cache = cache_format(book.model, stored, cache_dtype)
    moved = step_bytes(book, w, stored.total, Fraction(cache.block_bytes, cache.block))
    steps = tokens_per_s / book.tokens(w)
    counted = f"weights once a step and the {cache.name} cache, {moved / 1e9:,.2f} GB a step"
    return share("MBU", steps * moved, bandwidth, counted, basis, node=node)


def _peak(node: Node, peak: Fact, dtype: str, basis: str) -> Peak:
    return Peak(
        device=node.chip.label, count=node.count, dtype=dtype, basis=basis, flops_per_s=float(peak.value),
        kind=peak.kind, source=peak.source, note=peak.note,
    )  # fmt: skip


def _row(s: Share) -> ShareRow:
    return ShareRow(name=s.name, ratio=s.ratio, done_per_s=s.done, could_per_s=s.could, counted=s.counted, note=s.note)


def _others(seen: View, tokens_per_s: float, peak: float, devices: int) -> list[ConventionShare]:
    ours = convention("exact")
    fitting = [c for c in conventions().values() if c.fits(seen)]
    return [_other(c, seen, ours, tokens_per_s, c.peak * devices if c.peak else peak) for c in fitting]


def _other(c: Convention, seen: View, ours: Convention, tokens_per_s: float, peak: float) -> ConventionShare:
    per_token = float(c.per_token(seen))
    return ConventionShare(
        name=c.name, title=c.title, flops_per_token=per_token, mfu=tokens_per_s * per_token / peak,
        own_peak=float(c.peak) if c.peak else None, formula=c.formula, source=c.source,
        bridge={name: float(gap) for name, gap in bridge(seen, c, ours).items()}, note=c.note,
    )  # fmt: skip
