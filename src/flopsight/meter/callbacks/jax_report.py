"""What steps of a JAX loop amount to, on the devices they ran on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax

from flopsight.counted import Counted
from flopsight.facts import Unknown
from flopsight.meter.callbacks.in_flight import Flight
from flopsight.meter.peaks import Roofs, roofs_named
from flopsight.meter.report import MeterReport
from flopsight.meter.work import Work, floor_of


@dataclass(slots=True)
class Place:
    """Where a loop runs.

    on        the chip whose peak divides, if it was named
    devices   that the arguments of a step lie on together
    trains    whether a gradient was among what was counted
    """

    on: str | None
    devices: int = 1
    trains: bool = False
    _device: Any = None

    def see(self, leaves: Sequence[Any]) -> None:
        """Look at a call's arguments."""
        for leaf in leaves:
            if isinstance(leaf, jax.Array):
                found = leaf.sharding.device_set
                self.devices = max(self.devices, len(found))
                self._device = self._device or next(iter(found))

    @property
    def device(self) -> Any:
        """One of the devices."""
        return self._device or jax.devices()[0]

    def roofs(self, dtype: str) -> Roofs | Unknown:
        """Of one device."""
        platform = self.device.platform
        name = "cpu" if platform == "cpu" else self.device.device_kind
        return roofs_named("jax" if platform == "tpu" else "torch", name, dtype, self.on)  # GPUs by one name in both

    def with_floor(self, work: Work, counted: Counted) -> Work:
        """The work, with the seconds that its ops take at least on one device."""
        roofs = self.roofs(work.dtype)
        if isinstance(roofs, Unknown):
            return work
        return replace(work, floor=floor_of(counted, roofs.flops, roofs.bandwidth))


def report_of(flights: Sequence[Flight], place: Place, called: int, notes: Sequence[str]) -> MeterReport:
    """Over the ordinary of these steps; FLOPs are the whole program's, and so are the peaks."""
    ordinary = [flight for flight in flights if not flight.odd]
    works = [flight.work for flight in ordinary]
    seconds, steps = sum(flight.seconds for flight in ordinary), len(ordinary)
    dtype = next((work.dtype for work in reversed(works)), "")
    roofs = place.roofs(dtype) if dtype else Unknown("nothing was counted yet")
    peak = roofs.flops * place.devices if isinstance(roofs, Roofs) else 0.0
    bandwidth = roofs.bandwidth * place.devices if isinstance(roofs, Roofs) else 0.0
    required, executed = sum(w.flops.required for w in works), sum(w.flops.executed for w in works)
    tokens = [flight.tokens for flight in ordinary if flight.tokens is not None]
    floors = [work.floor for work in works if work.floor is not None]
    return MeterReport(
        phase="training" if place.trains else "inference", dtype=dtype, device=_name(place, roofs), peak=_peak(roofs),
        steps=called, ordinary=steps, odd=dict(Counter(flight.odd for flight in flights if flight.odd)),
        step_seconds=seconds / steps if steps else None,
        tokens_per_second=sum(tokens) / seconds if seconds and len(tokens) == steps else None,
        flops=required / steps if steps else None, executed=executed / steps if steps else None,
        full_square=sum(w.flops.full_square for w in works) / steps if steps else None,
        mfu=_share(required, seconds * peak), hfu=_share(executed, seconds * peak),
        mbu=_share(sum(w.products for w in works), seconds * bandwidth),
        attainable=_share(sum(floors), seconds * place.devices) if len(floors) == steps else None,
        uncounted=sorted({op for w in works for op in w.uncounted}),
        notes=[*dict.fromkeys(note for w in works for note in w.notes), *notes],
    )  # fmt: skip


def _name(place: Place, roofs: Roofs | Unknown) -> str:
    name = roofs.device if isinstance(roofs, Roofs) else str(place.device.device_kind)
    return name if place.devices == 1 else f"{place.devices} x {name}"


def _peak(roofs: Roofs | Unknown) -> str:
    return f"{roofs.flops / 1e12:,.4g} TFLOP/s ({roofs.source})" if isinstance(roofs, Roofs) else roofs.why


def _share(amount: float, of: float) -> float | None:
    return amount / of if amount and of else None
