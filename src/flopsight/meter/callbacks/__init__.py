"""Trainers that bring their own loop, each in a module that is imported only where that trainer is used.

    huggingface   metered(trainer), MeterCallback       transformers.Trainer
    accelerate    metered(accelerator, model, optimizer)
    lightning     meter_callback()                      lightning, pytorch_lightning
    torchtitan    metered(trainer)
    jax           JaxMeter(step, ...)                   loops around a jitted step

Values have the names of `flopsight.meter.report.NAMES`. Nothing here raises into a running loop; what can be refused
(a place for values that is none, a trainer that is not installed) is refused before it starts.
"""
