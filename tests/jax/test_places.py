"""Module paths and passes come from JAX's name stack."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import flopsight.jax as fj
from flopsight.counted import Flops
from flopsight.jax import names
from tests.jax.shapes import array

B, D = 4, 8
ONE = 2 * B * D * D


def model(params, x):
    with jax.named_scope("Model"):
        for index, w in enumerate(params):
            with jax.named_scope(f"layer_{index}"):
                x = jnp.tanh(x @ w)
    return x


PARAMS, X = [array(D, D)] * 3, array(B, D)


def loss(params, x):
    return (model(params, x) ** 2).sum()


@pytest.mark.parametrize(
    ("stack", "path", "rank"),
    [
        ("", "", names.PLAIN),
        ("Model/Dense_0", "Model.Dense_0", names.PLAIN),
        ("jvp(Model)/Dense_0", "Model.Dense_0", names.FORWARD),
        ("transpose(jvp(Model))/Dense_0", "Model.Dense_0", names.BACKWARD),
        ("transpose(jvp(Model))/Dense_0/jvp(Model)/Dense_0", "Model.Dense_0", names.BACKWARD),
        ("rematted_computation/attention", "attention", names.RECOMPUTE),
        ("jvp(vmap(BTNH,BSNH->BNTS))", "", names.FORWARD),
        ("transpose(jvp())", "", names.BACKWARD),
        ("vmap(a/b)/c", "a.b.c", names.PLAIN),
        ("block/block", "block.block", names.PLAIN),
    ],
)
def test_stacks(stack, path, rank):
    assert names.path(stack) == path
    assert names.rank(stack) == rank


def test_modules_forward_and_backward():
    counted = fj.count(jax.value_and_grad(loss), PARAMS, X)
    modules = {m: a.flops.required for m, a in counted.by_module().items() if a.flops.required}
    assert modules == {"Model.layer_0": 2 * ONE, "Model.layer_1": 3 * ONE, "Model.layer_2": 3 * ONE}
    assert counted.by_module(1)["Model"].flops.required == 8 * ONE


def test_modules_under_checkpoint():
    def checkpointed(params, x):
        with jax.named_scope("Outer"):
            return (jax.checkpoint(model)(params, x) ** 2).sum()

    counted = fj.count(jax.value_and_grad(checkpointed), PARAMS, X)
    assert {row.module for row in counted.rows if row.amount.flops.executed} == {
        f"Outer.Model.layer_{index}" for index in range(3)
    }
    assert counted.flops.required == 8 * ONE
    # the last layer's product is what tanh's derivative needs: all three are run again
    assert counted.during("recompute").flops == Flops(0, 0, 3 * ONE)


def test_modules_in_a_scan():
    def stacked(w, x):
        def layer(c, w):
            with jax.named_scope("layer"):
                return jnp.tanh(c @ w), None

        with jax.named_scope("layers"):
            return lax.scan(layer, x, w)[0].sum()

    counted = fj.count(jax.value_and_grad(stacked), array(5, D, D), X)
    assert counted.by_module()["layers.layer"].flops.required == 15 * ONE


def newton_schulz(g):
    for _ in range(2):
        a = g @ g.T
        g = 1.5 * g - 0.5 * a @ g
    return g


def train_step(params, x):
    value, grads = jax.value_and_grad(loss)(params, x)
    return value, [w - 0.1 * newton_schulz(g) for w, g in zip(params, grads, strict=True)]


def test_products_of_an_optimizer_are_executed_and_not_required():
    counted = fj.count(jax.jit(train_step), PARAMS, X)
    optimizer = 3 * 2 * 2 * 2 * D**3
    assert counted.flops == Flops(8 * ONE, 8 * ONE, 8 * ONE + optimizer)
    assert counted.during("optimizer").flops == Flops(0, 0, optimizer)
    assert any("optimizer" in note for note in counted.notes)


def test_gradient_accumulation():
    def step(params, batches):
        def one(total, x):
            grads = jax.grad(lambda p: loss(p, x))(params)
            return jax.tree.map(jnp.add, total, grads), None

        total, _ = lax.scan(one, jax.tree.map(jnp.zeros_like, params), batches)
        return jax.tree.map(lambda w, g: w - 0.1 * g, params, total)

    counted = fj.count(step, PARAMS, array(7, B, D))
    assert counted.flops == Flops(*[7 * 8 * ONE] * 3)


def test_steps_in_a_scan():
    def train(params, batches):
        def step(params, x):
            value, params = train_step(params, x)
            return params, value

        return lax.scan(step, params, batches)

    counted = fj.count(train, PARAMS, array(7, B, D))
    assert counted.flops.required == 7 * 8 * ONE


def test_a_gradient_of_a_gradient_is_required():
    def penalty(w, x):
        slope = jax.grad(lambda x: jnp.tanh(x @ w).sum())(x)
        return (slope**2).sum()

    counted = fj.count(jax.value_and_grad(penalty), array(D, D), X)
    assert counted.flops.required == counted.flops.executed > 3 * ONE


def test_the_mesh_is_counted_whole():
    mesh = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec

    def product(x, w):
        return lax.psum(x @ w, "d")

    mapped = jax.shard_map(product, mesh=mesh, in_specs=(spec("d"), spec()), out_specs=spec())
    assert fj.count(mapped, X, array(D, D)).flops.required == ONE
    abstract = jax.sharding.AbstractMesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    mapped = jax.shard_map(product, mesh=abstract, in_specs=(spec("d"), spec()), out_specs=spec())
    counted = fj.count(mapped, X, array(D, D))
    assert counted.flops.required == ONE
    assert any("4 times" in note for note in counted.notes)
