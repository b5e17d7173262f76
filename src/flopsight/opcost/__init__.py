"""FLOPs and bytes of an op from its recorded name and shapes, without its framework.

cost        cost(name, signature): OpCost, or None where no formula covers the op
value       OpCost                     call       a recorded call, taken apart
dtypes      how frameworks write number formats
products    matrix products            grouped    of the experts of a mixture
convolution and its transpose          recurrent  layers in one kernel
attention   fused attention            pairs      what a triangle or a window lets through
elements    element by element         norms      normalizations, softmax
reductions  sums, sorts                losses, images (pooling, resampling), optimizers
lookups     rows by index              copies, writes (fills, random numbers)
elsewhere   other projects' kernels    views      ops that run nothing
places      positions of a window along each dimension
"""

from flopsight.opcost.cost import cost
from flopsight.opcost.value import OpCost

__all__ = ["OpCost", "cost"]
