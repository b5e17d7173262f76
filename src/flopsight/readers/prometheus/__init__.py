"""Scrapes: text that exporters of device metrics answer with.

exposition  a line -> a sample
fields      names, units and blanks of the exporters
remarks     what a reader of them must be told
reader      READER
"""

from flopsight.readers.prometheus.reader import READER

__all__ = ["READER"]
