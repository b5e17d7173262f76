"""`Trace`: one file's measurements, in columns, with what could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from flopsight.trace.columns import Host, Ints, Kernels


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the file.

    id          as the file counts it
    name        exactly what its driver reports; "" where the file does not say
    vendor      "nvidia", "amd", "intel", "google", "cpu"; "" where it cannot be told
    units       SMs, CUs or cores; None where not said
    memory      bytes
    capability  "9.0", "gfx942"; "" where not said
    properties  anything else that a formula may need (max_clock_hz, xcds, slice "1g.10gb" ...)
    """

    id: int
    name: str = ""
    vendor: str = ""
    units: int | None = None
    memory: int | None = None
    capability: str = ""
    properties: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Signature:
    """What an op was called with: [] for an argument that is no tensor.

    dims      sizes of each argument; a list of tensors is a tuple of tuples
    types     dtype of each argument as the framework writes it ("c10::BFloat16", "float", "Scalar", "")
    values    text of each plain argument ("False", "[1, 1]", "")
    strides   as dims; () where not recorded
    """

    dims: tuple[Any, ...]
    types: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    strides: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Collective:
    """What a collective moved, as the library recorded it.

    kind      "allreduce", "all_gather", ... as written, lower-case
    sent, received  elements that go in and come out on this rank; None where not said
    dtype     as written
    ranks     in the group; None where not said
    group     its name
    """

    kind: str
    sent: int | None = None
    received: int | None = None
    dtype: str = ""
    ranks: int | None = None
    group: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A hardware counter by kernel: values[i] belongs to row i of Trace.kernels; NaN where it was not collected.

    name   exactly as the tool writes it
    unit   of the values as they are here, base units where the tool scaled them ("byte", "ns", "%", "inst", "")
    """

    name: str
    unit: str
    values: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A counter over time, or once over a whole run.

    name    exactly as the source writes it
    unit    of the values
    labels  device, model, host, slice ... as written
    times   ns, the end of each value's interval; a single -1 for a value over the whole run
    values  NaN where the source says that it has none; `why` then says what it said
    """

    name: str
    unit: str
    times: Ints
    values: npt.NDArray[np.float64]
    labels: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """Something in the file that is not in the trace: what, how many, and why."""

    what: str
    count: int
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Everything read from one file (or one rank's files).

    source       path as given, and the member of an archive after "!"
    format       name of the reader, "kineto"
    timeline     whether starts are times on one clock; False where a tool only gives durations (then no idle time)
    names        texts that `name` columns point to
    threads      "pid/tid" texts that Host.thread points to
    rank, world  of the job; None where not said
    marks        {name: value} of the file itself: versions, flags, what the program says of itself
    notes        sentences a reader of the report must see (counters multiplexed, clocks locked ...)
    unread       what was left out
    """

    source: str
    format: str
    devices: tuple[Device, ...] = ()
    names: tuple[str, ...] = ()
    kernels: Kernels = field(default_factory=lambda: Kernels.of(start=()))
    host: Host = field(default_factory=lambda: Host.of(start=()))
    threads: tuple[str, ...] = ()
    signatures: tuple[Signature, ...] = ()
    collectives: tuple[Collective, ...] = ()
    metrics: tuple[Metric, ...] = ()
    series: tuple[Series, ...] = ()
    timeline: bool = True
    rank: int | None = None
    world: int | None = None
    marks: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unread: tuple[Unread, ...] = ()

    def metric(self, name: str) -> Metric | None:
        """The counter of exactly this name; None where the file has none."""
        return next((m for m in self.metrics if m.name == name), None)


class Names(dict[str, int]):
    """Gives every text a number, in the order in which they are met."""

    def __missing__(self, text: str) -> int:
        self[text] = number = len(self)
        return number

    def of(self, texts: Iterable[str]) -> npt.NDArray[np.int32]:
        """Numbers of many texts."""
        return np.fromiter(map(self.__getitem__, texts), np.int32)

    def texts(self) -> tuple[str, ...]:
        """All texts, by number."""
        return tuple(self)
