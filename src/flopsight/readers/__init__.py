"""Files of profilers and counters -> Trace: one reader a format, found by content and not by name.

find      read(path) -> traces: archives and folders opened, the reader chosen
reader    what a reader is
limits    files opened plain, gzip or xz, within bounds
"""

from flopsight.readers.find import read, readers
from flopsight.readers.limits import Limits
from flopsight.readers.reader import Head, Reader

__all__ = ["Head", "Limits", "Reader", "read", "readers"]
