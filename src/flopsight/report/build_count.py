"""From a ledger to the answer of `count`."""

from __future__ import annotations

from fractions import Fraction

from flopsight.conventions.catalog import convention, conventions
from flopsight.conventions.convention import bridge
from flopsight.conventions.view import view
from flopsight.cost import Cost, Recompute
from flopsight.dtypes import DType
from flopsight.errors import UsageError
from flopsight.models.asked import check
from flopsight.models.counting import Branch, branches, formulas, split
from flopsight.models.ledger import Ledger, Row, ledger
from flopsight.models.tree import Model
from flopsight.models.weights import Weights, cache_format, weights_of
from flopsight.parts.attention import AttentionCore
from flopsight.parts.mla import LatentCore
from flopsight.report.count import (
    Bytes,
    ConventionRow,
    CountResult,
    Flops,
    ModelInfo,
    Params,
    PartRow,
    TensorRow,
    WorkloadInfo,
)
from flopsight.report.numbers import flop
from flopsight.workload import Mask, Workload

MASKS = ("required", "full")


def build(
    model: Model,
    workload: Workload,
    mask: Mask,
    recompute: Recompute,
    cache_dtype: str | None,
    *,
    tensors: bool,
    verbose: bool,
) -> CountResult:
    """Everything `count` says of a model under a workload."""
    if mask not in MASKS:
        raise UsageError(f"The mask is one of {', '.join(MASKS)}; got {mask!r}.")
    book = ledger(model)
    check(book, workload)
    rows = book.rows(workload, recompute)
    total = sum((row.cost for row in rows), Cost())
    stored = weights_of(book)
    cache = cache_format(model, stored, cache_dtype)
    return CountResult(
        model=ModelInfo(
            name=model.name, family=model.family, confidence=model.confidence, tied=model.tied,
            dtype=stored.dtype, dtype_assumed=stored.assumed,
        ),
        workload=_workload(book, workload, mask, recompute),
        convention=_convention(model, workload, mask, recompute),
        params=_params(book),
        flops=None if model.no_flops else _flops(book, rows, total, workload, mask),
        bytes=_bytes(book, stored, total, workload, cache),
        attention=_attention(book),
        parts=[_part(b, book, stored, workload, mask, total, verbose) for b in branches(rows)],
        conventions=_conventions(book, workload, recompute) if model.confidence == "formula" else [],
        unknown=[*model.unknown, *stored.unknown],
        notes=[*model.notes, *_context_note(model, workload)],
        assumed=dict(model.assumed),
        tensors=_tensors(book, stored) if tensors else None,
        next=f"flopsight mfu {model.name} --phase {workload.phase} --tokens-per-s 1000 --on h100-sxm",
    )  # fmt: skip


def _workload(book: Ledger, w: Workload, mask: Mask, recompute: Recompute) -> WorkloadInfo:
    return WorkloadInfo(
        phase=w.phase, batch=w.batch, seq=w.seq, past=w.past, mask=mask, logits=w.logits, recompute=recompute,
        images=w.images, tokens=book.tokens(w), by_sample=book.by_sample,
    )  # fmt: skip


def _convention(model: Model, w: Workload, mask: Mask, recompute: Recompute) -> dict[str, str]:
    """Every choice behind the numbers, in words."""
    return {
        "multiply-add": "2 FLOPs",
        "attention": "causal area, windows applied" if mask == "required" else "the whole score square",
        "logits": f"{w.logits} positions",
        "input embedding": "a lookup, 0 FLOPs",
        "experts": "those a token visits",
        "backward": "2 x forward" if w.phase == "train" else "none",
        "recompute": f"{recompute}, in executed only" if w.phase == "train" else "none",
        "optimizer": "left out",
        "multi-token prediction": "left out" if model.mtp else "none in this model",
        "confidence": model.confidence,
    }


def _attention(book: Ledger) -> str:
    """The kind of attention in a word or two, by the masks of the cores."""
    labels = {one.part.mask.label for one in book.leaves if isinstance(one.part, AttentionCore | LatentCore)}
    return "attention" if labels <= {"full", "local", "block", "cross"} else "causal attention"


def _params(book: Ledger) -> Params:
    kinds = book.by_kind
    active = sum(book.active_by_kind.values())
    embedding = kinds.get("embedding", 0)
    # a tied table is the head too, so leaving out the input side takes nothing away
    lookup = 0 if book.model.tied else embedding
    mtp = Ledger(Model("", "", book.model.mtp)).params if book.model.mtp else 0
    return Params(
        total=book.params, active=active, active_excl_input_embedding=active - lookup,
        active_excl_all_embeddings=active - embedding - kinds.get("lm_head", 0), embedding=embedding,
        by_kind=kinds, buffers=book.buffers, mtp=mtp,
    )  # fmt: skip


