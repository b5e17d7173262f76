"""Where a meter's values go: a file, a function, or the logger that the program has already.

Meter(model, log=writer)      a TensorBoard SummaryWriter, a W&B run, the mlflow module, a Lightning logger, an
                              Accelerator, a path that ends in .jsonl, or a function of (values, step)
"""

from flopsight.meter.sinks.recognised import sink_for
from flopsight.meter.sinks.sink import Sink, Values

__all__ = ["Sink", "Values", "sink_for"]
