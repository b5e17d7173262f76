"""What every result can do: print itself in a terminal, a notebook, or as JSON."""

from __future__ import annotations

import io
from typing import Any

import msgspec

SCHEMA_VERSION = 1


class Result(msgspec.Struct, kw_only=True):
    """Base of every result: `schema_version` grows when a field changes its meaning or goes away."""

    schema_version: int = SCHEMA_VERSION

    def to_json(self, *, indent: int = 0) -> str:
        """The result as JSON; whole numbers stay whole."""
        data = msgspec.json.encode(self)
        return (msgspec.json.format(data, indent=indent) if indent else data).decode()

    def to_dict(self) -> dict[str, Any]:
        """The result as plain dicts and lists."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def to_text(self, width: int = 130) -> str:
        """The result as plain text, as the command prints it."""
        return _console(width).file_text(self)

    def _repr_html_(self) -> str:
        """The result in a notebook: the terminal's tables as preformatted HTML with inline styles."""
        return _console(130, html=True).html(self)


class _console:  # noqa: N801 - a small adapter, used only above
    """A rich console that writes into a string."""

    def __init__(self, width: int, *, html: bool = False) -> None:
        from rich.console import Console

        self.buffer = io.StringIO()
        self.console = Console(
            file=self.buffer, width=width, record=html, force_terminal=html, legacy_windows=False,
            color_system="truecolor" if html else None, highlight=False,
        )  # fmt: skip

    def file_text(self, result: Result) -> str:
        self.console.print(result)
        return "\n".join(line.rstrip() for line in self.buffer.getvalue().splitlines()) + "\n"

    def html(self, result: Result) -> str:
        self.console.print(result)
        code = '<pre style="font-family:ui-monospace,Menlo,Consolas,monospace;line-height:1.3">{code}</pre>'
        return self.console.export_html(inline_styles=True, code_format=code)
