"""How the answer of `predict` looks: a sentence, where the time goes, part by part, memory, small print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flopsight.report import draw_time as look
from flopsight.report.numbers import format_si, size

if TYPE_CHECKING:
    from flopsight.report.predict import PredictResult

STEPS: Final = {
    "matrix16": "products in 16 bits", "matrix8": "products in 8 bits", "matrix4": "products in 4 bits",
    "attention": "attention", "vector": "norms, activations, casts", "tp": "tensor-parallel exchange",
    "ep": "expert exchange", "cp": "context-parallel exchange", "p2p": "sends between stages",
    "dp": "gradients and parameters", "bubble": "bubble", "optimizer": "optimizer", "host": "launching",
    "step host": "data loader, Python",
}  # fmt: skip


ENDLESS: Final = 2**20
"""Batches from here on are no limit that matters."""


def headline(r: PredictResult) -> str:
    """The answer in two sentences."""
    used = f"MFU {look.percent(r.mfu.ratio)}, HFU {look.percent(r.hfu.ratio)}"
    used += f", MBU {look.percent(r.mbu.ratio)}" if r.mbu else ""
    share = r.causes[r.binds] / sum(r.causes.values())
    return f"{_asked(r)} {used}. Most of it, {share:.0%}, goes to {look.CAUSES[r.binds]}."


def _asked(r: PredictResult) -> str:
    where = f"{r.model} on {r.devices} x {look.short(r.label)} ({r.layout})"
    took = f"{look.time(r.seconds.value)} (90 %: {look.span(r.seconds, look.time)})"
    rate = f"{look.count(r.tokens_per_s)} tokens/s"
    if r.phase == "train":
        return f"{where} trains a step of {look.count(r.tokens)} tokens in {took}, {rate}."
    if r.phase == "prefill":
        did = f"prefills {r.batch:,} x {r.isl:,} tokens" if r.ttft else f"passes {r.batch:,} x {r.isl:,} tokens"
        return f"{where} {did} in {took}, {rate}."
    user = f"{look.count(r.tokens_per_s_per_user or 0)} tokens/s for each user, {look.count(r.tokens_per_s)} in all"
    if r.phase == "decode":
        past, many = r.isl + r.osl // 2, "s" * (r.batch > 1)
        return f"{where} decodes a step of {r.batch:,} sequence{many} behind {past:,} tokens in {took}: {user}."
    ttft = f"TTFT {look.time(r.ttft.value)} (90 %: {look.span(r.ttft, look.time)}) and " if r.ttft else ""
    return (
        f"{where} serves {r.batch:,} requests at a time ({r.isl:,} in, {r.osl:,} out) with {ttft}TPOT {took}: {user}."
    )


def draw(r: PredictResult, width: int) -> Any:
    """Yield rich renderables."""
    from rich.text import Text

    yield Text(r.headline(), style="bold")
    if r.chosen:
        yield Text(f"Chosen, since not given: {'; '.join(r.chosen)}.", style="dim")
    yield Text(_facts(r))
    yield Text()
    what = {"train": "a step", "prefill": "a prefill", "decode": "a decode step", "serve": "a token (TPOT)"}[r.phase]
    hidden = f"; {look.time(r.hidden_s)} of exchange run behind it" if r.hidden_s else ""
    yield Text(f"Where the {look.time(sum(r.causes.values()))} of {what} go{hidden}", style="italic")
    yield look.bars(r.causes)
    yield _parts(r, width)
    yield _memory(r)
    yield from _money(r)
    yield from look.small_print(_method(r), r.left_out, [], r.next)


def _facts(r: PredictResult) -> str:
    formats = ", ".join(f"{name} {form}" for name, form in r.formats.items())
    told = [f"{look.count(r.tokens_per_s_per_device)} tokens/s a device"]
    if r.phase != "serve" and r.ttft:
        together = f", {r.batch:,} prompts at once" if r.batch > 1 else ""
        told.append(f"TTFT {look.time(r.ttft.value)} ({look.span(r.ttft, look.time)}){together}")
    if r.phase == "decode" and r.whole:
        told.append(f"all {r.osl:,} tokens of an answer after {look.time(r.whole.value)}")
    if r.phase == "serve":
        told.append(f"{look.count(r.details.get('running', 0))} of {r.batch:,} requests decode at a time")
    software = f"software {r.software}" if r.phase == "train" else f"engine {r.software}"
    return f"{'; '.join(told)}. {software}; {formats}."


# ------------------------------------------------------------ parts


def _parts(r: PredictResult, width: int) -> Any:
    if r.phase == "train":
        return _shares(r)
    columns: list[tuple[str, Any]] = [
        ("part", "left"), ("×", "right"), ("time", "right"), ("share", "right"), ("binds", "left"), ("MFU", "right"),
        ("weights", "right"), ("cache", "right"), ("activations", "right"), ("sent", "right"),
    ]  # fmt: skip
    if width < 110:
        columns = columns[:6]
    table = look.plain(*columns, title="Part by part: kernels of one device, before the engine's own time")
    for p in r.parts:
        cells = [
            _shown(p.path), f"{p.times:,}" if p.times > 1 else "", look.time(p.seconds), look.percent(p.share),
            BINDS.get(p.binds, p.binds), look.percent(p.mfu) if p.mfu else "",
            *[size(b) if b else "" for b in (p.weight_bytes, p.cache_bytes, p.other_bytes, p.sent_bytes)],
        ]  # fmt: skip
        table.add_row(*map(look.text, cells[: len(columns)]))
    return table


def _shown(path: str) -> str:
    """A path without the step that all of a model's paths share."""
    return path.removeprefix("model.").removeprefix("language_model.") or "model"


