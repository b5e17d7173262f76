"""Everything that works on elements: operations by an element, and each operand moved once.

Counts of operations are those of docs/concepts/counting-vector-work: softmax 5, silu 5, gelu 8, RMSNorm 3, LayerNorm 5;
backward of these twice; every other op one operation an element.
"""

from __future__ import annotations

import re
from typing import Final

from flopsight.opcost.call import Call, Tensor, Unclear, main_dtype, total
from flopsight.opcost.dtypes import BYTES
from flopsight.opcost.products import broadcast
from flopsight.opcost.value import SHAPE, OpCost
from flopsight.opnames import CONTRACTION, FREE, GATHER, MOVE, REDUCTION, SCATTER, WRITE, names

EACH: Final = {
    "silu": 5, "silu_": 5, "gelu": 8, "gelu_": 8, "sigmoid": 4, "sigmoid_": 4, "tanh": 4, "tanh_": 4, "lerp": 3,
    "lerp_": 3, "addcmul": 3, "addcmul_": 3, "addcdiv": 3, "addcdiv_": 3, "silu_backward": 10, "gelu_backward": 16,
    "sigmoid_backward": 8, "tanh_backward": 8,
}  # fmt: skip
NORMS: Final = re.compile(r"(layer_?norm|rms_?norm|batch_norm|group_norm|instance_norm|cudnn_batch_norm)")
SOFTMAX: Final = re.compile(r"softmax")
OPTIMIZER: Final = re.compile(r"^_fused_(adamw?|sgd|adagrad)_?$")
OPTIMIZER_EACH: Final = {"adam": 14, "adamw": 14, "adagrad": 6, "sgd": 4}
STATES: Final = {"adam": 2, "adamw": 2, "adagrad": 1, "sgd": 1}
RANDOM: Final = re.compile(r"dropout|bernoulli|normal_|uniform_|rand|multinomial|exponential_")
COMPARISON: Final = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "logical_not",
                               "logical_and", "logical_or"})  # fmt: skip
LOSS: Final = re.compile(r"nll_loss|cross_entropy|mse_loss|bce|kl_div|l1_loss")
SORT: Final = names(
    """
    sort argsort topk cumsum cumprod unique _unique2 searchsorted nonzero bincount histc cumsum_ kthvalue median
    """
)
VIEWS: Final = names(
    """
    view _unsafe_view reshape expand expand_as permute transpose t select slice squeeze unsqueeze as_strided narrow
    split split_with_sizes chunk unbind flatten unflatten unfold diagonal movedim detach alias size stride is_nonzero
    numel view_as view_as_real view_as_complex transpose_ squeeze_ unsqueeze_ set_ resize_ resize_as_ mT T swapaxes
    lift_fresh requires_grad_ result_type can_cast _reshape_alias swapdims tensor_split hsplit vsplit real imag
    positive broadcast_to broadcast_tensors record_stream item _local_scalar_dense is_floating_point is_complex empty
    """
)


def vector(call: Call) -> OpCost | None:
    """The cost of an op on elements; None for one that multiplies matrices or that nobody knows."""
    space, _, name = call.name.partition("::")
    if space not in ("aten", "prims"):
        return None
    if name in VIEWS or (name in FREE and name not in WRITE):
        return SHAPE
    tensors = call.tensors()
    if OPTIMIZER.match(name):
        return _fused_optimizer(call, name)
    if name in WRITE:
        return _write(tensors, name)
    if not tensors:
        return None
    if NORMS.search(name):
        return _norm(name, tensors)
    if SOFTMAX.search(name):
        first = tensors[0]
        backward = "backward" in name
        return _moved("softmax", 5 * first.numel * (2 if backward else 1), tensors[: 2 if backward else 1], [first])
    if name in SORT:
        return _moved("sort", tensors[0].numel, tensors, [tensors[0]])
    if name in GATHER:
        return _gather(call, name, tensors)
    if name in SCATTER:
        return _moved("embedding" if "embedding" in name else "index", 0, tensors[1:], [tensors[0]])
    if LOSS.search(name):
        return _moved("loss", tensors[0].numel, tensors, [])
    if name in REDUCTION:
        return _moved("reduction", tensors[0].numel, tensors, [])
    if name in MOVE or name.endswith("_copy"):
        return _move(name, tensors)
    if CONTRACTION.search(name):
        return None
    return _pointwise(name, tensors)


