"""Meta's models that see: Llama 3.2 Vision, which looks at pictures by cross-attention, and Llama 4."""

from __future__ import annotations

from dataclasses import replace

from flopsight.expr import Number, minimum
from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block, head_nodes, pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp
from flopsight.models.blocks.towers import llama4_tower, mllama_tower
from flopsight.models.blocks.vision import Picture, beside_text
from flopsight.models.config import Config
from flopsight.models.families.composite import SEEN, leftovers, merged, per_picture, text_decoder
from flopsight.models.families.dense import divided
from flopsight.models.tree import STREAMS, Model, Node, StreamRule, branch, leaf, stack
from flopsight.parts.cross import CrossCore
from flopsight.parts.linear import Embedding, Linear, Parameter
from flopsight.parts.norm import Norm
from flopsight.workload import Work, Workload

CROSSED = (3, 8, 13, 18, 23, 28, 33, 38)
EXTRA_ROWS = 8
SKIPPED = "Layers that look at pictures run only where the workload brings images; a picture is all its tiles, padded."
PADDING = 8


def tile_streams(seen: Picture, tiles: int) -> dict[str, StreamRule]:
    """A picture is `tiles` tiles, each padded to a multiple of eight tokens inside the tower."""

    def tokens(w: Workload) -> int:
        return seen.patches(w.image_size) + 1

    def held(w: Workload) -> Number:
        return w.images * tiles * tokens(w)

    def crossed(w: Workload) -> Work:
        cached = held(w) if w.phase == "decode" else 0
        return Work(w.batch * minimum(w.images, 1), w.seq, cached, held(w))

    return {
        "vision": per_picture(lambda w: tiles * (-(-tokens(w) // PADDING) * PADDING)),
        "vision_patches": per_picture(lambda w: tiles * (tokens(w) - 1)),
        "vision_pictures": per_picture(lambda w: 1),
        "vision_merged": per_picture(lambda w: tiles * tokens(w)),
        "vision_states": lambda w: Work(minimum(beside_text(w), w.batch), held(w)),
        "crossed": crossed,
    }


def cross_attention(width: int, heads: int, kv: int) -> Node:
    """Queries from the text, keys and values from the projected picture; a norm over each head of both."""
    e = width // heads
    kv_side = (leaf(n, Linear("attention", width, kv * e), stream="vision_states") for n in ("k_proj", "v_proj"))
    return branch(
        "cross_attn",
        leaf("q_proj", Linear("attention", width, heads * e)),
        *kv_side,
        leaf("q_norm", Norm(e, copies=heads), place="qk"),
        leaf("k_norm", Norm(e, copies=kv), place="qk", stream="vision_states"),
        leaf("core", CrossCore(heads, e, e, kv, optional=True)),
        leaf("o_proj", Linear("attention", heads * e, width)),
    )


def mllama_layers(c: Config, width: int) -> list[Node]:
    """Llama layers, some of them with gated cross-attention in place of self-attention."""
    heads, e = divided(c, width)
    kv, norm = c.kv_heads(heads), Norm(width)
    mlp = gated_mlp(width, c.int("intermediate_size"), activate=c.word("hidden_act", default="silu"))
    own = pre_norm_layer(norm, Attention(width, heads, kv, e, rotary=e).node(), mlp)
    gates = (leaf(f"cross_attn_{n}_gate", Parameter("attention", (1,), width)) for n in ("attn", "mlp"))
    crossed = block(
        leaf("input_layernorm", norm, place="pre"), cross_attention(width, heads, kv),
        leaf("post_attention_layernorm", norm, place="pre"), mlp, *gates, width=width,
    )  # fmt: skip
    listed = c.ints("cross_attention_layers")
    chosen = set(CROSSED if listed is None else listed)
    crossed = replace(crossed, stream="crossed")
    return [crossed if i in chosen else own for i in range(c.layers())]


def mllama(c: Config) -> Model:
    """Llama 3.2 Vision: the text attends to the tower's tokens in every fifth layer; never tied."""
    text, vision = c.sub("text_config", "mllama_text_model"), c.sub("vision_config", "mllama_vision_model")
    width, vocab = text.int("hidden_size"), text.int("vocab_size")
    tower, seen = mllama_tower(vision)
    vision.ignore("intermediate_layers_indices")
    leftovers(c)
    projector = Linear("projector", vision.int("vision_output_dim"), width, True)
    body = branch(
        "language_model",
        leaf("embed_tokens", Embedding(vocab + EXTRA_ROWS, width)),
        stack("layers", mllama_layers(text, width)),
        leaf("norm", Norm(width), place="final"),
    )
    root = branch(
        "", branch("model", tower, body, leaf("multi_modal_projector", projector, stream="vision_merged")),
        *head_nodes(width, vocab, tied=False),
    )  # fmt: skip
    streams = {**STREAMS, **tile_streams(seen, vision.int("max_num_tiles"))}
    return Model("", c.model_type, root, streams=streams, notes=(SEEN, SKIPPED))


def llama4(c: Config) -> Model:
    """Llama 4: tower, projector, and the text decoder as a whole model inside."""
    text, vision = c.sub("text_config", "llama4_text"), c.sub("vision_config", "llama4_vision_model")
    ratio = vision.number("pixel_shuffle_ratio")
    side = round(1 / ratio)
    if side < 1:
        raise vision.fail("pixel_shuffle_ratio", ratio, "at most one")
    tower, seen = llama4_tower(vision)
    vision.ignore("multi_modal_projector_bias", "vision_feature_layer", "vision_feature_select_strategy")
    model = text_decoder(c, text)
    projector = Linear("projector", vision.int("vision_output_dim"), text.int("hidden_size"))
    root = branch(
        "", tower, branch("multi_modal_projector", leaf("linear_1", projector), stream="vision_merged"),
        replace(model.root, name="language_model"),
    )  # fmt: skip
    c.ignore("tie_word_embeddings")
    leftovers(c)
    return replace(
        model, family=c.model_type, root=root, streams={**model.streams, **merged(seen, side)},
        notes=(*model.notes, SEEN, "A picture is one tile; one cut into n tiles counts as n + 1 pictures."),
    )  # fmt: skip


FAMILIES = {"mllama": mllama, "llama4": llama4}
