"""PyTorch profiler (Kineto) traces, of CUDA, ROCm, XPU, MTIA and CPU-only programs.

rows        one event, typed
build       rows -> columns
signatures  shapes and types of arguments, each combination once
header      devices, rank, versions
ranges      counters of the range profiler, by range
reader      READER
"""

from flopsight.readers.kineto.reader import READER

__all__ = ["READER"]
