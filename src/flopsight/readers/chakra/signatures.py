"""Inputs of a node -> Signature, in the words that a Kineto trace of the same op has."""

from __future__ import annotations

import re
from typing import Any, Final

from flopsight.readers.chakra.nodes import Node
from flopsight.trace import Signature

TENSOR: Final = re.compile(r"Tensor\((.*)\)$")
LIST: Final = "GenericList["
NUMBERS: Final = ("Int", "Double", "Bool", "Scalar", "SymInt", "SymFloat", "SymBool", "Complex")
DEEPEST: Final = 8


def signature(node: Node) -> Signature | None:
    """What the op was called with; None for a node without inputs."""
    if not node.types:
        return None
    size = len(node.types)
    columns = (_filled(node.values, size), _filled(node.shapes, size), node.types, _filled(node.strides, size))
    each = [_argument(*one) for one in zip(*columns, strict=True)]
    dims, types, values, strides = (tuple(column) for column in zip(*each, strict=True))
    return Signature(dims, types, values, strides if node.strides else ())


def _filled(column: list[Any], size: int) -> list[Any]:
    return (column + [[]] * size)[:size]


def _argument(value: Any, shape: Any, kind: Any, stride: Any) -> tuple[Any, str, str, Any]:
    """Dims, type, text and strides of one argument."""
    kind = kind if isinstance(kind, str) else ""
    tensor = TENSOR.match(kind)
    if tensor is not None and not kind.startswith(LIST):
        known = "" if tensor[1].startswith("nullptr") else tensor[1]
        return _frozen(shape), known, "", _frozen(stride)
    if kind.startswith(LIST + "Tensor("):
        return _frozen(shape), "TensorList", "", _frozen(stride)
    if kind.startswith(LIST):
        return (), "ScalarList", _text(value), ()
    return (), "Scalar" if kind in NUMBERS else "", _text(value) if kind in NUMBERS else "", ()


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value[:64])) + "]" if value else "[]"
    if isinstance(value, float):
        return str(value).removesuffix("0") if value.is_integer() else str(value)
    return str(value) if isinstance(value, int) else ""


def _frozen(value: Any, depth: int = 0) -> Any:
    if isinstance(value, list) and depth < DEEPEST:
        return tuple(_frozen(one, depth + 1) for one in value)
    return value if isinstance(value, int) and -(2**63) <= value < 2**63 else -1
