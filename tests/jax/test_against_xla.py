"""Beside XLA's own cost analysis, on programs without loops, where that is right."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import flopsight.jax as fj
from tests.jax.shapes import array

A, W, V = array(16, 32), array(32, 24), array(24, 32)


def conv(x, w):
    return lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


PROGRAMS = [
    (lambda a, w: a @ w, (A, W)),
    (lambda a, w, v: a @ w @ v, (A, W, V)),
    (lambda a, b: jnp.einsum("bij,bkj->bik", a, b), (array(5, 8, 16), array(5, 12, 16))),
    (lambda a, b: jnp.einsum("bhqd,bhkd->bhqk", a, b), (array(2, 3, 8, 16), array(2, 3, 12, 16))),
    (jax.grad(lambda w, a, v: ((a @ w) @ v * 1.0).sum()), (W, A, V)),
    (conv, (array(2, 10, 10, 4), array(3, 3, 4, 8))),
]


def xla(fn, args):
    """FLOPs of XLA's analysis; only those of products where the rest is transcendental or copies."""
    found = jax.jit(fn).lower(*args).compile().cost_analysis()
    return (found[0] if isinstance(found, list) else found)["flops"]


@pytest.mark.parametrize(("fn", "args"), PROGRAMS[:4] + PROGRAMS[5:])
def test_equal_on_products_and_convolutions(fn, args):
    assert fj.count(fn, *args).flops.executed == xla(fn, args)


def test_equal_within_the_vector_work_on_a_gradient():
    def loss(params, x):
        return (jnp.tanh(x @ params[0]) @ params[1]).sum()

    args = ([array(64, 96), array(96, 64)], array(128, 64))
    counted = fj.count(jax.grad(loss, (0, 1)), *args)
    assert counted.flops.executed <= xla(jax.grad(loss, (0, 1)), args) <= 1.05 * counted.flops.executed


def test_a_scan_is_counted_whole_where_xla_takes_one_round():
    def model(x, w):
        return lax.scan(lambda c, m: (c @ m, None), x, w)[0]

    args = (array(8, 64), array(12, 64, 64))
    unrolled = xla(lambda x, w: lax.scan(lambda c, m: (c @ m, None), x, w, unroll=12)[0], args)
    assert fj.count(model, *args).flops.executed == pytest.approx(unrolled, rel=0.01)


def test_bytes_of_one_product_are_those_of_xla():
    found = jax.jit(lambda a, w: a @ w).lower(A, W).compile().cost_analysis()
    found = found[0] if isinstance(found, list) else found
    assert fj.count(lambda a, w: a @ w, A, W).bytes.total == found["bytes accessed"]
