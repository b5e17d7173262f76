"""Fused steps of optimizers over lists: operations an element, and the parameters, gradients and states that move.

AdamW and Adam 14, Adagrad 6, SGD 2; momentum and weight decay 2 more where they are not in the 14. Formats of lists are
not recorded, so their bytes are not known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flopsight.opcost.call import Call, Unclear
from flopsight.opcost.elements import moved
from flopsight.opcost.value import OpCost


def _step(each: Callable[[Call], int], states: tuple[int, ...]) -> Callable[[Call], OpCost]:
    """(parameters[], gradients[], states[] ..): all are read, and all but the gradients written."""

    def formula(call: Call) -> OpCost:
        parameters = call.listed(0)
        if not parameters:
            raise Unclear("no parameters are recorded")
        changed = [*parameters, *(one for at in states for one in call.listed(at))]
        return moved("optimizer", each(call) * sum(p.numel for p in parameters), call.tensors(), changed)

    return formula


def _nonzero(call: Call, at: int) -> bool:
    return call.value(at) not in ("", "0", "0.", "0.0", "False")


def _adamw(call: Call) -> int:
    return 14 + bool(call.flag(11))


def _adam(call: Call) -> int:
    return 13 + bool(call.flag(11)) + 2 * _nonzero(call, 9)


def _sgd(call: Call) -> int:
    """(parameters, gradients, momenta, weight decay, momentum, ..)"""
    return 2 + 2 * _nonzero(call, 4) + 2 * _nonzero(call, 3)


def _adagrad(call: Call) -> int:
    """(parameters, gradients, sums, steps, rate, decay of the rate, weight decay, ..)"""
    return 6 + 2 * _nonzero(call, 6)


_KINDS: Final = {
    "adamw": (_adamw, (2, 3, 4)),
    "adam": (_adam, (2, 3, 4)),
    "sgd": (_sgd, (2,)),
    "adagrad": (_adagrad, (2,)),
}
TABLE: Final[dict[str, Callable[[Call], OpCost]]] = {
    f"aten::_fused_{name}{tail}": _step(each, states) for name, (each, states) in _KINDS.items() for tail in ("", "_")
}
