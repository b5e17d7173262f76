"""The processes that torchrun started: which one this is, and a group of them that does not wait for ever."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from flopsight.errors import MissingCapability, UsageError
from flopsight.stopwatch import torch_module

BACKENDS: Final = {"cpu": "gloo", "cuda": "nccl", "xpu": "xccl"}
PATIENCE: Final = 60.0
"""Seconds that a process waits for the others before it gives up."""
_NEEDED: Final = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class World:
    """This process's number, how many there are, and its number on this machine."""

    rank: int
    size: int
    local: int


def world(env: Mapping[str, str] = os.environ) -> World | None:
    """What torchrun says in the environment; None for a process on its own, UsageError for half of it."""
    if "WORLD_SIZE" not in env or env["WORLD_SIZE"] == "1":
        return None
    missing = [name for name in _NEEDED if not env.get(name)]
    if missing:
        raise UsageError(
            f"WORLD_SIZE is set and {' and '.join(missing)} not: start with `torchrun`, or unset WORLD_SIZE."
        )
    rank, size = _whole(env, "RANK"), _whole(env, "WORLD_SIZE")
    if not 0 <= rank < size:
        raise UsageError(f"Expected RANK below WORLD_SIZE and read RANK={rank}, WORLD_SIZE={size}.")
    return World(rank, size, _whole(env, "LOCAL_RANK") if env.get("LOCAL_RANK") else 0)


def _whole(env: Mapping[str, str], name: str) -> int:
    if not env[name].isdecimal():
        raise UsageError(f"Expected a whole number in {name} and read {env[name][:40]!r}.")
    return int(env[name])


@contextmanager
def joined(kind: str, patience: float = PATIENCE) -> Iterator[Any]:
    """`torch.distributed` with all processes in one group for devices of this kind.

    MissingCapability where a process does not answer within `patience` seconds, or torch has no way between them.
    """
    torch = torch_module()
    dist = torch.distributed
    if not dist.is_available() or kind not in BACKENDS:
        raise MissingCapability(f"torch has no collectives for {kind} devices here; pass --device cpu or cuda.")
    try:
        dist.init_process_group(BACKENDS[kind], timeout=timedelta(seconds=patience))
        yield dist
    except (RuntimeError, ValueError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise MissingCapability(
            f"The processes could not talk to each other: {said}. One of them may have died; the first error says more."
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
