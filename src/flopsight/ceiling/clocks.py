"""What the clock did while measuring: read beside the kernels where it can be read, else said to be unreadable.

A processor's clock comes from the kernel's cpufreq files, or from /proc/cpuinfo outside of virtual machines (inside
them it is the nominal clock, whatever the processor runs at). A GPU's comes from NVML, with power and throttle reasons.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Final, Protocol

from flopsight.facts import Unknown
from flopsight.stopwatch import TorchDevice

CPUS: Final = Path("/sys/devices/system/cpu")
CPUINFO: Final = Path("/proc/cpuinfo")
_EVERY: Final = 0.2
"""Seconds between readings."""
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


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock over a run: lowest, median and highest reading in Hz, the part's highest, and what held it back."""

    by: str
    low: float
    median: float
    high: float
    highest: float | None
    watts: float | None
    held: tuple[str, ...]
    readings: int


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


@dataclass
class Watch:
    """Reads the clock in the background while the body of the `with` runs."""

    source: Source | Unknown
    readings: list[Reading] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        """Start reading."""
        if not isinstance(self.source, Unknown):
            self._thread = threading.Thread(target=self._run, args=(self.source.read,), daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop reading."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=2)

    def _run(self, read: Callable[[], Reading | None]) -> None:
        while not self._stop.wait(_EVERY):
            if found := read():
                self.readings.append(found)

    def clock(self) -> Clock | Unknown:
        """What was read so far."""
        if isinstance(self.source, Unknown):
            return self.source
        if not self.readings:
            return Unknown(f"{self.source.what} gave no clock while measuring")
        hz, watts = [r.hz for r in self.readings], [r.watts for r in self.readings if r.watts is not None]
        held = tuple(dict.fromkeys(word for reading in self.readings for word in reading.held))
        return Clock(
            self.source.what, min(hz), median(hz), max(hz), self.source.highest, max(watts, default=None), held, len(hz)
        )


def _number(path: Path) -> float | None:
    text = _text(path).strip()
    return float(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
