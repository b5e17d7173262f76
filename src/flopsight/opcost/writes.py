"""Tensors filled with a value, with random numbers, or with a sequence: nothing is read."""

from __future__ import annotations

import re
from typing import Final

from flopsight.opcost.call import Call, Tensor, dense
from flopsight.opcost.elements import moved
from flopsight.opcost.value import OpCost

RANDOM: Final = re.compile(r"rand|bernoulli|normal|uniform|exponential|multinomial|cauchy|geometric|poisson|binomial")
SIZED: Final = frozenset({"zeros", "ones", "full", "randn", "rand", "new_zeros", "new_ones", "new_full"})
"""Made of a list of sizes: (sizes, dtype, ..), full and new_* with one argument before the format."""


def written(call: Call, name: str) -> OpCost:
    """zero_, normal_, zeros_like and the like: as large as their argument; zeros and the like as large as asked for."""
    kind = "random" if RANDOM.search(name) else "elementwise"
    if name in SIZED:
        return moved(kind, 0, [], [_made(call, name)])
    tensors = call.tensors()
    if not tensors:
        return OpCost(kind, "vector", writes=-1)
    target = tensors[0]
    if name in ("bernoulli", "poisson"):
        return moved(kind, 0, tensors[:1], [dense(target.dims, target.dtype)])
    if name == "multinomial":
        return moved(kind, 0, tensors[:1], [dense((*target.dims[:-1], call.whole(1) or 0), "int64")])
    if name.startswith("_foreach_"):
        return moved(kind, 0, [], tensors)
    asked = call.dtype(2 if name.startswith("full") else 1) if name.endswith("_like") else ""
    return moved(kind, 0, [], [dense(target.dims, asked or target.dtype)])


def _made(call: Call, name: str) -> Tensor:
    at = 1 if name.startswith("new_") else 0
    if not call.value(at).startswith("["):
        return Tensor((), "", 0)  # bytes unknown
    place = at + (2 if "full" in name else 1)
    like = call.maybe(0) if at else None
    return dense(tuple(call.wholes(at)), call.dtype(place) or (like.dtype if like is not None else ""))
