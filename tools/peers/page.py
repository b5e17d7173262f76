"""Writes the tables into docs/concepts/counting-peers.md, between its markers."""

from __future__ import annotations

import datetime
import platform
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from .counters import PEERS, Peer
from .gather import Cells

PAGE = Path(__file__).parents[2] / "docs/concepts/counting-peers.md"
BEGIN, END = "<!-- begin: written by `make peers` -->", "<!-- end -->"
RIGHT, MARGIN = 0.005, 0.02


def write(cells: Cells, models: list[str], installed: Path, page: Path = PAGE) -> None:
    """Replace what stands between the markers."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{tables(cells, models, installed)}{END}{after}", encoding="utf-8")


def tables(cells: Cells, models: list[str], installed: Path) -> str:
    """Both tables, what could not be counted, and with what this was run."""
    parts = [
        f"`make peers`, {datetime.datetime.now(datetime.UTC).date()}, Python {platform.python_version()}, on a CPU: "
        f"{versions(installed)}.",
        "### Forward, count / truth",
        table(cells, models, "forward"),
        "### Forward and backward, count / truth",
        table(cells, models, "training"),
        "### How many of the models each is right on",
        score(cells, models),
        "### Errors",
        errors(cells) or "None.",
    ]
    return "\n\n".join(parts) + "\n"


def versions(installed: Path) -> str:
    """Names and versions of all that were run."""
    found = {d.metadata["Name"].lower(): d.version for d in distributions(path=[str(installed)])}
    names = dict.fromkeys(["transformers", *(p.package for p in PEERS)])
    return ", ".join(f"{name} {found.get(name) or _here(name)}" for name in names)


def _here(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def table(cells: Cells, models: list[str], phase: str) -> str:
    """One row a model, one column a counter that knows this phase."""
    columns = _columns(phase)
    lines = [["model", *(f"{p.name}{' x2' if p.macs else ''}" for p in columns)], ["---", *("---:" for _ in columns)]]
    lines += [[model, *(shown(cells[phase, model, p.name]) for p in columns)] for model in models]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _columns(phase: str) -> list[Peer]:
    return [p for p in PEERS if (p.forward if phase == "forward" else p.training)]


def shown(cell: dict[str, object]) -> str:
    """Three digits, and an arrow where it is too low or too high; `error`."""
    ratio = cell.get("ratio")
    if not isinstance(ratio, (int, float)):
        return "error" if "error" in cell else "-"
    text = f"{ratio:.3f}" if ratio < 10 else f"{ratio:.0f}"
    return text if abs(ratio - 1) < MARGIN else f"{text} {'↓' if ratio < 1 else '↑'}"


def score(cells: Cells, models: list[str]) -> str:
    """Within 0.5 % and within 2 %, by counter."""
    lines = [["counter", "forward: within 0.5 %", "within 2 %", "training: within 0.5 %", "within 2 %"]]
    lines += [["---", *("---:",) * 4]]
    for peer in PEERS:
        counts = [
            _within(cells, models, phase, peer, limit) for phase in ("forward", "training") for limit in (RIGHT, MARGIN)
        ]
        lines.append([peer.name, *counts])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _within(cells: Cells, models: list[str], phase: str, peer: Peer, limit: float) -> str:
    if peer not in _columns(phase):
        return "-"
    ratios = [cells[phase, model, peer.name].get("ratio") for model in models]
    near = sum(isinstance(r, (int, float)) and abs(r - 1) < limit for r in ratios)
    return f"{near} of {len(models)}"


def errors(cells: Cells) -> str:
    """Every cell that is an error, once a counter and message."""
    seen: dict[tuple[str, object], list[str]] = {}
    for (_, model, peer), cell in cells.items():
        if "error" in cell:
            models = seen.setdefault((peer, cell["error"]), [])
            models += [model] if model not in models else []
    return "\n".join(f"- {peer} on {', '.join(on)}: `{_plain(why)}`" for (peer, why), on in seen.items())


def _plain(text: object) -> str:
    return str(text).replace("`", "'").replace("|", "/")
