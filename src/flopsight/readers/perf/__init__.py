"""Counters of processors as Linux `perf stat` writes them.

row        one counter
objects    -j
separated  -x
reader     READER
"""

from flopsight.readers.perf.reader import READER

__all__ = ["READER"]
