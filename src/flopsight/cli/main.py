"""The `flopsight` command: which commands there are, and how errors and exit codes leave it."""

from __future__ import annotations

import os
import sys
from typing import Any

COMMANDS = (
    "count", "mfu", "hardware", "models", "schema", "validate", "calibrate", "ceiling", "bench", "run", "profile",
    "trace", "counters", "can", "predict", "plan",
)  # fmt: skip

HELP = """How much of this machine is a transformer really using, where does the rest go, and what would bring it back?

Exit codes: 0 ok, 1 a check failed, 2 usage, 3 impossible or inconsistent data, 4 a missing capability.
"""


def app() -> Any:
    """The cyclopts application; each command's module is imported only when that command runs."""
    from cyclopts import App

    from flopsight import __version__

    found = App(name="flopsight", help=HELP, help_format="plaintext", version=__version__, version_flags=["--version"])
    found.command(
        "flopsight.cli.count:count", name="count", help="Count every part of a model: shapes, parameters, FLOPs, bytes."
    )
    found.command(
        "flopsight.cli.mfu:mfu", name="mfu", help="Say what utilization a throughput means, under every convention."
    )
    found.command("flopsight.cli.hardware:app", name="hardware", help="Look chips up, or match this machine's.")
    found.command("flopsight.cli.models:models", name="models", help="List the models and families that are known.")
    found.command("flopsight.cli.schema:schema", name="schema", help="Print the JSON Schema of a command's --json.")
    found.command(
        "flopsight.cli.validate:validate", name="validate", help="Run published measurements against our formulas."
    )
    found.command(
        "flopsight.cli.calibrate:calibrate", name="calibrate", help="Measure this machine's kernels for predictions."
    )
    found.command("flopsight.cli.ceiling:ceiling", name="ceiling", help="Measure what this machine can do at best.")
    found.command(
        "flopsight.cli.bench:bench", name="bench", help="Run a model here: predicted beside measured, part by part."
    )
    found.command(
        "flopsight.cli.run:run", name="run", help="Meter a training or inference program without a change to it."
    )
    found.command(
        "flopsight.cli.profile:profile", name="profile", help="Run a program under a profiler, and read the result."
    )
    found.command(
        "flopsight.cli.trace:app", name="trace", help="Say what a profile or trace achieved, and where the rest went."
    )
    found.command("flopsight.cli.counters:counters", name="counters", help="Say what exported hardware counters tell.")
    found.command("flopsight.cli.predict:predict", name="predict", help="Predict how long a step takes, and why.")
    found.command("flopsight.cli.plan:plan", name="plan", help="Find the best layout, and say how to launch it.")
    found.command(
        "flopsight.cli.can:can", name="can", help="Say whether one user gets so many tokens a second, step by step."
    )
    return found


def main(argv: list[str] | None = None) -> None:
    """Run the command; expected failures print one line on stderr and exit with their code."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: list[str]) -> int:
    """Run with the given arguments and return the exit code."""
    from cyclopts import CycloptsError

    from flopsight.errors import FlopsightError

    try:
        code = app()(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        _complain(f"{error}".strip() or "The command line was not understood.")
        return 2
    except FlopsightError as error:
        _complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        # the reader of a pipe went away; let the interpreter close quietly
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code if isinstance(code, int) else 0


def _complain(message: str) -> None:
    print(f"flopsight: {message}", file=sys.stderr)  # noqa: T201 - stderr is where people are talked to
