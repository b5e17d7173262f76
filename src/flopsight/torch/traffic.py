"""Bytes and vector FLOPs of ops on elements, one function a kind; written for speed: every op passes here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

from flopsight.torch.call import nbytes, tensors
from flopsight.torch.kinds import Kind

Traffic = tuple[int, int, int]
"""Vector FLOPs, bytes read, bytes written."""
_Tensor: Final = torch.Tensor
_STRIDED: Final = torch.strided


def read_bytes(args: Any, kwargs: Any) -> int:
    """Bytes of the tensors that an op is given, each once."""
    total, last = 0, None
    for value in args:
        if isinstance(value, _Tensor):
            if value is not last:
                total += value.nbytes if value.layout is _STRIDED and value.is_contiguous() else nbytes(value)
                last = value
        elif value.__class__ is list or value.__class__ is tuple:
            total += read_bytes(value, None)
    return total + read_bytes(kwargs.values(), None) if kwargs else total


def written_bytes(out: Any) -> int:
    """Bytes of what an op returns."""
    if isinstance(out, _Tensor):
        return int(out.nbytes) if out.layout is _STRIDED and out.is_contiguous() else nbytes(out)
    return read_bytes(out, None) if out.__class__ is list or out.__class__ is tuple else 0


def _pointwise(args: Any, kwargs: Any, out: Any) -> Traffic:
    if isinstance(out, _Tensor):
        return (out.numel() if out.is_floating_point() else 0), read_bytes(args, kwargs), written_bytes(out)
    changed = out if out is not None else args[0] if args else ()  # in-place ops on lists return nothing
    flops = sum(t.numel() for t in tensors((changed,)) if t.is_floating_point())
    return flops, read_bytes(args, kwargs), written_bytes(changed)


def _reduction(args: Any, kwargs: Any, out: Any) -> Traffic:
    flops = sum(t.numel() for t in tensors(args) if t.is_floating_point())
    return flops, read_bytes(args, kwargs), written_bytes(out)


def _move(args: Any, kwargs: Any, out: Any) -> Traffic:
    # copy_ returns the tensor it writes, which it does not read
    source = args[1:] if args and args[0] is out else args
    return 0, read_bytes(source, kwargs), written_bytes(out)


def _gather(args: Any, kwargs: Any, out: Any) -> Traffic:
    written = written_bytes(out)
    return 0, written + read_bytes(args[1:], kwargs), written


def _scatter(args: Any, kwargs: Any, out: Any) -> Traffic:
    source = read_bytes(args[1:], kwargs)
    return 0, source, source


def _write(args: Any, kwargs: Any, out: Any) -> Traffic:
    return 0, 0, written_bytes(out if out is not None else args[:1])


TRAFFIC: Final[Mapping[Kind, Callable[[Any, Any, Any], Traffic]]] = {
    "pointwise": _pointwise, "reduction": _reduction, "move": _move, "gather": _gather, "scatter": _scatter,
    "write": _write, "contraction": _pointwise, "strange": _pointwise,
}  # fmt: skip
