"""Chips, nodes, links and processors: 99 accelerators, 59 links and 10 CPU families, each number with its source.

    catalog       chips(), find("h100-sxm"), node("8xH200"), match_driver("torch", "NVIDIA H100 80GB HBM3")
    chip          Chip, Node, Fabric: peak(dtype, basis="datasheet" | "clock" | "measured"), memory, links, power
    interconnect  links(), find_link("nvlink4")
    cpus          cpus(), find_cpu("epyc 9654"), match_cpu(vendor, family, model)
    detect        here(): what this machine has
    user          chip files of the user's own

The data files under `data/` are the source of truth; `compiled` keeps a fast copy of them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """This package, which is also the verb: flopsight.hardware("8xH100-SXM")."""

    def __call__(self, name: str | None = None, **options: Any) -> Any:
        """Call `flopsight.api.hardware`."""
        return import_module("flopsight.api").hardware(name, **options)


# `flopsight.hardware` is both this package and a verb; the api lies above this storey and is imported when called
sys.modules[__name__].__class__ = _CallableModule
