"""Zamba and Zamba2: Mamba layers, before some of which a shared transformer block runs again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block, causal_lm
from flopsight.models.blocks.mlp import gated_mlp
from flopsight.models.blocks.recurrent import (
    LINEAR,
    MIXER,
    Mamba2,
    checked_groups,
    inner_width,
    kinds,
    linear,
    short_conv,
    vector,
)  # fmt: skip
from flopsight.models.config import Config
from flopsight.models.families.mamba import step_rank
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.blocklinear import BlockLinear
from flopsight.parts.linear import Linear, Parameter
from flopsight.parts.mamba1 import SelectiveScan
from flopsight.parts.norm import Norm
from flopsight.parts.vector import activation

HYBRID = "hybrid"
WORDS = {"mamba": LINEAR, LINEAR: LINEAR, HYBRID: HYBRID}
CAP = 10_000


def repeated(node: Node, runs: int) -> Node:
    """The node with every child run `runs` times, so that children run once can be added."""
    return replace(node, children=tuple(replace(child, runs=child.runs * runs) for child in node.children))


def shared_attention(c: Config, width: int, rotary: bool) -> Attention:
    """Attention that reads 2d values (the residual stream and the embedding) and writes d."""
    source = c.maybe("attention_hidden_size") or 2 * width
    heads = c.int("num_attention_heads")
    each = c.maybe("attention_head_dim") or source // heads
    if each < 1:
        raise c.fail("num_attention_heads", heads, f"at most the {source} values attention reads")
    c.ignore("kv_channels", "num_query_groups", "head_dim", "sliding_window")
    return Attention(
        source, heads, c.kv_heads(heads), each, rotary=each if rotary else 0, output=width,
    )  # fmt: skip


def mamba_layer(width: int, mixer: Node, name: str = "") -> Node:
    """A norm and a mixer."""
    return replace(block(mixer, leaf("input_layernorm", Norm(width), place="pre"), width=width, residuals=1), name=name)


def hybrid_layer(width: int, mixer: Node, shared: Node | None) -> Node:
    """A Mamba layer that adds the shared block's output, through a matrix of its own, to its input."""
    return branch(
        "",
        shared,
        linear("linear", width, width, kind="other"),
        mamba_layer(width, mixer, "mamba_decoder"),
    )


def model_of(c: Config, width: int, layers: Sequence[Node]) -> Model:
    """The decoder around `layers`."""
    note = "Shared blocks are stored once and run many times: FLOPs exceed 2 x parameters x tokens."
    return causal_lm(
        layers, family=c.model_type, vocab=c.int("vocab_size"), width=width, tied=c.tied(), norm=Norm(width),
        norm_name="final_layernorm", notes=(note,),
    )  # fmt: skip


def laid_out(width: int, types: Sequence[str], mixer: Node, shared: Callable[[int], Node | None]) -> list[Node]:
    """Layers by kind; `shared(i)` is what the i-th hybrid layer stores."""
    layers, seen = [], 0
    for kind in types:
        if kind == HYBRID:
            layers.append(hybrid_layer(width, mixer, shared(seen)))
            seen += 1
        else:
            layers.append(mamba_layer(width, mixer))
    return layers


# ------------------------------------------------------------------ Zamba


@dataclass(frozen=True, slots=True)
class HeadedMamba:
    """Mamba whose i channels are split over H heads that project step width, B and C from their own channels."""

    width: int
    inner: int
    heads: int
    states: int
    rank: int
    taps: int
    bias: bool
    conv_bias: bool

    def node(self, name: str) -> Node:
        """The mixer as a tree node."""
        h, each = self.heads, self.inner // self.heads
        return branch(
            name,
            leaf("x_proj_weight", BlockLinear(MIXER, h, each, self.rank + 2 * self.states)),
            leaf("dt_proj_weight", BlockLinear(MIXER, h, self.rank, each)),
            leaf("dt_proj_bias", Parameter(MIXER, (h, each), self.inner)),
            vector("A_log", h, each, self.states),
            vector("D", h, each),
            leaf("conv1d", short_conv(self.inner, self.taps, bias=self.conv_bias)),
            leaf("act", activation("silu", self.inner)),
            linear("in_proj", self.width, 2 * self.inner, bias=self.bias),
            leaf("scan", SelectiveScan(self.inner, self.states)),
            leaf("gate", activation("silu", self.inner, gated=True)),
            linear("out_proj", self.inner, self.width, bias=self.bias),
        )


def headed_mamba(c: Config, width: int) -> Node:
    """Zamba's mixer from the config."""
    inner, heads = inner_width(c, width, "mamba_expand"), c.int("n_mamba_heads")
    if inner % heads:
        raise c.fail("n_mamba_heads", heads, f"a divisor of the {inner} channels")
    return HeadedMamba(
        width, inner, heads, c.int("mamba_d_state"), step_rank(c, width, "mamba_dt_rank"), c.int("mamba_d_conv"),
        c.flag("mamba_proj_bias", default=False), c.flag("mamba_conv_bias", default=True),
    ).node("mamba")  # fmt: skip


def zamba_kinds(c: Config) -> tuple[str, ...]:
    """`layers_block_type`, or two Mamba layers, a hybrid one, and then one hybrid layer a period."""
    count, period, offset = c.layers(), c.int("attn_layer_period"), c.int("attn_layer_offset", least=0)
    rest = [HYBRID if i % period == offset else LINEAR for i in range(count - 3)]
    return kinds(c, ("layers_block_type",), 0, WORDS, [LINEAR, LINEAR, HYBRID, *rest])


