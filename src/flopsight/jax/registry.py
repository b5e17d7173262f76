"""The formulas by primitive, ours and the user's: `register` adds one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flopsight.counted import Bytes, Flops
from flopsight.errors import UsageError
from flopsight.jax.fact import Fact
from flopsight.jax.need import Need


@dataclass(frozen=True, slots=True)
class Call:
    """One equation of a jaxpr, as a formula sees it.

    eqn     the equation: `primitive`, `params`, `invars`, `outvars`
    facts   what is known of its operands
    need    which elements of its first result are read later
    note    says what was taken for granted
    """

    eqn: Any
    facts: Sequence[Fact]
    need: Need
    note: Callable[[str], None]

    def shape(self, position: int) -> tuple[int, ...]:
        """The shape of an operand."""
        return tuple(self.eqn.invars[position].aval.shape)

    @property
    def out(self) -> tuple[int, ...]:
        """The shape of the first result."""
        return tuple(self.eqn.outvars[0].aval.shape)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the primitive."""
        return self.eqn.params  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Uncountable:
    """What a formula returns where it cannot tell: why."""

    why: str


@dataclass(frozen=True, slots=True)
class Custom:
    """A user's formula.

    flops   returns matrix FLOPs or a Flops
    bytes   returns bytes moved or a Bytes, or None for the sum of the arrays
    """

    flops: Callable[..., int | Flops]
    bytes: Callable[..., int | Bytes] | None = None


Formula = Callable[[Call], Flops | Uncountable]
FORMULAS: Final[dict[str, Formula]] = {}
"""By the name of the primitive, "dot_general"."""
CUSTOM: Final[dict[str, Custom]] = {}


def formula(*names: str) -> Callable[[Formula], Formula]:
    """Make a function the formula of these primitives."""

    def keep(function: Formula) -> Formula:
        for name in names:
            if name in FORMULAS:
                raise UsageError(f"{name} has a formula already.")
            FORMULAS[name] = function
        return function

    return keep


def register(name: str, flops: Callable[..., int | Flops], *, bytes: Callable[..., int | Bytes] | None = None) -> None:
    """Give a kernel that flopsight cannot look into a formula; a second one for the same name replaces the first.

    name     of a Pallas kernel (`name=` of pallas_call), the target of `jax.ffi.ffi_call`, a jitted or custom_vjp
             function (its body is then not walked), or a primitive
    flops    called with the operands as `jax.ShapeDtypeStruct` and by name `out=` the results alike, one or a
             tuple, `grid=` of a Pallas kernel and the attributes of a foreign call; returns the required FLOPs, a
             multiply-add as two, or a `flopsight.counted.Flops`
    bytes    called alike; returns bytes moved, or a `flopsight.counted.Bytes`; by default each array once

    Raises UsageError for a name that is not text or a formula that cannot be called.
    """
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"A kernel is registered by its name, such as 'flash_attention'; got {name!r}.")
    for what in (flops, *(() if bytes is None else (bytes,))):
        if not callable(what):
            raise UsageError(f"The formula of {name} is a function of the kernel's operands; got {what!r}.")
    CUSTOM[name] = Custom(flops, bytes)


def as_flops(value: int | Flops) -> Flops:
    """A formula's answer: a plain number is required, full square and executed at once."""
    return value if isinstance(value, Flops) else same(value)


def same(flops: Any) -> Flops:
    """Work that is the same in every column."""
    whole = int(flops)
    return Flops(whole, whole, whole)
