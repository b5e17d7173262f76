"""Coverage-guided fuzzing of one reader: python tests/fuzz/run_atheris.py {json,gguf,trace-xplane,...} -runs=100000

Needs `pip install atheris`. Every other argument is libFuzzer's; a corpus of valid files is made when none is named.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.seeds import SEEDS  # before instrumentation: the packages that write the seeds are not the subject

with atheris.instrument_imports(include=["flopsight", "tests.fuzz.targets", "tests.fuzz.traces", "json"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: run_atheris.py {{{','.join(TARGETS)}}} [libFuzzer options] [corpus folders]")
    name = sys.argv.pop(1)
    with tempfile.TemporaryDirectory() as made:
        for i, seed in enumerate(SEEDS[name]()):
            (Path(made) / f"seed{i}").write_bytes(seed)
        if all(arg.startswith("-") for arg in sys.argv[1:]):
            sys.argv.append(made)
        atheris.Setup(sys.argv, TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
