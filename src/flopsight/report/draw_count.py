"""How the answer of `count` looks in a terminal: a sentence, the tree, the conventions, the gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flopsight.report import numbers

if TYPE_CHECKING:
    from flopsight.report.count import CountResult, PartRow, WorkloadInfo


def headline(r: CountResult) -> str:
    """The answer in a sentence."""
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
    if r.bytes.kv_per_token is None:
        return line + "; caches and vector work are not known."
    if r.bytes.kv_per_token:
        line += f"; KV cache {numbers.size(r.bytes.kv_per_token)} a token in {r.bytes.cache_dtype}"
    if r.bytes.state_per_sequence:
        line += f"; state {numbers.size(r.bytes.state_per_sequence)} a sequence"
    if r.flops is not None and r.flops.elementwise is not None:
        line += f"; vector work {numbers.flop(r.flops.elementwise / r.workload.tokens)} a token"
    return line + "."


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
