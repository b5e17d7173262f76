"""Rows looked up and added: as many bytes read as written, and the indices; the table itself is not read whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from flopsight.opcost.call import Call, Tensor, Unclear, dense, total
from flopsight.opcost.value import OpCost


def _taken(kind: str, table: Tensor, indices: list[Tensor], dims: tuple[int, ...]) -> OpCost:
    out = dense(dims, table.dtype)
    return OpCost(kind, "vector", table.dtype, reads=total([out, *indices]), writes=total([out]))


def _embedding(call: Call) -> OpCost:
    """(table, indices, ..)"""
    table, indices = call.tensor(0), call.tensor(1)
    return _taken("embedding", table, [indices], (*indices.dims, *table.dims[1:]))


def _embedding_backward(call: Call) -> OpCost:
    """(gradient, indices, rows of the table, ..): the whole table's gradient is written."""
    gradient, indices, rows = call.tensor(0), call.tensor(1), call.whole(2)
    if rows is None or not gradient.dims:
        raise Unclear("rows of the table are not recorded")
    out = dense((rows, gradient.dims[-1]), gradient.dtype)
    return OpCost("embedding", "vector", gradient.dtype, elementwise=gradient.numel,
                  reads=total([gradient, indices]), writes=total([out]))  # fmt: skip


def _select(call: Call) -> OpCost:
    """index_select(x, dim, index)"""
    table, index, at = call.tensor(0), call.tensor(2), call.whole(1)
    if at is None or not -len(table.dims) <= at < len(table.dims):
        raise Unclear("no such dimension")
    dims = list(table.dims)
    dims[at] = index.numel
    return _taken("index", table, [index], tuple(dims))


def _gather(place: int) -> Callable[[Call], OpCost]:
    """One element for each index."""

    def formula(call: Call) -> OpCost:
        table, index = call.tensor(0), call.tensor(place)
        return _taken("index", table, [index], index.dims)

    return formula


def _index(call: Call) -> OpCost:
    """x[indices]: a list of indices is not recorded, so neither are its bytes."""
    table = call.tensor(0)
    return OpCost("index", "vector", table.dtype, reads=-1, writes=-1)


def _scatter(index: int | None, source: int, adds: bool) -> Callable[[Call], OpCost]:
    """Elements of a source into places of a tensor: in place they are all that is written, and read where added to."""

    def formula(call: Call) -> OpCost:
        target, values = call.tensor(0), call.maybe(source)
        indices = [] if index is None else [call.tensor(index)]
        if values is None:
            if not indices or "scatter" not in call.name:
                raise Unclear("how much is written is not recorded")
            values = dense(indices[0].dims, target.dtype)  # a number everywhere
        # a scatter takes as many of its source as there are indices
        moved = dense(indices[0].dims if indices and "scatter" in call.name else values.dims, target.dtype)
        again = [moved] if adds and call.name.endswith("_") else []
        values = moved if call.maybe(source) is not None else dense((0,), target.dtype)
        cost = OpCost("index", "vector", target.dtype, elementwise=moved.numel if adds else 0,
                      reads=total([values, *indices, *again]), writes=total([moved]))  # fmt: skip
        if index is None and moved.numel <= 1:
            return replace(cost, elementwise=0, reads=-1, writes=-1)  # one value in places that are not recorded
        return cost if call.name.endswith("_") else _whole(cost, target)

    return formula


def _whole(cost: OpCost, target: Tensor) -> OpCost:
    """Out of place: the tensor is copied."""
    size = total([dense(target.dims, target.dtype)])
    return replace(cost, reads=-1 if size < 0 or cost.reads < 0 else cost.reads + size, writes=size)


def _table() -> dict[str, Callable[[Call], OpCost]]:
    found: dict[str, Callable[[Call], OpCost]] = {
        "embedding": _embedding, "embedding_dense_backward": _embedding_backward, "index_select": _select,
        "gather": _gather(2), "take": _gather(1), "index": _index, "_unsafe_index": _index,
        "embedding_backward": _embedding_backward,
    }  # fmt: skip
    places = {
        "scatter": (2, 3, False), "scatter_add": (2, 3, True), "scatter_reduce": (2, 3, True),
        "index_add": (2, 3, True), "index_copy": (2, 3, False), "index_put": (None, 2, False),
        "_index_put_impl_": (None, 2, False), "_unsafe_index_put": (None, 2, False),
 "slice_scatter": (None, 1, False), "select_scatter": (None, 1, False),
    }  # fmt: skip
    for name, (index, source, adds) in places.items():
        found[name] = _scatter(index, source, adds)
        found[f"{name}_".replace("__", "_")] = _scatter(index, source, adds)
    return {f"aten::{name}": formula for name, formula in found.items()}


TABLE: Final = _table()
