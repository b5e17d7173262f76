"""One accelerator as a prediction sees it: rates, memory and links, from the catalogue or from numbers given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from flopsight.errors import UsageError
from flopsight.facts import Fact, Unknown
from flopsight.hardware.chip import Chip, Fabric, Known
from flopsight.hardware.dtype_names import DTYPES, dtype_name

SAME_RATE: Final = {"bf16": ("fp16",), "fp16": ("bf16",), "mxfp8": ("fp8",)}
"""Formats that one engine computes at one rate, where a record lists only the other."""


@dataclass(frozen=True, slots=True)
class Device:
    """Rates in FLOP/s and B/s, sizes in bytes, all of one device; 0 where nobody gives the number.

    id         the catalogue's slug, "" for a device made from numbers; calibrations are found by it
    family     the architecture ("Hopper", "Ada", "CDNA3"), which calibrations fall back to
    kind       gpu, tpu, npu, apu, soc, wafer or cpu
    peaks      dense matrix rates by number format
    vector     fp32 rate of the vector engine
    bandwidth  of the main memory
    memory     bytes of it: what a driver shows, else the nominal size
    units      SMs, CUs or cores that share the tiles of a kernel
    l2         bytes of the last cache that all units share
    link       one way, all fast links of the device together
    domain     devices those links join
    fabric     how they join them: switch, mesh, torus, bus (the host's); "" for a device made from numbers
    pair       what two devices can use between them: all of it behind a switch, a part in a mesh or torus
    network    one way, the device's share of the network between domains
    watts      of the whole part at its limit
    memory_kind  HBM3, GDDR6, LPDDR5 and the like
    cap        units x rate x clock over the stated matrix rate, where the maker caps it (H20); 1 elsewhere
    factors    a user's own calibration: times by kind of kernel over those predicted without it
    notes      what had to be assumed
    """

    id: str
    label: str
    family: str = ""
    vendor: str = ""
    kind: str = "gpu"
    peaks: Mapping[str, float] = field(default_factory=dict)
    vector: float = 0.0
    bandwidth: float = 0.0
    memory: float = 0.0
    units: int = 0
    l2: float = 0.0
    link: float = 0.0
    domain: int = 1
    fabric: str = ""
    pair: float = 0.0
    network: float = 0.0
    watts: float = 0.0
    memory_kind: str = ""
    cap: float = 1.0
    factors: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def factor(self, kind: str) -> float:
        """What a user's calibration multiplies the time of this kind of kernel by; 1 without one."""
        return self.factors.get(kind, 1.0)

    def __hash__(self) -> int:
        return hash((self.id, self.label, self.bandwidth, self.memory))

    def rate(self, dtype: str) -> float:
        """Dense FLOP/s of a number format; UsageError where the device has no such engine."""
        name = dtype_name(dtype)
        for each in (name, *SAME_RATE.get(name, ())):
            if each in self.peaks:
                return self.peaks[each]
        raise UsageError(
            f"{self.label} has no {name} rate; it computes in {', '.join(self.peaks) or 'nothing that is known'}. "
            "Weights may still be stored in that format: pass it as the weight format and compute in another."
        )

    def has(self, dtype: str) -> bool:
        """Whether the device computes in this format."""
        name = dtype_name(dtype)
        return any(each in self.peaks for each in (name, *SAME_RATE.get(name, ())))


_MADE: Final[dict[tuple[str, str], Device]] = {}


def device_of(chip: Chip) -> Device:
    """A chip of the catalogue as a device; one part counts as one device, however many a framework shows for it.

    UsageError where the record lacks the bandwidth that any prediction needs.
    """
    if chip.origin != "catalogue":  # a user's file may have been written again
        return _made(chip)
    key = (chip.id, chip.origin)
    if key not in _MADE:
        _MADE[key] = _made(chip)
    return _MADE[key]


def _made(chip: Chip) -> Device:
    record = chip.record
    peaks = {name: float(k.value) for name in DTYPES if isinstance(k := chip.peak(name), Fact)}
    bandwidth = _number(chip.memory_bandwidth())
    notes = []
    if chip.kind == "cpu" and not peaks and not bandwidth:
        peaks, bandwidth = _reached(chip)
        notes.append(f"{chip.label} has no data sheet; its rates are those measured (`flopsight ceiling --save`).")
    if not bandwidth:
        raise UsageError(f"{chip.label} cannot be predicted: its record gives no memory bandwidth.")
    if not peaks:
        peaks = {
            n: float(k.value) for n in ("fp32", "bf16", "fp16") if isinstance(k := chip.peak(n, engine="vector"), Fact)
        }
        notes.append(
            f"{chip.label} has no matrix rate on record; "
            + ("its vector rate is used." if peaks else "compute is unknown.")
        )
    vector = next((_number(chip.peak(n, engine="vector")) for n in ("fp32", "bf16", "fp16")
                   if isinstance(chip.peak(n, engine="vector"), Fact)), 0.0)  # fmt: skip
    fabric, out = chip.fabric, record.links.scale_out
    if not isinstance(fabric, Fabric):
        notes.append(f"{chip.label} has no fast links on record; devices are joined over the host's.")
    return Device(
        id=chip.id, label=chip.label, family=record.architecture.family, vendor=chip.vendor, kind=chip.kind,
        peaks=peaks, vector=vector, bandwidth=bandwidth,
        memory=_number(chip.visible_bytes) or _number(chip.memory_bytes), units=record.units.count or 0,
        l2=float(record.on_chip.l2 or record.on_chip.llc or 0),
        link=_number(fabric.one_way) if isinstance(fabric, Fabric) else _host(chip),
        domain=(fabric.domain or 1) if isinstance(fabric, Fabric) else 8,
        fabric=_shape(fabric), pair=_number(fabric.pair) if isinstance(fabric, Fabric) else 0.0,
        network=float(out.one_way) if out else 0.0, watts=_number(chip.power),
        memory_kind=record.memory.type, cap=_cap(chip),
        notes=tuple(notes),
    )  # fmt: skip


def _reached(chip: Chip) -> tuple[dict[str, float], float]:
    """Measured rates and memory bandwidth, of a chip that has no others."""
    rates = {name: float(k.value) for name in DTYPES if isinstance(k := chip.peak(name, basis="measured"), Fact)}
    return rates, _number(chip.memory_bandwidth("measured"))


def _number(known: Known) -> float:
    return 0.0 if isinstance(known, Unknown) else float(known.value)


def _shape(fabric: Fabric | Unknown) -> str:
    """The kind of a fabric by the words of its record."""
    if isinstance(fabric, Unknown):
        return "bus"
    words = f"{fabric.topology} {fabric.name}".lower()
    if "torus" in words or "ring" in words or fabric.name == "ICI":
        return "torus"
    direct = ("full mesh", "bridge", "direct all-to-all")
    return "mesh" if any(word in words for word in direct) else "switch"


def _host(chip: Chip) -> float:
    host = chip.record.links.host
    return float(host.one_way) if host else 0.0


CAPPED: Final = 1.25
"""Beyond this factor a stated rate is capped, not computed at another clock."""


def _cap(chip: Chip) -> float:
    """How many times its stated bf16 rate a chip's units and clock would give; 1 where that is about what it states."""
    record = chip.record
    each, clock, stated = (
        record.flop_per_unit_per_clock.get("bf16"),
        record.clock.boost_max,
        record.peak.matrix.get("bf16"),
    )
    if not (each and clock and stated and record.units.count):
        return 1.0
    times = record.units.count * each * float(clock) / float(stated)
    return times if times > CAPPED else 1.0
