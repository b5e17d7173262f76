"""Count what a PyTorch program does: exact FLOPs and bytes by op, module and pass, and what could not be counted.

>>> import torch, flopsight.torch
>>> with flopsight.torch.counting() as c:
...     y = torch.nn.Linear(4, 8)(torch.zeros(2, 4))
>>> c.flops.required
128
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    from flopsight.errors import MissingCapability

    raise MissingCapability(
        "Counting a PyTorch program needs torch, which is not installed; pip install 'flopsight[torch]'."
    ) from error

from flopsight.torch.abstract import count_abstract
from flopsight.torch.counting import Counting, counting
from flopsight.torch.graph import count_graph
from flopsight.torch.registry import register
from flopsight.torch.shared import shared_modules

__all__ = ["Counting", "count_abstract", "count_graph", "counting", "register", "shared_modules"]
