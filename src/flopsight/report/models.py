"""The list of what can be counted by name."""

from __future__ import annotations

from typing import Any

from flopsight.report.value import Result


class ModelsResult(Result, kw_only=True):
    """Bundled configs and known model types."""

    command: str = "models"
    bundled: list[str]
    families: list[str]

    def __repr__(self) -> str:
        return f"{len(self.bundled)} bundled models, {len(self.families)} model types"

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """Both lists in columns."""
        from rich.columns import Columns
        from rich.text import Text

        yield Text(f"{len(self.bundled)} bundled models", style="bold")
        yield Columns(self.bundled, padding=(0, 2))
        yield Text()
        yield Text(f"{len(self.families)} model types of config.json that are understood", style="bold")
        yield Columns(self.families, padding=(0, 2))
        yield Text("Next: flopsight count llama-3.1-8b")
