"""Kernels that no jaxpr opens: counted by the formula that is registered, else said."""

import importlib

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import pallas as pl

import flopsight.jax as fj
from flopsight.counted import Bytes, Flops
from flopsight.errors import UsageError
from flopsight.jax.registry import CUSTOM
from tests.jax.shapes import array


@pytest.fixture(autouse=True)
def _registry():
    before = dict(CUSTOM)
    CUSTOM.clear()
    yield
    CUSTOM.clear()
    CUSTOM.update(before)


def kernel(x, w, o):
    o[...] = x[...] @ w[...]


def by_pallas(x, w):
    out = jax.ShapeDtypeStruct((x.shape[0], w.shape[1]), x.dtype)
    return pl.pallas_call(kernel, out_shape=out, grid=(1,), name="my_matmul")(x, w)


def foreign(x):
    return jax.ffi.ffi_call("my_target", jax.ShapeDtypeStruct((4,), "float32"))(x, eps=2)


X, W = array(4, 8), array(8, 6)


def test_a_pallas_kernel_is_not_counted_and_said():
    counted = fj.count(lambda x, w: by_pallas(x, w) @ w.T, X, W)
    assert counted.flops.required == 2 * 4 * 6 * 8
    (missing,) = counted.uncounted
    assert (missing.op, missing.calls) == ("my_matmul", 1)
    assert "register('my_matmul'" in missing.why


def test_calls_in_a_scan_are_missed_each_time():
    def model(x):
        return jax.lax.scan(lambda c, _: (foreign(c), None), x, None, length=5)[0]

    (missing,) = fj.count(model, array(4)).uncounted
    assert (missing.op, missing.calls) == ("my_target", 5)


def test_a_registered_kernel():
    seen = {}

    def formula(x, w, *, out, grid):
        seen.update(out=out.shape, grid=grid)
        return 2 * x.shape[0] * x.shape[1] * w.shape[1]

    fj.register("my_matmul", formula)
    counted = fj.count(by_pallas, X, W)
    assert counted.flops == Flops(384, 384, 384)
    assert not counted.uncounted
    assert seen == {"out": (4, 6), "grid": (1,)}
    assert counted.bytes == Bytes(4 * (32 + 48), 4 * 24)


def test_a_registered_foreign_call_with_its_attributes_and_bytes():
    fj.register("my_target", lambda x, *, out, eps: Flops(eps, 2 * eps, 3 * eps), bytes=lambda x, **_: 7)
    counted = fj.count(foreign, array(4))
    assert counted.flops == Flops(2, 4, 6)
    assert counted.bytes == Bytes(7)


def test_a_registered_function_is_not_walked():
    @jax.jit
    def flash(x, w):
        return (x @ w) @ w.T

    fj.register("flash", lambda x, w, out: 11)
    assert fj.count(lambda x, w: flash(x, w) @ w, X, W).flops.required == 11 + 2 * 4 * 8 * 6


def test_unknown_primitives_and_host_calls_are_said():
    def host(x):
        return jax.pure_callback(lambda v: v, jax.ShapeDtypeStruct((4,), "float32"), x)

    assert fj.count(host, array(4)).uncounted[0].op == "pure_callback"
    ops = {missing.op for missing in fj.count(jnp.linalg.eigh, array(8, 8)).uncounted}
    assert ops == {"eigh"}
    assert {m.op for m in fj.count(jnp.linalg.qr, array(8, 8)).uncounted} == {"geqrf", "householder_product"} or {
        m.op for m in fj.count(jnp.linalg.qr, array(8, 8)).uncounted
    } == {"qr"}


def test_factorizations_with_closed_forms():
    n, m = 6, 3
    chol = fj.count(jax.lax.linalg.cholesky, array(2, n, n))
    assert chol.flops.required == 2 * (n**3 // 3 + n**2 // 2 + n // 6)
    # n multiplies or divides and n - 1 adds for each of n rows, summed: n^2 a column
    solve = fj.count(lambda a, b: jax.lax.linalg.triangular_solve(a, b, left_side=True), array(n, n), array(n, m))
    assert solve.flops.required == n * n * m


@pytest.mark.parametrize(("name", "formula"), [("", len), (3, len), ("x", 3)])
def test_what_cannot_be_registered(name, formula):
    with pytest.raises(UsageError):
        fj.register(name, formula)


def test_the_attention_of_cudnn(monkeypatch):
    fused = importlib.import_module("jax._src.cudnn.fused_attention_stablehlo")
    monkeypatch.setattr(fused, "check_cudnn_version", lambda: 91000)
    monkeypatch.setattr(fused, "check_compute_capability", lambda _: True)
    b, s, h, e = 2, 256, 4, 64
    q = array(b, s, h, e, dtype="bfloat16")
    one = 2 * 2 * b * h * e

    def attention(q, k, v, **options):
        return jax.nn.dot_product_attention(q, k, v, implementation="cudnn", **options)

    causal = s * (s + 1) // 2
    assert fj.count(attention, q, q, q).flops == Flops(*[one * s * s] * 3)
    forward = fj.count(lambda *a: attention(*a, is_causal=True), q, q, q)
    assert forward.flops == Flops(one * causal, one * s * s, one * causal)
    windowed = fj.count(lambda *a: attention(*a, is_causal=True, local_window_size=(9, 0)), q, q, q)
    assert windowed.flops.required == one * sum(min(i + 1, 10) for i in range(s))

    def loss(q, k, v):
        return attention(q, k, v, is_causal=True).astype(jnp.float32).sum()

    trained = fj.count(jax.value_and_grad(loss, (0, 1, 2)), q, q, q)
    assert trained.during("backward").flops == Flops(2 * one * causal, 2 * one * s * s, 5 * one * causal // 2)
    assert not trained.uncounted
