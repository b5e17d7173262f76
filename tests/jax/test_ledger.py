"""A transformer in plain JAX, counted by its jaxpr, against the ledger's formulas for the same config."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

import flopsight
import flopsight.jax as fj
from flopsight.counted import Flops
from tests.jax.shapes import array

L, D, HEADS, KV, E, F, V = 3, 64, 8, 2, 8, 160, 320
B, S = 2, 48
CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": L, "hidden_size": D,
    "num_attention_heads": HEADS, "num_key_value_heads": KV, "head_dim": E, "intermediate_size": F, "vocab_size": V,
    "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": False,
}  # fmt: skip


def weights():
    return {
        "embed": array(V, D), "head": array(D, V), "norm": array(D),
        "layers": {
            "q": array(L, D, HEADS, E), "k": array(L, D, KV, E), "v": array(L, D, KV, E), "o": array(L, HEADS, E, D),
            "gate": array(L, D, F), "up": array(L, D, F), "down": array(L, F, D), "n1": array(L, D), "n2": array(L, D),
        },
    }  # fmt: skip


def norm(x, w):
    return x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * w


def rotate(x):
    half = E // 2
    angles = jnp.arange(S)[:, None] * (10000.0 ** (-jnp.arange(half) / half))
    cos, sin = (f(angles)[None, :, None].astype(x.dtype) for f in (jnp.cos, jnp.sin))
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1)


def layer(x, w):
    h = norm(x, w["n1"])
    with jax.named_scope("attention"):
        q, k, v = (jnp.einsum("bsd,dhe->bshe", h, w[name]) for name in "qkv")
        mixed = jax.nn.dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        x = x + jnp.einsum("bshe,hed->bsd", mixed, w["o"])
    with jax.named_scope("mlp"):
        h = norm(x, w["n2"])
        return x + (jax.nn.silu(h @ w["gate"]) * (h @ w["up"])) @ w["down"]


def forward(params, tokens, wrap=lambda f: f):
    x = params["embed"][tokens]
    x, _ = lax.scan(lambda c, w: (wrap(layer)(c, w), None), x, params["layers"])
    return norm(x, params["norm"]) @ params["head"]


def loss(params, tokens, wrap=lambda f: f):
    logits = jax.nn.log_softmax(forward(params, tokens, wrap))
    return -jnp.take_along_axis(logits, tokens[..., None], -1).mean()


TOKENS = array(B, S, dtype="int32")


def test_prefill():
    ledger = flopsight.count(CONFIG, phase="prefill", batch=B, seq=S).flops
    counted = fj.count(forward, weights(), TOKENS)
    assert counted.flops.required == ledger.required
    assert counted.flops.full_square == ledger.full_square
    assert not counted.uncounted
    assert not counted.notes


def test_training():
    ledger = flopsight.count(CONFIG, phase="train", batch=B, seq=S).flops
    counted = fj.count(jax.value_and_grad(loss), weights(), TOKENS)
    assert counted.flops.required == ledger.required
    assert counted.flops.full_square == ledger.full_square == counted.flops.executed


def test_training_with_checkpoints():
    ledger = flopsight.count(CONFIG, phase="train", batch=B, seq=S).flops
    forwards = flopsight.count(CONFIG, phase="prefill", batch=B, seq=S).flops
    counted = fj.count(lambda p, t: jax.value_and_grad(loss)(p, t, jax.checkpoint), weights(), TOKENS)
    assert counted.flops.required == ledger.required
    assert counted.flops.full_square == ledger.full_square
    # all of the layers runs again, but not the last product of each (its result is only added) nor the head
    head, down = 2 * B * S * D * V, 2 * B * S * D * F * L
    assert counted.during("recompute").flops == Flops(0, 0, forwards.full_square - head - down)


def test_parts_of_a_layer():
    counted = fj.count(jax.value_and_grad(loss), weights(), TOKENS)
    parts = counted.by_module()
    assert parts["mlp"].flops.required == 3 * L * 3 * 2 * B * S * D * F
    assert parts["attention"].flops.full_square == 3 * L * 2 * B * S * (2 * D * (HEADS + KV) * E + 2 * HEADS * E * S)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_rows_say_the_format(dtype):
    params = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, dtype), weights())
    formats = {row.dtype for row in fj.count(forward, params, TOKENS).rows if row.op == "dot_general"}
    assert formats == {"bf16" if dtype == "bfloat16" else "fp32"}
