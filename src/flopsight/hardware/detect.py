"""What this machine has: each device's own words, and the chip they match exactly, or what is not known.

Nothing is loaded to look except for this explicit question: pynvml and amdsmi if they are installed, the vendors'
command-line tools otherwise, JAX only if the program has imported it already (or it is asked for), /proc/cpuinfo.
"""

from __future__ import annotations

import csv
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from flopsight.facts import Fact, Unknown
from flopsight.hardware.catalog import Driver, match_driver
from flopsight.hardware.chip import Chip
from flopsight.hardware.cpus import Cpu
from flopsight.hardware.signature import family_of, signature
from flopsight.units import format_iec, format_si

_TIMEOUT: Final = 15
_SMI_QUERY: Final = ("name", "memory.total", "power.limit", "clocks.max.sm", "mig.mode.current")
# Marketing names do not fix the capacity: RTX 4090 cards changed to 48 GB keep their name.
_MEMORY_TOLERANCE: Final = 0.12
_ISA_FLAGS: Final = (
    ("amx_bf16", "amx"),
    ("amx_int8", "amx"),
    ("avx512f", "avx512"),
    ("avx2", "avx2"),
    ("sve2", "sve2"),
    ("sve", "sve"),
)


@dataclass(frozen=True, slots=True)
class Detection:
    """One device, or one kind of device that was looked for in vain.

    what   "GPU 0", "CPU", or the kind that was not found
    by     the tool or file that was asked
    read   what it said, in its own words, with quantities in base units
    match  the chip or processor family, or why none
    """

    what: str
    by: str
    match: Chip | Cpu | Unknown
    read: dict[str, str | int | float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Whether a device is there at all, known to the catalogue or not."""
        return bool(self.read)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a match is given by its id."""
        matched = {"unknown": self.match.why} if isinstance(self.match, Unknown) else {"id": self.match.id}
        return {"what": self.what, "by": self.by, "read": self.read, "match": matched, "notes": list(self.notes)}


def here(*, ask_jax: bool = False, extra_files: Iterable[str | Path] = ()) -> list[Detection]:
    """Ask every driver this machine has; always at least one entry for each of NVIDIA, AMD, JAX and CPU.

    Never raises for a missing or failing driver: that is an entry whose match says what was not known.
    """
    files = tuple(extra_files)
    return [*_nvidia(files), *_amd(files), *_jax(files, ask_jax), cpu_here(extra_files=files)]


def _nvidia(files: tuple[str | Path, ...]) -> list[Detection]:
    try:
        pynvml = importlib.import_module("pynvml")
    except ImportError:
        return _nvidia_smi(files)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return [
            Detection(
                "NVIDIA GPU", "nvml", Unknown(f"none seen: the NVIDIA driver answers {str(error) or 'nothing'!r}")
            )
        ]
    try:
        rows = [_nvml_row(pynvml, pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        return [Detection("NVIDIA GPU", "nvml", Unknown(f"the NVIDIA driver stopped answering: {error}"))]
    finally:
        pynvml.nvmlShutdown()
    return [_gpu(i, "nvml", "nvidia_smi", row, files) for i, row in enumerate(rows)] or [_none("NVIDIA GPU", "nvml")]


def _nvml_row(nvml: ModuleType, handle: object) -> dict[str, str | int | float]:
    """Name, memory, power limit, highest clock and MIG mode of one device, leaving out what it does not support."""
    name = nvml.nvmlDeviceGetName(handle)
    row: dict[str, str | int | float] = {"name": name.decode() if isinstance(name, bytes) else name}
    asks: dict[str, Callable[[], str | int | float]] = {
        "memory_bytes": lambda: int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
        "power_limit_w": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
        "max_clock_hz": lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM) * 10**6,
        "mig": lambda: "enabled" if nvml.nvmlDeviceGetMigMode(handle)[0] else "disabled",
    }
    for key, ask in asks.items():
        try:
            row[key] = ask()
        except nvml.NVMLError:
            continue
    return row


def _nvidia_smi(files: tuple[str | Path, ...]) -> list[Detection]:
    out = _run("nvidia-smi", f"--query-gpu={','.join(_SMI_QUERY)}", "--format=csv,noheader,nounits")
    if isinstance(out, Unknown):
        return [
            Detection("NVIDIA GPU", "nvidia-smi", Unknown(f"none seen: {out.why}, and nvidia-ml-py is not installed"))
        ]
    rows = [_smi_row([cell.strip() for cell in row]) for row in csv.reader(out.splitlines()) if row]
    return [_gpu(i, "nvidia-smi", "nvidia_smi", row, files) for i, row in enumerate(rows)] or [
        _none("NVIDIA GPU", "nvidia-smi")
    ]


def _smi_row(cells: list[str]) -> dict[str, str | int | float]:
    """One line of nvidia-smi's CSV (MiB, W, MHz) in base units; "[N/A]" cells are left out."""
    cells += [""] * (len(_SMI_QUERY) - len(cells))
    row: dict[str, str | int | float] = {"name": cells[0]}
    for key, cell, factor in (
        ("memory_bytes", cells[1], 2**20),
        ("power_limit_w", cells[2], 1),
        ("max_clock_hz", cells[3], 10**6),
    ):
        if re.fullmatch(r"\d+(\.\d+)?", cell):
            row[key] = round(float(cell) * factor)
    if cells[4].casefold() in ("enabled", "disabled"):
        row["mig"] = cells[4].casefold()
    return row


def _amd(files: tuple[str | Path, ...]) -> list[Detection]:
    try:
        amdsmi: Any = importlib.import_module("amdsmi")
    except (ImportError, KeyError, OSError):  # the package needs the driver's library already when it is imported
        return _rocm_smi(files)
    try:
        amdsmi.amdsmi_init()
        infos = [amdsmi.amdsmi_get_gpu_asic_info(handle) for handle in amdsmi.amdsmi_get_processor_handles()]
        amdsmi.amdsmi_shut_down()
    except amdsmi.AmdSmiException as error:
        return [Detection("AMD GPU", "amdsmi", Unknown(f"none seen: the AMD driver answers {str(error)!r}"))]
    rows: list[dict[str, str | int | float]] = [{"name": str(info.get("market_name", ""))} for info in infos]
    return [_gpu(i, "amdsmi", "rocm", row, files) for i, row in enumerate(rows)] or [_none("AMD GPU", "amdsmi")]


def _rocm_smi(files: tuple[str | Path, ...]) -> list[Detection]:
    out = _run("rocm-smi", "--showproductname", "--json")
    if isinstance(out, Unknown):
        return [Detection("AMD GPU", "rocm-smi", Unknown(f"none seen: {out.why}, and amdsmi is not installed"))]
    try:
        cards = json.loads(out)
        names = [str(card.get("Card Series") or card.get("Card series") or "") for card in cards.values()]
    except (ValueError, AttributeError):
        return [Detection("AMD GPU", "rocm-smi", Unknown(f"rocm-smi answered what is not its JSON: {out[:60]!r}"))]
    return [_gpu(i, "rocm-smi", "rocm", {"name": name}, files) for i, name in enumerate(names)] or [
        _none("AMD GPU", "rocm-smi")
    ]


def _jax(files: tuple[str | Path, ...], ask: bool) -> list[Detection]:
    """Devices as JAX names them; importing JAX takes seconds and may seize a TPU, so it is not done unasked."""
    jax: Any = sys.modules.get("jax")
    if jax is None and ask:
        try:
            jax = importlib.import_module("jax")
        except ImportError:
            return [Detection("JAX device", "jax", Unknown("JAX is not installed"))]
    if jax is None:
        return [Detection("JAX device", "jax", Unknown("not asked: JAX is not loaded in this process; --jax asks it"))]
    try:
        devices = [device for device in jax.devices() if device.platform != "cpu"]
    except RuntimeError as error:
        return [Detection("JAX device", "jax", Unknown(f"JAX could not list devices: {error}"))]
    rows: list[dict[str, str | int | float]] = [
        {"name": device.device_kind, "platform": device.platform} for device in devices
    ]
    return [_gpu(i, "jax", "jax", row, files, what="JAX device") for i, row in enumerate(rows)] or [
        _none("JAX device", "jax")
    ]


def _none(what: str, by: str) -> Detection:
    return Detection(what, by, Unknown("none seen: the driver lists no device"))


def _gpu(
    index: int,
    by: str,
    driver: Driver,
    row: dict[str, str | int | float],
    files: tuple[str | Path, ...],
    what: str = "GPU",
) -> Detection:
    """Match one device by the exact name its driver gave, unless it is cut into slices."""
    name = str(row["name"])
    match = match_driver(driver, name, files)
    if row.get("mig") == "enabled":
        match = Unknown(
            f"{name!r} is in MIG mode: the peak of a slice is that of its SMs only; pass the chip and count SMs"
        )
    notes = _differences(match, row) if isinstance(match, Chip) else ()
    return Detection(f"{what} {index}", by, match, row, notes)


def _differences(chip: Chip, row: dict[str, str | int | float]) -> tuple[str, ...]:
    """Where the device and its record do not agree, in sentences."""
    notes = []
    memory, nominal = row.get("memory_bytes"), chip.record.memory.bytes
    if isinstance(memory, (int, float)) and abs(memory - nominal) > _MEMORY_TOLERANCE * nominal:
        notes.append(
            f"the device shows {format_iec(memory)} of memory, the record of {chip.id} says {format_iec(nominal)}"
        )
    limit, rated = row.get("power_limit_w"), chip.record.power.watts
    if isinstance(limit, (int, float)) and rated and limit < 0.95 * rated:
        notes.append(f"its power limit is {limit:g} W, under the {rated:g} W of the record: expect lower clocks")
    if chip.software_devices > 1:
        notes.append(f"a framework shows {chip.software_devices} devices for one part: divide its peak among them")
    return tuple(notes)


def cpu_here(text: str | None = None, extra_files: Iterable[str | Path] = ()) -> Detection:
    """The processor, from /proc/cpuinfo (or `text` in its form): family, instruction sets, cores, clock seen.

    It matches the user's record of this very processor where its ceilings were saved, else its family.
    """
    seen = _cpu_seen(text)
    own = match_driver("other", signature(seen.read), tuple(extra_files))
    if isinstance(own, Unknown):
        return seen
    family = () if isinstance(seen.match, Unknown) else (f"a processor of the family {seen.match.id}",)
    return replace(seen, match=own, notes=(*family, *seen.notes))


def _cpu_seen(text: str | None) -> Detection:
    if text is None:
        try:
            text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            why = Unknown("this system has no /proc/cpuinfo; pass the processor family by name")
            return Detection("CPU", "the operating system", why, {"cores": os.cpu_count() or 0})
    blocks = [dict(_pairs(block)) for block in text.split("\n\n") if block.strip()]
    read = _cpu_read(blocks)
    if not read:
        return Detection(
            "CPU", "/proc/cpuinfo", Unknown("/proc/cpuinfo names no processor"), {"cores": os.cpu_count() or 0}
        )
    match = family_of(read)
    return Detection("CPU", "/proc/cpuinfo", match, read, _cpu_notes(match, read))


def _pairs(block: str) -> Iterable[tuple[str, str]]:
    for line in block.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            yield key.strip(), value.strip()


def _cpu_read(blocks: list[dict[str, str]]) -> dict[str, str | int | float]:
    """Name, cores, highest clock seen and instruction sets, of whatever the kernel gives."""
    first = blocks[0] if blocks else {}
    wanted = {"name": "model name", "vendor": "vendor_id", "family": "cpu family", "model": "model", "part": "CPU part"}
    read: dict[str, str | int | float] = {key: first[said] for key, said in wanted.items() if first.get(said)}
    if not read:
        return {}
    threads = [block for block in blocks if "processor" in block]
    cores = {(block.get("physical id", ""), block["core id"]) for block in threads if "core id" in block}
    read |= {"cores": len(cores) or len(threads), "threads": len(threads)}
    clocks = [float(block["cpu MHz"]) for block in threads if re.fullmatch(r"\d+(\.\d+)?", block.get("cpu MHz", ""))]
    if clocks:
        read["clock_seen_hz"] = round(max(clocks) * 10**6)
    flags = (first.get("flags") or first.get("Features") or "").split()
    read["isa"] = " ".join(dict.fromkeys(isa for flag, isa in _ISA_FLAGS if flag in flags))
    return read


def _cpu_notes(match: Cpu | Unknown, read: dict[str, str | int | float]) -> tuple[str, ...]:
    """The peak at the clock seen, for the best instruction set that both the record and the machine have."""
    cores, clock = read.get("cores"), read.get("clock_seen_hz")
    if (
        not isinstance(match, Cpu)
        or not isinstance(cores, int)
        or not isinstance(clock, int)
        or clock <= 0
        or cores < 1
    ):
        return ()
    notes = []
    for dtype in ("fp32", "bf16"):
        peaks = [match.peak(dtype, cores=cores, clock_hz=clock, isa=isa) for isa in str(read["isa"]).split()]
        best = max((peak for peak in peaks if isinstance(peak, Fact)), key=lambda peak: peak.value, default=None)
        if best:
            notes.append(
                f"{dtype} {format_si(best.value, 'FLOP/s')} = {best.source}, at the clock seen now, not a sustained one"
            )
    return tuple(notes)


def _run(tool: str, *arguments: str) -> str | Unknown:
    """Run a vendor's tool and return what it printed, or why it could not."""
    path = shutil.which(tool)
    if path is None:
        return Unknown(f"{tool} is not on PATH")
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return Unknown(f"{tool} did not answer ({type(error).__name__})")
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        return Unknown(f"{tool} failed with status {done.returncode}: {said[0][:120] if said else 'no message'}")
    return done.stdout
