"""Strangers' hardware, model families, conventions and readers, found by entry point and loaded only when asked for.

Groups: `flopsight.hardware`, `flopsight.models`, `flopsight.conventions`, `flopsight.readers`. A plugin that cannot be
loaded is one named warning; everything else goes on.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.metadata import entry_points

from flopsight.errors import FlopsightWarning

GROUPS = ("flopsight.hardware", "flopsight.models", "flopsight.conventions", "flopsight.readers")


def plugins(group: str) -> Iterator[tuple[str, object]]:
    """Yield (name, loaded object) of every entry point in `group`; a broken one is warned about and skipped."""
    for point in entry_points(group=group):
        try:
            yield point.name, point.load()
        except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything
            warnings.warn(
                f"The plugin {point.name!r} of group {group} could not be loaded "
                f"({type(error).__name__}: {error}) and is left out; uninstall or update "
                f"{point.value.split(':')[0]!r}.",
                FlopsightWarning,
                stacklevel=2,
            )
