"""What all recurrent mixers share: a state of constant size, one form for a step and another for whole chunks."""

from __future__ import annotations

from dataclasses import dataclass

from flopsight.cost import Op
from flopsight.expr import Number, minimum
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class Forms:
    """Matrix FLOPs of one pass over a recurrence.

    step     token by token: linear in the tokens, so that a prefill equals the sum of its decode steps
    full     what a counter sees in the framework's own eager code, padding included
    chunked  what fused kernels do in training and prefill
    rebuilt  what the backward pass of those kernels computes again
    """

    step: Number
    full: Number
    chunked: Number
    rebuilt: Number = 0


def scan(name: str, work: Work, forms: Forms, moved: tuple[int, int], state: int) -> Op:
    """The op of a recurrence: required is the step form; a decode step also executes it.

    moved  values read and written a token
    state  values kept a sequence; read if there is a past, and written
    """
    decode = work.absorbed
    kept = work.sequences * state
    return Op(
        name, "matrix", forms.step, forms.step if decode else forms.full, forms.step if decode else forms.chunked,
        rebuilt=0 if decode else forms.rebuilt, core=True,
        reads=work.tokens * moved[0], writes=work.tokens * moved[1],
        cache_reads=kept * minimum(work.past, 1), cache_writes=kept,
    )  # fmt: skip
