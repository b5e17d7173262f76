"""Chips of the user's own: TOML files in a folder that is always read, or named on the command line.

The folder is `$FLOPSIGHT_HOME/hardware` if that variable is set, otherwise `$XDG_CONFIG_HOME/flopsight/hardware`,
which is `~/.config/flopsight/hardware` unless set. A file has the same fields as ours, one chip a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from flopsight.errors import BadFile
from flopsight.hardware.chip import Chip
from flopsight.hardware.reading import read_chip

_MOST_FILES = 1000


def user_folder() -> Path:
    """The folder whose *.toml files are the user's chips; it need not exist."""
    if home := os.environ.get("FLOPSIGHT_HOME"):
        return Path(home) / "hardware"
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path("~/.config").expanduser()) / "flopsight" / "hardware"


def user_files() -> list[Path]:
    """The chip files in the user's folder, by name; BadFile if there are more than a thousand."""
    folder = user_folder()
    files = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    if len(files) > _MOST_FILES:
        raise BadFile(
            f"{folder} holds {len(files)} files, and at most {_MOST_FILES} chips are expected; is it the right one?"
        )
    return files


def read_files(files: Iterable[Path]) -> list[Chip]:
    """Read chip files in order; BadFile or BadConfig names the file, the field and what was read."""
    return [Chip(read_chip(path), origin=str(path)) for path in files]
