"""`counting()`: the context in which everything that PyTorch runs is counted."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from flopsight.counted import Amount, Bytes, Counted, Flops, Row, Uncounted
from flopsight.torch import higher_order, kernels, sharded
from flopsight.torch.mode import CountingMode
from flopsight.torch.passes import Passes


class Counting:
    """What has been counted so far; the same questions as `flopsight.counted.Counted`, at any time."""

    def __init__(self, mode: CountingMode) -> None:
        self._mode = mode

    @property
    def counted(self) -> Counted:
        """A frozen copy of the present state."""
        return self._mode.counted()

    @property
    def flops(self) -> Flops:
        """Matrix FLOPs: required, full_square, executed."""
        return self.counted.flops

    @property
    def elementwise(self) -> int:
        """Vector FLOPs."""
        return self.counted.elementwise

    @property
    def bytes(self) -> Bytes:
        """Bytes that ops read and wrote, each tensor once an op."""
        return self.counted.bytes

    @property
    def rows(self) -> tuple[Row, ...]:
        """By module, op, pass and number format."""
        return self.counted.rows

    @property
    def uncounted(self) -> tuple[Uncounted, ...]:
        """The ops that no formula covers."""
        return self.counted.uncounted

    @property
    def notes(self) -> tuple[str, ...]:
        """What was taken for granted."""
        return self.counted.notes

    def by_op(self) -> dict[str, Amount]:
        """Amounts by op, the most executed FLOPs first."""
        return self.counted.by_op()

    def by_module(self, depth: int | None = None) -> dict[str, Amount]:
        """Amounts by module path, cut to `depth` names."""
        return self.counted.by_module(depth)

    def __repr__(self) -> str:
        flops, missing = self.flops, self.uncounted
        text = (
            f"{flops.required:,} FLOPs required, {flops.full_square:,} with full squares, {flops.executed:,} executed"
        )
        if missing:
            text += f"; not counted: {', '.join(sorted({m.op for m in missing}))}"
        return text


@contextmanager
def counting(model: torch.nn.Module | None = None) -> Iterator[Counting]:
    """Count every op that runs inside.

        with flopsight.torch.counting() as c:
            model(x).sum().backward()
        c.flops.required, c.by_module(2), c.uncounted

    model   where module paths start; by default at the first module that is called

    Compiled functions and modules run eagerly inside, and are compiled as usual when they are called afterwards.
    Values, gradients and random numbers are those of the same program outside.
    """
    with watching(CountingMode(Passes(model))) as counted:
        yield counted


@contextmanager
def watching(mode: CountingMode) -> Iterator[Counting]:
    """A given mode, entered."""
    with surroundings(mode), mode:
        yield Counting(mode)


@contextmanager
def surroundings(mode: CountingMode) -> Iterator[None]:
    """Everything that counting needs around a mode."""
    with (
        torch.compiler.set_stance("force_eager"), _quiet(), mode.passes, higher_order.plainly(),
        kernels.watched(mode), sharded.shapes_unseen(),
    ):  # fmt: skip
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warning that hooks on all modules fire twice around a compiled module: it is run eagerly here."""
    before = list(warnings.filters)
    warnings.filterwarnings("ignore", message=r"Using `torch\.compile\(module\)` when there are global hooks")
    mine = next((entry for entry in warnings.filters if entry not in before), None)
    try:
        yield
    finally:
        if mine in warnings.filters:
            warnings.filters.remove(mine)  # type: ignore[attr-defined]
