"""What tells the clock: the kernel's cpufreq files, /proc/cpuinfo, or NVML; else a sentence on why nothing does.

Inside a virtual machine /proc/cpuinfo gives the nominal clock, whatever the processor runs at, and is not believed.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from flopsight.facts import Unknown
from flopsight.stopwatch import TorchDevice

CPUS: Final = Path("/sys/devices/system/cpu")
CPUINFO: Final = Path("/proc/cpuinfo")
# NVML's bits of "clocks event reasons" that mean that the device was held back.
_THROTTLES: Final = {
    0x4: "power cap", 0x8: "hardware slowdown", 0x20: "thermal, by software", 0x40: "thermal, by hardware",
    0x80: "power brake",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """One look: the clock in Hz, watts where they are known, and why the device was held back."""

    hz: float
    watts: float | None = None
    held: tuple[str, ...] = ()


class Source(Protocol):
    """Something that can be asked for the clock now."""

    @property
    def what(self) -> str:
        """The file or library that is asked."""
        ...

    @property
    def highest(self) -> float | None:
        """The clock the part reports as its most, in Hz."""
        ...

    def read(self) -> Reading | None:
        """The clock now, or None where it could not be read this time."""
        ...


@dataclass
class CpuFrequency:
    """The highest running clock of all processors, from cpufreq."""

    folder: Path = CPUS
    what: str = "cpufreq"

    @property
    def highest(self) -> float | None:
        """The most that cpufreq allows."""
        return max(self._all("cpuinfo_max_freq"), default=None)

    def read(self) -> Reading | None:
        """The fastest processor now."""
        found = self._all("scaling_cur_freq")
        return Reading(max(found)) if found else None

    def _all(self, name: str) -> list[float]:
        return [khz * 1e3 for path in self.folder.glob(f"cpu[0-9]*/cpufreq/{name}") if (khz := _number(path))]


@dataclass
class CpuInfo:
    """The highest "cpu MHz" of /proc/cpuinfo."""

    path: Path = CPUINFO
    what: str = "/proc/cpuinfo"
    highest: float | None = None

    def read(self) -> Reading | None:
        """The fastest processor now."""
        lines = _text(self.path).splitlines()
        found = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
        return Reading(max(found) * 1e6) if found else None


@dataclass
class Nvml:
    """An NVIDIA device's SM clock, power and throttle reasons."""

    nvml: Any
    handle: object
    what: str = "nvml"

    @property
    def highest(self) -> float | None:
        """The highest SM clock."""
        try:
            return float(self.nvml.nvmlDeviceGetMaxClockInfo(self.handle, self.nvml.NVML_CLOCK_SM)) * 1e6
        except self.nvml.NVMLError:
            return None

    def read(self) -> Reading | None:
        """SM clock, power and why it was held back."""
        n, h = self.nvml, self.handle
        try:
            mask = int(n.nvmlDeviceGetCurrentClocksThrottleReasons(h))
            held = tuple(word for bit, word in _THROTTLES.items() if mask & bit)
            return Reading(n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM) * 1e6, n.nvmlDeviceGetPowerUsage(h) / 1e3, held)
        except n.NVMLError:
            return None


def source_of(device: TorchDevice) -> Source | Unknown:
    """What tells the clock of this device, or why nothing does."""
    if device.kind == "cpu":
        return cpu_source()
    if not device.cuda or device.torch.version.hip:
        return Unknown(f"the clock of {device.kind} devices is not readable here")
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return Unknown("the clock is not readable here: nvidia-ml-py is not installed (pip install 'flopsight[gpu]')")
    return _nvml(nvml, device)


def _nvml(nvml: Any, device: TorchDevice) -> Source | Unknown:
    """The device by its UUID: CUDA_VISIBLE_DEVICES may number devices otherwise than NVML."""
    try:
        nvml.nvmlInit()
        uuid = str(device.torch.cuda.get_device_properties(device.device).uuid)
        return Nvml(nvml, nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}"))
    except nvml.NVMLError as error:
        return Unknown(f"the clock is not readable here: NVML answers {str(error)!r}")


def cpu_source(folder: Path = CPUS, cpuinfo: Path = CPUINFO) -> Source | Unknown:
    """Cpufreq, or /proc/cpuinfo where the kernel runs on the hardware itself."""
    frequency, info = CpuFrequency(folder), CpuInfo(cpuinfo)
    if frequency.read():
        return frequency
    if "hypervisor" in _text(cpuinfo):
        return Unknown("clock not readable here: a virtual machine shows its nominal clock only")
    return info if info.read() else Unknown("clock not readable here: no cpufreq, and no clock in /proc/cpuinfo")


def _number(path: Path) -> float | None:
    text = _text(path).strip()
    return float(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
