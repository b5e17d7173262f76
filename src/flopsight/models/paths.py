"""From a module's path in a running program to its place in the ledger: "model.layers.7.mlp" -> "model.layers.*.mlp".

The tree of parts has the names of the framework's modules, so the join is by name. A part that is no module of its own
(an attention core, a residual addition) belongs to the module that it stands in.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from functools import lru_cache
from itertools import product

from flopsight.models.tree import Leaf, Model, leaves

WRAPPERS = frozenset({"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"})
"""Steps that compiled, distributed and checkpointed wrappers put into a path."""


def unwrapped(module: str) -> str:
    """A module's path without the steps that wrappers put in: "_orig_mod.model.norm" -> "model.norm"."""
    return ".".join(step for step in module.split(".") if step and step not in WRAPPERS)


def ancestors(path: str) -> list[str]:
    """A path and all above it, the deepest first, "" (the whole model) last."""
    steps = path.split(".") if path else []
    return [".".join(steps[:end]) for end in range(len(steps), -1, -1)]


def deepest(path: str, known: Container[str]) -> str:
    """The path itself if it is known, else the deepest known one above it; "" where none is."""
    return next((one for one in ancestors(path) if one in known), "")


@lru_cache(32)
def places(model: Model) -> Mapping[str, str]:
    """Every concrete path of the tree, branches too -> the ledger's path of it, with copies as `*` or spans.

    {"": "", "model.layers.0": "model.layers.*", "model.layers.0.mlp": "model.layers.*.mlp", ...}
    """
    found = {"": ""}
    for one in leaves(model.root):
        for concrete, path in _lines(one):
            found.setdefault(concrete, path)
    return found


def _lines(one: Leaf) -> Iterator[tuple[str, str]]:
    """A leaf and the branches above it, every copy."""
    steps = one.path.split(".")
    wide = [step for group in one.steps for step in ([group] if isinstance(group, tuple) else group.split("."))]
    for chosen in product(*(step if isinstance(step, tuple) else (step,) for step in wide)):
        names = [str(step) for step in chosen]
        for end in range(1, len(names) + 1):
            yield ".".join(names[:end]), ".".join(steps[:end])


def place(model: Model, module: str) -> str:
    """The ledger's path of a module: its own, else that of the deepest part or branch above it; "" for the model.

    >>> place(load("llama-3.1-8b"), "model.layers.7.self_attn.q_proj")  # doctest: +SKIP
    'model.layers.*.self_attn.q_proj'
    """
    known = places(model)
    return known[deepest(unwrapped(module), known)]