def _flops(book: Ledger, rows: tuple[Row, ...], total: Cost, w: Workload, mask: Mask) -> Flops:
    column = "required" if mask == "required" else "full"
    parts = [getattr(c, column) for c in split(book, rows, w)]
    return Flops(
        required=total.required, full_square=total.full, executed=total.executed,
        per_token=getattr(total, column) / book.tokens(w), weights=parts[0], attention=parts[1],
        recurrence=parts[2],
        elementwise=total.elementwise if book.model.confidence == "formula" else None,
    )  # fmt: skip


def _bytes(book: Ledger, stored: Weights, total: Cost, w: Workload, cache: DType) -> Bytes:
    found = Bytes(
        weights=stored.total, by_dtype=stored.by_dtype, kv_per_token=None, state_per_sequence=None, kv_at_context=None,
        cache_dtype=cache.name, activations_moved=None,
    )  # fmt: skip
    # a trace sees neither caches nor vector work, and not seeing is not zero
    if book.model.confidence == "formula":
        found.kv_per_token = cache.stored_bytes(book.cache_per_token)
        found.state_per_sequence = cache.stored_bytes(book.cache_fixed)
        found.kv_at_context = cache.stored_bytes(w.batch * book.cache_elements(w.past + w.seq))
        found.activations_moved = 2 * (total.reads + total.writes)
    return found


def _part(b: Branch, book: Ledger, stored: Weights, w: Workload, mask: Mask, total: Cost, verbose: bool) -> PartRow:
    column = "required" if mask == "required" else "full"
    whole, leaf = getattr(total, column), b.row.leaf if b.row else None
    own = [(t.name, list(t.shape)) for t in leaf.part.tensors()] if leaf else []
    return PartRow(
        path=b.path, kind=leaf.part.kind if leaf else "", place=leaf.place if leaf else "", depth=b.depth,
        leaf=leaf is not None, times=b.times if b.times > 0 else 1, matrices=own, params=b.params,
        required=b.cost.required, full_square=b.cost.full, executed=b.cost.executed, elementwise=b.cost.elementwise,
        weight_bytes=stored.below(b.path), share=getattr(b.cost, column) / whole if whole else 0.0,
        formulas=formulas(leaf, book.works(w)[leaf.stream]) if verbose and leaf else [],
    )  # fmt: skip


def _conventions(book: Ledger, w: Workload, recompute: Recompute) -> list[ConventionRow]:
    seen, ours = view(book, w, recompute), convention("exact")
    whole = ours.per_token(seen)
    fitting = [c for c in conventions().values() if c.fits(seen)]
    return [
        ConventionRow(
            name=c.title, per_token=float(c.per_token(seen)), formula=c.formula,
            ratio=float(c.per_token(seen) / whole) if whole else None, why=_why(bridge(seen, c, ours), whole),
        )
        for c in fitting
    ]  # fmt: skip


def _largest(gaps: dict[str, Fraction]) -> list[tuple[str, Fraction]]:
    return sorted(gaps.items(), key=lambda item: -abs(item[1]))


def _why(gaps: dict[str, Fraction], whole: Fraction) -> str:
    """The bridge in words; what no reader would see in the printed digits is left out."""
    seen = {name: gap for name, gap in gaps.items() if abs(gap) * 20000 >= whole}
    told = [f"{name} {'+' if gap > 0 else '−'}{flop(abs(float(gap)))}" for name, gap in _largest(seen)]
    return ", ".join(told) or ("under 0.01 %" if gaps else "nothing")


def _context_note(model: Model, w: Workload) -> list[str]:
    tokens = w.past + w.seq
    if model.context is None or tokens <= model.context:
        return []
    return [f"{tokens:,} tokens are more than the {model.context:,} positions the config allows."]


def _tensors(book: Ledger, stored: Weights) -> list[TensorRow]:
    return [
        TensorRow(
            name=name, shape=list(t.shape), dtype=stored.format(name, t, one), stored=stored.bytes(name, t, one),
            executed=one.times // one.stored, kind="buffer" if t.buffer else one.part.kind,
        )
        for name, t, one in book.tensors()
    ]  # fmt: skip
