"""Start the user's command in our place, with an environment that puts a meter into every Python it starts.

The command replaces this process, so that exit codes, signals, standard streams and speed are its own. Python loads
`site/sitecustomize.py` at start-up because its folder leads PYTHONPATH; that file waits until torch is imported.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from flopsight.errors import MissingCapability, UsageError

VARIABLE: Final = "FLOPSIGHT_RUN"
"""Holds the options as JSON; its presence switches the meter on."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the metered program is told.

    every   optimizer steps (or forward calls) between two lines
    on      the chip whose peak divides, where it should not be looked up
    log     a file that gets one JSON object a line
    quiet   no lines while it runs, only the report at the end
    """

    every: int = 10
    on: str | None = None
    log: str | None = None
    quiet: bool = False


def launch(command: Sequence[str], options: RunOptions) -> NoReturn:
    """Become the command; UsageError for none, MissingCapability for one that is not there."""
    argv = checked(command)
    environment = metered(os.environ, options)
    if os.name == "nt":
        sys.exit(subprocess.run(argv, env=environment, check=False).returncode)  # noqa: S603 - the user's own command
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(argv[0], argv, environment)  # noqa: S606 - the user's own command
    except OSError as error:
        raise MissingCapability(f"{argv[0]!r} could not be started: {error.strerror}.") from error


def checked(command: Sequence[str], verb: str = "run") -> list[str]:
    """The command, found; a bare script is run with this Python."""
    if not command:
        raise UsageError(f"`flopsight {verb}` needs a command, such as `flopsight {verb} -- python train.py`.")
    argv = [sys.executable, *command] if command[0].endswith(".py") else list(command)
    if shutil.which(argv[0]) is None:
        raise MissingCapability(f"No program is called {argv[0]!r}; give a command as you would type it.")
    return argv


def metered(environment: Mapping[str, str], options: RunOptions) -> dict[str, str]:
    """The environment with the options, and our start-up folder first in PYTHONPATH."""
    return {**with_site(environment), VARIABLE: msgspec.json.encode(asdict(options)).decode()}


def with_site(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with our start-up folder first in PYTHONPATH."""
    folder = str(Path(__file__).parent / "site")
    rest = [p for p in environment.get("PYTHONPATH", "").split(os.pathsep) if p and p != folder]
    return {**environment, "PYTHONPATH": os.pathsep.join([folder, *rest])}


def options_of(environment: Mapping[str, str]) -> RunOptions:
    """The options that `metered` wrote."""
    return msgspec.json.decode(environment[VARIABLE], type=RunOptions)
