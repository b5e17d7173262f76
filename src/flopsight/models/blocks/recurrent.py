"""Mixers that keep a state instead of keys and values, with their projections: Mamba, Mamba-2, gated delta nets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flopsight.models.config import Config
from flopsight.models.tree import Node, branch, leaf
from flopsight.parts.conv import Conv
from flopsight.parts.gated_delta import GatedDelta
from flopsight.parts.linear import Linear, Parameter
from flopsight.parts.mamba1 import SelectiveScan
from flopsight.parts.mamba2 import StateSpaceDual
from flopsight.parts.norm import Norm
from flopsight.parts.vector import activation

MIXER = "mixer"
LINEAR, FULL, SLIDING = "linear_attention", "full_attention", "sliding_attention"
LEGACY = {"mamba": LINEAR, "attention": FULL, "recurrent": LINEAR}


def short_conv(width: int, taps: int, *, bias: bool = False) -> Conv:
    """A causal depthwise convolution; eager code pads both ends and cuts the tail off."""
    return Conv(MIXER, width, width, (taps,), bias, groups=width, causal=True, extra=taps - 1)


def linear(name: str, inputs: int, outputs: int, *, bias: bool = False, kind: str = MIXER) -> Node:
    """A projection of a mixer."""
    return leaf(name, Linear(kind, inputs, outputs, bias))


def vector(name: str, *shape: int, kind: str = MIXER) -> Node:
    """A stored tensor of a recurrence whose work is counted in its core."""
    return leaf(name, Parameter(kind, shape))


def gated_norm(name: str, width: int, gate: int, *, copies: int = 1, act: str = "silu") -> tuple[Node, Node]:
    """A norm inside a mixer and the gate that multiplies it."""
    norm = leaf(name, Norm(width, copies=copies, kind=MIXER), place="inner")
    return norm, leaf("gate", activation(act, gate, gated=True))


def kinds(
    c: Config, names: Sequence[str], count: int, known: Mapping[str, str], default: Sequence[str]
) -> tuple[str, ...]:
    """The kind of every layer, from the first of the keys `names` that is set; older words are translated."""
    found = c.words(*names)
    if found is None:
        return tuple(default)
    if count and len(found) != count:
        raise c.fail(names[0], list(found), f"a list of strings, one for each of {count} layers")
    for kind in found:
        if kind not in known:
            raise c.fail(names[0], kind, f"a list of {', '.join(sorted(set(known)))}")
    return tuple(known[kind] for kind in found)


WORDS = {FULL: FULL, LINEAR: LINEAR, "mamba": LINEAR, "attention": FULL}


@dataclass(frozen=True, slots=True)
class Mamba1:
    """The dimensions of one Mamba mixer.

    width   d, of the residual stream; inner i, channels; states n; rank r of the step width
    taps    of the convolution
    normed  norms over step width, B and C: "" none, "free" without weights, "own" with weights
    """

    width: int
    inner: int
    states: int
    rank: int
    taps: int
    bias: bool = False
    conv_bias: bool = True
    normed: str = ""

    def node(self, name: str) -> Node:
        """The mixer as a tree node."""
        i, n, r = self.inner, self.states, self.rank
        return branch(
            name,
            vector("A_log", i, n),
            vector("D", i),
            linear("in_proj", self.width, 2 * i, bias=self.bias),
            leaf("conv1d", short_conv(i, self.taps, bias=self.conv_bias)),
            leaf("act", activation("silu", i)),
            linear("x_proj", i, r + 2 * n),
            *self._norms(),
            linear("dt_proj", r, i, bias=True),
            leaf("scan", SelectiveScan(i, n)),
            leaf("gate", activation("silu", i, gated=True)),
            linear("out_proj", i, self.width, bias=self.bias),
        )

    def _norms(self) -> list[Node]:
        if not self.normed:
            return []
        sizes = {"dt_layernorm": self.rank, "b_layernorm": self.states, "c_layernorm": self.states}
        own = self.normed == "own"
        return [leaf(k, Norm(v, weight=own, kind=MIXER), place="inner") for k, v in sizes.items()]


@dataclass(frozen=True, slots=True)
class Mamba2:
    """The dimensions of one Mamba-2 mixer: H heads of p channels, g groups of n states.

    inner   channels the projections are made for; H·p unless a config says otherwise
    normed  whether there is a gated norm before the output
    """

    width: int
    heads: int
    head_width: int
    groups: int
    states: int
    taps: int
    chunk: int
    bias: bool = False
    out_bias: bool | None = None
    conv_bias: bool = True
    normed: bool = True

    def node(self, name: str) -> Node:
        """The mixer as a tree node."""
        inner = self.heads * self.head_width
        mixed = inner + 2 * self.groups * self.states
        norms = gated_norm("norm", inner, inner) if self.normed else ()
        return branch(
            name,
            vector("dt_bias", self.heads),
            vector("A_log", self.heads),
            vector("D", self.heads),
            linear("in_proj", self.width, inner + mixed + self.heads, bias=self.bias),
            leaf("conv1d", short_conv(mixed, self.taps, bias=self.conv_bias)),
            leaf("act", activation("silu", mixed)),
            leaf("scan", StateSpaceDual(self.heads, self.head_width, self.states, self.groups, self.chunk)),
            *norms,
            *(() if self.normed else (leaf("gate", activation("silu", inner, gated=True)),)),
            linear("out_proj", inner, self.width, bias=self.bias if self.out_bias is None else self.out_bias),
        )


def inner_width(c: Config, width: int, *expand: str) -> int:
    """Channels of a mixer: the width times a factor, rounded down."""
    inner = int(c.number(*expand) * width)
    if not 1 <= inner <= 2**40:
        raise c.fail(expand[0], c.get(*expand), "a factor that leaves at least one channel and at most 2^40")
    return inner


def checked_groups(c: Config, heads: int, *names: str) -> int:
    """Groups of heads that share B and C; they divide the heads."""
    groups = c.int(*names)
    if heads % groups:
        raise c.fail(names[0], groups, f"a divisor of the {heads} heads")
    return groups


def usual_mamba2(c: Config, width: int, inner: int, *, normed: bool = True, out: str = "mamba_proj_bias") -> Mamba2:
    """Mamba-2 from the keys `mamba_n_heads`, `mamba_d_head`, ... of Bamba, Granite and Falcon-H1."""
    heads = c.int("mamba_n_heads")
    each = c.get("mamba_d_head", default="auto")
    each = inner // heads if each in ("auto", None) else c.int("mamba_d_head")
    if heads * each != inner:
        raise c.fail("mamba_n_heads", heads, f"such that heads x head width are the {inner} channels")
    return Mamba2(
        width, heads, each, checked_groups(c, heads, "mamba_n_groups"), c.int("mamba_d_state"), c.int("mamba_d_conv"),
        c.int("mamba_chunk_size"), c.flag("mamba_proj_bias", default=False), c.flag(out, default=False),
        c.flag("mamba_conv_bias", default=True), normed,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DeltaNet:
    """The dimensions of one gated delta net: query and key heads of e values, value heads of v values."""

    width: int
    key_heads: int
    value_heads: int
    key_width: int
    value_width: int
    taps: int

    @property
    def keys(self) -> int:
        """Width of all query heads, and of all key heads."""
        return self.key_heads * self.key_width

    @property
    def values(self) -> int:
        """Width of all value heads."""
        return self.value_heads * self.value_width

    def projections(self, form: str) -> list[Node]:
        """Query, key, value, output gate, update rate and decay: two matrices, four, or six."""
        d, k, v, h = self.width, self.keys, self.values, self.value_heads
        sizes = {
            "fused": {"in_proj_qkvz": 2 * k + 2 * v, "in_proj_ba": 2 * h},
            "joined": {"in_proj_qkv": 2 * k + v, "in_proj_z": v, "in_proj_b": h, "in_proj_a": h},
            "apart": {"q_proj": k, "k_proj": k, "v_proj": v, "a_proj": h, "b_proj": h, "g_proj": v},
        }[form]
        return [linear(name, d, size) for name, size in sizes.items()]

    def node(self, form: str, *, name: str = "linear_attn", norm: str = "norm", out: str = "out_proj") -> Node:
        """The mixer as a tree node."""
        h, mixed = self.value_heads, 2 * self.keys + self.values
        return branch(
            name,
            vector("dt_bias", h),
            vector("A_log", h),
            *self.projections(form),
            leaf("conv1d", short_conv(mixed, self.taps)),
            leaf("act", activation("silu", mixed)),
            leaf("delta", GatedDelta(h, self.key_width, self.value_width)),
            *gated_norm(norm, self.value_width, self.values, copies=h),
            linear(out, self.values, self.width),
        )


def delta_net(c: Config, width: int) -> DeltaNet:
    """A gated delta net from the `linear_*` keys; key heads divide value heads."""
    keys, values = c.int("linear_num_key_heads"), c.int("linear_num_value_heads")
    if values % keys:
        raise c.fail("linear_num_key_heads", keys, f"a divisor of the {values} value heads")
    return DeltaNet(
        width, keys, values, c.int("linear_key_head_dim"), c.int("linear_value_head_dim"),
        c.int("linear_conv_kernel_dim"),
    )  # fmt: skip
