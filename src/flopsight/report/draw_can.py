"""How the answer of `can` looks: the verdict, the arithmetic line by line, users together, other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flopsight.report import draw_time as look
from flopsight.report.numbers import format_si, size

if TYPE_CHECKING:
    from flopsight.report.can import CanResult, FormatRow, MachineRow, RateRow

START: Final = {
    "yes": "Yes, but only with {0} weights", "likely": "Probably, but only with {0} weights",
    "unlikely": "Only with {0} weights, and then hardly", "no": "No, not even with {0} weights",
    "unknown": "By its bytes yes, with {0} weights",
}  # fmt: skip
IN_BF16: Final = {
    "yes": "Yes, in bf16", "likely": "Probably, in bf16", "unlikely": "Hardly, in bf16", "no": "No",
    "unknown": "By its bytes yes, in bf16",
}  # fmt: skip
WORDS: Final = {"yes": "yes", "likely": "probably", "unlikely": "hardly", "no": "no", "unknown": "time unknown"}


def headline(r: CanResult) -> str:
    """The answer in two or three sentences."""
    m = r.machine
    f = _of(m, m.width)
    start = IN_BF16[r.verdict] if f.width == "bf16" else START[r.verdict].format(f.width)
    if any(o.verdict == "likely" for o in m.formats[: m.formats.index(f)]):
        start = start.replace(", but only with", ", with")
    return f"{start}: {_reason(r, f)}{_others_in(r, f)}"


def _reason(r: CanResult, f: FormatRow) -> str:
    who = f"{r.model} on {f.devices} x {look.short(r.machine.label)}"
    asked = f"{r.tokens_per_s:,.6g} tokens/s"
    if not f.fits:
        return (
            f"{who} does not fit, {_gb(f.weight_bytes_per_device)} of weights a device with room for "
            f"{_gb(f.room_bytes_per_device)}."
        )
    bound = f"its memory's bandwidth allows {look.count(f.ceiling_tokens_per_s)}"
    if f.tokens_per_s is None and r.verdict == "no":
        return f"{who}: {f.why}."
    if f.tokens_per_s is None:
        return f"{who} is asked for {asked}; {bound}, and {f.why}." if f.why else f"{who}: {bound}."
    return (
        f"{who} is predicted to give one user {look.count(f.tokens_per_s.value)} tokens/s behind {r.context:,} tokens "
        f"(90 %: {look.span(f.tokens_per_s)}); {asked} are asked, and {bound} at most."
    )


def _others_in(r: CanResult, f: FormatRow) -> str:
    """What speaks against the wider formats."""
    wider = r.machine.formats[: r.machine.formats.index(f)]
    small = [o for o in wider if not o.fits]
    told = []
    if small and f.fits:
        needs = " and ".join(f"{o.width} needs {_gb(o.weight_bytes_per_device)}" for o in small)
        told.append(f"{needs} a device, where there is room for {_gb(f.room_bytes_per_device)}")
    told += [f"{o.width} {_against(o)}" for o in wider if o.fits]
    return f" {'; '.join(told)}." if told else ""


def _against(f: FormatRow) -> str:
    if f.mbu_needed > 1:
        return f"has a ceiling of {look.count(f.ceiling_tokens_per_s)}"
    return f"is predicted at {look.count(f.tokens_per_s.value)}" if f.tokens_per_s else f"has {f.why}"


def _gb(value: float) -> str:
    return format_si(value, "B", 3)


def _of(m: MachineRow, width: str) -> FormatRow:
    return next(f for f in m.formats if f.width == width)


def draw(r: CanResult, width: int) -> Any:
    """Yield rich renderables."""
    from rich.text import Text

    f = _of(r.machine, r.machine.width)
    yield Text(r.headline(), style="bold")
    yield Text()
    yield _steps(r)
    if f.seconds:
        yield Text(f"Where a token's {look.time(f.seconds.value)} go: {f.layout}, {f.width} weights, {r.engine}")
        yield look.bars(f.causes)
    yield from _users(r, f)
    if r.others:
        yield _others(r)
    yield from _reach(r)
    yield from look.small_print(_notes(r), r.left_out, [], r.next)


def _notes(r: CanResult) -> list[str]:
    how = f"MFU counts required FLOPs over the dense data-sheet peak, MBU weights and cache once a step; {r.basis}."
    return [how, *r.notes, *(note for m in (r.machine, *r.others) for note in m.notes)]


# ------------------------------------------------------------ the arithmetic


def _steps(r: CanResult) -> Any:
    table = look.plain(("", "right"), ("one user", "left"), ("in", "left"), ("arithmetic", "left"), ("so", "left"))
    for number, (name, rows) in enumerate(_lines(r), 1):
        for i, (form, told, so) in enumerate(rows):
            table.add_row(str(number) if not i else "", name if not i else "", form, told, so)
    return table


def _lines(r: CanResult) -> list[tuple[str, list[tuple[str, str, str]]]]:
    m = r.machine
    able = [f for f in m.formats if f.fits]
    steps = [("do they fit?", [(f.width, _weights(r, f), _fit(m, f)) for f in m.formats])]
    if able:
        steps.append(("bandwidth floor", [row for f in able for row in _floors(r, m, f)]))
    timed = [f for f in able if f.seconds]
    if timed:
        steps.append(("predicted", [(f.width, _predicted(f), _verdict(f)) for f in timed]))
    steps.append(("compute used", [("", _used(r, row), _share(row)) for row in r.rates]))
    return steps


def _weights(r: CanResult, f: FormatRow) -> str:
    bits = 8 * f.weight_bytes / r.params
    whole = f"{format_si(r.params, '', 3).strip()} x {bits:.3g} bits = {_gb(f.weight_bytes)}"
    return f"{whole} / {f.devices} = {_gb(f.weight_bytes_per_device)} a device" if f.devices > 1 else whole


def _fit(m: MachineRow, f: FormatRow) -> str:
    share = f.room_bytes_per_device / m.memory_bytes_per_device
    of = f" ({share:.0%} of {_gb(m.memory_bytes_per_device)})" if share < 1 else ""
    return f"{'yes' if f.fits else 'no'}, room for {_gb(f.room_bytes_per_device)}{of}"


def _floors(r: CanResult, m: MachineRow, f: FormatRow) -> list[tuple[str, str, str]]:
    """The weights alone, then with the cache where it shows."""
    cache, rate = f.moved_bytes - f.read_bytes, format_si(m.bandwidth_per_device, "B/s", 3)
    by = rate if m.bandwidth_one_at_a_time or f.devices == 1 else f"({f.devices} x {rate})"
    alone = f.floor_s * f.read_bytes / f.moved_bytes
    rows = [(f.width, f"{_gb(f.read_bytes)} / {by} = {look.time(alone)} a token", _ceiling(r, alone))]
    if cache > 1e-4 * f.moved_bytes:
        told = f"+ {_gb(cache)} of cache behind {r.context:,} tokens = {look.time(f.floor_s)}"
        rows.append(("", told, _ceiling(r, f.floor_s)))
    return rows


def _ceiling(r: CanResult, floor: float) -> str:
    most, needed = f"at most {look.count(1 / floor)} tokens/s", r.tokens_per_s * floor
    return (
        f"{most}, with any software"
        if needed > 1
        else f"{most}; {r.tokens_per_s:,.6g} needs MBU {look.percent(needed)}"
    )


def _predicted(f: FormatRow) -> str:
    if f.seconds is None:
        return ""
    mbu = f.floor_s / f.seconds.value
    return (
        f"{look.time(f.seconds.value)} a token ({look.span(f.seconds, look.time)}), {f.layout}, MBU {look.percent(mbu)}"
    )


def _verdict(f: FormatRow) -> str:
    if f.tokens_per_s is None:
        return ""
    return f"{look.count(f.tokens_per_s.value)} tokens/s ({look.span(f.tokens_per_s)}): {WORDS[f.verdict]}"


def _used(r: CanResult, row: RateRow) -> str:
    flops = format_si(r.flops_per_token, "FLOP", 3)
    return f"{flops} a token x {row.tokens_per_s:,.6g} a second = {format_si(row.flops_per_s, 'FLOP/s', 3)}"


def _share(row: RateRow) -> str:
    told = [f"{look.percent(share)} of {name}" for name, share in row.mfu.items()]
    return f"MFU {', '.join(told)}" if told else "its peak is not published"


# ------------------------------------------------------------ users together, other machines


def _users(r: CanResult, f: FormatRow) -> Any:
    from rich.text import Text

    if not r.users:
        return
    table = look.plain(
        ("users", "right"), ("step", "right"), ("90 %", "right"), ("tokens/s each", "right"), ("tokens/s", "right"),
        ("MFU", "right"), ("MBU", "right"), ("held a device", "right"), ("", "left"),
        title=f"Users together, {f.width} weights on {f.layout}, behind {r.context:,} tokens each",
    )  # fmt: skip
    for u in r.users:
        mark = "reaches what is asked" if u.tokens_per_s_each >= r.tokens_per_s else ""
        table.add_row(
            f"{u.users:,}", look.time(u.seconds.value), look.span(u.seconds, look.time),
            look.count(u.tokens_per_s_each), look.count(u.tokens_per_s), look.percent(u.mfu), look.percent(u.mbu),
            size(u.bytes_per_device), mark,
        )  # fmt: skip
    yield table
    last = r.users[-1].users
    yield Text(f"The memory ends between {last:,} and {2 * last:,} users.", style="dim") if last < 1024 else Text()


def _others(r: CanResult) -> Any:
    table = look.plain(
        ("machine", "left"), ("bf16", "left"), ("fp8", "left"), ("4-bit", "left"), ("verdict", "left"),
        title=f"Other machines: weights a device, ceiling -> predicted tokens/s; {r.tokens_per_s:,.6g} asked",
    )  # fmt: skip
    for m in (r.machine, *r.others):
        count = "" if m.bandwidth_one_at_a_time else f"{m.devices} x "
        table.add_row(f"{count}{look.short(m.label)}", *[_cell(m, f) for f in m.formats], _short(m))
    return table


def _cell(m: MachineRow, f: FormatRow) -> str:
    each = f"{f.devices} of them" if m.bandwidth_one_at_a_time else _gb(f.weight_bytes_per_device)
    if not f.fits:
        return f"{each}, no room"
    found = look.count(f.tokens_per_s.value) if f.tokens_per_s else "?"
    return f"{each}, {look.count(f.ceiling_tokens_per_s)} -> {found}"


def _short(m: MachineRow) -> str:
    return WORDS[m.verdict] + (f", {m.width}" if m.verdict != "no" else "")


def _reach(r: CanResult) -> Any:
    rows = [m for m in (r.machine, *r.others) if m.reach]
    if not rows:
        return
    target = rows[0].reach.target_tokens_per_s if rows[0].reach else 0.0
    table = look.plain(
        ("machine", "left"), ("in", "left"), ("devices by bandwidth", "right"), ("devices, predicted", "left"),
        ("or bytes a token", "right"), ("or tokens a pass", "right"),
        title=f"What {look.count(target)} tokens/s for one user would take",
    )  # fmt: skip
    for m in rows:
        table.add_row(*_reach_row(m))
    yield table


def _reach_row(m: MachineRow) -> list[str]:
    x = m.reach
    if x is None:
        return []
    best = f"{x.devices}, {x.layout}" if x.reached else f"no: {look.count(x.tokens_per_s)} with {x.devices}"
    moved = _gb(x.bytes_per_token) if x.bytes_per_token else f"none, {look.time(x.fixed_s)} are fixed"
    if not x.devices:
        best, moved = "unknown", "unknown"
    passes = f"{x.tokens_per_pass:.1f}" if x.tokens_per_pass > 1 else "1" if x.devices else "unknown"
    return [
        f"{_of(m, x.width).devices} x {look.short(m.label)}",
        x.width,
        f"{x.devices_by_bandwidth:,}",
        best,
        moved,
        passes,
    ]
