"""Convolutions: all taps of an output position, and gradients that cost what the forward does."""

import jax
import pytest
from jax import lax

import flopsight.jax as fj
from tests.jax.shapes import array

LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv(x, w, stride=1, padding="SAME", groups=1, dilation=1):
    return lax.conv_general_dilated(
        x, w, (stride,) * 2, padding, rhs_dilation=(dilation,) * 2, feature_group_count=groups,
        dimension_numbers=LAYOUT,
    )  # fmt: skip


CASES = [
    # input, channels, kernel, out channels, stride, padding, groups, output side
    (8, 3, 3, 5, 1, "SAME", 1, 8),
    (8, 3, 3, 5, 1, "VALID", 1, 6),
    (9, 4, 3, 8, 2, "SAME", 1, 5),
    (9, 4, 3, 8, 2, "VALID", 2, 4),
    (8, 16, 3, 16, 1, "SAME", 16, 8),
    (8, 16, 5, 32, 2, "SAME", 16, 4),
]


@pytest.mark.parametrize(("side", "c", "k", "f", "stride", "padding", "groups", "out"), CASES)
def test_forward_and_gradients(side, c, k, f, stride, padding, groups, out):
    one = 2 * 2 * out * out * f * (c // groups) * k * k

    def loss(x, w):
        return (conv(x, w, stride, padding, groups) ** 2).sum()

    x, w = array(2, side, side, c), array(k, k, c // groups, f)
    assert fj.count(lambda x, w: conv(x, w, stride, padding, groups), x, w).flops.required == one
    assert fj.count(jax.value_and_grad(loss, 1), x, w).flops.required == 2 * one
    assert fj.count(jax.value_and_grad(loss, (0, 1)), x, w).flops.required == 3 * one


def test_dilated_kernels_have_no_more_taps():
    x, w = array(2, 16, 16, 4), array(3, 3, 4, 4)
    assert fj.count(lambda x, w: conv(x, w, dilation=2), x, w).flops.required == 2 * 2 * 256 * 4 * 4 * 9


def test_transposed_convolutions_multiply_each_input_once_a_tap():
    x, w = array(2, 8, 8, 4), array(3, 3, 4, 6)

    def up(x, w):
        return lax.conv_transpose(x, w, (2, 2), "SAME", dimension_numbers=LAYOUT)

    assert fj.count(up, x, w).flops.required == 2 * 2 * 64 * 4 * 6 * 9


def test_a_causal_depthwise_convolution_of_a_state_space_model():
    def causal(x, w):
        return lax.conv_general_dilated(
            x, w, (1,), [(3, 0)], dimension_numbers=("NWC", "WIO", "NWC"), feature_group_count=64
        )

    x, w = array(2, 128, 64), array(4, 1, 64)
    one = 2 * 2 * 128 * 64 * 4
    assert fj.count(causal, x, w).flops.required == one
    trained = fj.count(jax.value_and_grad(lambda x, w: causal(x, w).sum(), (0, 1)), x, w)
    assert trained.flops.required == 3 * one
