"""Products, gradients, scans, recomputation: closed forms by hand."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import flopsight.jax as fj
from flopsight.counted import Flops
from tests.jax.shapes import array

B, D, F = 6, 8, 20


def whole(flops):
    return Flops(flops, flops, flops)


def mlp(params, x):
    return jnp.tanh(x @ params["up"]) @ params["down"]


PARAMS = {"up": array(D, F), "down": array(F, D)}
FORWARD = 2 * B * D * F * 2


def loss(params, x):
    return (mlp(params, x) ** 2).sum()


def test_a_product_is_two_flops_a_multiply_add():
    assert fj.count(lambda a, b: a @ b, array(3, 4), array(4, 5)).flops == whole(2 * 3 * 4 * 5)


def test_batched_products_count_each_batch():
    counted = fj.count(lambda a, b: jnp.einsum("bij,bjk->bik", a, b), array(7, 3, 4), array(7, 4, 5))
    assert counted.flops == whole(7 * 2 * 3 * 4 * 5)


def test_an_mlp():
    assert fj.count(mlp, PARAMS, array(B, D)).flops == whole(FORWARD)


def test_a_gradient_is_three_forwards_without_that_of_the_input():
    counted = fj.count(jax.value_and_grad(loss), PARAMS, array(B, D))
    assert counted.flops == whole(3 * FORWARD - 2 * B * D * F)
    assert counted.during("forward").flops == whole(FORWARD)
    assert counted.during("backward").flops == whole(2 * FORWARD - 2 * B * D * F)


def test_the_gradient_of_the_input_too():
    assert fj.count(jax.grad(loss, argnums=(0, 1)), PARAMS, array(B, D)).flops == whole(3 * FORWARD)


def test_what_nothing_reads_is_not_counted():
    # the sum of the result is not needed for its gradient, so neither is the last product of the forward
    counted = fj.count(jax.grad(lambda p, x: mlp(p, x).sum()), PARAMS, array(B, D))
    assert counted.during("forward").flops == whole(FORWARD // 2)


def test_a_frozen_weight_has_no_gradient_product():
    def only_down(down, up, x):
        return loss({"up": up, "down": down}, x)

    counted = fj.count(jax.value_and_grad(only_down), PARAMS["down"], PARAMS["up"], array(B, D))
    assert counted.flops == whole(FORWARD + 2 * B * D * F)


def layers(stacked, x, remat=False):
    def layer(carry, w):
        return jnp.tanh(carry @ w), None

    return lax.scan(jax.checkpoint(layer) if remat else layer, x, stacked)[0]


STACK, ONE = array(12, D, D), 2 * B * D * D


def test_a_scan_over_twelve_layers_is_twelve_layers():
    assert fj.count(layers, STACK, array(B, D)).flops == whole(12 * ONE)


def test_the_gradient_of_a_scan():
    counted = fj.count(jax.value_and_grad(lambda s, x: layers(s, x).sum()), STACK, array(B, D))
    # the first layer's input gradient is in the body too, and so it runs
    assert counted.flops == whole(3 * 12 * ONE)


def test_checkpoints_are_executed_and_not_required():
    counted = fj.count(jax.value_and_grad(lambda s, x: layers(s, x, remat=True).sum()), STACK, array(B, D))
    assert counted.flops == Flops(36 * ONE, 36 * ONE, 48 * ONE)
    assert counted.during("recompute").flops == Flops(0, 0, 12 * ONE)


def test_checkpoint_outside_of_scans():
    def blocks(params, x):
        for _ in range(3):
            x = jax.checkpoint(mlp)(params, x)
        return (x**2).sum()

    counted = fj.count(jax.value_and_grad(blocks), PARAMS, array(B, D))
    # the second product of a block is not run again: its result was not needed for any gradient inside of the block
    assert counted.flops.executed - counted.flops.required == 3 * FORWARD // 2
    assert counted.flops.required == 9 * FORWARD - 2 * B * D * F


def test_a_checkpoint_policy_that_saves_products_runs_none_again():
    policy = jax.checkpoint_policies.dots_saveable

    def blocks(params, x):
        return (jax.checkpoint(mlp, policy=policy)(params, x) ** 2).sum()

    flops = fj.count(jax.value_and_grad(blocks), PARAMS, array(B, D)).flops
    assert flops.executed == flops.required == 3 * FORWARD - 2 * B * D * F


@pytest.mark.parametrize("wrap", [jax.jit, jax.checkpoint, lambda f: jax.jit(jax.jit(f))])
def test_wrappers_change_nothing(wrap):
    assert fj.count(wrap(mlp), PARAMS, array(B, D)).flops == whole(FORWARD)


def test_vmap_counts_each_element():
    assert fj.count(jax.vmap(mlp, (None, 0)), PARAMS, array(5, B, D)).flops == whole(5 * FORWARD)


def test_custom_derivatives():
    @jax.custom_vjp
    def square(x, w):
        return x @ w

    square.defvjp(lambda x, w: (x @ w, (x, w)), lambda res, g: (g @ res[1].T, res[0].T @ g))
    one = 2 * B * D * D
    assert fj.count(square, array(B, D), array(D, D)).flops == whole(one)
    trained = fj.count(jax.value_and_grad(lambda x, w: square(x, w).sum(), (0, 1)), array(B, D), array(D, D))
    assert trained.flops == whole(3 * one)
    assert trained.during("backward").flops == whole(2 * one)


def test_integers_multiply_too():
    def product(a, b):
        return lax.dot(a, b, preferred_element_type=jnp.int32)

    counted = fj.count(product, array(3, 4, dtype="int8"), array(4, 5, dtype="int8"))
    assert counted.flops == whole(120)
    assert {row.dtype for row in counted.rows} == {"int8"}


def test_nothing_of_nothing():
    assert fj.count(lambda a, b: a @ b, array(0, 4), array(4, 5)).flops == whole(0)
    assert fj.count(lambda a, b: a @ b, array(3, 0), array(0, 5)).flops == whole(0)


def test_arrays_are_not_run():
    counted = fj.count(lambda a, b: a @ b, jnp.zeros((3, 4)), jnp.zeros((4, 5)))
    assert counted.flops == whole(120)
