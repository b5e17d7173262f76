"""Counters beside the closed forms of the zoo: python -m tools.peers FOLDER [WORD]

FOLDER is where pip put the other counters (`make peers` does it). With WORD only models whose name holds it are
counted, and the tables are printed instead of written into docs/concepts/counting-peers.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.counter.zoo import SPECIMENS

from .gather import gather
from .page import tables, write


def main(arguments: list[str]) -> int:
    """Count, and write or print."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    installed, word = Path(arguments[0]).resolve(), " ".join(arguments[1:])
    models = [s.name for s in SPECIMENS if word in s.name]
    cells = gather(models, installed)
    if word:
        print(tables(cells, models, installed))
    else:
        write(cells, models, installed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
