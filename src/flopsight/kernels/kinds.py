"""What a kernel computes, by its name.

The function's own name is read first, its templates and arguments only where that says nothing: a kernel of PyTorch
that is given a functor of another name stays what it is, and a CUTLASS kernel is what it was instantiated for. Tables
of words lie under `names`; their order is the knowledge: attention is made of products, a product of a norm is none.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal, cast, get_args

from flopsight.kernels.communication import communication_of
from flopsight.kernels.names import (
    attention,
    compilers,
    convolutions,
    experts,
    general,
    layers,
    native,
    products,
    sequence,
)
from flopsight.kernels.table import Table, first, table
from flopsight.kernels.words import LONGEST, Words, words_of

Kind = Literal[
    "gemm", "attention", "convolution", "moe", "scan", "normalization", "softmax", "elementwise", "reduction",
    "embedding", "index", "random", "optimizer", "quantization", "sort", "copy", "communication", "fused", "other",
]  # fmt: skip
"""What a kernel is for.

gemm           matrix products, with vectors too, and their split-k reductions
attention      scores, softmax and values in one kernel, and its helpers
convolution    and the filters' transforms
moe            routing, permuting, and products that are made for experts
scan           state-space models, linear attention, recurrent cells
normalization  norms of layers, batches and groups, forward and backward
softmax        and losses that contain it
elementwise    a loop over elements, whatever it applies: casts and copies too
reduction      sums, maxima, prefix sums, losses
embedding      tables looked up, rotations by position
index          gather, scatter, selection, paged caches
random         dropout, sampling
optimizer      the step
quantization   to and from formats with scales
sort           sorting and top-k
copy           bytes moved or laid out anew by a kernel that was written for it
communication  see `communication_of`
fused          a compiler's fusion whose name does not say more
other          the name says nothing
"""
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_MADE: Final = table(attention.ROWS, sequence.ROWS, experts.ROWS)
_PRODUCTS: Final = table(convolutions.ROWS, products.ROWS)
_ALL: Final = (
    *_MADE, *table(layers.NORMS, layers.QUANTIZATION), *_PRODUCTS, *table(layers.LOOKUPS, general.ROWS),
)  # fmt: skip
_NATIVE: Final = table(native.HEADS)
_FUNCTORS: Final = table(native.FUNCTORS)
_MULTI_TENSOR: Final = table(native.MULTI_TENSOR)
_INDUCTOR: Final = table(compilers.INDUCTOR)
_HLO: Final = table(compilers.HLO)

_FORM: Final = re.compile(r"(?:\w{1,40}_)?triton_(poi|red|per|tem|mm|for|split_scan|bmm|unk)_")
_PRODUCT_OPS: Final = re.compile(r"_(?:mm|addmm|bmm|baddbmm|scaled_mm|grouped_mm)_")
_HLO_NAME: Final = re.compile(
    r"(?:loop|input|wrapped|gemm|triton|copy|transpose|concatenate|scatter|dynamic|fusion|dot|convolution|broadcast"
    r"|multiply|add|convert|select|reduce|custom|command_buffer|__cu)[\w.\-$]{0,200}"
)
_HLO_SIGNS: Final = ("fusion", "wrapped_", "__cu", "triton_softmax", "triton_gemm")
_WRAPPERS: Final = (
    "_cutlass_kernel_", "_cutlass_kernel2_", "_cutlass_device_kernel_", "cutlass_cudnn", "_device_kernel_",
    "_cutlass_kernel_kernel_",
)  # fmt: skip
_CUTE: Final = ("kernel_cutlass_kernel_", "kernel_cutlass_")
"""Prefixes of kernels written in CuTe's DSL: what follows is the author's name."""


def kind_of(name: str) -> Kind:
    """What a kernel of this name computes; "other" where the name does not say."""
    return _of(name[:LONGEST])


@lru_cache(maxsize=65536)
def _of(name: str) -> Kind:
    if communication_of(name) is not None:
        return "communication"
    form = _FORM.match(name)
    if form is not None:
        return _inductor(form.group(1), name[form.end() :])
    if _HLO_NAME.fullmatch(name) and any(sign in name for sign in _HLO_SIGNS):
        return _first(_HLO, words_of(name).whole) or "fused"
    for prefix in _CUTE:
        name = name.removeprefix(prefix)
    words = words_of(name)
    if "multi_tensor_apply" in words.head:
        return _first(_MULTI_TENSOR, words.whole) or "elementwise"
    if "_at_native_" in words.head or words.head.startswith("_at_cuda_"):
        return _native(words)
    return _library(words)


def _library(words: Words) -> Kind:
    if any(wrapper in words.head for wrapper in _WRAPPERS):
        return _first(_MADE, words.whole) or _first(_PRODUCTS, words.whole) or _first(_ALL, words.whole) or "other"
    return _first(_ALL, words.head) or _first(_ALL, words.whole) or "other"


def _native(words: Words) -> Kind:
    """PyTorch's own: its loops over elements by functor, the others by their own name."""
    found = _first(_NATIVE, words.head)
    if found is not None:
        return found
    if any(loop in words.head for loop in native.LOOPS):
        return _first(_FUNCTORS, words.whole) or "elementwise"
    return _library(words)


def _inductor(form: str, ops: str) -> Kind:
    """A kernel that Inductor wrote: its form, and the ops that its name lists."""
    listed = f"_{ops.removeprefix('fused_').lower()}_"
    if form in ("tem", "mm", "bmm"):
        return "attention" if "attention" in listed or "flex" in listed or "sdpa" in listed else "gemm"
    if _PRODUCT_OPS.search(listed) and form in ("red", "per"):
        # a product of few rows is decomposed into a sum; it is then one fused reduction
        return "reduction"
    found = _first(_INDUCTOR, listed)
    if found is not None:
        return found
    return "reduction" if form in ("red", "per", "split_scan") else "elementwise"


def _first(rows: Table, text: str) -> Kind | None:
    return cast("Kind | None", first(rows, text))
