"""Loops run as often as the program says; what depends on values is said."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import flopsight.jax as fj
from tests.jax.shapes import array

X, W, ONE = array(4, 8), array(8, 8), 2 * 4 * 8 * 8


def required(fn, *args, **options):
    return fj.count(fn, *args, **options).flops.required


def test_a_fori_loop():
    assert required(lambda x, w: lax.fori_loop(0, 10, lambda _, c: c @ w, x), X, W) == 10 * ONE


@pytest.mark.parametrize(
    ("start", "go", "step", "rounds"),
    [
        (0, lambda i: i < 10, 1, 10),
        (0, lambda i: i <= 10, 1, 11),
        (0, lambda i: i < 10, 3, 4),
        (3, lambda i: i < 3, 1, 0),
        (10, lambda i: i > 0, -1, 10),
        (10, lambda i: i >= 0, -3, 4),
        (0, lambda i: jnp.greater(10, i), 2, 5),
        (0, lambda i: i != 6, 2, 3),
        (2, lambda i: jnp.logical_and(i < 9, jnp.greater(5, i)), 1, 3),
    ],
)
def test_while_loops_that_count(start, go, step, rounds):
    def loop(x, w):
        return lax.while_loop(lambda c: go(c[0]), lambda c: (c[0] + step, c[1] @ w), (start, x))[1]

    counted = fj.count(loop, X, W)
    assert counted.flops.required == rounds * ONE
    assert not counted.notes

    # the rule above is what JAX itself does
    done = 0
    i = jnp.int32(start)
    while go(i):
        i, done = i + step, done + 1
    assert done == rounds


def steps(n, x, w):
    return lax.fori_loop(0, n, lambda _, c: c @ w, x)


def test_a_bound_that_is_passed():
    assert required(steps, 7, X, W) == 7 * ONE
    assert required(steps, jnp.int32(7), X, W) == 7 * ONE
    assert required(steps, 7, X, W, static_argnums=0) == 7 * ONE
    assert required(jax.jit(steps), 7, X, W) == 7 * ONE
    assert required(jax.jit(steps, static_argnums=0), 7, X, W, static_argnums=0) == 7 * ONE
    assert required(lambda n, x, w: steps(2 * n + 1, x, w), 7, X, W) == 15 * ONE


def test_a_bound_that_wraps_around_is_not_followed():
    def many(n, x, w):
        for _ in range(64):
            n = n * n
        return steps(n, x, w)

    counted = fj.count(many, 3, X, W)
    assert counted.flops.required == ONE
    assert counted.notes


def test_a_bound_that_nobody_knows_is_said():
    counted = fj.count(steps, array(dtype="int32"), X, W)
    assert counted.flops.required == ONE
    assert any("trips=" in note for note in counted.notes)
    assert required(steps, array(dtype="int32"), X, W, trips=5) == 5 * ONE


def test_rounds_by_scope():
    def two(n, x, w):
        with jax.named_scope("decode"):
            x = steps(n, x, w)
        with jax.named_scope("refine"):
            return steps(n, x, w)

    counted = fj.count(two, array(dtype="int32"), X, W, trips={"decode": 5, "refine": 2})
    assert counted.flops.required == 7 * ONE
    assert not counted.notes
    assert counted.by_module()["decode"].flops.required == 5 * ONE


def test_a_loop_that_may_stop_early_is_taken_whole_and_said():
    def solve(x, w):
        def go(c):
            return (c[0] < 20) & (jnp.abs(c[1]).max() > 1e-3)

        return lax.while_loop(go, lambda c: (c[0] + 1, c[1] @ w), (0, x))[1]

    counted = fj.count(solve, X, W)
    assert counted.flops.required == 20 * ONE
    assert any("early" in note for note in counted.notes)
    assert required(solve, X, W, trips=3) == 3 * ONE


def test_loops_within_loops():
    def nested(x, w):
        return lax.fori_loop(0, 3, lambda _, c: lax.fori_loop(0, 5, lambda _, d: d @ w, c), x)

    assert required(nested, X, W) == 15 * ONE


def test_the_gradient_of_a_fori_loop():
    def loss(w, x):
        return lax.fori_loop(0, 6, lambda _, c: jnp.tanh(c @ w), x).sum()

    assert required(jax.value_and_grad(loss), W, X) == 3 * 6 * ONE


def test_what_a_loop_computes_for_nobody_is_not_counted():
    def loop(x, w):
        def body(_, c):
            return c[0] @ w, c[1] @ w

        return lax.fori_loop(0, 4, body, (x, x))[0]

    assert required(loop, X, W) == 4 * ONE


def test_a_carry_that_feeds_another_is_counted():
    def loop(x, w):
        def body(_, c):
            return c[0] + c[1], c[1] @ w

        return lax.fori_loop(0, 4, body, (x, x))[0]

    assert required(loop, X, W) == 4 * ONE


def pick(p, x, w):
    return lax.cond(p, lambda: x @ w @ w, lambda: x @ w)


def test_of_branches_the_largest_and_said():
    counted = fj.count(pick, array(dtype="bool"), X, W)
    assert counted.flops.required == 2 * ONE
    assert any("conditional" in note for note in counted.notes)


def test_the_mean_of_branches():
    assert required(pick, array(dtype="bool"), X, W, branches="mean") == 3 * ONE // 2


def test_a_branch_that_is_known():
    assert required(pick, False, X, W) == ONE
    assert not fj.count(pick, True, X, W).notes


def test_switch():
    def choose(i, x, w):
        return lax.switch(
            i,
            [lambda: x, lambda: x @ w, lambda: x @ w @ w],
        )

    assert required(choose, array(dtype="int32"), X, W) == 2 * ONE
    assert required(choose, 1, X, W) == ONE
    assert required(choose, 9, X, W) == 2 * ONE  # clamped, as JAX does


def test_equal_branches_need_no_note():
    counted = fj.count(lambda p, x, w: lax.cond(p, lambda: x @ w, lambda: w[:4] @ w), array(dtype="bool"), X, W)
    assert counted.flops.required == ONE
    assert not counted.notes


def test_the_mapped_loop():
    assert required(lambda x, w: lax.map(lambda row: row @ w, x), X, W) == ONE
    assert required(lambda x, w: lax.associative_scan(jnp.matmul, w), X, array(8, 3, 3)) > 0
