"""How much memory there is, and how much can be had now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from flopsight.errors import UsageError
from flopsight.stopwatch import TorchDevice

MEMINFO: Final = Path("/proc/meminfo")


def memory_bytes(device: TorchDevice | None = None) -> int:
    """Bytes of a device's memory, or of this machine's; UsageError where nothing says it."""
    if device is not None and device.kind in ("cuda", "xpu"):
        torch = getattr(device.torch, device.kind)
        return int(torch.get_device_properties(device.device).total_memory)
    found = _pages("SC_PHYS_PAGES")
    if found is None:
        raise UsageError("This system does not say how much memory it has, so no chip record can be made of it.")
    return found


def available(device: TorchDevice) -> int | None:
    """Bytes that can be had now; None where the system does not say."""
    if device.cuda:
        return int(device.torch.cuda.mem_get_info(device.device)[0])
    return _reclaimable() or _pages("SC_AVPHYS_PAGES")


def _reclaimable(path: Path = MEMINFO) -> int | None:
    """What the kernel thinks can be had without swapping, the page cache given up."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 2**10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _pages(name: str) -> int | None:
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None
