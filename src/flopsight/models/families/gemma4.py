"""Gemma 4: heads that differ by kind of layer, experts beside an MLP, embeddings for every layer, towers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flopsight.expr import Number
from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.conformer import clipped, conformer_tower, sound_streams
from flopsight.models.blocks.decoder import block, causal_lm
from flopsight.models.blocks.mlp import act, gated_mlp
from flopsight.models.blocks.shared_kv import (
    TAIL,
    attention,
    first_shared,
    in_tail,
    layer_embeddings,
    layer_input,
    mask_of,
    renamed_kind,
    tail_stream,
)
from flopsight.models.blocks.vision import Picture
from flopsight.models.config import Config
from flopsight.models.families.composite import SEEN, compose, per_picture, text_decoder
from flopsight.models.tree import Model, Node, StreamRule, branch, leaf, stack
from flopsight.parts.averaging import SquareAverage
from flopsight.parts.linear import Buffer, Linear, Parameter
from flopsight.parts.masks import Full
from flopsight.parts.moe import Experts
from flopsight.parts.norm import Norm
from flopsight.parts.vector import softmax
from flopsight.workload import Workload

GLOBAL_HEAD = 512
GLOBAL_SHARE = 0.25
SOFT_TOKENS = 280
PADDED = "Without a size a picture is padded to the most tokens its processor allows; with one it is not padded."
HEARD = "The sound tower runs only where the workload gives the length of a clip (`encoder`)."
BOTH_WAYS = "Tokens of one picture see each other both ways in windowed layers; attention is counted as causal."


def layer_kinds(c: Config) -> list[bool]:
    """Which layers see a window; the last never does."""
    count = c.layers()
    types = c.words("layer_types", count=count)
    for kind in types or ():
        if kind not in ("sliding_attention", "full_attention"):
            raise c.fail("layer_types", kind, '"sliding_attention" or "full_attention" in every place')
    slides = [t == "sliding_attention" for t in types] if types else [bool((i + 1) % 6) for i in range(count)]
    return [*slides[:-1], False]


def heads_of(c: Config, index: int, *, sliding: bool, one_kv: bool) -> tuple[int, int]:
    """Key-value heads and head width of a layer: `per_layer_config`, or the two kinds' own keys."""
    own = c.get("per_layer_config", default=None)
    kv, e = c.int("num_key_value_heads"), c.int("head_dim")
    if isinstance(own, Mapping):
        c.ignore("global_head_dim", "num_global_key_value_heads")
        given: Any = own.get(str(index), {})
        layer = Config({"num_key_value_heads": kv, "head_dim": e, **given}, "", c.where, parent="per_layer_config")
        return layer.int("num_key_value_heads"), layer.int("head_dim")
    wide, few = c.maybe("global_head_dim") or GLOBAL_HEAD, c.maybe("num_global_key_value_heads")
    if sliding:
        return kv, e
    return (few or kv) if one_kv else kv, wide


def rotary(c: Config, width: int, *, sliding: bool) -> int:
    """Values of a head that rotate: all of them in windowed layers, in the others the share of their rope settings."""
    settings = c.get("rope_parameters", default=None)
    if not isinstance(settings, Mapping):
        return width if sliding else int(width * GLOBAL_SHARE)
    own = settings.get("sliding_attention" if sliding else "full_attention")
    share = own.get("partial_rotary_factor") if isinstance(own, Mapping) else None
    if share is None:
        return width
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise c.fail("rope_parameters", share, "a partial_rotary_factor from 0 to 1")
    return int(width * share)


def mixer(c: Config, width: int, index: int, *, sliding: bool, own: bool) -> Attention:
    """Attention of one layer; full layers may take their values from the key projection."""
    heads, biased = c.int("num_attention_heads"), c.flag("attention_bias", default=False)
    one_kv = c.flag("attention_k_eq_v", default=False)
    kv, e = heads_of(c, index, sliding=sliding, one_kv=one_kv)
    if heads % kv:
        raise c.fail("num_key_value_heads", kv, f"a divisor of the {heads} heads")
    return Attention(
        width, heads, kv, e, biases=(biased,) * 4, qk_norm="head", rotary=rotary(c, e, sliding=sliding),
        mask=mask_of(c, sliding), own_kv=own, one_kv=one_kv and not sliding,
    )  # fmt: skip


