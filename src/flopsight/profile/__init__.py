"""`flopsight profile -- python train.py`: a profiler that is there, started with what a reading needs.

tools    which profilers can be started, with which flags
launch   run the command under one of them
start    what runs inside a Python program under torch.profiler
"""
