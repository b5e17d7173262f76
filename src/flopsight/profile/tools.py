"""Profilers that can be started, and the flags that give a reading what it needs.

Sources: the command-line pages of Nsight Systems, Nsight Compute, rocprofv3 and perf-stat(1).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import msgspec

from flopsight.errors import UsageError

VARIABLE: Final = "FLOPSIGHT_PROFILE"
"""Holds the options of torch.profiler as JSON; its presence switches it on."""
NAMES: Final = ("torch", "nsys", "ncu", "rocprofv3", "perf")


@dataclass(frozen=True, slots=True)
class Recording:
    """What is recorded.

    folder   where the files go
    skip     steps that are passed over first
    steps    steps that are recorded
    whole    record everything from the first import of torch to the end
    """

    folder: str
    skip: int = 3
    steps: int = 3
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """A command to start, in an environment, and the commands that make its result readable."""

    argv: list[str]
    environment: dict[str, str]
    after: list[list[str]] = field(default_factory=list)


class Tool(Protocol):
    """One profiler."""

    @property
    def name(self) -> str:
        """As the user writes it."""
        ...

    def there(self) -> bool:
        """Whether it can be started here."""
        ...

    def run(self, command: Sequence[str], recording: Recording, environment: Mapping[str, str]) -> Run:
        """How to start a command under it."""
        ...


@dataclass(frozen=True, slots=True)
class Torch:
    """torch.profiler, put into every Python that the command starts."""

    name: str = "torch"

    def there(self) -> bool:
        """It comes with torch, which the program brings."""
        return True

    def run(self, command: Sequence[str], recording: Recording, environment: Mapping[str, str]) -> Run:
        """The command itself, with our start-up folder first in PYTHONPATH."""
        from flopsight.meter.run.launch import with_site

        options = msgspec.json.encode(recording).decode()
        return Run(list(command), {**with_site(environment), VARIABLE: options})


@dataclass(frozen=True, slots=True)
class Nsys:
    """Nsight Systems: kernels, calls, NVTX ranges and graph nodes on one clock."""

    name: str = "nsys"

    def there(self) -> bool:
        """On the path."""
        return shutil.which("nsys") is not None

    def run(self, command: Sequence[str], recording: Recording, environment: Mapping[str, str]) -> Run:
        """Profile, then export to SQLite."""
        report = str(Path(recording.folder) / "profile")
        flags = ["--trace=cuda,nvtx,cublas,cudnn", "--cuda-graph-trace=node", "--sample=none", "--cpuctxsw=none",
                 "--force-overwrite=true", f"--output={report}"]  # fmt: skip
        export = ["nsys", "export", "--type=sqlite", "--force-overwrite=true", f"--output={report}.sqlite",
                  f"{report}.nsys-rep"]  # fmt: skip
        return Run(["nsys", "profile", *flags, *command], dict(environment), [export])


@dataclass(frozen=True, slots=True)
class Ncu:
    """Nsight Compute: hardware counters of each kernel, every kernel run several times."""

    name: str = "ncu"

    def there(self) -> bool:
        """On the path."""
        return shutil.which("ncu") is not None

    def run(self, command: Sequence[str], recording: Recording, environment: Mapping[str, str]) -> Run:
        """Raw counters as CSV in base units."""
        out = str(Path(recording.folder) / "counters.csv")
        flags = ["--csv", "--page=raw", "--print-units=base", "--target-processes=all", f"--log-file={out}",
                 f"--metrics={','.join(NCU_METRICS)}"]  # fmt: skip
        return Run(["ncu", *flags, *command], dict(environment))


@dataclass(frozen=True, slots=True)
class Rocprof:
    """rocprofv3: kernels, copies, HIP calls and markers."""

    name: str = "rocprofv3"

    def there(self) -> bool:
        """On the path."""
        return shutil.which("rocprofv3") is not None

    def run(self, command: Sequence[str], recording: Recording, environment: Mapping[str, str]) -> Run:
        """Traces as CSV."""
        flags = ["--kernel-trace", "--memory-copy-trace", "--hip-runtime-trace", "--marker-trace",
                 "--output-format", "csv", "-d", recording.folder, "--"]  # fmt: skip
        return Run(["rocprofv3", *flags, *command], dict(environment))


@dataclass(frozen=True, slots=True)
class Perf:
    """perf stat: the processor's own counters over the whole run."""

    name: str = "perf"

    def there(self) -> bool:
        """On the path."""
        return shutil.which("perf") is not None

    def run(self, command: Sequence[str], recording: Recording, environment: Mapping[str, str]) -> Run:
        """Counters as JSON lines; events that this processor lacks come back as not supported."""
        out = str(Path(recording.folder) / "perf.jsonl")
        events = [flag for event in PERF_EVENTS for flag in ("-e", event)]
        return Run(["perf", "stat", "-j", "-o", out, *events, "--", *command], dict(environment))


NCU_METRICS: Final = (
    "gpu__time_duration.sum", "sm__cycles_elapsed.avg.per_second", "dram__bytes_read.sum", "dram__bytes_write.sum",
    "lts__t_bytes.sum", "sm__throughput.avg.pct_of_peak_sustained_elapsed", "regex:sm__ops_path_tensor_.*\\.sum$",
    "sm__inst_executed_pipe_tensor.sum", "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed",
    *(f"smsp__sass_thread_inst_executed_op_{op}_pred_on.sum"
      for op in ("fadd", "fmul", "ffma", "hadd", "hmul", "hfma", "dadd", "dmul", "dfma")),
)  # fmt: skip
PERF_EVENTS: Final = (
    "task-clock", "cycles", "instructions", "page-faults", "context-switches",
    *(f"fp_arith_inst_retired.{width}" for width in (
        "scalar_single", "scalar_double", "128b_packed_single", "128b_packed_double", "256b_packed_single",
        "256b_packed_double", "512b_packed_single", "512b_packed_double")),
    "fp_ret_sse_avx_ops.all", "exe.amx_busy",
)  # fmt: skip
TOOLS: Final[tuple[Tool, ...]] = (Torch(), Nsys(), Ncu(), Rocprof(), Perf())


def tool(name: str, command: Sequence[str]) -> Tool:
    """The profiler of this name; "auto" takes torch.profiler for Python, else the first that is there.

    Raises UsageError for a name that nobody has, or where nothing can be started.
    """
    if name != "auto":
        found = next((one for one in TOOLS if one.name == name), None)
        if found is None:
            raise UsageError(f"Profilers are auto, {', '.join(NAMES)}; got {name!r}.")
        if not found.there():
            raise UsageError(f"{name} is not on the path here; install it, or take --with torch.")
        return found
    program = os.path.basename(command[0])
    if program.endswith(".py") or program.startswith(
        ("python", "torchrun", "accelerate", os.path.basename(sys.executable))
    ):
        return TOOLS[0]
    other = next((one for one in TOOLS[1:] if one.there()), None)
    if other is None:
        raise UsageError(f"{program!r} is no Python program, and none of {', '.join(NAMES[1:])} is on the path here.")
    return other
