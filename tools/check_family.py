"""Compare our count of configs with transformers on the meta device: python tools/check_family.py FILE.json [seq ...].

A development aid; the same comparison runs in tests/oracle.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from tests.oracle import compare, framework


def check(path, seqs):
    raw = json.loads(pathlib.Path(path).read_text())
    ledger, model = compare.ours(raw), framework.build(raw)
    lines = compare.differences(compare.our_parameters(ledger), framework.parameters(model))
    print(pathlib.Path(path).stem, "params", ledger.params, "tensor differences", len(lines))
    print("\n".join(lines[:30]))
    mine = {n: t.shape for n, t, _ in ledger.tensors() if t.buffer}
    theirs = framework.buffers(model)
    if mine != theirs:
        print("  buffers ours", list(mine.items())[:4], "theirs", list(theirs.items())[:4])
    for seq in seqs:
        a = compare.our_flops(ledger, seq)
        b, by_op = framework.flops(model, seq)
        print("  seq", seq, "ours - traced", a - b, by_op if a != b else "")


if __name__ == "__main__":
    files = [a for a in sys.argv[1:] if not a.isdigit()]
    for one in files:
        try:
            check(one, [int(a) for a in sys.argv[1:] if a.isdigit()] or [128])
        except Exception as error:
            print(one, "FAILED", type(error).__name__, str(error)[:300])
