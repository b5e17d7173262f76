"""Masks that are read from the program: the causal and windowed area is required, the square executed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flopsight.jax as fj
from flopsight.counted import Flops
from flopsight.jax.band import Band, band_of
from tests.jax.shapes import array

B, S, H, E = 2, 16, 4, 8
CAUSAL = S * (S + 1) // 2
QKV = (array(B, S, H, E),) * 3


def forward(pairs):
    return 2 * B * H * 2 * E * pairs


def window_pairs(width, length=S):
    return sum(min(i + 1, width) for i in range(length))


def scores(q, k):
    return jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(E).astype(np.float32)


def mix(s, v):
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(s), v)


def by_where(q, k, v):
    i = jnp.arange(S)
    return mix(jnp.where(i[:, None] >= i[None, :], scores(q, k), -1e9), v)


def by_tril(q, k, v):
    return mix(jnp.where(jnp.tril(jnp.ones((1, 1, S, S), bool)), scores(q, k), jnp.finfo("float32").min), v)


def by_numpy(q, k, v):
    return mix(jnp.where(np.tril(np.ones((S, S), bool)), scores(q, k), -jnp.inf), v)


def by_bias(q, k, v):
    bias = jnp.where(jnp.tril(jnp.ones((S, S))) == 1, 0.0, -1e10)
    return mix(scores(q, k) + bias[None, None], v)


def by_flag(q, k, v):
    return jax.nn.dot_product_attention(q, k, v, is_causal=True)


def by_not_upper(q, k, v):
    i = jnp.arange(S)
    later = i[None, :] > i[:, None]
    return mix(jnp.where(later, -1e9, scores(q, k)), v)


@pytest.mark.parametrize("attention", [by_where, by_tril, by_numpy, by_bias, by_flag, by_not_upper])
def test_causal_masks(attention):
    assert fj.count(attention, *QKV).flops == Flops(forward(CAUSAL), forward(S * S), forward(S * S))


@pytest.mark.parametrize("attention", [by_where, by_tril, by_numpy, by_bias, by_flag, by_not_upper])
def test_their_gradients_are_twice_that(attention):
    def loss(q, k, v):
        return attention(q, k, v).sum()

    counted = fj.count(jax.value_and_grad(loss, (0, 1, 2)), *QKV)
    assert counted.flops == Flops(3 * forward(CAUSAL), 3 * forward(S * S), 3 * forward(S * S))


@pytest.mark.parametrize("attention", [by_where, by_flag])
@pytest.mark.parametrize("wrap", [jax.jit, jax.checkpoint, lambda f: jax.vmap(f, 0)])
def test_their_gradients_under_transformations(attention, wrap):
    shapes = (array(3, B, S, H, E),) * 3 if wrap not in (jax.jit, jax.checkpoint) else QKV
    times = 3 if len(shapes[0].shape) == 5 else 1

    def loss(q, k, v):
        return (wrap(attention)(q, k, v) ** 2).sum()

    counted = fj.count(jax.value_and_grad(loss, (0, 1, 2)), *shapes)
    assert counted.flops.required == times * 3 * forward(CAUSAL)
    assert counted.flops.full_square == times * 3 * forward(S * S)


@pytest.mark.parametrize("width", [1, 3, S, 2 * S])
def test_windows(width):
    def attention(q, k, v):
        i = jnp.arange(S)
        near = (i[:, None] >= i[None, :]) & (i[:, None] - i[None, :] < width)
        return mix(jnp.where(near, scores(q, k), -1e9), v)

    pairs = window_pairs(width)
    assert fj.count(attention, *QKV).flops.required == forward(pairs)

    def loss(q, k, v):
        return attention(q, k, v).sum()

    assert fj.count(jax.value_and_grad(loss, (0, 1, 2)), *QKV).flops.required == 3 * forward(pairs)


def test_the_window_of_jax():
    def attention(q, k, v):
        return jax.nn.dot_product_attention(q, k, v, is_causal=True, local_window_size=(3, 0))

    assert fj.count(attention, *QKV).flops.required == forward(window_pairs(4))


def test_grouped_queries():
    def attention(q, k, v):
        return jax.nn.dot_product_attention(q, k, v, is_causal=True)

    counted = fj.count(attention, QKV[0], array(B, S, 2, E), array(B, S, 2, E))
    assert counted.flops == Flops(forward(CAUSAL), forward(S * S), forward(S * S))


def test_fewer_queries_than_keys_behind_a_cache():
    def attention(q, k, v):
        i, j = jnp.arange(4) + (S - 4), jnp.arange(S)
        return mix(jnp.where(i[:, None] >= j[None, :], scores(q, k), -1e9), v)

    counted = fj.count(attention, array(B, 4, H, E), *QKV[1:])
    assert counted.flops.required == forward(sum(S - 3 + i for i in range(4)))


def test_no_mask_is_the_full_square():
    def attention(q, k, v):
        return jax.nn.dot_product_attention(q, k, v)

    assert fj.count(attention, *QKV).flops == Flops(*[forward(S * S)] * 3)


def test_a_mask_of_values_is_the_full_square_and_said():
    def attention(q, k, v, mask):
        return mix(jnp.where(mask, scores(q, k), -1e9), v)

    counted = fj.count(attention, *QKV, array(B, 1, S, S, dtype="bool"))
    assert counted.flops == Flops(*[forward(S * S)] * 3)
    assert any("mask" in note for note in counted.notes)


def test_a_mask_that_is_passed_is_read():
    def attention(q, k, v, mask):
        return mix(jnp.where(mask, scores(q, k), -1e9), v)

    counted = fj.count(attention, *QKV, np.tril(np.ones((1, 1, S, S), bool)))
    assert counted.flops.required == forward(CAUSAL)


def test_a_mask_that_is_used_twice_saves_only_where_both_do():
    def both(q, k, v):
        i = jnp.arange(S)
        s = scores(q, k)
        masked = jnp.where(i[:, None] >= i[None, :], s, -1e9)
        return mix(masked, v), s.sum()

    # the sum reads the whole square of the scores: only the mix is causal
    assert fj.count(both, *QKV).flops.required == (forward(S * S) + forward(CAUSAL)) // 2


def test_masks_in_a_scan_over_layers():
    def model(qkv):
        q, k, v = qkv
        mask = jnp.tril(jnp.ones((S, S), bool))

        def layer(x, _):
            return mix(jnp.where(mask, scores(x, k), -1e9), v), None

        return jax.lax.scan(layer, q, None, length=5)[0].sum()

    assert fj.count(model, QKV).flops.required == 5 * forward(CAUSAL)
    assert fj.count(jax.value_and_grad(model), QKV).flops.required == 15 * forward(CAUSAL)


def test_sharding_constraints_and_barriers_hide_no_mask():
    mesh = jax.sharding.AbstractMesh((1,), ("d",))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def attention(q, k, v):
        i = jnp.arange(S)
        s = jax.lax.with_sharding_constraint(scores(q, k), everywhere)
        s, v = jax.lax.optimization_barrier((s, v))
        return mix(jnp.where(i[:, None] >= i[None, :], s, -1e9), v)

    assert fj.count(attention, *QKV).flops.required == forward(CAUSAL)


def test_a_causal_mask_with_padding_is_causal_and_said():
    def attention(q, k, v, lengths):
        i = jnp.arange(S)
        mask = (i[:, None] >= i[None, :]) & (i[None, :] < lengths[:, None, None, None])
        return mix(jnp.where(mask, scores(q, k), -1e9), v)

    counted = fj.count(attention, *QKV, array(B, dtype="int32"))
    assert counted.flops.required == forward(CAUSAL)
    assert counted.notes


def test_a_shift_that_is_no_mask_makes_nothing_void():
    def product(a, b):
        shifted = (a + -1e5) + 1e5
        return jnp.where(jnp.tril(jnp.ones((S, S), bool)), shifted, 1.0) @ b

    assert fj.count(product, array(S, S), array(S, S)).flops.required == 2 * S**3


@pytest.mark.parametrize("low", [None, -3, 0, 2])
@pytest.mark.parametrize("high", [None, -2, 0, 4])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (4, 9), (9, 4), (6, 6)])
def test_the_area_of_a_band(low, high, rows, columns):
    i, j = np.indices((rows, columns))
    inside = (i - j >= (-99 if low is None else low)) & (i - j <= (99 if high is None else high))
    assert max(0, Band(0, 1, low, high).area(rows, columns)) == inside.sum()
    found = band_of(inside[None])
    if found is not None:
        assert found.area(rows, columns) == inside.sum()


def test_no_band_is_found_where_there_is_none():
    mask = np.tril(np.ones((6, 6), bool))
    mask[4, 2] = False
    assert band_of(mask) is None
