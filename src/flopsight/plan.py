"""How a model is laid over devices, and in which number formats: the user's words for a run."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from importlib import import_module
from types import ModuleType
from typing import Any, Final, Literal

from flopsight.dtypes import dtype as number_format
from flopsight.errors import UsageError

Schedule = Literal["1f1b", "gpipe", "interleaved", "zero_bubble"]
SCHEDULES: Final = ("1f1b", "gpipe", "interleaved", "zero_bubble")
RECOMPUTES: Final = ("none", "selective", "full")


@dataclass(frozen=True, slots=True)
class Formats:
    """Number formats of a run; "" leaves it to the checkpoint and the device (`predict.formats.resolve`).

    compute    what dense matrix products multiply in
    weights    what dense matrices are stored in; embeddings, norms and routers stay in 16 bits
    experts    what routed experts are stored in
    experts_compute  what routed experts multiply in
    cache      keys, values and states
    attention  what the core of attention multiplies in
    head     what the output head is stored in, where it is quantized too
    """

    compute: str = ""
    weights: str = ""
    experts: str = ""
    experts_compute: str = ""
    cache: str = ""
    attention: str = ""
    head: str = ""

    def __post_init__(self) -> None:
        for name in (
            self.compute, self.weights, self.experts, self.experts_compute, self.cache, self.attention, self.head
        ):  # fmt: skip
            if name:
                number_format(name)


@dataclass(frozen=True, slots=True)
class Plan:
    """A layout: how many devices share what.

    tp, cp, pp, dp   tensor, context, pipeline and data parallel; devices = tp·cp·pp·dp
    ep    devices that share the experts of a layer, out of tp·cp·dp; 1 shards experts as `tp` does
    etp   devices that share one expert's matrices; 0 is tp where ep is 1, else 1
    vp    virtual stages a pipeline rank holds (interleaving)
    zero  0 nothing, 1 optimizer state, 2 and gradients, 3 and parameters sharded over dp
    hsdp  data-parallel replicas among which nothing is sharded: zero shards over dp / hsdp
    sequence_parallel   norms and residuals sharded over tp; the all-reduce becomes two halves
    recompute           what activation checkpointing runs again
    schedule            of the pipeline
    """

    tp: int = 1
    cp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    etp: int = 0
    vp: int = 1
    zero: int = 0
    hsdp: int = 1
    sequence_parallel: bool = False
    recompute: Literal["none", "selective", "full"] = "none"
    schedule: Schedule = "1f1b"

    def __post_init__(self) -> None:
        for name in ("tp", "cp", "pp", "dp", "ep", "vp", "hsdp"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**6:
                raise UsageError(f"{name} is a whole number of at least 1; got {value!r}.")
        if self.zero not in (0, 1, 2, 3):
            raise UsageError(f"zero is 0, 1, 2 or 3; got {self.zero!r}.")
        if self.recompute not in RECOMPUTES or self.schedule not in SCHEDULES:
            raise UsageError(
                f"recompute is one of {', '.join(RECOMPUTES)} and schedule one of {', '.join(SCHEDULES)}; "
                f"got {self.recompute!r} and {self.schedule!r}."
            )
        if (self.tp * self.cp * self.dp) % (self.ep * self.expert_tp):
            raise UsageError(
                f"ep {self.ep} x etp {self.expert_tp} does not divide tp {self.tp} x cp {self.cp} x dp {self.dp}."
            )
        if self.dp % self.hsdp:
            raise UsageError(f"hsdp {self.hsdp} does not divide dp {self.dp}.")

    @property
    def devices(self) -> int:
        """tp·cp·pp·dp."""
        return self.tp * self.cp * self.pp * self.dp

    @property
    def expert_tp(self) -> int:
        """Devices that share one expert's matrices."""
        if self.etp:
            return self.etp
        return self.tp if self.ep == 1 else 1

    @property
    def expert_shards(self) -> int:
        """Devices over which one layer's experts are spread."""
        return self.ep * self.expert_tp

    def with_(self, **changes: object) -> Plan:
        """A copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def __str__(self) -> str:
        parts = [
            f"{name}{value}" for name in ("tp", "cp", "pp", "dp", "ep", "vp") if (value := getattr(self, name)) > 1
        ]
        if self.etp and self.etp != self.tp:
            parts.append(f"etp{self.etp}")
        if self.zero:
            parts.append(f"zero{self.zero}")
        return " ".join(parts) or "one device"


class _CallableModule(ModuleType):
    """This module, which is also the verb: flopsight.plan("llama-3.1-70b", on="8xH100-SXM", isl=4000, osl=500)."""

    def __call__(self, model: Any, **options: Any) -> Any:
        """Call `flopsight.api.plan`."""
        return import_module("flopsight.api").plan(model, **options)


# `flopsight.plan` is both this module and a verb; the api lies above this storey and is imported when called
sys.modules[__name__].__class__ = _CallableModule
