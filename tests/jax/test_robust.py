"""Large, nested, odd and broken programs."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax

import flopsight.jax as fj
from flopsight.counted import Bytes
from flopsight.errors import UsageError
from tests.jax.shapes import array

X, W, ONE = array(4, 8), array(8, 8), 2 * 4 * 8 * 8


def test_shared_functions_are_walked_once():
    def twice(inner):
        return jax.jit(lambda x, w: inner(inner(x, w), w))

    nested = jax.jit(lambda x, w: x @ w)
    for _ in range(60):
        nested = twice(nested)
    assert fj.count(nested, X, W).flops.required == 2**60 * ONE


def test_deep_loops_are_walked_once():
    def loop(inner):
        return lambda c: lax.fori_loop(0, 10, lambda _, d: inner(d), c)

    def deep(x, w):
        body = lambda c: c @ w  # noqa: E731
        for _ in range(12):
            body = loop(body)
        return body(x)

    assert fj.count(deep, X, W).flops.required == 10**12 * ONE


def test_long_programs():
    def long(x, w):
        for _ in range(3000):
            x = jnp.tanh(x @ w) + 1
        return x

    assert fj.count(long, X, W).flops.required == 3000 * ONE


def test_symbolic_shapes_are_refused():
    n = export.symbolic_shape("n")[0]
    with pytest.raises(UsageError, match="must be numbers"):
        fj.count(lambda x: x @ x.T, jax.ShapeDtypeStruct((n, 4), "float32"))


def test_what_cannot_be_traced_is_said():
    with pytest.raises(UsageError, match="static_argnums"):
        fj.count(lambda x, how: x if how == "a" else x.T, X, "a")
    with pytest.raises(UsageError, match="cannot be traced"):
        fj.count(lambda x, w: x @ w, X, X)
    with pytest.raises(UsageError, match="branches"):
        fj.count(lambda x: x, X, branches="min")
    square = 2 * 4 * 8 * 4
    assert fj.count(lambda x, how: x @ x.T if how == "a" else x, X, "a", static_argnums=1).flops.required == square
    assert fj.count(lambda x, how: x @ x.T, X, "a", static_argnums=-1).flops.required == square


def test_trips_are_rounds():
    with pytest.raises(UsageError, match="trips"):
        fj.count(lambda x: x, X, trips=-1)
    with pytest.raises(UsageError, match="trips"):
        fj.count(lambda x: x, X, trips={"decode": -2})


def test_weights_that_are_there_are_not_read():
    w = jnp.ones((8, 8)) * jnp.arange(8.0)
    counted = fj.count(lambda x, w: x @ jnp.where(w > 3, w, 0.0), X, w)
    assert counted.flops.required == ONE


def test_keyword_arguments_and_trees():
    counted = fj.count(lambda tree, *, w: tree["a"][0] @ w, {"a": (X, None)}, w=W)
    assert counted.flops.required == ONE


def test_an_error_of_the_function_is_its_own():
    def broken(x):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        fj.count(broken, X)


def test_vector_work_and_bytes():
    counted = fj.count(lambda x: jnp.exp(x) + x, X)
    assert counted.elementwise == 64
    assert counted.bytes == Bytes(4 * (32 + 32 + 32), 4 * 64)
    assert counted.flops.executed == 0


def test_a_gather_moves_the_rows_it_returns():
    counted = fj.count(lambda e, i: e[i], array(1000, 8), array(5, dtype="int32"))
    (row,) = [row for row in counted.rows if row.op == "gather"]
    assert row.amount.bytes == Bytes(4 * 5 * 8 + 4 * 5, 4 * 5 * 8)


def test_a_cache_is_updated_in_place():
    counted = fj.count(lambda c, x: lax.dynamic_update_slice(c, x, (3, 0)), array(1000, 8), array(1, 8))
    assert counted.bytes.writes == 4 * 8


def test_random_numbers_sorts_and_transforms():
    def odd(key, x):
        return jnp.sort(jnp.fft.rfft(x + jax.random.normal(key, x.shape)).real), jnp.cumsum(x), jax.random.split(key)

    counted = fj.count(odd, jax.random.key(0), array(4, 64))
    assert not counted.uncounted
    (fft,) = [row for row in counted.rows if row.op == "fft"]
    assert fft.amount.elementwise == 4 * 5 * 64 * 6 // 2


def test_common_functions_are_all_known():
    def much(x, i):
        y = jax.nn.gelu(x) + jax.nn.softplus(x) + jax.nn.logsumexp(x) + jnp.linalg.norm(x) + jax.nn.one_hot(i, 8)
        y = jnp.where(y > 0, y, jnp.clip(y, -1, 1)) + jnp.argmax(y) + jnp.prod(y) + jnp.median(y)
        y = y.at[0].add(1.0).at[1].set(2.0) + jax.lax.reduce_window(y, -jnp.inf, lax.max, (1, 3), (1, 1), "SAME")
        y = y + jax.lax.top_k(y, 8)[0] + jnp.var(y) + jax.ops.segment_sum(y, i, 4)
        y = y + jnp.roll(y, 1) + jnp.pad(y, 1)[1:-1, 1:-1]
        return jax.scipy.special.erf(y) + jnp.power(y, 2.5) + jnp.floor(y) % 2 + jnp.isnan(y) + jnp.unique(y, size=1)

    assert not fj.count(jax.value_and_grad(lambda x, i: much(x, i).sum()), X, array(4, dtype="int32")).uncounted


def test_numpy_scalars_and_python_numbers():
    assert fj.count(lambda x, a, b: (x * a) @ W2 * b, X, 2.0, np.float32(3)).flops.required == ONE


W2 = np.ones((8, 8), np.float32)


def test_without_jax_the_extra_is_named():
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "from flopsight.errors import MissingCapability\n"
        "try:\n    import flopsight.jax\nexcept MissingCapability as e:\n    print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'flopsight[jax]'" in done.stdout


def test_flopsight_alone_does_not_import_jax():
    code = "import sys, flopsight; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_flax():
    linen = pytest.importorskip("flax.linen", reason="flax is not installed")
    model = linen.Sequential([linen.Dense(16), linen.relu, linen.Dense(4)])
    params = jax.eval_shape(model.init, jax.random.key(0), X)
    counted = fj.count(model.apply, params, X)
    assert counted.flops.required == 2 * 4 * (8 * 16 + 16 * 4)
    assert any("layers_0" in module for module in counted.by_module())


def test_equinox():
    equinox = pytest.importorskip("equinox", reason="equinox is not installed")
    model = equinox.nn.MLP(8, 4, 16, 1, key=jax.random.key(0))
    assert fj.count(jax.vmap(model), X).flops.required == 2 * 4 * (8 * 16 + 16 * 4)
