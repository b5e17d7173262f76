"""The answer of `count`: what a model stores, does and moves, part by part."""

from __future__ import annotations

from typing import Any

import msgspec

from flopsight.report import numbers
from flopsight.report.value import Result


class ModelInfo(msgspec.Struct, kw_only=True):
    """Which model was counted and how far its description can be trusted."""

    name: str
    family: str
    confidence: str
    """"formula": derived by hand and tested against the framework; "fit": from module shapes and traced lengths."""
    tied: bool
    dtype: str
    """Format of the stored weights; "mixed" names follow in bytes.by_dtype."""
    dtype_assumed: bool


class WorkloadInfo(msgspec.Struct, kw_only=True):
    """What the model was asked to do."""

    phase: str
    batch: int
    seq: int
    past: int
    mask: str
    logits: str
    recompute: str
    images: int
    tokens: int
    """Tokens computed now: batch x seq, or what an image's size makes of it."""
    by_sample: bool
    """A sample fixes its own length, so that `seq` plays no part."""


class Params(msgspec.Struct, kw_only=True):
    """Stored values; tied and shared tensors once, buffers and multi-token-prediction layers apart."""

    total: int
    active: int
    """Used by one token, both embedding matrices included."""
    active_excl_input_embedding: int
    active_excl_all_embeddings: int
    embedding: int
    by_kind: dict[str, int]
    buffers: int
    mtp: int


class Flops(msgspec.Struct, kw_only=True):
    """FLOPs of the whole workload, a multiply-add as two. Only `elementwise` is vector work."""

    required: int
    full_square: int
    executed: int
    per_token: float
    """Of the mask asked for, divided by the tokens computed."""
    weights: int
    attention: int
    recurrence: int
    elementwise: int


class Bytes(msgspec.Struct, kw_only=True):
    """Bytes stored and moved. A value that is not known is null, and `unknown` says why."""

    weights: int | None
    by_dtype: dict[str, int]
    kv_per_token: int
    """Added by one more token of one sequence while no window is full."""
    state_per_sequence: int
    """Recurrent state and convolution tails, which do not grow."""
    kv_at_context: int
    """Cache and state of the whole batch after this workload, windows applied."""
    cache_dtype: str
    activations_moved: int
    """Read and written by every op as if nothing were fused; an upper bound."""


class PartRow(msgspec.Struct, kw_only=True):
    """One line of the tree: a leaf, or the sum of what lies below a path."""

    path: str
    kind: str
    place: str
    depth: int
    leaf: bool
    times: int
    matrices: list[tuple[str, list[int]]]
    params: int
    required: int
    full_square: int
    executed: int
    elementwise: int
    weight_bytes: int | None
    share: float
    formulas: list[str] = []


class ConventionRow(msgspec.Struct, kw_only=True):
    """What one framework or paper would call the FLOPs of a token of this workload."""

    name: str
    per_token: float | None
    ratio: float | None
    formula: str
    why: str


class TensorRow(msgspec.Struct, kw_only=True):
    """One stored tensor, or a stack of equal ones under one name pattern."""

    name: str
    shape: list[int]
    dtype: str
    stored: int | None
    """Bytes."""
    executed: int
    """How many times one pass runs it."""
    kind: str


class CountResult(Result, kw_only=True):
    """Everything `flopsight count` knows about a model under a workload."""

    command: str = "count"
    model: ModelInfo
    workload: WorkloadInfo
    convention: dict[str, str]
    params: Params
    flops: Flops | None
    """null where the work is not known; `unknown` says why."""
    bytes: Bytes
    attention: str
    """What the required attention is: causal, or over the whole input."""
    parts: list[PartRow]
    conventions: list[ConventionRow]
    unknown: list[str]
    notes: list[str]
    assumed: dict[str, Any]
    tensors: list[TensorRow] | None = None
    next: str = ""

    def headline(self) -> str:
        """The answer in a sentence."""
        return _headline(self)

    def __repr__(self) -> str:
        return self.headline()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """The answer, the tree, the conventions, what was not counted, the next command."""
        yield from draw(self, options.max_width)


