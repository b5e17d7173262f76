"""What one optimizer step trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from flopsight.errors import UsageError
from flopsight.plan import Plan
from flopsight.predict.optimizer import optimizer

GRADIENTS: Final = {"fp32": 4, "bf16": 2}


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step trains on.

    seq           tokens of a sequence
    global_batch  sequences a step, all replicas together
    micro_batch   sequences of one replica in one pass
    optimizer     by name; its states and traffic are in `optimizer`
    grads         format in which gradients are summed
    adapters      only small adapters are trained (LoRA): no gradients of the model's own weights
    fused         attention is a fused kernel that stores no scores; a framework without one overrules this
    """

    seq: int
    global_batch: int
    micro_batch: int = 1
    optimizer: str = "adam"
    grads: Literal["fp32", "bf16"] = "fp32"
    adapters: bool = False
    fused: bool = True

    def __post_init__(self) -> None:
        for name in ("seq", "global_batch", "micro_batch"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**40:
                raise UsageError(f"{name} is a whole number of at least 1; got {value!r}.")
        if self.grads not in GRADIENTS:
            raise UsageError(f"Gradients are summed in {' or '.join(GRADIENTS)}; got {self.grads!r}.")
        optimizer(self.optimizer)

    @property
    def gradient_bytes(self) -> int:
        """Bytes a parameter of its gradient."""
        return GRADIENTS[self.grads]

    @property
    def tokens(self) -> int:
        """Tokens a step."""
        return self.seq * self.global_batch

    def passes(self, plan: Plan) -> int:
        """Micro-batches of one replica; UsageError where the batch does not divide."""
        each = plan.dp * self.micro_batch
        if self.global_batch % each:
            near = max(1, round(self.global_batch / each)) * each
            raise UsageError(
                f"dp {plan.dp} x micro-batch {self.micro_batch} does not divide the global batch {self.global_batch}; "
                f"the nearest that it divides is {near}."
            )
        return self.global_batch // each
