"""What a kernel's name tells, with the grid it ran on and the shapes of its op.

kinds          kind_of(name): what it computes
names          the tables of words behind these
words          a name split into words
communication  communication_of(name): which collective of which library
tile           what the name of a matrix product says of its tiles, engine and alignment
gemm           look(...): why such a product is slow
"""

from flopsight.kernels.communication import Communication, communication_of
from flopsight.kernels.gemm import Finding, GemmLook, look
from flopsight.kernels.kinds import KINDS, Kind, kind_of

__all__ = ["KINDS", "Communication", "Finding", "GemmLook", "Kind", "communication_of", "kind_of", "look"]
