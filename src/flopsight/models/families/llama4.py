"""Llama 4's text decoder: attention inside chunks on most layers, experts with one shared expert on some."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp, moe
from flopsight.models.blocks.routed import FULL, gqa, lm, routed, shared
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node
from flopsight.parts.masks import Causal, Chunk, Mask
from flopsight.parts.norm import Norm

CHUNKED = "chunked_attention"


def rotated(c: Config) -> list[bool]:
    """Layers with rotary positions: `no_rope_layers` (1 has them), else all but every fourth."""
    count = c.layers()
    listed = c.ints("no_rope_layers")
    if listed and len(listed) != count:
        raise c.fail("no_rope_layers", list(listed), f"a list of {count} zeros and ones")
    every = c.int("no_rope_layer_interval", "nope_layer_interval", default=4)
    c.ignore("nope_layer_interval", "for_llm_compressor")
    return [bool(x) for x in listed] if listed else [(i + 1) % every != 0 for i in range(count)]


def chunks(c: Config, rotary: list[bool]) -> list[Mask]:
    """Chunks of `attention_chunk_size` where positions are rotary, unless `layer_types` says otherwise."""
    count = c.layers()
    types = c.words("layer_types", count=count)
    if types and set(types) - {FULL, CHUNKED}:
        raise c.fail("layer_types", list(types), f"a list of {FULL} and {CHUNKED}")
    size = c.maybe("attention_chunk_size", least=0)
    inside = [t == CHUNKED for t in types] if types else rotary
    return [Chunk(size) if size and one else Causal() for one in inside]


def routed_layers(c: Config) -> set[int]:
    """`moe_layers`, else every `interleave_moe_layer_step`-th layer."""
    listed = c.ints("moe_layers")
    step = c.int("interleave_moe_layer_step", default=1, least=0)
    if listed is not None:
        return set(listed)
    return set(range(step - 1, c.layers(), step)) if step else set()


def attention(c: Config, width: int, mask: Mask, *, rotary: bool) -> Attention:
    """Query and key are normed without weights, and only where they rotate."""
    normed = rotary and c.flag("use_qk_norm", default=True)
    return replace(gqa(c, width, mask, qk_norm="head" if normed else "", rotary=rotary), norm_weight=False)


def decoder_layers(c: Config) -> list[Node]:
    """The layers of the text decoder, for the model of text alone and for the one that also sees."""
    width, inner = c.int("hidden_size"), c.int("intermediate_size")
    experts = replace(routed(c, width, inner, count=("num_local_experts", "num_experts")), transposed=True)
    sparse = moe(experts, name="feed_forward", router="router", shared=shared(width, inner, "shared_expert"))
    dense = gated_mlp(width, c.int("intermediate_size_mlp"), "feed_forward")
    chosen, rotary = routed_layers(c), rotated(c)
    return [
        pre_norm_layer(Norm(width), attention(c, width, mask, rotary=turn).node(), sparse if i in chosen else dense)
        for i, (mask, turn) in enumerate(zip(chunks(c, rotary), rotary, strict=True))
    ]


def llama4_text(c: Config) -> Model:
    """The text decoder with its head."""
    width = c.int("hidden_size")
    return lm(c, decoder_layers(c), width)


FAMILIES = {"llama4_text": llama4_text}
