"""Gemma 3n: alternating updates, low-rank residuals, an embedding for every layer, shared keys and values."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block, causal_lm
from flopsight.models.blocks.mlp import act
from flopsight.models.blocks.shared_kv import (
    TAIL,
    attention,
    first_shared,
    in_tail,
    layer_embeddings,
    layer_input,
    mask_of,
    tail_stream,
)
from flopsight.models.config import Config
from flopsight.models.families.composite import compose, text_decoder
from flopsight.models.families.dense import every
from flopsight.models.tree import Model, Node, branch, leaf, stack
from flopsight.parts.altup import AltUpMix
from flopsight.parts.linear import Linear, Parameter
from flopsight.parts.norm import Norm
from flopsight.parts.vector import Elementwise, activation

TOWERS = "The picture tower (MobileNetV5 of the timm library) and the sound tower are not counted: text only."


def altup(copies: int, width: int, *, scaled: bool) -> Node:
    """Router, coefficients and the mixing of the copies of the stream; the router runs before and after the layer."""
    return branch(
        "altup",
        leaf("router_norm", Norm(width), place="pre", runs=2),
        leaf("modality_router", Linear("other", width, copies), runs=2),
        leaf("prediction_coefs", Linear("other", copies, copies * copies)),
        leaf("correction_coefs", Linear("other", copies, copies)),
        leaf("mix", AltUpMix(copies, width)),
        leaf("correct_output_scale", Parameter("other", (width,), width * scaled)),
    )


def laurel(width: int, rank: int) -> Node:
    """A learned residual of low rank beside attention."""
    return branch(
        "laurel",
        leaf("linear_left", Linear("other", width, rank)),
        leaf("linear_right", Linear("other", rank, width)),
        leaf("post_laurel_norm", Norm(width), place="post"),
    )


def inner_widths(c: Config) -> list[int]:
    """The inner width of every layer's MLP: one for all or a list."""
    count = c.layers()
    if not isinstance(c.get("intermediate_size"), list):
        return [c.int("intermediate_size")] * count
    widths = c.ints("intermediate_size", least=1) or ()
    if len(widths) != count:
        raise c.fail("intermediate_size", list(widths), f"one width for each of the {count} layers")
    return list(widths)


def sparse_layers(c: Config) -> list[bool]:
    """Layers whose MLP silences all but the largest gates; the first ten where the config is silent."""
    count = c.layers()
    listed = c.get("activation_sparsity_pattern", default=None)
    if listed is None:
        return [i < 10 < count for i in range(count)]
    if not isinstance(listed, list) or len(listed) != count or not all(isinstance(x, int | float) for x in listed):
        raise c.fail("activation_sparsity_pattern", listed, f"a share for each of the {count} layers")
    return [x > 0 for x in listed]


def mlp(width: int, inner: int, activate: str, *, sparse: bool) -> Node:
    """The gated MLP; where it is sparse, mean and deviation of the gates give a threshold."""
    return branch(
        "mlp",
        leaf("gate_proj", Linear("mlp", width, inner)),
        leaf("up_proj", Linear("mlp", width, inner)),
        leaf("threshold", Elementwise("threshold", inner, 6)) if sparse else None,
        leaf("act", activation(act(activate), inner, gated=True)),
        leaf("down_proj", Linear("mlp", inner, width)),
    )


def layer_kinds(c: Config) -> list[bool]:
    """Which layers see a window: by `layer_types`, else all but every fifth."""
    types = c.words("layer_types", count=c.layers())
    usual = every(c, "sliding_window_pattern", 5)
    for kind in types or ():
        if kind not in ("sliding_attention", "full_attention"):
            raise c.fail("layer_types", kind, '"sliding_attention" or "full_attention" in every place')
    return [t == "sliding_attention" for t in types] if types else [usual(i) for i in range(c.layers())]


def decoder_layers(c: Config, width: int) -> list[Node]:
    """All layers, equal ones the same node."""
    slides = layer_kinds(c)
    first, activate = first_shared(c, slides), c.word("hidden_activation", default="gelu_pytorch_tanh")
    heads = c.int("num_attention_heads")
    biased = c.flag("attention_bias", default=False)
    e = c.head_dim(width, heads)
    base = Attention(
        width, heads, c.kv_heads(heads), e, biases=(biased,) * 4, qk_norm="head", rotary=e,
    )  # fmt: skip
    beside = (
        altup(c.int("altup_num_inputs"), width, scaled=c.flag("altup_correct_scale", default=True)),
        laurel(width, c.int("laurel_rank")),
        *layer_input(width, c.int("hidden_size_per_layer_input"), activate),
    )
    made: dict[tuple[bool, bool, int, bool], Node] = {}
    kinds = zip(slides, inner_widths(c), sparse_layers(c), strict=True)
    keys = [(sliding, i < first, inner, sparse) for i, (sliding, inner, sparse) in enumerate(kinds)]
    for key in dict.fromkeys(keys):
        sliding, own, inner, sparse = key
        mixer = attention(replace(base, mask=mask_of(c, sliding), own_kv=own))
        made[key] = _layer(width, mixer, mlp(width, inner, activate, sparse=sparse), beside)
    return in_tail([made[key] for key in keys], first)


def _layer(width: int, mixer: Node, ffn: Node, beside: tuple[Node, ...]) -> Node:
    norm = Norm(width)
    return block(
        leaf("input_layernorm", norm, place="pre"), mixer, leaf("post_attention_layernorm", norm, place="sandwich"),
        leaf("pre_feedforward_layernorm", norm, place="pre"), ffn,
        leaf("post_feedforward_layernorm", norm, place="sandwich"), *beside, width=width, residuals=3,
    )  # fmt: skip


def copies_of_stream(name: str, width: int, copies: int) -> Node:
    """Matrices from the first copy of the stream to the others, or back."""
    return stack(name, [branch("", leaf("", Linear("other", width, width)))] * (copies - 1))


def gemma3n_text(c: Config) -> Model:
    """The text decoder with its head."""
    width, copies = c.int("hidden_size"), c.int("altup_num_inputs")
    if width % c.int("num_attention_heads"):
        raise c.fail("num_attention_heads", c.int("num_attention_heads"), f"a divisor of the width {width:,}")
    each = c.int("hidden_size_per_layer_input")
    before = (*layer_embeddings(c, width, each, c.layers()), copies_of_stream("altup_projections", width, copies))
    back = replace(copies_of_stream("altup_unembed_projections", width, copies), stream=TAIL)
    model = causal_lm(
        decoder_layers(c, width), family=c.model_type, vocab=c.int("vocab_size"), width=width, tied=c.tied(),
        norm=None, before=before, after=(back, leaf("norm", Norm(width), place="final", stream=TAIL)),
    )  # fmt: skip
    return replace(model, streams={**model.streams, TAIL: tail_stream})


def gemma3n(c: Config) -> Model:
    """Gemma 3n as a model of text: its towers are not in the framework alone."""
    text = c.sub("text_config", "gemma3n_text")
    c.ignore("vision_config", "audio_config")
    return compose(c, text_decoder(c, text), notes=(), unknown=(TOWERS,))


FAMILIES = {"gemma3n": gemma3n, "gemma3n_text": gemma3n_text}
