"""Mutations of real configs; whatever the value, building and counting may raise FlopsightError and nothing else."""

import copy
import json
from importlib.resources import files

from flopsight.errors import FlopsightError
from flopsight.models.ledger import Ledger
from flopsight.models.load import build, bundled
from flopsight.workload import Workload

HOSTILE = [
    0, -1, 1, 2, 3, 7, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, float("inf"), float("nan"), None, True, False, "",
    "auto", "12", "x" * 50, [], [0], [1, 2], [None], ["full_attention"], [[1]], {}, {"a": 1}, {"model_type": "llama"},
]  # fmt: skip


def raw_config(name):
    path = files("flopsight.models") / "data" / "configs" / f"{name}.json"
    return json.loads(path.read_text())


def levels(raw):
    """Every dict of the config, itself first."""
    yield raw
    for value in raw.values():
        if isinstance(value, dict):
            yield from levels(value)


def mutated(raw, where, key, value):
    """A copy in which one key of one level has another value, or is gone."""
    out = copy.deepcopy(raw)
    every = list(levels(out))
    level = every[where % len(every)]
    if not level:
        return out
    name = sorted(level, key=str)[key % len(level)]
    if value == "gone":
        del level[name]
    else:
        level[name] = copy.deepcopy(value)
    return out


def count(raw):
    """Build and count; True if it went through, False for a typed refusal."""
    try:
        book = Ledger(build(raw, "fuzz", "fuzz"))
        for phase in ("train", "prefill", "decode"):
            cost = book.total(Workload(phase, 2, 5, 3, logits="all"))
            assert cost.required >= 0
        assert book.params >= 0
        return True
    except FlopsightError as error:
        return not str(error)


NAMES = bundled()
