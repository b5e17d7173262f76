"""Positions along each dimension that a window takes: of a convolution, of its transpose, of pooling."""

from __future__ import annotations

from dataclasses import dataclass

from flopsight.opcost.call import Call, Unclear


@dataclass(frozen=True, slots=True)
class Steps:
    """Places of the arguments that say how a window moves; None where an op has no such argument."""

    stride: int
    padding: int
    dilation: int | None = None
    output_padding: int | None = None
    groups: int | None = None
    transposed: int | None = None


def places(
    call: Call,
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    steps: Steps,
    *,
    up: bool = False,
    stride: list[int] | None = None,
) -> list[int]:
    """Sizes of the output: floor((n + 2p - d(k - 1) - 1)/s) + 1, or of the transpose (n - 1)s - 2p + d(k - 1) + o + 1.

    Unclear where an argument was not recorded ("same" and "valid" are not: the op inside has the numbers).
    """
    count = len(sizes)
    stride = stride or _each(call, steps.stride, count)
    padding = _each(call, steps.padding, count)
    dilation = [1] * count if steps.dilation is None else _each(call, steps.dilation, count)
    more = _each(call, steps.output_padding, count) if up and steps.output_padding is not None else [0] * count
    found = []
    for n, k, s, p, d, o in zip(sizes, kernel, stride, padding, dilation, more, strict=True):
        if s < 1 or d < 1 or p < 0:
            raise Unclear("no such steps")
        found.append((n - 1) * s - 2 * p + d * (k - 1) + o + 1 if up else (n + 2 * p - d * (k - 1) - 1) // s + 1)
    if any(n < 1 for n in found):
        raise Unclear("a window larger than its input")
    return found


def _each(call: Call, at: int, count: int) -> list[int]:
    found = call.wholes(at)
    if len(found) not in (1, count):
        raise Unclear("steps are not recorded")
    return found * count if len(found) == 1 else found
