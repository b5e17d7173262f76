"""Chrome traces of XLA: JAX's trace.json beside an xplane.pb, and what xprof makes of one.

rows     one event, typed
tracks   what each process and thread is
build    rows -> columns
reader   READER

What devices report of themselves is not in these files; the xplane.pb has it.
"""

from flopsight.readers.chrome.reader import READER

__all__ = ["READER"]
