"""Waist 2: what was measured, whatever the clock, file or server it came from.

    columns    Kernels and Host: what devices and threads did, as columns
    trace      Trace, Device, Signature, Collective, Metric, Series, Unread
    intervals  unions, cuts and lengths of intervals, never sums of overlapping durations

Times are whole nanoseconds. -1 is "not recorded" in every column of whole numbers, NaN in every column of values;
a kernel whose end is before its start has an unknown duration.
"""

from flopsight.trace.columns import HOST_KINDS, KERNEL_KINDS, Host, Kernels
from flopsight.trace.trace import Collective, Device, Metric, Names, Series, Signature, Trace, Unread

__all__ = [
    "HOST_KINDS", "KERNEL_KINDS", "Collective", "Device", "Host", "Kernels", "Metric", "Names", "Series", "Signature",
    "Trace", "Unread",
]  # fmt: skip