def _headline(r: CountResult) -> str:
    f, w = r.flops, r.workload
    if f is None:
        return f"{r.model.name}: {r.params.total:,} parameters; what a token costs is not known."
    active = f" ({numbers.short(r.params.active)} active per token)" if r.params.active != r.params.total else ""
    head = f"{r.model.name}: {r.params.total:,} parameters{active}; "
    what, over, each = _asked(w)
    # one prefix for the whole and its parts, so that they can be added by eye
    whole = f.per_token * w.tokens / each
    unit, scale = _scale(numbers.flop(whole), whole)
    parts = [f"{_in(f.weights / each, scale)} in weights"]
    if f.attention:
        mask = r.attention if w.mask == "required" else "full-square attention"
        parts.append(f"{_in(f.attention / each, scale)} in {mask}")
    if f.recurrence:
        parts.append(f"{_in(f.recurrence / each, scale)} in recurrent state")
    return f"{head}{what} costs {_in(whole, scale)} {unit} {over} = {' + '.join(parts)}."


def _asked(w: WorkloadInfo) -> tuple[str, str, int]:
    """What is priced, over what, and how many of it the workload holds."""
    if w.by_sample:
        what = "a training step of one sample" if w.phase == "train" else "a forward pass of one sample"
        return what, f"over {w.tokens // w.batch:,} tokens", w.batch
    what = {"train": "a training token", "prefill": "a forward token", "decode": "a decoded token"}[w.phase]
    article = "an" if f"{w.seq:,}".startswith(("8", "11,", "18,")) or w.seq in (11, 18) else "a"
    over = {
        "train": f"over {article} {w.seq:,}-token sequence",
        "prefill": f"over {article} {w.seq:,}-token prompt",
    }
    return what, over.get(w.phase, f"behind {w.past:,} cached tokens"), w.tokens


def _scale(text: str, value: float) -> tuple[str, float]:
    unit = text.split()[-1]
    powers = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
    return unit, powers.get(unit[0], 1.0) if unit != "FLOP" else 1.0


def _in(value: float, scale: float) -> str:
    scaled = value / scale
    if scale > 1 and 0 < scaled < 0.1:
        return f"{scaled:.2g}"
    return f"{scaled:,.1f}" if scale > 1 else f"{value:,.0f}"


# ---------------------------------------------------------------- drawing


def draw(r: CountResult, width: int) -> Any:
    """Yield rich renderables: sentence, facts, tree, conventions, gaps, next command."""
    from rich.text import Text

    yield Text(r.headline(), style="bold")
    yield Text(_memory_line(r))
    yield Text()
    yield _tree(r, width)
    if any(row.formulas for row in r.parts):
        yield Text("The formulas, for one execution of each part", style="italic")
        yield from _formulas(r)
        yield Text()
    if r.workload.phase != "decode" or r.conventions:
        yield from _conventions(r)
    if r.tensors is not None:
        yield _tensors(r)
    yield from _small_print(r)


def _memory_line(r: CountResult) -> str:
    weights = numbers.both_sizes(r.bytes.weights) if r.bytes.weights is not None else "of unknown size"
    line = f"Weights {weights} in {_formats(r)}"
    if r.bytes.kv_per_token:
        line += f"; KV cache {numbers.size(r.bytes.kv_per_token)} a token in {r.bytes.cache_dtype}"
    if r.bytes.state_per_sequence:
        line += f"; state {numbers.size(r.bytes.state_per_sequence)} a sequence"
    return (
        line + "."
        if r.flops is None
        else line + f"; vector work {numbers.flop(r.flops.elementwise / r.workload.tokens)} a token."
    )


def _formats(r: CountResult) -> str:
    """The formats by size, the largest first; one alone needs no size."""
    found = sorted(r.bytes.by_dtype.items(), key=lambda item: -item[1])
    if len(found) > 1:
        return ", ".join(f"{name} {numbers.size(size)}" for name, size in found[:4])
    return r.model.dtype + (" (assumed)" if r.model.dtype_assumed else "")


def _tree(r: CountResult, width: int) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("part", no_wrap=True)
    shown = _columns(r, width)
    for name in shown:
        left = name == "matrices"
        table.add_column(name, justify="left" if left else "right", no_wrap=not left, min_width=12 if left else None)
    for row in r.parts:
        cells = _cells(row)
        table.add_row(_plain(_label(row), "" if row.leaf else "bold"), *[cells[name] for name in shown])
    return table