def routed(c: Config, width: int, activate: str) -> tuple[Node, ...]:
    """Experts that read the stream before the MLP, with a router and three norms of their own."""
    count, inner = c.int("num_experts"), c.int("moe_intermediate_size")
    experts = Experts(count, c.int("top_k_experts", most=count), width, inner, activation=act(activate))
    norm = Norm(width)
    router = branch(
        "router",
        leaf("norm", Norm(width, weight=False), place="pre"),
        leaf("scale", Parameter("router", (width,), width)),
        leaf("proj", Linear("router", width, count)),
        leaf("route", softmax(count, "softmax, top-k")),
        leaf("per_expert_scale", Parameter("router", (count,), experts.visited)),
    )
    return (
        leaf("post_feedforward_layernorm_1", norm, place="post"), router,
        leaf("pre_feedforward_layernorm_2", norm, place="pre"), leaf("experts", experts),
        leaf("post_feedforward_layernorm_2", norm, place="post"),
    )  # fmt: skip


def layer(c: Config, width: int, mixed: Attention, inner: int) -> Node:
    """Norms around attention and around the MLP, experts beside it, the layer's own embedding last."""
    norm, activate = Norm(width), c.word("hidden_activation", default="gelu_pytorch_tanh")
    each = c.maybe("hidden_size_per_layer_input", least=0) or 0
    moe = routed(c, width, activate) if c.flag("enable_moe_block", default=False) else ()
    return block(
        leaf("input_layernorm", norm, place="pre"), attention(mixed),
        leaf("post_attention_layernorm", norm, place="sandwich"), leaf("pre_feedforward_layernorm", norm, place="pre"),
        gated_mlp(width, inner, activate=activate), *moe, leaf("post_feedforward_layernorm", norm, place="sandwich"),
        *(layer_input(width, each, activate) if each else ()), leaf("layer_scalar", Buffer("other", (1,), width)),
        width=width,
    )  # fmt: skip


def gemma4_text(c: Config) -> Model:
    """The text decoder with its head."""
    width, inner, kinds = c.int("hidden_size"), c.int("intermediate_size"), layer_kinds(c)
    first = first_shared(c, kinds)
    twice = c.flag("use_double_wide_mlp", default=False)
    c.ignore("num_experts", "top_k_experts", "moe_intermediate_size", "vocab_size_per_layer_input")
    made: dict[tuple[Attention, int], Node] = {}
    layers = []
    for i, sliding in enumerate(kinds):
        key = mixer(c, width, i, sliding=sliding, own=i < first), inner * (2 if twice and i >= first else 1)
        if key not in made:
            made[key] = layer(c, width, *key)
        layers.append(made[key])
    each = c.maybe("hidden_size_per_layer_input", least=0) or 0
    tail = TAIL if first < len(layers) else None
    model = causal_lm(
        in_tail(layers, first), family=c.model_type, vocab=c.int("vocab_size"), width=width, tied=c.tied(), norm=None,
        before=layer_embeddings(c, width, each, len(layers)) if each else (),
        after=(leaf("norm", Norm(width), place="final", stream=tail),),
    )  # fmt: skip
    return replace(model, streams={**model.streams, TAIL: tail_stream})


# ------------------------------------------------------------------ pictures


