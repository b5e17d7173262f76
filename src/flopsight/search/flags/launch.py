"""What a flag writer is given, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flopsight.plan import Formats, Plan


@dataclass(frozen=True, slots=True)
class Served:
    """A server to be launched.

    model      what the user calls it
    routed     whether it has experts
    quantized  whether its checkpoint is already stored in fewer bits
    plan       of one copy; `copies` of them
    formats    as asked; "" leaves a format to the checkpoint
    longest    tokens of a request and its answer
    sequences  requests that decode together in one attention replica
    chunk      most prompt tokens of a step
    fraction   of the memory that the server may take
    host       devices of one host
    """

    model: str
    routed: bool
    quantized: bool
    plan: Plan
    copies: int
    formats: Formats
    longest: int
    sequences: int
    chunk: int
    fraction: float
    host: int

    @property
    def hosts(self) -> int:
        """Hosts of one copy."""
        return -(-self.plan.devices // self.host)


@dataclass(frozen=True, slots=True)
class Trained:
    """A training run to be launched; products multiply in `compute`, `chunks` are the layers of each virtual stage."""

    model: str
    routed: bool
    plan: Plan
    compute: str
    seq: int
    global_batch: int
    micro_batch: int
    chunks: tuple[int, ...]
    host: int

    @property
    def passes(self) -> int:
        """Micro-batches of one replica in a step."""
        return self.global_batch // (self.plan.dp * self.micro_batch)


@dataclass(frozen=True, slots=True)
class Launch:
    """A command of a program.

    version   whose options these are
    command   one line of words, options in pairs
    file, text   a file that the command reads, "" for none
    notes     what the reader must know or fill in
    cannot    why there is no command, "" where there is one
    """

    program: str
    version: str
    command: tuple[str, ...] = ()
    file: str = ""
    text: str = ""
    notes: tuple[str, ...] = ()
    cannot: str = ""


class ServingWriter(Protocol):
    """A module that writes commands of a serving engine."""

    PROGRAM: str
    VERSION: str

    def cannot(self, plan: Plan, *, routed: bool) -> str:
        """Why it has no options for a layout; "" where it has."""
        ...

    def launch(self, served: Served) -> Launch:
        """The command."""
        ...


class TrainingWriter(Protocol):
    """A module that writes commands of a training program."""

    PROGRAM: str
    VERSION: str

    def launch(self, trained: Trained) -> Launch:
        """The command."""
        ...


def pair(option: str, value: object) -> str:
    """An option with its value, which stay on one line."""
    return f"{option} {value}"


def several(served: Served) -> tuple[str, ...]:
    """What to do with copies that one command does not start."""
    size = served.plan.devices
    if served.copies == 1:
        return ()
    return (f"Start it {served.copies} times, each on {size} device{'s' * (size > 1)} of its own, behind a balancer.",)


def checkpoint(served: Served) -> tuple[str, ...]:
    """Formats that a checkpoint has to bring."""
    wanted = served.formats.weights
    if not wanted or wanted in ("bf16", "fp16"):
        return ()
    return (f"Weights in {wanted}: serve a checkpoint of {served.model} that is stored so.",)
