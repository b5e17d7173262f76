"""Nsight Systems: its SQLite exports of every schema.

reader   READER
devices  GPUs of the export
host     calls, NVTX ranges and waits of threads
kernels  kernels, copies and fills
metrics  GPU metrics over time
"""

from flopsight.readers.nsys.reader import READER

__all__ = ["READER"]
