"""What a trace says was achieved: whose time it was, which work was done in it, and what that is of a peak.

attribution  kernels -> calls -> ops -> modules
windows      steps of a profiler, or the whole file
timeline     a device's time, split exactly: kinds of work, exposed communication, copies, idle by cause
work         FLOPs and bytes of ops, by recorded shapes
witnesses    the same quantity from shapes, counters and the model, side by side
ranks        the ranks of a job side by side
reading      Reading: all of it for one trace, a pure function of it
"""
