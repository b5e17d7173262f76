"""What the forecast knows of this machine: measured before the model runs, on shapes that are not the model's."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from flopsight.bench.subject import TORCH_NAMES
from flopsight.ceiling import Ceilings, bandwidth, quick
from flopsight.ceiling.caches import levels_of
from flopsight.stopwatch import TorchDevice

ROWS: Final = (1, 4, 16, 64, 256, 1024)
_SIDE: Final = {"cpu": 1024}
_SIDE_ELSEWHERE: Final = 4096
_POOL: Final = {"cpu": 2**27}
_POOL_ELSEWHERE: Final = 2**30
"""Bytes of the matrices that take turns: more than any cache holds, as the weights of a model are."""
_SIZES: Final = (2**14, 2**18, 2**20, 2**22, 2**24)
"""Bytes of vector ops, beside those of one that lies in the main memory."""
_SECONDS: Final = 0.25
PASSES: Final = 2
"""Times that each thing is measured, one after the other."""
_HEADS, _WIDTH, _TOKENS = 8, 64, 512
_TINY, _DEEP = 16, 50


@dataclass(frozen=True, slots=True)
class Curve:
    """Values at rising knots, straight between them in log-log space, held beyond."""

    knots: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, x: float) -> float:
        """The value at x."""
        if x <= self.knots[0]:
            return self.values[0]
        if x >= self.knots[-1]:
            return self.values[-1]
        i = bisect_right(self.knots, x) - 1
        share = math.log(x / self.knots[i]) / math.log(self.knots[i + 1] / self.knots[i])
        return float(self.values[i] ** (1 - share) * self.values[i + 1] ** share)


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything at the fastest sample: neighbours on the machine slow the others, and belong to no forecast.

    launch     seconds of one small op of a module that Python calls, its views and its call included

    dtype      the number format that the model runs in
    products   FLOP/s of x W^T by rows of x, the matrix coming from memory
    attention  FLOP/s of fused causal attention on a few hundred tokens
    cached     B/s of one token's attention behind so many
    moved      B/s of a vector op by the bytes it reads and writes
    """

    ceilings: Ceilings
    dtype: str
    products: Curve
    attention: float
    cached: float
    moved: Curve
    launch: float

    @property
    def peak(self) -> float:
        """FLOP/s of the fastest product in this format; 0 where it was not measured."""
        return self.ceilings.peaks.get(self.dtype, 0.0)

    @property
    def copied(self) -> float:
        """B/s of what is read and written in place: a copy in the main memory."""
        return self.ceilings.memory.get("copy", self.moved.values[-1])

    @property
    def bandwidth(self) -> float:
        """B/s of the main memory at best."""
        return self.ceilings.bandwidth or self.moved.values[-1]


FORMATS: Final = ("bf16", "fp32")
GAIN: Final = 1.25
"""Times the rate of fp32 from which bf16 is worth it on a processor."""


def chosen_format(found: Ceilings) -> str:
    """bf16 where its products are clearly faster than those in fp32, else fp32."""
    bf16, fp32 = found.peaks.get("bf16", 0.0), found.peaks.get("fp32", 0.0)
    return "bf16" if bf16 > GAIN * fp32 else "fp32"


def measure_ceilings(device: TorchDevice, dtype: str | None) -> Ceilings:
    """The ceilings of this device, in the formats that matter here."""
    return quick(str(device.device), formats=tuple(dict.fromkeys((*FORMATS, *([dtype] if dtype else [])))))


def measure_machine(device: TorchDevice, ceilings: Ceilings, dtype: str) -> Machine:
    """Probe products by rows, attention and copies; a few seconds."""
    return Machine(
        ceilings,
        dtype,
        _products(device, dtype),
        _attention(device, dtype),
        _cached(device, dtype),
        _moved(device, dtype),
        _launch(device, dtype),
    )


def _kind(device: TorchDevice, dtype: str) -> Any:
    return getattr(device.torch, TORCH_NAMES[dtype])


def _products(device: TorchDevice, dtype: str) -> Curve:
    side = _SIDE.get(device.kind, _SIDE_ELSEWHERE)
    kind, torch = _kind(device, dtype), device.torch
    count = max(2, _POOL.get(device.kind, _POOL_ELSEWHERE) // (side * side * kind.itemsize))
    pool = [torch.randn(side, side, device=device.device).to(kind) for _ in range(count)]
    calls = [(rows, _linear(device, pool, rows)) for rows in ROWS]
    found = [[2 * rows * side * side / _seconds(device, call) for rows, call in calls] for _ in range(PASSES)]
    rates = [max(each) for each in zip(*found, strict=True)]
    return Curve(tuple(map(float, ROWS)), tuple(rates))


def _linear(device: TorchDevice, pool: Sequence[Any], rows: int) -> Callable[[], object]:
    torch, state = device.torch, [0]
    x = torch.randn(rows, pool[0].shape[1], device=device.device).to(pool[0].dtype)

    def run() -> object:
        state[0] = (state[0] + 1) % len(pool)
        return torch.nn.functional.linear(x, pool[state[0]])

    return run


def _attention(device: TorchDevice, dtype: str) -> float:
    torch = device.torch
    q, k, v = (torch.randn(1, _HEADS, _TOKENS, _WIDTH, device=device.device).to(_kind(device, dtype)) for _ in range(3))
    attend = torch.nn.functional.scaled_dot_product_attention
    seconds = _seconds(device, lambda: attend(q, k, v, is_causal=True))
    return 2 * 2 * _HEADS * _WIDTH * (_TOKENS * (_TOKENS + 1) // 2) / seconds


def _cached(device: TorchDevice, dtype: str) -> float:
    torch, kind = device.torch, _kind(device, dtype)
    q = torch.randn(1, _HEADS, 1, _WIDTH, device=device.device).to(kind)
    k, v = (torch.randn(1, _HEADS, _TOKENS, _WIDTH, device=device.device).to(kind) for _ in range(2))
    attend = torch.nn.functional.scaled_dot_product_attention
    return 2 * _HEADS * _TOKENS * _WIDTH * int(kind.itemsize) / _seconds(device, lambda: attend(q, k, v))


def _launch(device: TorchDevice, dtype: str) -> float:
    """One op of a stack of small modules: each a product and an addition onto its input."""
    torch, kind = device.torch, _kind(device, dtype)
    stack = torch.nn.ModuleList(torch.nn.Linear(_TINY, _TINY, bias=False) for _ in range(_DEEP))
    stack = stack.to(device.device, kind)
    x = torch.zeros(1, _TINY, device=device.device, dtype=kind)

    def run() -> object:
        y = x
        for module in stack:
            y = y + module(y)
        return y

    return _seconds(device, run) / (2 * _DEEP)


def _moved(device: TorchDevice, dtype: str) -> Curve:
    """A sum of two tensors into a new one, as programs write vector ops: bytes over time, the allocation included."""
    torch, kind = device.torch, _kind(device, dtype)
    sizes = (*_SIZES, bandwidth.largest(device, levels_of(device)))
    rates = []
    for size in sizes:
        x, y = (torch.ones(size // 3 // kind.itemsize, device=device.device, dtype=kind) for _ in range(2))
        rates.append(size / _seconds(device, partial(torch.add, x, y)))
    return Curve(tuple(map(float, sizes)), tuple(rates))


def _seconds(device: TorchDevice, run: Callable[[], object]) -> float:
    with device.torch.inference_mode():
        return min(device.seconds(run, _SECONDS / PASSES).best for _ in range(PASSES))
