"""Run a command under a profiler, and say which files it left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flopsight.errors import BadFile, MissingCapability, UsageError
from flopsight.meter.run.launch import checked
from flopsight.profile.tools import Recording, tool


@dataclass(frozen=True, slots=True)
class Profiled:
    """What ran.

    files   what can be read, in order of ranks
    code    the command's own exit code
    """

    tool: str
    files: tuple[Path, ...]
    code: int


def profile(command: Sequence[str], recording: Recording, name: str = "auto") -> Profiled:
    """Run the command to its end. Its output is its own.

    Raises UsageError, MissingCapability for a program that is not there, BadFile where nothing was recorded.
    """
    if recording.steps < 1 or recording.skip < 0:
        raise UsageError("Record at least one step, and skip none or more.")
    argv = checked(command, "profile")
    chosen = tool(name, argv)
    folder = Path(recording.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}.") from error
    began = time.time() - 1
    run = chosen.run(argv, recording, os.environ)
    code = _call(run.argv, run.environment)
    for after in run.after:
        _call(after, run.environment)
    files = tuple(sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_mtime >= began and _readable(p)))
    if not files:
        raise BadFile(
            f"{chosen.name} recorded nothing: the command ended with exit code {code}"
            + ("." if code else ", before the steps that were to be recorded; pass --skip 0 or --whole.")
        )
    return Profiled(chosen.name, files, code)


def _call(argv: Sequence[str], environment: dict[str, str]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        return subprocess.run(argv, env=environment, check=False).returncode  # noqa: S603 - the user's own command
    except OSError as error:
        raise MissingCapability(f"{argv[0]!r} could not be started: {error.strerror}.") from error


def _readable(path: Path) -> bool:
    return path.suffix not in (".nsys-rep", ".qdstrm", ".log")
