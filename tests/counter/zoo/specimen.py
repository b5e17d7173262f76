"""One model of the zoo: how to build it, what to feed it, what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .truth import Truth


@dataclass(frozen=True)
class Specimen:
    """A tiny model with random weights and its closed form.

    build      the model; it takes tensors by position and returns one tensor
    inputs     what it is fed
    truth      FLOPs by hand
    executed   (forward, training) FLOPs of the kernels, where that is known: None elsewhere
    tolerance  by which share the count may part from the truth: 0 where the truth is the definition of the model,
               more where a scan could be written in several ways
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], tuple[torch.Tensor, ...]]
    truth: Truth
    executed: tuple[int, int] | None = None
    tolerance: float = 0.0


class Logits(nn.Module):
    """A transformers model as a function from tensors to its logits."""

    def __init__(self, model: nn.Module, *names: str, **more: Any) -> None:
        super().__init__()
        self.model = model
        self.names = names
        self.more = more

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self.model(**dict(zip(self.names, tensors, strict=True)), **self.more)[0]


def causal_lm(config: Any, attention: str, experts: str | None = None) -> Logits:
    """A decoder of this config with random weights."""
    from transformers import AutoModelForCausalLM

    config._attn_implementation = attention
    if experts:
        config._experts_implementation = experts
    torch.manual_seed(0)
    return Logits(AutoModelForCausalLM.from_config(config, attn_implementation=attention), "input_ids", use_cache=False)


def tokens(vocabulary: int, *shape: int) -> Callable[[], tuple[torch.Tensor, ...]]:
    """Random token ids."""

    def draw() -> tuple[torch.Tensor, ...]:
        return (torch.randint(vocabulary, shape, generator=torch.Generator().manual_seed(1)),)

    return draw


def noise(*shape: int) -> Callable[[], tuple[torch.Tensor, ...]]:
    """A random input that needs no gradient."""

    def draw() -> tuple[torch.Tensor, ...]:
        return (torch.randn(shape, generator=torch.Generator().manual_seed(1)),)

    return draw
