"""Nsight Compute: counters of single kernels, as reports (.ncu-rep), tables (--csv) and dumps of its details page.

units      numbers as ncu prints them, and their units without prefixes
launches   kernels and counters, gathered -> Trace
devices    what is said of a GPU
tables     ncu --csv: the raw page, the details page, summaries
dumps      lines of JSON or of Python that hold the details page
report     the container of a .ncu-rep
results    what one block of a report says of a kernel and of its session
official   NVIDIA's own ncu_report, where it is installed and the report is of a later make
reader     READER
"""

from flopsight.readers.ncu.reader import READER

__all__ = ["READER"]