BINDS: Final = {
    "compute": "compute", "weights": "weight bytes", "cache": "cache bytes", "other": "activation bytes",
    "collective": "exchange", "launch": "launch", "host": "host", "bubble": "bubble", "": "",
}  # fmt: skip


def _shares(r: PredictResult) -> Any:
    table = look.plain(
        ("part of the step", "left"), ("", "left"), ("time", "right"), ("share", "right"), ("hidden", "right"),
        title="Part by part, on the busiest device",
    )  # fmt: skip
    for p in sorted(r.parts, key=lambda p: -p.seconds):
        hidden = look.time(p.hidden_s) if p.hidden_s else ""
        table.add_row(
            STEPS.get(p.path, p.path), look.stick(p.share, 20), look.time(p.seconds), look.percent(p.share), hidden
        )
    return table


# ------------------------------------------------------------ memory, energy, method


def _memory(r: PredictResult) -> Any:
    m = r.memory
    table = look.plain(("memory of a device", "left"), ("", "left"), ("bytes", "right"), ("share", "right"))
    for name, held in sorted(m.uses.items(), key=lambda item: -item[1]):
        if held:
            share = held / m.total if m.total else 0.0
            table.add_row(name, look.stick(share, 20), size(held), look.percent(share) if m.total else "")
    if not m.total:
        table.add_row("held", "", size(m.held), "memory unknown")
        return table
    free = max(0.0, m.room - m.held)
    table.add_row("free", look.stick(free / m.total, 20), size(free), look.percent(free / m.total))
    if m.room < m.total:
        kept = m.total - m.room
        table.add_row(
            "left alone by the engine", look.stick(kept / m.total, 20), size(kept), look.percent(kept / m.total)
        )
    breaks = f"breaks above {m.limit_of} {m.limit:,}" if m.limit < ENDLESS else ""
    table.add_row("whole", "", size(m.total), breaks)
    return table


def _money(r: PredictResult) -> Any:
    """Energy and cost of a million tokens, or why they are not known."""
    from rich.text import Text

    m, j, d = r.money, r.money.joules_per_million_tokens, r.money.dollars_per_million_tokens
    if j is None:
        yield Text(f"Energy of a million tokens: unknown, {m.energy_basis}.")
    else:
        drawn = format_si(j.value * r.tokens_per_s / 1e6, "W", 3)
        limit = format_si(m.watts_limit or 0.0, "W", 3)
        told = f"{_joules(j.value)} ({look.span(j, _joules)}), {drawn} of a {limit} limit"
        yield Text(f"Energy of a million tokens: {told}; {m.energy_basis}.")
    if d is None:
        yield Text(f"Cost of a million tokens: unknown, {m.price_basis}.")
    else:
        span = f" ({_dollars(d.low)} to {_dollars(d.high)})" if d.high > d.low else ""
        yield Text(f"Cost of a million tokens: {_dollars(d.value)}{span}; {m.price_basis}.")


def _joules(value: float) -> str:
    return format_si(value, "J", 3)


def _dollars(value: float) -> str:
    return f"${value:.2f}" if value >= 0.1 else f"${value:.2g}"


def _method(r: PredictResult) -> list[str]:
    peak = format_si(r.mfu.could_per_s, "FLOP/s")
    convention = (
        "MFU counts required FLOPs (area under the mask, active experts, no recompute), HFU executed ones, over "
        f"{peak}, the {r.mfu.counted.partition(', ')[2]} of the data sheet"
    )
    return [f"{convention}; {r.basis}.", *r.notes]
