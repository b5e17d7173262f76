"""Modules that run in several places with the same stored parameters (Zamba's shared blocks)."""

from __future__ import annotations

import torch


def shared_modules(model: torch.nn.Module) -> dict[str, str]:
    """Path of a module -> path of the first module of its class that holds the very same parameters.

    A checkpoint stores them under the first path, where a ledger has them too; what ran elsewhere belongs there.
    Modules without parameters, and containers of nothing but their own child, are left out.
    """
    first: dict[tuple[object, ...], str] = {}
    found: dict[str, str] = {}
    for path, module in model.named_modules():
        held = tuple(id(parameter) for parameter in module.parameters())
        if not held:
            continue
        earlier = first.setdefault((type(module), *held), path)
        if earlier != path and not path.startswith(f"{earlier}." if earlier else ""):
            found[path] = earlier
    return found
