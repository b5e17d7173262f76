"""XLA profiles (XSpace, xplane.pb): JAX, TensorFlow and PyTorch/XLA on GPUs, TPUs and processors.

space     the file as columns, uninterpreted
times     picoseconds -> nanoseconds
rows      columns gathered from many lines
gpu       streams
tpu       ops of compiled programs
hlo       what the text of an op says
ranges    steps and programs on devices
host      threads
cpu       ops on threads, where there is no device
device    what a plane says of its device
details   texts of launches and names of lines
loops     which ops hold others
assemble  gathered rows joined into the parts of a trace
reader    READER
"""

from flopsight.readers.xplane.reader import READER

__all__ = ["READER"]
