"""Convolutions: two FLOPs for each channel pair of a group and each tap that an input meets.

    2 · batch · c_out · (c_in / groups) · product over the dimensions of taps · min(inputs, outputs)

All taps of an output position count, also those on the edge that meet padding, as PyTorch's counters have it. Zeros
that dilation puts between inputs, and outputs that exist only because of padding, do not: an input has no more products
than taps. So the gradients of input and weight, which JAX writes as dilated convolutions, each cost what the forward
does.
"""

from __future__ import annotations

from math import prod

from flopsight.counted import Flops
from flopsight.jax.registry import Call, formula, same


@formula("conv_general_dilated")
def convolution(call: Call) -> Flops:
    """Grouped by features or by batch (the weight gradient of a grouped convolution)."""
    layout = call.params["dimension_numbers"]
    left, right, out = call.shape(0), call.shape(1), call.out
    products = prod(
        right[tap] * min(left[source], out[to])
        for source, tap, to in zip(layout.lhs_spec[2:], layout.rhs_spec[2:], layout.out_spec[2:], strict=True)
    )
    batch, channels = out[layout.out_spec[0]], out[layout.out_spec[1]]
    return same(2 * batch * channels * right[layout.rhs_spec[1]] * products)
