"""The process in which one counter counts: python -m tools.peers.child PEER MODEL...

One JSON line a model and phase on stdout; whatever the counter prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import warnings

import torch
from tests.counter.zoo import BY_NAME, ready

from .counters import PEERS, Counter, Peer


def main(peer_name: str, models: list[str]) -> None:
    """Count every model in both phases."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    peer = next(p for p in PEERS if p.name == peer_name)
    for model in models:
        for phase in ("forward", "training"):
            print(json.dumps({"model": model, "phase": phase} | _cell(peer, model, phase)), file=answers)


def _cell(peer: Peer, model: str, phase: str) -> dict[str, object]:
    counter = peer.training if phase == "training" else peer.forward
    if counter is None:
        return {"ratio": None}
    try:
        return {"ratio": _ratio(peer, counter, model, training=phase == "training")}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0][:160]}


def _ratio(peer: Peer, counter: Counter, name: str, *, training: bool) -> float:
    truth = BY_NAME[name].truth
    model, inputs = ready(BY_NAME[name], training=training)
    counted = counter(model, inputs)
    if peer.required:
        return counted / (truth.train_required if training else truth.required)
    return counted / (truth.train_full if training else truth.full)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
