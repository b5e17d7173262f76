"""Fits every room's coefficients anew: python -m tools.calibrate [FOLDER] [ROOM ...]

FOLDER is `systems` of an unpacked aiconfigurator-core; without it the installed package is looked for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ROOMS = ("gemm", "grouped", "attention", "latent", "state", "collective", "vector", "energy")
LAST = "serving"
"""Fitted on top of the others' coefficients, so in a process of its own that reads them anew."""
FILES = {LAST: "engines"}
TARGET = Path(__file__).parents[2] / "src/flopsight/predict/data"


def main(arguments: list[str]) -> int:
    """Run the rooms asked for, else all that exist, and write one file each."""
    rooms = [one for one in arguments if one in (*ROOMS, LAST)] or list(ROOMS)
    folders = [Path(one) for one in arguments if one not in (*ROOMS, LAST)]
    folder = folders[0] if folders else _installed()
    for room in rooms:
        if find_spec(f"tools.calibrate.{room}") is None:
            print(f"{room}: no tool yet", file=sys.stderr)
            continue
        began = time.monotonic()
        found = import_module(f"tools.calibrate.{room}").run(folder)
        file = TARGET / f"{FILES.get(room, room)}.json"
        file.write_text(json.dumps(found, separators=(",", ":"), sort_keys=True) + "\n")
        print(f"{file}: {file.stat().st_size:,} bytes, {time.monotonic() - began:.0f} s", file=sys.stderr)
    if not any(one in (*ROOMS, LAST) for one in arguments):
        return subprocess.run([sys.executable, "-m", "tools.calibrate", str(folder), LAST], check=False).returncode
    return 0


def _installed() -> Path:
    """The folder of the installed measurements."""
    spec = find_spec("aiconfigurator_core")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("aiconfigurator_core is not installed: make calibrate, or pass the folder of its systems.")
    return Path(next(iter(spec.submodule_search_locations))) / "systems"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
