"""torchtitan: a Meter on its Trainer's model part, values in its own logger.

    trainer = config.build()
    meter = metered(trainer)
    trainer.train()

Written against torchtitan 0.3, whose Trainer has `model_parts`, `optimizers` (a container that is itself an optimizer),
`metrics_processor.logger` and `step`.
"""

from __future__ import annotations

from typing import Any

from flopsight.errors import UsageError
from flopsight.meter.meter import Meter
from flopsight.meter.sinks.loggers import numbers
from flopsight.meter.sinks.sink import Values


def metered(trainer: Any, *, on: str | None = None, every: int = 10, log: Any = None) -> Meter:
    """A Meter on a torchtitan Trainer; call it before `trainer.train()`.

    on, every   as of flopsight.Meter
    log         further places for values, as of flopsight.Meter

    Values go to the loggers that torchtitan has, with its own step. Microbatches of a step are one step. torchtitan's
    own `mfu(%)` has full score squares; ours is of what causal attention requires. Steps that are replayed from a CUDA
    graph call no module and are not seen.

    Raises UsageError where this rank holds several parts of the model (an interleaved pipeline schedule).
    """
    if len(trainer.model_parts) != 1:
        raise UsageError(
            f"A meter follows one part of a model on each rank; this rank has {len(trainer.model_parts)}. "
            "Use a pipeline schedule with one stage a rank, or time the step with `flopsight.Meter().step(tokens=n)`."
        )

    def write(values: Values, step: int) -> None:
        trainer.metrics_processor.logger.log(numbers(values), trainer.step)

    further = [] if log is None else list(log) if isinstance(log, (list, tuple)) else [log]
    return Meter(trainer.model_parts[0], trainer.optimizers, on=on, every=every, log=[write, *further])