def zamba(c: Config) -> Model:
    """Zamba: one shared block of attention and MLP."""
    width, types = c.int("hidden_size"), zamba_kinds(c)
    attention = shared_attention(c, width, rotary=False)
    shared = branch(
        "shared_transf",
        attention.node(),
        gated_mlp(width, c.int("intermediate_size"), "feed_forward", activate=c.word("hidden_act", default="gelu")),
        leaf("input_layernorm", Norm(attention.width), place="pre"),
        leaf("pre_ff_layernorm", Norm(width), place="pre"),
        runs=types.count(HYBRID),
    )
    layers = laid_out(width, types, headed_mamba(c, width), lambda i: shared if i == 0 else None)
    return model_of(c, width, layers)


# ------------------------------------------------------------------ Zamba2


@dataclass(frozen=True, slots=True)
class SharedBlock:
    """What the shared blocks of Zamba2 are made of; block b serves every `blocks`-th hybrid layer from the b-th on.

    count    hybrid layers; adapters of rank `rank` are stored for each of them, on the MLP and, if `adapted`, on
             query, key and value
    """

    attention: Attention
    width: int
    inner: int
    blocks: int
    count: int
    rank: int
    adapted: bool
    bias: bool
    activate: str

    def node(self, place: int) -> Node | None:
        """What hybrid layer `place` stores: a whole block, or nothing where an earlier one is used again."""
        if place >= self.blocks:
            return None
        served = tuple(range(place, self.count, self.blocks))
        d, runs = self.width, len(served)
        attention = self.attention
        mlp = gated_mlp(d, self.inner, "feed_forward", bias=self.bias, fused="gate_up_proj", activate=self.activate)
        lists = [self._adapters("gate_up_proj_adapter_list", "mlp", d, 2 * self.inner, served)]
        source = attention.width
        others = [
            self._adapters(f"linear_{x}_adapter_list", "attention", source, source, served)
            for x in ("qkv" if self.adapted else "")
        ]
        return branch(
            "shared_transformer",
            _with(repeated(attention.node(), runs), others),
            _with(repeated(mlp, runs), lists),
            leaf("input_layernorm", Norm(source), place="pre", runs=runs),
            leaf("pre_ff_layernorm", Norm(d), place="pre", runs=runs),
        )

    def _adapters(self, name: str, kind: str, inputs: int, outputs: int, served: tuple[int, ...]) -> Node:
        down = leaf("0", Linear(kind, inputs, self.rank))
        up = leaf("1", Linear(kind, self.rank, outputs))
        return branch(name, Node("", children=(down, up), copies=served))


def _with(node: Node, more: list[Node]) -> Node:
    return replace(node, children=(*node.children, *more))


def zamba2_mixer(c: Config, width: int) -> Node:
    """Mamba-2 with the names of the released files beside those of the class; heads follow from their width."""
    inner = inner_width(c, width, "mamba_expand", "expansion_factor")
    each = c.maybe("mamba_headdim")
    heads = c.int("n_mamba_heads") if c.has("n_mamba_heads") or not each else inner // each
    if heads < 1 or inner % heads:
        raise c.fail("n_mamba_heads", heads, f"a divisor of the {inner} channels")
    c.ignore("use_conv_bias")
    return Mamba2(
        width, heads, inner // heads, checked_groups(c, heads, "mamba_ngroups"), c.int("mamba_d_state", "state_size"),
        c.int("mamba_d_conv", "conv_dimension"), c.int("chunk_size"), c.flag("add_bias_linear", default=False),
    ).node("mamba")  # fmt: skip


def default_kinds() -> list[str]:
    """The pattern of the class, for 54 layers."""
    steps = [LINEAR] + ([LINEAR] * 5 + [HYBRID]) * 7
    return [*steps, *[LINEAR] * 4, HYBRID, *[LINEAR] * 3, HYBRID, LINEAR, LINEAR]


def zamba2(c: Config) -> Model:
    """Zamba2: shared blocks used in turn, each time with adapters of their own."""
    width = c.int("hidden_size")
    types = kinds(c, ("layers_block_type", "layer_types"), 0, WORDS, default_kinds())
    if types.count(HYBRID) > CAP:
        raise c.fail("layers_block_type", len(types), f"a list with at most {CAP} hybrid layers")
    c.ignore("num_hidden_layers", "use_shared_block_lora", "gated_linear_unit", "use_mem_eff_path", "use_long_context")
    attention = shared_attention(c, width, rotary=c.flag("use_mem_rope", default=False))
    shared = SharedBlock(
        attention, width, c.maybe("intermediate_size", "ffn_hidden_size") or 4 * width, c.int("num_mem_blocks"),
        types.count(HYBRID), c.int("adapter_rank", "lora_rank"),
        c.flag("use_shared_attention_adapter", "use_shared_attention_lora", default=False),
        c.flag("add_bias_linear", default=False), c.word("hidden_act", default="gelu"),
    )  # fmt: skip
    return model_of(c, width, laid_out(width, types, zamba2_mixer(c, width), shared.node))


FAMILIES = {"zamba": zamba, "zamba2": zamba2}
