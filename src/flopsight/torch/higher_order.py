"""Ops that run other programs: torch.cond, loops, scans, compiled subgraphs and Triton kernels captured by a compiler.

Their bodies are run with the counter on, so that what is counted is what ran:

    cond                     the branch that is taken; of a predicate without a value, the larger branch, with a note
    while_loop               every pass that ran; without values one pass, and the rest is said to be missing
    map, scan, subgraphs     their own plain implementation, step by step
    random-state wrappers    the op inside
    triton_kernel_wrapper    by the kernel's name, as a plain launch

Eager torch.cond and map trace their bodies before they run them and run the forward pass again to differentiate it;
while something is counted they run as plain Python, which computes the same and is what a compiler makes of them.
One that flopsight does not know is run as it is, and named among what was not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import torch
from torch._ops import HigherOrderOperator, _higher_order_ops
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._pytree import tree_map

from flopsight.torch import kernels
from flopsight.torch.call import tensors

if TYPE_CHECKING:
    from flopsight.torch.mode import CountingMode

Runner = Callable[["CountingMode", HigherOrderOperator, Any, Any], Any]
SILENT: Final = frozenset({"print", "call_torchbind", "inline_asm_elementwise", "_export_tracepoint"})
"""They do no matrix work."""
_AUTOGRAD: Final = torch._C.DispatchKey.Autograd
_DENSE: Final = torch._C.DispatchKey.CompositeExplicitAutograd
UNKNOWN_TRIPS: Final = "how often a loop without values repeats is not known: one pass was counted"
LARGER: Final = "torch.cond without a value to decide by: the larger branch was taken"


def run(mode: CountingMode, op: HigherOrderOperator, args: Any, kwargs: Any) -> Any:
    """Run a higher-order op and count what it runs; the mode is off when this is called."""
    name = op.name()
    runner = RUNNERS.get(name)
    if runner is not None:
        return runner(mode, op, args, kwargs)
    body = op.py_kernels.get(_DENSE)
    if body is None or name in SILENT:
        out = op(*args, **kwargs)
        if name not in SILENT:
            mode.miss(f"higher_order.{name}", mode.passes.now()[0], "what this higher-order op runs cannot be seen")
        return out
    with mode:
        return body(*args, **kwargs)


@contextmanager
def plainly() -> Iterator[None]:
    """Let torch.cond and map run as plain Python inside."""
    found = [(_higher_order_ops[name], plain) for name, plain in PLAIN.items() if name in _higher_order_ops]
    usual = [op.py_kernels[_AUTOGRAD] for op, _ in found]
    for (op, plain), before in zip(found, usual, strict=True):
        _swap(op, plain(before))
    try:
        yield
    finally:
        for (op, _), before in zip(found, usual, strict=True):
            _swap(op, before)


def _swap(op: HigherOrderOperator, kernel: Any) -> None:
    op.py_kernels[_AUTOGRAD] = kernel
    op._dispatch_cache.clear()


def _plain_cond(usual: Any) -> Any:
    def cond(chosen: Any, first: Any, second: Any, operands: Any) -> Any:
        if _abstract(chosen):
            return usual(chosen, first, second, operands)
        return (first if chosen else second)(*operands)

    return cond


def _plain_map(usual: Any) -> Any:
    def each(body: Any, rows: Any, more: Any) -> Any:
        results = [body(*(row[i] for row in rows), *more) for i in range(rows[0].shape[0])]
        return tree_map(lambda *parts: torch.stack(parts), *results)

    return each


def _scan(mode: CountingMode, op: HigherOrderOperator, args: Any, kwargs: Any) -> Any:
    from torch._higher_order_ops.scan import generic_scan

    body, start, rows, more = args
    with mode:
        return generic_scan(body, start, rows, additional_inputs=more)


def _cond(mode: CountingMode, op: HigherOrderOperator, args: Any, kwargs: Any) -> Any:
    chosen, first, second, operands = args
    if not _abstract(chosen):
        with mode:
            return (first if chosen else second)(*operands)
    trials = [mode.trial(), mode.trial()]
    for trial, branch in zip(trials, (first, second), strict=True):
        with trial:
            branch(*operands)
    mode.absorb(max(trials, key=lambda trial: trial.weight()))
    mode.note(LARGER)
    return op(*args, **kwargs)


def _loop(mode: CountingMode, op: HigherOrderOperator, args: Any, kwargs: Any) -> Any:
    condition, body, carried, more = args
    if not any(_abstract(tensor) for tensor in tensors((carried, more))):
        with mode:
            return op.py_kernels[_DENSE](*args, **kwargs)
    trial = mode.trial()
    with trial:
        condition(*carried, *more)
        out = body(*carried, *more)  # of the shapes that any number of passes has
    mode.absorb(trial)
    mode.miss(f"higher_order.{op.name()}", mode.passes.now()[0], UNKNOWN_TRIPS)
    return tuple(out)


def _random(mode: CountingMode, op: HigherOrderOperator, args: Any, kwargs: Any) -> Any:
    """(op, *args) gives the state and the result; (state, op, *args) gives the result."""
    out = op(*args, **kwargs)
    saves = op.name() == "run_and_save_rng_state"
    inner, rest = (args[0], args[1:]) if saves else (args[1], args[2:])
    mode.count(inner, rest, kwargs, out[1] if saves else out)
    return out


def _triton(mode: CountingMode, op: HigherOrderOperator, args: Any, kwargs: Any) -> Any:
    from torch._higher_order_ops.triton_kernel_wrap import kernel_side_table

    kernel = kernel_side_table.get_kernel(kwargs["kernel_idx"])
    constants = kernel_side_table.get_constant_args(kwargs["constant_args_idx"])
    kernels.count(mode, kernels.name_of(kernel), {**constants, **kwargs["kwargs"]}, kwargs["grid"][0])
    with kernels.suspended(mode):
        return op(*args, **kwargs)


def _abstract(value: Any) -> bool:
    """Whether a tensor has no value to read."""
    return isinstance(value, FakeTensor) or (isinstance(value, torch.Tensor) and value.is_meta)


PLAIN: Final = {"cond": _plain_cond, "map_impl": _plain_map}
RUNNERS: Final[dict[str, Runner]] = {
    "cond": _cond,
    "scan": _scan,
    "while_loop": _loop,
    "run_and_save_rng_state": _random,
    "run_with_rng_state": _random,
    "graphsafe_run_with_rng_state": _random,
    "triton_kernel_wrapper_mutation": _triton,
    "triton_kernel_wrapper_functional": _triton,
}
