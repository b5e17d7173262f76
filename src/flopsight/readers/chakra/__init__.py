"""PyTorch execution traces (the form that Chakra grew from): ops, their inputs and their tree, without times.

nodes       the file's nodes, of either schema
signatures  inputs in Kineto's words
reader      READER
"""

from flopsight.readers.chakra.reader import READER

__all__ = ["READER"]
