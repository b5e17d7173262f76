"""FLOPs and bytes of an op from its recorded name and shapes, without its framework.

cost       cost(name, signature): OpCost, or None where no formula covers the op
value      OpCost
dtypes     how frameworks write number formats
products   matrix products       convolution  convolutions
attention  fused attention       vector       everything that works on elements
"""

from flopsight.opcost.cost import cost
from flopsight.opcost.value import OpCost

__all__ = ["OpCost", "cost"]
