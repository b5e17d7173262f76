"""How the answer of `plan` looks: the best layout, the table, the front as a picture, the commands."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING, Any, Final

from flopsight.report import draw_time as look
from flopsight.report.numbers import format_si

if TYPE_CHECKING:
    from flopsight.report.plan import LaunchRow, PlanResult, PlotPoint, ServingRow, TrainingRow

MARKS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BOUND: Final = {
    "tpot": "TPOT", "ttft": "TTFT", "cache": "the cache", "asked": "what is asked", "gain": "more would only wait",
}  # fmt: skip
PARTS: Final = {
    "matrix": "matrix products", "attention": "attention", "vector": "norms and activations",
    "tp": "tensor-parallel exchange", "ep": "expert exchange", "cp": "context-parallel exchange",
    "p2p": "sends between stages", "dp": "data-parallel exchange", "bubble": "waiting for other stages",
    "optimizer": "optimizer", "host": "host, within passes", "step host": "host, once a step",
    "idle": "devices without work",
}  # fmt: skip
WIDTH: Final = 64
HEIGHT: Final = 16


def headline(r: PlanResult) -> str:
    """The answer in two sentences."""
    return _serving_line(r, r.serving[0]) if r.kind == "serving" else _training_line(r, r.training[0])


def _serving_line(r: PlanResult, row: ServingRow) -> str:
    told = (
        f"{row.layout.name}: {r.model} on {r.devices} x {r.label} serves {look.count(row.tokens_per_s.value)} tokens/s "
        f"(90 %: {look.span(row.tokens_per_s)}), {look.count(row.tokens_per_s_per_device)} a device, to "
        f"{row.concurrency:,.0f} requests in flight."
    )
    return f"{told} {_kept('TPOT', row.tpot.value, r.asked.get('tpot'), row.chance_tpot)}; " + (
        f"{_kept('TTFT', row.ttft.value, r.asked.get('ttft'), row.chance_ttft)}."
    )


def _kept(name: str, seconds: float, limit: float | None, sure: float | None) -> str:
    told = f"{name} {look.time(seconds)}"
    return told if limit is None or sure is None else f"{told} of {look.time(limit)} ({sure:.0%} sure)"


def _training_line(r: PlanResult, row: TrainingRow) -> str:
    mfu = f", MFU {look.percent(row.mfu)}" if row.mfu is not None else ""
    return (
        f"{_run(row)}: {r.model} on {r.devices} x {r.label} trains {look.count(row.tokens_per_s.value)} tokens/s "
        f"(90 %: {look.span(row.tokens_per_s)}), {look.count(row.tokens_per_s_per_device)} a device{mfu}. A step takes "
        f"{look.time(row.seconds.value)} and the fullest device holds {format_si(row.memory_bytes, 'B', 3)}."
    )


def _run(row: TrainingRow) -> str:
    each = row.layout
    return f"{each.name}, micro-batch {each.micro_batch}, recompute {each.recompute}"


def draw(r: PlanResult, width: int) -> Any:
    """Yield rich renderables."""
    from rich.text import Text

    yield Text(r.headline(), style="bold")
    if r.lost:
        yield Text(f"Second: {r.lost.sentence}")
    yield Text()
    yield _servers(r) if r.kind == "serving" else _runs(r)
    yield Text(_where(r))
    yield look.bars(_named(r))
    yield from _front(r)
    for one in r.launch:
        yield from _launch(one)
    yield Text(_counts(r), style="dim")
    for line in r.method:
        yield Text(f"Method: {line}", style="dim")
    yield from look.small_print(r.notes, r.left_out, [], r.next)


def _where(r: PlanResult) -> str:
    first = r.serving[0] if r.kind == "serving" else r.training[0]
    whole = sum(first.causes.values())
    kind = "an output token" if r.kind == "serving" else "a token"
    return f"Where the {look.time(whole)} of device time of {kind} go: {first.layout.name}"


def _named(r: PlanResult) -> dict[str, float]:
    """Causes of the best layout; parts of a training step go by names of their own."""
    if r.kind == "serving":
        return {PARTS["idle"] if name == "idle" else name: value for name, value in r.serving[0].causes.items()}
    return {PARTS.get(name, name): value for name, value in r.training[0].causes.items()}


def _counts(r: PlanResult) -> str:
    told = [f"{times:,} {why}" for why, times in sorted(r.refused.items(), key=lambda item: -item[1])]
    return f"{r.seen:,} layouts looked at, {r.fit:,} fit" + (f"; refused: {'; '.join(told)}." if told else ".")


# ------------------------------------------------------------ tables


def _servers(r: PlanResult) -> Any:
    several = len({(row.weights, row.kv) for row in r.serving}) > 1
    table = look.plain(
        ("", "right"), ("layout", "left"), *([("weights/kv", "left")] if several else []), ("in flight", "right"),
        ("tokens/s", "right"), ("a device", "right"), ("a user", "right"), ("TPOT", "right"), ("TTFT", "right"),
        ("weights", "right"), ("room", "right"), ("ends at", "left"),
    )  # fmt: skip
    for number, row in enumerate(r.serving, 1):
        cells = [str(number), _idle(row), *([f"{row.weights}/{row.kv}"] if several else [])]
        table.add_row(
            *cells, f"{row.concurrency:,.0f}", look.count(row.tokens_per_s.value),
            look.count(row.tokens_per_s_per_device), look.count(row.tokens_per_s_per_user), look.time(row.tpot.value),
            look.time(row.ttft.value), format_si(row.weight_bytes, "B", 3), f"{row.room:,.0f}", BOUND[row.bound],
        )  # fmt: skip
    return table


def _idle(row: ServingRow) -> str:
    return row.layout.name + (f", {row.layout.idle} idle" if row.layout.idle else "")


def _runs(r: PlanResult) -> Any:
    table = look.plain(
        ("", "right"), ("layout", "left"), ("micro", "right"), ("recompute", "left"), ("step", "right"),
        ("tokens/s", "right"), ("a device", "right"), ("MFU", "right"), ("bubble", "right"), ("memory", "right"),
    )  # fmt: skip
    for number, row in enumerate(r.training, 1):
        table.add_row(
            str(number), row.layout.name, str(row.layout.micro_batch), row.layout.recompute,
            look.time(row.seconds.value), look.count(row.tokens_per_s.value), look.count(row.tokens_per_s_per_device),
            look.percent(row.mfu) if row.mfu is not None else "unknown", look.percent(row.bubble),
            format_si(row.memory_bytes, "B", 3),
        )  # fmt: skip
    return table


# ------------------------------------------------------------ the front


def _front(r: PlanResult) -> Any:
    from rich.text import Text

    if len(r.front) < 2:
        return
    if r.kind == "training":
        yield _memories(r)
        return
    marks = marked(r)
    limit = r.asked.get("tpot")
    bar = f"; right of ┊ TPOT is under {look.time(limit)}" if limit else ""
    yield Text(f"Tokens/s of a device (up) against tokens/s of a user (right), logarithmic; letters are the front{bar}")
    yield Text("\n".join(picture(r.plot, marks, 1 / limit if limit else None)))
    yield _fronts(r, marks)


def marked(r: PlanResult) -> dict[str, str]:
    """A letter for each layout of the front, in the order of its table."""
    names = list(dict.fromkeys([row.layout for row in r.front] + [p.layout for p in r.plot if p.front]))
    return {name: MARKS[i] if i < len(MARKS) else "*" for i, name in enumerate(names)}


def picture(points: Sequence[PlotPoint], marks: dict[str, str], limit: float | None) -> list[str]:
    """Points on a grid of characters with both axes logarithmic; a bar stands where the promise ends."""
    xs, ys = _span([p.x for p in points]), _span([p.y for p in points])
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    if limit is not None and xs[0] <= limit <= xs[1]:
        for line in grid:
            line[_cell(limit, xs, WIDTH)] = "┊"
    for point in sorted(points, key=lambda p: p.front):
        row = HEIGHT - 1 - _cell(point.y, ys, HEIGHT)
        grid[row][_cell(point.x, xs, WIDTH)] = marks.get(point.layout, "*") if point.front else "·"
    labels = [look.count(ys[1]) if i == 0 else look.count(ys[0]) if i == HEIGHT - 1 else "" for i in range(HEIGHT)]
    lines = [f"{label:>9} │{''.join(line)}".rstrip() for label, line in zip(labels, grid, strict=True)]
    low, high = look.count(xs[0]), look.count(xs[1])
    return [*lines, " " * 10 + "└" + "─" * WIDTH, " " * 11 + low + high.rjust(WIDTH - len(low))]


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low / 2, high * 2)


def _cell(value: float, ends: tuple[float, float], cells: int) -> int:
    share = log(value / ends[0]) / log(ends[1] / ends[0])
    return min(cells - 1, max(0, round(share * (cells - 1))))


def _fronts(r: PlanResult, marks: dict[str, str]) -> Any:
    several = len({(row.weights, row.kv) for row in r.front}) > 1
    table = look.plain(
        ("", "left"), ("tokens/s of a user", "right"), ("of a device", "right"), ("layout", "left"),
        *([("weights/kv", "left")] if several else []), ("in flight", "right"), ("TTFT", "right"), ("", "left"),
        title="The front: no layout and load gives more to a user and to a device",
    )  # fmt: skip
    for row in r.front:
        table.add_row(
            marks.get(row.layout, ""), look.count(row.tokens_per_s_per_user or 0.0),
            look.count(row.tokens_per_s_per_device), row.layout, *([f"{row.weights}/{row.kv}"] if several else []),
            f"{row.concurrency or 0:,.0f}", look.time(row.ttft or 0.0), _tells(r, row.keeps),
        )  # fmt: skip
    return table


def _tells(r: PlanResult, keeps: bool) -> str:
    return "keeps the promise" if keeps and ("tpot" in r.asked or "ttft" in r.asked) else ""


def _memories(r: PlanResult) -> Any:
    table = look.plain(
        ("memory", "right"), ("tokens/s of a device", "right"), ("layout", "left"),
        title="The front: the fastest that holds no more",
    )  # fmt: skip
    for row in r.front:
        table.add_row(format_si(row.memory_bytes or 0.0, "B", 3), look.count(row.tokens_per_s_per_device), row.layout)
    return table


# ------------------------------------------------------------ commands


def _launch(one: LaunchRow) -> Any:
    from rich.text import Text

    yield Text(f"{one.program} {one.version}" + (f": {one.cannot}." if one.cannot else ""), style="bold")
    if one.command:
        yield Text("  " + " \\\n    ".join(shell(one.command)), style="cyan")
    if one.text:
        yield Text(f"  {one.file}:", style="dim")
        yield Text("".join(f"    {line}\n" for line in one.text.splitlines()).rstrip("\n"), style="cyan")
    for note in one.notes:
        yield Text(f"  {note}", style="dim")
    yield Text()


def shell(words: Sequence[str], most: int = 100) -> list[str]:
    """Words gathered into lines of a readable length."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines) > 1 and len(lines[-1]) + len(word) < most:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
