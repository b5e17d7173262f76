"""How a specimen is run: one pass forward without gradients, or one training step."""

from __future__ import annotations

import torch
from torch import nn

from .specimen import Specimen


def ready(specimen: Specimen, *, training: bool) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The model in its mode, and what it is fed; the same weights and inputs every time."""
    torch.manual_seed(0)
    return specimen.build().train(training), specimen.inputs()


def forward(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    """One pass without gradients."""
    with torch.no_grad():
        model(*inputs)


def step(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    """One pass forward and one backward, from a loss over every output."""
    model(*inputs).float().pow(2).mean().backward()
