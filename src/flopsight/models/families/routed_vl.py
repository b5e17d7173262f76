"""Large routed decoders that see: Kimi-VL, Kimi K2.5, MiniMax M3."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.merged_vision import any_size
from flopsight.models.blocks.mlp import plain_mlp
from flopsight.models.blocks.vision import OUT_PROJ, Dims, Picture, pair, tower_layer
from flopsight.models.config import Config
from flopsight.models.families.composite import SEEN, compose, either_tied, leftovers, merged, text_decoder
from flopsight.models.tree import Model, Node, branch, leaf, stack
from flopsight.parts.conv import Conv
from flopsight.parts.linear import Linear, Parameter
from flopsight.parts.masks import Full
from flopsight.parts.norm import Norm
from flopsight.parts.vector import activation

SILENT = "The file does not say whether the head is tied; it is taken so."


def moonvit_dims(c: Config) -> Dims:
    """Width, heads, layers under the names of the framework or of the published files."""
    width = c.int("hidden_size", "vt_hidden_size")
    heads = c.int("num_attention_heads", "vt_num_attention_heads")
    if width % heads:
        raise c.fail("num_attention_heads", heads, f"a divisor of the width {width:,}")
    inner = c.int("intermediate_size", "vt_intermediate_size")
    layers = c.layers("num_hidden_layers", "vt_num_hidden_layers")
    return Dims(width, heads, inner, layers, c.word("hidden_act", default="gelu_pytorch_tanh"), "vision")


def moonvit_picture(c: Config, side: int) -> tuple[Picture, tuple[int, int]]:
    """A picture as large as the table of positions, and the table's rows and columns."""
    rows = c.int("pos_emb_height", "init_pos_emb_height", default=64)
    columns = c.int("pos_emb_width", "init_pos_emb_width", default=64)
    c.ignore("pos_emb_time", "init_pos_emb_time")
    return any_size(c, side, rows * pair(c, "patch_size")[0]), (rows, columns)


def moonvit_embed(c: Config, d: Dims, table: tuple[int, int], name: str) -> Node:
    """Patches by a convolution, positions interpolated from a table."""
    positions = Parameter("vision", (*table, d.width), d.width)
    conv = Conv("vision", 3, d.width, pair(c, "patch_size"))
    return branch("patch_embed", leaf("proj", conv), branch("pos_emb", leaf(name, positions)))


def square_side(c: Config) -> int:
    """How many patches a side become one token of the text."""
    sides = c.ints("merge_kernel_size", least=1) or (2, 2)
    if len(sides) != 2 or sides[0] != sides[1]:
        raise c.fail("merge_kernel_size", list(sides), "the same number twice")
    return sides[0]


def kimi_projector(name: str, wide: int, side: int, width: int, names: tuple[str, str]) -> Node:
    """A norm on patches, two matrices on squares of them."""
    merged_width = wide * side * side
    return branch(
        name,
        leaf("pre_norm", Norm(wide, "layer", bias=True, kind="projector"), place="pre", stream="vision"),
        leaf(names[0], Linear("projector", merged_width, merged_width, True)),
        leaf("act", activation("gelu", merged_width)),
        leaf(names[1], Linear("projector", merged_width, width, True)),
        stream="vision_merged",
    )


def kimi_k25(c: Config) -> Model:
    """Kimi K2.5: MoonViT with separate query, key and value, before DeepSeek-V3's decoder."""
    c.ignore("use_unified_vision_chunk")
    vision, text = c.sub("vision_config", "kimi_k25_vision"), c.sub("text_config")
    d, side = moonvit_dims(vision), square_side(vision)
    seen, table = moonvit_picture(vision, side)
    mixer = d.attention(("q_proj", "k_proj", "v_proj", "proj"), (True,) * 4, rotary=True).node("attn")
    layer = tower_layer(d, d.norm(), mixer, d.mlp(), norms=("norm1", "norm2"))
    tower = branch(
        "vision_tower", moonvit_embed(vision, d, table, "position_embeddings"), stack("layers", [layer] * d.layers),
        leaf("final_layernorm", d.norm(), place="final"), stream="vision",
    )  # fmt: skip
    projector = kimi_projector("mm_projector", d.width, side, text.int("hidden_size"), ("in_proj", "out_proj"))
    c.ignore("projection_hidden_size")
    vision.ignore("mm_hidden_size", "text_hidden_size", "projector_hidden_size")
    notes = (SEEN, SILENT) if c.tied() and not c.has("tie_word_embeddings") else (SEEN,)
    return compose(c, text_decoder(c, text), tower, projector, streams=merged(seen, side), notes=notes)


