"""Matrix products as programs run them: x W^T as in a linear layer, in one number format, output in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from flopsight.ceiling.values import Shape
from flopsight.stopwatch import TorchDevice

FORMATS: Final = ("fp32", "tf32", "bf16", "fp16", "int8", "fp8")
Call = Callable[[], object]
_TORCH_NAMES: Final = {"fp32": "float32", "tf32": "float32", "bf16": "bfloat16", "fp16": "float16"}
FAILURES: Final = (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError)
"""What torch raises for a kernel that a device does not have, or memory it has not."""


def why_not(device: TorchDevice, dtype: str) -> str:
    """Why this format cannot run on this kind of device, or ""; kernels that fail are found by running them."""
    if dtype == "tf32" and not device.cuda:
        return "TF32 is a mode of CUDA devices"
    return ""


def product(device: TorchDevice, dtype: str, shape: Shape) -> Call:
    """A call that multiplies (m x k) by (n x k) transposed; raises one of FAILURES where the device cannot."""
    makers: dict[str, Callable[[TorchDevice, Shape], Call]] = {"int8": _int8, "fp8": _fp8}
    return makers[dtype](device, shape) if dtype in makers else _floats(device, dtype, shape)


def _floats(device: TorchDevice, dtype: str, shape: Shape) -> Call:
    torch, (m, n, k) = device.torch, shape
    kind = getattr(torch, _TORCH_NAMES[dtype])
    a, b = (torch.randn(rows, k, device=device.device).to(kind) for rows in (m, n))
    out = torch.empty(m, n, dtype=kind, device=device.device)
    return lambda: torch.mm(a, b.T, out=out)


def _int8(device: TorchDevice, shape: Shape) -> Call:
    torch, (m, n, k) = device.torch, shape
    a, b = (torch.randint(-128, 128, (rows, k), dtype=torch.int8, device=device.device) for rows in (m, n))
    return lambda: torch._int_mm(a, b.T)


def _fp8(device: TorchDevice, shape: Shape) -> Call:
    torch, (m, n, k) = device.torch, shape
    a, b = (torch.randn(rows, k, device=device.device).to(torch.float8_e4m3fn) for rows in (m, n))
    one = torch.ones((), device=device.device)
    return lambda: torch._scaled_mm(a, b.T, one, one, out_dtype=torch.bfloat16)


@contextmanager
def precision(torch: Any, dtype: str) -> Iterator[None]:
    """While products of this format run, fp32 means fp32, and tf32 means TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
