"""Ragged products: every row once, however many groups."""

import jax
from jax import lax

import flopsight.jax as fj
from tests.jax.shapes import array

ROWS, K, N, GROUPS = 24, 8, 5, 4
ONE = 2 * ROWS * K * N


def test_forward_does_not_depend_on_the_groups():
    for groups in (1, 4, 8):
        counted = fj.count(lax.ragged_dot, array(ROWS, K), array(groups, K, N), array(groups, dtype="int32"))
        assert counted.flops.required == counted.flops.executed == ONE
        assert not counted.uncounted


def test_gradients_are_one_forward_each():
    def loss(x, w, sizes):
        return lax.ragged_dot(x, w, sizes).sum()

    args = array(ROWS, K), array(GROUPS, K, N), array(GROUPS, dtype="int32")
    assert fj.count(jax.value_and_grad(loss, 0), *args).flops.required == 2 * ONE
    assert fj.count(jax.value_and_grad(loss, (0, 1)), *args).flops.required == 3 * ONE


def test_in_a_scan_over_layers():
    def model(x, w, sizes):
        return lax.scan(lambda c, m: (lax.ragged_dot(c, m, sizes), None), x, w)[0]

    counted = fj.count(model, array(ROWS, K), array(6, GROUPS, K, K), array(GROUPS, dtype="int32"))
    assert counted.flops.required == 6 * 2 * ROWS * K * K


def test_a_batch_of_ragged_products():
    counted = fj.count(
        jax.vmap(lax.ragged_dot), array(3, ROWS, K), array(3, GROUPS, K, N), array(3, GROUPS, dtype="int32")
    )
    assert counted.flops.required == 3 * ONE
