"""The formulas by op name, ours and the user's: `register` adds one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from flopsight.counted import Bytes, Flops
from flopsight.errors import UsageError
from flopsight.torch.call import Call


@dataclass(frozen=True, slots=True)
class Uncountable:
    """What a formula returns where it cannot tell: why."""

    why: str


@dataclass(frozen=True, slots=True)
class Assumed:
    """What a formula returns that had to take something for granted: what."""

    flops: Flops
    note: str

    @classmethod
    def if_any(cls, flops: Flops, note: str) -> Flops | Assumed:
        """The plain FLOPs where nothing was assumed."""
        return cls(flops, note) if note else flops


Answer = Flops | Assumed | Uncountable
Formula = Callable[[Call], Answer]
FormulaT = TypeVar("FormulaT", bound=Callable[[Call], Any])


@dataclass(frozen=True, slots=True)
class Custom:
    """A user's formula.

    flops   called with the op's own arguments and `out`; returns matrix FLOPs or a Flops
    bytes   the same for bytes read and written, or None for the sum of the tensors
    """

    flops: Callable[..., int | Flops]
    bytes: Callable[..., int | Bytes] | None = None


FORMULAS: Final[dict[str, Formula]] = {}
"""By schema name, "aten::mm"."""
CUSTOM: Final[dict[str, Custom]] = {}


def formula(*names: str) -> Callable[[FormulaT], FormulaT]:
    """Make a function the formula of these ops."""

    def keep(function: FormulaT) -> FormulaT:
        for name in names:
            if name in FORMULAS:
                raise UsageError(f"{name} has a formula already.")
            FORMULAS[name] = function
        return function

    return keep


def register(name: str, flops: Callable[..., int | Flops], *, bytes: Callable[..., int | Bytes] | None = None) -> None:
    """Give an op or kernel that flopsight does not know a formula; a second one for the same name replaces the first.

    name     "mylib::attention" as in torch.library, or the name of a Triton kernel's function
    flops    called with the arguments of the op and `out=` its result (a Triton kernel: the kernel's arguments by
             name, and `grid=`); returns the required FLOPs, a multiply-add as two, or a `flopsight.counted.Flops`
    bytes    called alike; returns bytes moved, or a `flopsight.counted.Bytes`; by default each tensor once

    Raises UsageError for a name that is not text or a formula that cannot be called.
    """
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"An op is registered by its name, such as 'mylib::attention'; got {name!r}.")
    for what in (flops, *(() if bytes is None else (bytes,))):
        if not callable(what):
            raise UsageError(f"The formula of {name} is a function of the op's arguments; got {what!r}.")
    CUSTOM[name] = Custom(flops, bytes)


def as_flops(value: int | Flops) -> Flops:
    """A formula's answer: a plain number is required, full square and executed at once."""
    return value if isinstance(value, Flops) else Flops(int(value), int(value), int(value))


def same(flops: Any) -> Flops:
    """Work that is the same in every column."""
    whole = int(flops)
    return Flops(whole, whole, whole)