def vision_tower(c: Config, soft: int, name: str = "vision_tower") -> tuple[Node, dict[str, StreamRule]]:
    """Flattened patches, positions from two tables, sandwich norms, an average over squares of patches."""
    width, patch, side = c.int("hidden_size"), c.int("patch_size"), c.int("pooling_kernel_size")
    c.ignore("global_head_dim", "attention_bias", "max_position_embeddings", "default_output_length")
    # the most patches of the processor, as a strip of whole squares
    seen = Picture((soft * side * patch, side * patch), (patch, patch))
    table = Parameter("vision", (2, c.int("position_embedding_size"), width), 2 * width)
    embedder = branch(
        "patch_embedder",
        leaf("position_embedding_table", table),
        leaf("input_proj", Linear("vision", 3 * patch * patch, width)),
    )
    standard = c.flag("standardize", default=False)
    scales = (leaf(n, Buffer("vision", (width,)), stream="vision_merged") for n in ("std_bias", "std_scale"))
    node = branch(
        name, embedder, branch("encoder", stack("layers", [vision_layer(c, width)] * c.layers())),
        leaf("pooler", SquareAverage(side, width)), *(scales if standard else ()), stream="vision",
    )  # fmt: skip

    def merged(w: Workload) -> Number:
        high, wide = seen.grid(w.image_size)
        return (high // side) * (wide // side)

    return node, {**seen.streams(), "vision_merged": per_picture(merged)}


def vision_layer(c: Config, width: int) -> Node:
    """Full attention with norms on query, key and value; a gated MLP; four norms."""
    heads, e = c.int("num_attention_heads"), c.int("head_dim")
    bounded = c.flag("use_clipped_linears", default=False)
    mixed = Attention(
        width, heads, c.kv_heads(heads), e, qk_norm="head", rotary=e, mask=Full(), cached=False, kind="vision"
    )
    ffn = gated_mlp(width, c.int("intermediate_size"), activate=c.word("hidden_activation", default="gelu"))
    norm = Norm(width)
    made = block(
        leaf("input_layernorm", norm, place="pre"), attention(mixed),
        leaf("post_attention_layernorm", norm, place="sandwich"), leaf("pre_feedforward_layernorm", norm, place="pre"),
        ffn, leaf("post_feedforward_layernorm", norm, place="sandwich"), width=width,
    )  # fmt: skip
    return renamed_kind(bounds(made, bounded=bounded), "vision")


def bounds(node: Node, *, bounded: bool) -> Node:
    """The same tree with every linear inside a module that may hold it inside bounds."""
    if isinstance(node.part, Linear):
        return clipped(node.name, node.part.inputs, node.part.outputs, "vision", bounded=bounded)
    return replace(node, children=tuple(bounds(child, bounded=bounded) for child in node.children))


def embedder(name: str, inputs: int, width: int, kind: str, stream: str) -> Node:
    """A norm without weights and a matrix to the text's width."""
    return branch(
        name,
        leaf("embedding_pre_projection_norm", Norm(inputs, weight=False, kind=kind), place="pre"),
        leaf("embedding_projection", Linear(kind, inputs, width)),
        stream=stream,
    )


def gemma4(c: Config) -> Model:
    """The text decoder with a picture tower and a sound tower, each only where the file describes it."""
    text = c.sub("text_config", "gemma4_text")
    width = text.int("hidden_size")
    soft = c.int("vision_soft_tokens_per_image", default=SOFT_TOKENS)
    kids: list[Node] = []
    streams: dict[str, StreamRule] = {}
    notes: tuple[str, ...] = ()
    if c.has("vision_config"):
        seen = c.sub("vision_config", "gemma4_vision")
        node, rules = vision_tower(seen, soft)
        kids += [node, embedder("embed_vision", seen.int("hidden_size"), width, "vision", "vision_merged")]
        streams, notes = {**streams, **rules}, (SEEN, PADDED, BOTH_WAYS)
    if c.has("audio_config"):
        node, out = conformer_tower(c.sub("audio_config", "gemma4_audio"))
        kids += [node, embedder("embed_audio", out, width, "audio", "sound")]
        streams, notes = {**streams, **sound_streams()}, (*notes, HEARD)
    return compose(c, text_decoder(c, text), *kids, streams=streams, notes=notes)


FAMILIES = {"gemma4": gemma4, "gemma4_text": gemma4_text}