def _moved(kind: str, work: int, read: list[Tensor], written: list[Tensor]) -> OpCost:
    return OpCost(
        kind, "vector", main_dtype(read or written), elementwise=work, reads=total(read), writes=total(written)
    )


def _pointwise(name: str, tensors: list[Tensor]) -> OpCost:
    if name.startswith("_foreach_"):
        return _moved("elementwise", sum(t.numel for t in tensors), tensors, tensors)
    shape = tensors[0].dims if name.endswith("_") else broadcast(*(t.dims for t in tensors))
    dtype = "bool" if name in COMPARISON else main_dtype(tensors)
    out = Tensor(shape, dtype)
    kind = "random" if RANDOM.search(name) else "elementwise"
    return _moved(kind, EACH.get(name, 1) * out.numel, tensors, [out])


def _norm(name: str, tensors: list[Tensor]) -> OpCost:
    backward = "backward" in name
    x = tensors[1] if backward and len(tensors) > 1 else tensors[0]
    each = 4 if "rms" in name else 7
    return _moved("normalization", each * x.numel * (2 if backward else 1), tensors, [x])


def _move(name: str, tensors: list[Tensor]) -> OpCost:
    if name in ("copy_", "_foreach_copy_"):
        half = len(tensors) // 2
        target, source = tensors[:half] or tensors[:1], tensors[half:]
        shape = target[0].dims if len(target) == 1 else None
        read = (
            [Tensor(shape, s.dtype) for s in source]
            if shape and len(source) == 1 and source[0].numel > target[0].numel
            else source
        )
        return OpCost("copy", "copy", main_dtype(target), reads=total(read), writes=total(target))
    if name in ("where", "masked_fill", "masked_fill_", "tril", "triu", "tril_", "triu_"):
        return _pointwise(name, tensors)
    if name in ("cat", "stack", "_chunk_cat"):
        return OpCost("copy", "copy", main_dtype(tensors), reads=total(tensors), writes=total(tensors))
    first = tensors[0]
    return OpCost("copy", "copy", first.dtype, reads=total([first]), writes=total([first]))


def _gather(call: Call, name: str, tensors: list[Tensor]) -> OpCost:
    """Rows that are looked up: as many bytes read as written, and the indices."""
    table, indices = tensors[0], tensors[1:]
    if not indices:
        return _moved("index", 0, [table], [table])
    if name == "gather" or name == "take":
        out = Tensor(indices[0].dims, table.dtype)
    elif name == "index_select":
        axis = call.whole(1) or 0
        if not -len(table.dims) <= axis < len(table.dims):
            raise Unclear("no such dimension")
        dims = list(table.dims)
        dims[axis] = indices[0].numel
        out = Tensor(tuple(dims), table.dtype)
    else:
        looked = broadcast(*(i.dims for i in indices))
        out = Tensor((*looked, *table.dims[len(indices) :]), table.dtype)
    kind = "embedding" if "embedding" in name else "index"
    return OpCost(kind, "vector", table.dtype, reads=total([out, *indices]), writes=total([out]))


def _write(tensors: list[Tensor], name: str) -> OpCost:
    kind = "random" if RANDOM.search(name) else "elementwise"
    if tensors:
        return OpCost(kind, "vector", tensors[0].dtype, writes=total(tensors))
    return OpCost(kind, "vector", writes=-1)


def _fused_optimizer(call: Call, name: str) -> OpCost:
    """(self[], grads[], states[]...): parameters, gradients and states are read, all but gradients written."""
    match = OPTIMIZER.match(name)
    assert match is not None
    kind = match.group(1)
    parameters = call.listed(0)
    if not parameters:
        raise Unclear("no parameters are recorded")
    elements = sum(p.numel for p in parameters)
    size = BYTES.get(parameters[0].dtype, 4)
    states = STATES[kind]
    return OpCost("optimizer", "vector", parameters[0].dtype, elementwise=OPTIMIZER_EACH[kind] * elements,
                  reads=size * elements * (2 + states), writes=size * elements * (1 + states))  # fmt: skip
