"""Runs every counter in processes of its own: one that crashes or hangs costs a cell, not the table."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

from .counters import PEERS, Peer

ROOT = Path(__file__).parents[2]
PHASES = ("forward", "training")
PATIENCE = 120
"""Seconds a cell may take, the start of the process with it."""
Cells = dict[tuple[str, str, str], dict[str, object]]
"""(phase, model, peer) -> {"ratio": counted / truth}, {"ratio": None} or {"error": why}."""


def gather(models: list[str], installed: Path) -> Cells:
    """All cells; `installed` is the folder that pip put the peers into."""
    cells: Cells = {}
    for peer in PEERS:
        print(f"{peer.name} ...", file=sys.stderr, flush=True)
        left = list(models)
        while left:
            left = _some(peer, left, installed, cells)
    return cells


def _some(peer: Peer, models: list[str], installed: Path, cells: Cells) -> list[str]:
    """Count until the end or the first crash; the models that are still to do."""
    path = os.pathsep.join([str(ROOT), str(installed)])
    environment = os.environ | {
        "PYTHONPATH": path, "DS_BUILD_OPS": "0", "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "tools.peers.child", peer.name, *models]
    lines: queue.Queue[str | None] = queue.Queue()
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        pump = threading.Thread(target=_pump, args=(child, lines))
        pump.start()
        left = _read(peer, models, lines, cells)
        child.kill()  # it is done, dead or stuck
        pump.join()
    return left


def _read(peer: Peer, models: list[str], lines: queue.Queue[str | None], cells: Cells) -> list[str]:
    for at, model in enumerate(models):
        for phase in PHASES:
            answer = _answer(lines)
            if "died" in answer:
                for lost in PHASES[PHASES.index(phase) :]:
                    cells[lost, model, peer.name] = {"error": answer["died"]}
                return models[at + 1 :]
            cells[phase, model, peer.name] = answer
    return []


def _pump(child: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        lines.put(line)
    lines.put(None)


def _answer(lines: queue.Queue[str | None]) -> dict[str, object]:
    try:
        line = lines.get(timeout=PATIENCE)
    except queue.Empty:
        return {"died": f"no answer in {PATIENCE} s"}
    if line is None:
        return {"died": "the process ended"}
    return {key: value for key, value in json.loads(line).items() if key in ("ratio", "error")}