def kimi_vl(c: Config) -> Model:
    """Kimi-VL: MoonViT with one matrix for query, key and value; module names of the published files."""
    vision, text = c.sub("vision_config", "moonvit"), c.sub("text_config", "deepseek_v3")
    d, side = moonvit_dims(vision), square_side(vision)
    seen, table = moonvit_picture(vision, side)
    e = d.width // d.heads
    mixer = Attention(
        d.width, d.heads, d.heads, e, biases=(True,) * 4, names=("", "", "", "wo"), fused="wqkv", mask=Full(),
        cached=False, rotary=e, kind="vision",
    ).node("attention")  # fmt: skip
    ffn = plain_mlp(d.width, d.inner, names=("fc0", "fc1"), kind="vision", activate=d.activate)
    layer = tower_layer(d, d.norm(), branch("", *mixer.children), ffn, norms=("norm0", "norm1"))
    blocks = branch(
        "encoder", stack("blocks", [layer] * d.layers), leaf("final_layernorm", d.norm(), place="final")
    )  # fmt: skip
    tower = branch("vision_tower", moonvit_embed(vision, d, table, "weight"), blocks, stream="vision")
    width = text.int("hidden_size")
    projector = kimi_projector("multi_modal_projector", d.width, side, width, ("linear_1", "linear_2"))
    model = text_decoder(c, text)
    leftovers(c)
    c.ignore("tie_word_embeddings", "vocab_size")
    root = branch("", tower, projector, replace(model.root, name="language_model"))
    streams = {**model.streams, **merged(seen, side)}
    return replace(model, family=c.model_type, root=root, streams=streams, notes=(*model.notes, SEEN))


def minimax_m3_vl(c: Config) -> Model:
    """MiniMax M3: CLIP-like layers on pictures of any size, a projector on patches and one on squares of them."""
    vision, text = c.sub("vision_config", "minimax_m3_vl_vision"), c.sub("text_config", "minimax_m3_vl_text")
    packing = vision.sub("img_token_compression_config")
    c.ignore("img_token_compression_config", "multimodal_projector_bias")
    vision.ignore("projection_dim", "vocab_size", "vision_segment_max_frames")
    side = packing.maybe("spatial_merge_size") or vision.int("spatial_merge_size")
    width, wide = text.int("hidden_size"), vision.int("hidden_size")
    heads = vision.heads(wide)
    d = Dims(wide, heads, vision.int("intermediate_size"), vision.layers(), vision.word("hidden_act"), "vision")
    seen = any_size(vision, side, pair(vision, "image_size")[0])
    mixer = d.attention(OUT_PROJ, (True,) * 4, rotary=True).node()
    layer = tower_layer(d, d.norm(), mixer, d.mlp(), norms=("layer_norm1", "layer_norm2"))
    frames = packing.maybe("temporal_patch_size") or vision.int("temporal_patch_size")
    kernel = (frames, *pair(vision, "patch_size"))
    tower = branch(
        "vision_tower",
        branch("embeddings", leaf("proj", Conv("vision", vision.int("num_channels"), wide, kernel, False))),
        leaf("pre_layrnorm", d.norm(), place="pre"),
        stack("layers", [layer] * d.layers),
        stream="vision",
    )
    projector = m3_projector(wide, c.int("projector_hidden_size"), width, side)
    model = text_decoder(c, text)
    return compose(c, model, tower, projector, tied=either_tied(c, text), streams=merged(seen, side))


def m3_projector(wide: int, inner: int, width: int, side: int) -> Node:
    """Two matrices on every patch, two more on every square of patches."""
    squares = (
        leaf("merge_linear_1", Linear("projector", width * side * side, inner, True), stream="vision_merged"),
        leaf("merge_act", activation("gelu", inner), stream="vision_merged"),
        leaf("merge_linear_2", Linear("projector", inner, width, True), stream="vision_merged"),
    )
    return branch(
        "multi_modal_projector",
        leaf("linear_1", Linear("projector", wide, inner, True)),
        leaf("act", activation("gelu", inner)),
        leaf("linear_2", Linear("projector", inner, width, True)),
        *squares,
        stream="vision",
    )


FAMILIES = {"kimi_k25": kimi_k25, "kimi_vl": kimi_vl, "minimax_m3_vl": minimax_m3_vl}
