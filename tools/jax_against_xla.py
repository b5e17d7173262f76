"""What XLA's cost analysis says of small programs beside what flopsight counts: python tools/jax_against_xla.py."""

import jax
import jax.numpy as jnp
from jax import lax

import flopsight.jax


def array(*shape, dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


def stack(x, w):
    return lax.scan(lambda c, m: (c @ m, None), x, w)[0]


def depthwise(x, w):
    layout = ("NWC", "WIO", "NWC")
    return lax.conv_general_dilated(x, w, (1,), "SAME", dimension_numbers=layout, feature_group_count=64).sum()


def same(x, w):
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


SQUARE, LAYERS = array(64, 64), array(12, 64, 64)
PROGRAMS = {
    "a product": (jnp.matmul, SQUARE, SQUARE),
    "a scan over 12 layers": (stack, SQUARE, LAYERS),
    "its gradient": (jax.grad(lambda w, x: stack(x, w).sum()), LAYERS, SQUARE),
    "a loop of 10 rounds": (lambda x, w: lax.fori_loop(0, 10, lambda _, c: c @ w, x), SQUARE, SQUARE),
    "ragged_dot of 4 groups": (lax.ragged_dot, SQUARE, array(4, 64, 64), array(4, dtype="int32")),
    "gradients of a depthwise convolution": (jax.grad(depthwise, (0, 1)), array(2, 128, 64), array(4, 1, 64)),
    "a SAME convolution": (same, array(2, 32, 32, 8), array(3, 3, 8, 8)),
}


def xla(fn, *args):
    """FLOPs by XLA."""
    found = jax.jit(fn).lower(*args).compile().cost_analysis()
    return (found[0] if isinstance(found, list) else found)["flops"]


if __name__ == "__main__":
    print(
        f"| JAX {jax.__version__}, {jax.devices()[0].platform} | flopsight | XLA / flopsight |\n| --- | ---: | ---: |"
    )
    for name, program in PROGRAMS.items():
        ours = flopsight.jax.count(*program).flops.executed
        print(f"| {name} | {ours:,} | {xla(*program) / ours:.2f} |")
