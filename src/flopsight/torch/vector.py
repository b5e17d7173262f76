"""Vector FLOPs of ops that do more than one operation an element, by the rules of docs/concepts/counting-vector-work.

One arithmetic operation on one value is one FLOP, and so is a transcendental function. Every other op on elements is
taken as one operation an element of its output (of its input, where it reduces).

A product by broadcasting whose result is then summed, `(a[..., None] * b).sum(-2)`, runs on the vector engine as it is
written, and is counted there: 2 FLOPs a multiply-add among the vector FLOPs, none among the matrix FLOPs.

    softmax 5    silu 5, gelu 8, sigmoid and tanh 4    RMSNorm 3, LayerNorm 5, and one for a weight, one for a bias
    backward of these: twice the forward
    lerp, addcmul, addcdiv 3    addr 2
    FFT         5·n·log2(n) for n complex values (Cooley and Tukey 1965), half of that for real ones
    optimizers  AdamW and Adam 14, Adagrad 6, SGD 2, and 2 for momentum; weight decay 2 where it is not in the 14
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log2, prod
from typing import Any, Final

from flopsight.opnames import FLOPS_AN_ELEMENT
from flopsight.torch.call import tensors
from flopsight.torch.traffic import Traffic, read_bytes, written_bytes

Vector = Callable[[Any, Any, Any], Traffic]


def _each(flops: int) -> Vector:
    """So many FLOPs an element of the output (the first, of several)."""

    def count(args: Any, kwargs: Any, out: Any) -> Traffic:
        changed = out if out is not None else args[0]
        first = changed[0] if isinstance(changed, tuple) else changed
        return flops * sum(t.numel() for t in tensors((first,))), read_bytes(args, kwargs), written_bytes(changed)

    return count


def _norm(form: int, weight: int, times: int = 1) -> Vector:
    """A normalisation: `form` a value, one for the weight at that position and one for the bias behind it."""

    def count(args: Any, kwargs: Any, out: Any) -> Traffic:
        affine = sum(value is not None for value in args[weight : weight + (2 if form == _LAYER else 1)])
        return times * (form + affine) * args[0].numel(), read_bytes(args, kwargs), written_bytes(out)

    return count


_LAYER: Final = 5
_RMS: Final = 3


def _transform(args: Any, kwargs: Any, out: Any) -> Traffic:
    """All dimensions of an FFT; the full lengths are those of the longer side, input or output."""
    source = args[0]
    whole = source if source.numel() >= out.numel() else out
    lengths = prod(whole.shape[d] for d in args[1])
    real = not (source.is_complex() and out.is_complex())
    flops = 5 * whole.numel() * log2(lengths) if lengths > 1 else 0.0
    return int(flops / 2 if real else flops), read_bytes(args, kwargs), written_bytes(out)


def _optimizer(flops: Callable[[Any], int], states: tuple[int, ...]) -> Vector:
    """A fused step over lists: parameters first, gradients second; the parameters and `states` are written."""

    def count(args: Any, kwargs: Any, out: Any) -> Traffic:
        elements = sum(t.numel() for t in tensors((args[0],)))
        each = flops(kwargs)
        writes = sum(written_bytes(args[i]) for i in (0, *states) if i < len(args))
        return each * elements, read_bytes(args, kwargs), writes

    return count


def _adam(kwargs: Any) -> int:
    return 14 + bool(kwargs.get("amsgrad"))


def _adam_coupled(kwargs: Any) -> int:
    return 13 + bool(kwargs.get("amsgrad")) + 2 * bool(kwargs.get("weight_decay"))


def _sgd(kwargs: Any) -> int:
    return 2 + 2 * bool(kwargs.get("momentum")) + 2 * bool(kwargs.get("weight_decay"))


def _adagrad(kwargs: Any) -> int:
    return 6 + 2 * bool(kwargs.get("weight_decay"))


def _table() -> dict[str, Vector]:
    found: dict[str, Vector] = {f"aten::{name}": _each(flops) for name, flops in FLOPS_AN_ELEMENT.items()}
    found |= {
        "aten::native_layer_norm": _norm(_LAYER, 2),
        "aten::native_layer_norm_backward": _norm(_LAYER, 5, 2),
        "aten::native_group_norm": _norm(_LAYER, 1),
        "aten::native_batch_norm": _norm(_LAYER, 1),
        "aten::_native_batch_norm_legit": _norm(_LAYER, 1),
        "aten::_batch_norm_with_update": _norm(_LAYER, 1),
        "aten::cudnn_batch_norm": _norm(_LAYER, 1),
        "aten::_fused_rms_norm": _norm(_RMS, 2),
        "aten::_fused_rms_norm_backward": _norm(_RMS, 4, 2),
    }
    found |= {f"aten::{name}": _transform for name in ("_fft_c2c", "_fft_r2c", "_fft_c2r")}
    for tail in ("", "_"):
        found[f"aten::_fused_adamw{tail}"] = _optimizer(_adam, (2, 3, 4))
        found[f"aten::_fused_adam{tail}"] = _optimizer(_adam_coupled, (2, 3, 4))
        found[f"aten::_fused_sgd{tail}"] = _optimizer(_sgd, (2,))
        found[f"aten::_fused_adagrad{tail}"] = _optimizer(_adagrad, (2,))
    return found


VECTOR: Final[Mapping[str, Vector]] = _table()
"""By schema name, "aten::_softmax"."""
