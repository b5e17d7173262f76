"""Losses: one operation an element of the input; all or one number is written, as the reduction asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flopsight.opcost.call import Call, Unclear, dense
from flopsight.opcost.elements import moved, numbers
from flopsight.opcost.value import OpCost


def _nll(call: Call) -> OpCost:
    """nll_loss_forward(log-probabilities [n, c], targets [n], ..): one of each row is read."""
    x, target = call.tensor(0), call.tensor(1)
    picked = dense(target.dims, x.dtype)
    out = [dense((), x.dtype)] if call.whole(3) in (1, 2) else [picked]
    return moved("loss", picked.numel, [picked, target], out)


def _nll_backward(call: Call) -> OpCost:
    """nll_loss_backward(gradient, log-probabilities, targets, ..): zeros but for one of each row."""
    gradient, x, target = call.tensor(0), call.tensor(1), call.tensor(2)
    return moved("loss", target.numel, [gradient, target], [dense(x.dims, x.dtype)])


def _cross_entropy(call: Call) -> OpCost:
    """Softmax, and one of each row: the ops inside count where they are recorded."""
    x, target = call.tensor(0), call.tensor(1)
    return moved("loss", 5 * x.numel + target.numel, [x, target], [])


def _compared(reduction: int) -> Callable[[Call], OpCost]:
    """(x, target, .., reduction)"""

    def formula(call: Call) -> OpCost:
        x, kind = call.tensor(0), call.whole(reduction)
        if kind is None:
            raise Unclear("the reduction is not recorded")
        return moved("loss", numbers(x), call.tensors(), [dense((), x.dtype) if kind else dense(x.dims, x.dtype)])

    return formula


def _compared_backward(call: Call) -> OpCost:
    """(gradient, x, target, ..)"""
    x = call.tensor(1)
    return moved("loss", numbers(x), call.tensors(), [dense(x.dims, x.dtype)])


_PLACES: Final = {
    "mse_loss": 2, "smooth_l1_loss": 2, "huber_loss": 2, "binary_cross_entropy": 3,
    "binary_cross_entropy_with_logits": 4,
}  # fmt: skip
TABLE: Final[dict[str, Callable[[Call], OpCost]]] = {
    "aten::nll_loss_forward": _nll, "aten::nll_loss": _nll, "aten::nll_loss_nd": _nll, "aten::nll_loss2d_forward": _nll,
    "aten::nll_loss_backward": _nll_backward, "aten::nll_loss2d_backward": _nll_backward,
    "aten::cross_entropy_loss": _cross_entropy,
    **{f"aten::{name}": _compared(place) for name, place in _PLACES.items()},
    **{f"aten::{name}_backward": _compared_backward for name in _PLACES if "logits" not in name},
}  # fmt: skip
