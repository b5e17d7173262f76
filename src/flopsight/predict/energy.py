"""Joules and dollars of a prediction: modelled from watts, utilization and prices on record, never measured here.

A device draws, as a share of its limit,

    min(1, awake + e·(1 - exp(-s·C)) + m·M)    while it runs kernels
    idle                                       while it runs none

C and M are its shares of peak FLOP/s and of bandwidth. awake, e, s and m come from kernels of one card whose power was
recorded (predict/data/energy.json, with the error of kinds of kernel left out); idle from two others. Host, network and
cooling are not in it.
"""

from __future__ import annotations

from math import e
from typing import Any, Final

from flopsight.errors import UsageError
from flopsight.expr import Number, minimum
from flopsight.facts import Fact, Unknown
from flopsight.hardware.chip import Chip
from flopsight.predict.device import Device
from flopsight.predict.interval import Interval, lognormal
from flopsight.predict.kernels.roofline import coefficients

HOUR: Final = 3600.0
MILLION: Final = 1e6


def drawn(awake: float, engine: float, steep: float, memory_part: float, compute: Number, memory: Number) -> Number:
    """Share of the power limit while kernels run that reach these shares of peak FLOP/s and of bandwidth."""
    whole = awake + engine * (1 - e ** -(steep * compute)) + memory_part * memory
    return min(1.0, whole) if isinstance(whole, float) else minimum(whole, 1.0)


def energy(device: Device, seconds: float, compute: float, memory: float, *, busy: float = 1.0) -> Fact | Unknown:
    """Joules of one device over a step.

    compute, memory   shares of peak FLOP/s and of bandwidth over the whole step (HFU and MBU), 0 to 1
    busy              share of the step in which kernels run; the rest is idle
    seconds · watts · (busy · drawn(shares while busy) + (1 - busy) · idle); Unknown where no power limit is on record.
    """
    if not device.watts:
        return Unknown(f"no power limit of {device.label} is on record, so its energy cannot be modelled")
    if seconds < 0 or not 0 <= compute <= 1 or not 0 <= memory <= 1 or not 0 < busy <= 1:
        raise UsageError(
            "Energy needs seconds of at least 0 and shares from 0 to 1; "
            f"got {seconds!r} s, compute {compute!r}, memory {memory!r}, busy {busy!r}."
        )
    data = coefficients("energy")
    share = busy * drawn(
        data["awake"], data["engine"], data["steep"], data["memory"], min(1.0, compute / busy), min(1.0, memory / busy)
    )
    joules = seconds * device.watts * (share + (1 - busy) * data["idle"]["share"])
    return Fact(joules, "J", "modelled", data["source"], note=_note(device))


def _note(device: Device) -> str:
    here = "recorded on this chip" if device.id == "nvidia-b200-sxm" else "recorded on B200, scaled by the power limit"
    return f"device only, without host, network and cooling; {here}"


def energy_interval(
    device: Device, seconds: float, compute: float, memory: float, *, busy: float = 1.0
) -> Interval | None:
    """The same with its band, cut at what idles and at the limit; None where it is not known."""
    found = energy(device, seconds, compute, memory, busy=busy)
    if isinstance(found, Unknown):
        return None
    data: dict[str, Any] = coefficients("energy")
    band = lognormal(float(found.value), data["spread"], basis=found.note)
    most = max(seconds * device.watts, band.value)
    least = min(seconds * device.watts * data["idle"]["share"], band.value)
    return Interval(max(band.low, least), band.value, min(band.high, most), band.level, band.basis)


def dollars(chip: Chip, seconds: float, count: int = 1) -> Interval | Unknown:
    """Dollars of so many chips for so long: from the lowest to the highest price on record.

    The value is a published median where there is one, else the geometric mean of both ends. Prices are dated and of
    different kinds, so the band is a range and no share of anything. Unknown where no price is on record.
    """
    if seconds < 0 or count < 1:
        raise UsageError(
            f"A price needs seconds of at least 0 and one chip or more; got {seconds!r} s, {count!r} chips."
        )
    prices = chip.record.price
    if not prices:
        return Unknown(f"no price of {chip.label} is on record; pass one")
    low, high = float(min(p.low for p in prices)), float(max(p.high for p in prices))
    middle = next((float(p.low) for p in prices if p.basis.startswith("median")), (low * high) ** 0.5)
    basis = "; ".join(f"{p.basis}, {p.date} ({p.source.ref})" for p in prices)
    return Interval(low, min(max(middle, low), high), high, basis=f"range of prices: {basis}") * (
        seconds / HOUR * count
    )


def dollars_per_million(chip: Chip, tokens_per_s: float, count: int = 1) -> Interval | Unknown:
    """Dollars for a million tokens at a rate of all `count` chips together: price · count / 3600 / rate · 10^6."""
    if tokens_per_s <= 0:
        raise UsageError(f"A price of tokens needs a rate above 0; got {tokens_per_s!r} tokens/s.")
    return dollars(chip, MILLION / tokens_per_s, count)