def _columns(r: CountResult, width: int) -> list[str]:
    """The columns that fit, and that say something: executed is left out where it equals required."""
    differs = any(row.executed != row.required for row in r.parts)
    fits = {"matrices": 80, "executed": 100, "vector": 110, "bytes": 125}
    names = ["×", "matrices", "parameters", "required", "executed", "vector", "bytes", "share"]
    return [name for name in names if width >= fits.get(name, 0) and (name != "executed" or differs)]


def _cells(row: PartRow) -> dict[str, str]:
    return {
        "×": f"{row.times:,}" if row.times != 1 else "",
        "matrices": _shapes(row),
        "parameters": f"{row.params:,}" if row.params else "",
        "required": numbers.flop(row.required) if row.required else "",
        "executed": numbers.flop(row.executed) if row.executed else "",
        "vector": numbers.flop(row.elementwise) if row.elementwise else "",
        "bytes": numbers.size(row.weight_bytes) if row.weight_bytes else "",
        "share": f"{100 * row.share:.1f} %" if row.share else "",
    }


def _label(row: PartRow) -> str:
    return "  " * row.depth + _last(row.path) + (f" [{row.place}]" if row.place else "")


def _formulas(r: CountResult) -> Any:
    """Every leaf with its formulas, letters first, then the numbers of one execution."""
    from rich.padding import Padding
    from rich.text import Text

    for row in r.parts:
        times = f" ×{row.times:,}" if row.times != 1 else ""
        shapes = _shapes(row)
        yield Text(f"{_label(row)}{times}{'  ' + shapes if shapes else ''}", style="" if row.leaf else "bold")
        for formula in row.formulas:
            yield Padding(Text(formula, style="dim"), (0, 0, 0, 2 * row.depth + 4))


def _last(path: str) -> str:
    steps = path.split(".")
    return ".".join(steps[-2:]) if steps[-1] == "*" else steps[-1] or "model"


def _plain(text: str, style: str) -> Any:
    from rich.text import Text

    return Text(text, style=style)


def _shapes(row: PartRow) -> str:
    return ", ".join(numbers.shape(tuple(s)) for _, s in row.matrices if len(s) > 1)


def _conventions(r: CountResult) -> Any:
    from rich import box
    from rich.table import Table

    if not r.conventions:
        return
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title_justify="left",
        title="The same token under other conventions",
    )
    table.add_column("convention")
    table.add_column("a token", justify="right", no_wrap=True)
    table.add_column("of ours", justify="right", no_wrap=True)
    table.add_column("differs by")
    alike: dict[tuple[str, str, str], list[str]] = {}
    for row in r.conventions:
        value = numbers.flop(row.per_token) if row.per_token is not None else "unknown"
        ratio = f"{row.ratio:.3f}" if row.ratio is not None else ""
        alike.setdefault((value, ratio, row.why), []).append(row.name)
    for (value, ratio, why), names in alike.items():
        table.add_row(", ".join(names), value, ratio, why)
    yield table


def _tensors(r: CountResult) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title="Stored tensors", title_justify="left"
    )
    for name, side in (("tensor", "left"), ("shape", "left"), ("dtype", "left"), ("bytes", "right"), ("runs", "right")):
        table.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
    for t in r.tensors or []:
        stored = f"{t.stored:,}" if t.stored is not None else "unknown"
        table.add_row(t.name, numbers.shape(tuple(t.shape)), t.dtype, stored, str(t.executed))
    return table


def _small_print(r: CountResult) -> Any:
    from rich.text import Text

    how = "; ".join(f"{key}: {value}" for key, value in r.convention.items())
    if r.flops is not None and r.flops.executed == r.flops.required:
        how += "; executed: equal to required with fused kernels"
    yield Text(f"Counted as: {how}.", style="dim")
    if r.assumed:
        told = ", ".join(f"{key}={value}" for key, value in list(r.assumed.items())[:8])
        yield Text(f"Taken from the family's class because the config is silent: {told}.", style="dim")
    for note in r.notes:
        yield Text(f"Note: {note}", style="dim")
    if r.unknown:
        yield Text("Not counted or not understood:", style="bold yellow")
        for line in r.unknown:
            yield Text(f"  - {line}")
    else:
        yield Text("Nothing in the config was left uncounted.", style="dim")
    if r.next:
        yield Text(f"Next: {r.next}")
