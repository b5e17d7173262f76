"""Say that something of the meter's own went wrong."""

from __future__ import annotations

import warnings

from flopsight.errors import FlopsightWarning


def warn(text: str) -> None:
    """Say something once; a program that turns warnings into errors hears it too, but is not stopped by it."""
    try:
        warnings.warn(f"flopsight: {text}", FlopsightWarning, stacklevel=3)
    except FlopsightWarning:
        return
