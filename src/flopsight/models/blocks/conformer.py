"""The sound tower of Gemma 4: two strided convolutions over a spectrogram, then conformer layers."""

from __future__ import annotations

from flopsight.expr import Number
from flopsight.models.blocks.mlp import act
from flopsight.models.config import Config
from flopsight.models.tree import Node, StreamRule, branch, leaf, stack
from flopsight.parts.block_attention import BlockRelativeCore
from flopsight.parts.conv import Conv
from flopsight.parts.linear import Buffer, Linear
from flopsight.parts.norm import Norm
from flopsight.parts.vector import Elementwise, activation
from flopsight.workload import Work, Workload

MEL = 128
KIND = "audio"


def sound_streams() -> dict[str, StreamRule]:
    """One clip a sequence of `encoder` tokens, from four frames each; none where the workload names no length."""

    def stream(times: int) -> StreamRule:
        def rule(w: Workload) -> Work:
            clips: Number = 0 if w.encoder is None or w.phase == "decode" else w.batch
            return Work(clips, times * (w.encoder or 0))

        return rule

    return {"sound": stream(1), "sound_first": stream(2 * MEL // 2), "sound_second": stream(MEL // 4)}


def clipped(name: str, inputs: int, outputs: int, kind: str, *, bounded: bool) -> Node:
    """A linear whose inputs and outputs are held inside stored bounds."""
    bounds = ("input_min", "input_max", "output_min", "output_max") if bounded else ()
    held = (leaf(b, Buffer(kind, (), (inputs if "input" in b else outputs))) for b in bounds)
    return branch(name, leaf("linear", Linear(kind, inputs, outputs)), *held)


def _feed_forward(name: str, width: int, activate: str, *, bounded: bool) -> Node:
    return branch(
        name,
        leaf("pre_layer_norm", Norm(width, kind=KIND), place="pre"),
        clipped("ffw_layer_1", width, 4 * width, KIND, bounded=bounded),
        leaf("act", activation(act(activate), 4 * width)),
        clipped("ffw_layer_2", 4 * width, width, KIND, bounded=bounded),
        leaf("post_layer_norm", Norm(width, kind=KIND), place="post"),
        leaf("residual", Elementwise("scale and add", width, 2, 2)),
    )


def _attention(c: Config, width: int, *, bounded: bool) -> Node:
    heads = c.int("num_attention_heads")
    if width % heads:
        raise c.fail("num_attention_heads", heads, f"a divisor of the width {width:,}")
    core = BlockRelativeCore(
        heads, width // heads, c.int("attention_chunk_size"), c.int("attention_context_left"),
        c.int("attention_context_right", least=0),
    )  # fmt: skip
    names = ("q_proj", "k_proj", "v_proj", "post")
    return branch("self_attn", *(clipped(n, width, width, KIND, bounded=bounded) for n in names), leaf("", core))


def _convolution(c: Config, width: int, activate: str, *, bounded: bool) -> Node:
    depthwise = Conv(KIND, width, width, (c.int("conv_kernel_size"),), False, groups=width, extra=0)
    return branch(
        "lconv1d",
        leaf("pre_layer_norm", Norm(width, kind=KIND), place="pre"),
        clipped("linear_start", width, 2 * width, KIND, bounded=bounded),
        leaf("glu", activation("sigmoid", width, gated=True)),
        leaf("depthwise_conv1d", depthwise),
        leaf("conv_norm", Norm(width, kind=KIND), place="inner"),
        leaf("act", activation(act(activate), width)),
        clipped("linear_end", width, width, KIND, bounded=bounded),
    )


def _subsampling(c: Config, width: int) -> Node:
    channels = c.ints("subsampling_conv_channels", least=1) or (128, 32)
    if len(channels) != 2:
        raise c.fail("subsampling_conv_channels", list(channels), "two numbers of channels")
    first, second = channels
    stages = (("layer0", 1, first, "sound_first"), ("layer1", first, second, "sound_second"))
    return branch(
        "subsample_conv_projection",
        *(
            branch(
                name,
                leaf("conv", Conv(KIND, inputs, outputs, (3, 3), False)),
                leaf("norm", Norm(outputs, "layer", kind=KIND), place="inner"),
                leaf("act", activation("relu", outputs)),
                stream=stream,
            )
            for name, inputs, outputs, stream in stages
        ),
        leaf("input_proj_linear", Linear(KIND, first // 4 * second, width)),
    )


def conformer_tower(c: Config, name: str = "audio_tower") -> tuple[Node, int]:
    """The tower, and the width of what it gives."""
    width, out = c.int("hidden_size"), c.int("output_proj_dims")
    bounded, activate = c.flag("use_clipped_linears", default=True), c.word("hidden_act", default="silu")
    norm = Norm(width, kind=KIND)
    layer = branch(
        "",
        _feed_forward("feed_forward1", width, activate, bounded=bounded),
        _feed_forward("feed_forward2", width, activate, bounded=bounded),
        _attention(c, width, bounded=bounded),
        _convolution(c, width, activate, bounded=bounded),
        *(leaf(n, norm) for n in ("norm_pre_attn", "norm_post_attn", "norm_out")),
    )
    node = branch(
        name,
        _subsampling(c, width),
        stack("layers", [layer] * c.layers()),
        leaf("output_proj", Linear(KIND, width, out, True)),
        stream="sound",
    )
    return node, out
