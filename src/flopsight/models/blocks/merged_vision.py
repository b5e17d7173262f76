"""Towers for pictures of any size whose patches are merged before the text sees them: Qwen-VL and those after it."""

from __future__ import annotations

from dataclasses import dataclass

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.mlp import act, gated_mlp, plain_mlp
from flopsight.models.blocks.vision import Dims, Picture, pair, tower_layer
from flopsight.models.config import Config
from flopsight.models.tree import Node, branch, leaf, stack
from flopsight.parts.conv import Conv
from flopsight.parts.linear import Embedding, Linear
from flopsight.parts.masks import Full, Mask
from flopsight.parts.norm import Norm
from flopsight.parts.tiles import Tiles
from flopsight.parts.vector import activation

UNSIZED = 448
"""Side of a picture in pixels where neither config nor workload gives one."""


@dataclass(frozen=True, slots=True)
class Merging:
    """A tower that merges `side` x `side` patches into one token of the text's width.

    dims   width, heads, inner width, layers, activation
    form   of its norms
    """

    dims: Dims
    side: int
    seen: Picture
    output: int
    form: str = "layer"

    def norm(self, width: int = 0) -> Norm:
        """The tower's norm, of its own width or another."""
        return Norm(width or self.dims.width, self.form, bias=self.form == "layer", kind="vision")

    def attention(self, mask: Mask, *, bias: bool = True, proj_bias: bool = True, qk_norm: bool = False) -> Node:
        """One matrix for query, key and value; rotary positions in two dimensions."""
        d = self.dims
        e = d.width // d.heads
        mixer = Attention(
            d.width, d.heads, d.heads, e, biases=(bias, bias, bias, proj_bias), names=("", "", "", "proj"),
            fused="qkv", mask=mask, cached=False, rotary=e, kind="vision",
        )  # fmt: skip
        node = mixer.node("attn")
        if not qk_norm:
            return node
        norms = (leaf(n, Norm(e, copies=d.heads, kind="vision"), place="qk") for n in ("q_norm", "k_norm"))
        return branch("attn", *node.children, *norms)

    def layers(self, mixers: list[Node], ffn: Node) -> Node:
        """All layers, one mixer each."""
        made = {mixer: tower_layer(self.dims, self.norm(), mixer, ffn, norms=("norm1", "norm2")) for mixer in mixers}
        return stack("blocks", [made[mixer] for mixer in mixers])


def patch_embed(c: Config, width: int, *, bias: bool) -> Node:
    """A convolution over patches of some frames; a still picture fills all frames of one patch."""
    frames = c.int("temporal_patch_size")
    conv = Conv("vision", c.int("in_channels"), width, (frames, *pair(c, "patch_size")), bias)
    return branch("patch_embed", leaf("proj", conv))


def any_size(c: Config, side: int, size: int = 0) -> Picture:
    """A picture of whole merged squares."""
    high, wide = pair(c, "patch_size")
    size = size or UNSIZED
    unit = (high * side, wide * side)
    return Picture((max(size // unit[0], 1) * unit[0], max(size // unit[1], 1) * unit[1]), (high, wide))


def fc_merger(tower: Merging, name: str, *, shuffled: bool = False) -> Node:
    """Norm (after merging if `shuffled`), a square matrix on the merged patches, one to the text's width."""
    wide = tower.dims.width * tower.side * tower.side
    norm = leaf("norm", tower.norm(wide if shuffled else 0), stream="vision_merged" if shuffled else None)
    return branch(
        name,
        norm,
        leaf("linear_fc1", Linear("vision", wide, wide, True), stream="vision_merged"),
        leaf("act", activation("gelu", wide), stream="vision_merged"),
        leaf("linear_fc2", Linear("vision", wide, tower.output, True), stream="vision_merged"),
    )


def mlp_merger(tower: Merging) -> Node:
    """Norm, a square matrix on the merged patches, one to the text's width, numbered as in a sequence."""
    wide = tower.dims.width * tower.side * tower.side
    mlp = branch(
        "mlp",
        leaf("0", Linear("vision", wide, wide, True)),
        leaf("1", activation("gelu", wide)),
        leaf("2", Linear("vision", wide, tower.output, True)),
        stream="vision_merged",
    )
    return branch("merger", leaf("ln_q", tower.norm()), mlp)


def tower_dims(c: Config, width: int, inner: int) -> Dims:
    """Width, heads, layers and activation under the names these towers use."""
    heads = c.int("num_heads")
    if width % heads:
        raise c.fail("num_heads", heads, f"a divisor of the width {width:,}")
    return Dims(width, heads, inner, c.layers("depth"), c.word("hidden_act", default="gelu"), "vision")


def qwen2_tower(c: Config, name: str = "visual") -> tuple[Node, Merging]:
    """Qwen2-VL: plain MLPs, full attention, a merger of two matrices."""
    width, side = c.int("embed_dim"), c.int("spatial_merge_size")
    d = tower_dims(c, width, int(width * c.number("mlp_ratio")))
    tower = Merging(d, side, any_size(c, side), c.int("hidden_size"))
    c.ignore("in_chans", "spatial_patch_size")
    layers = tower.layers([tower.attention(Full())] * d.layers, d.mlp())
    return branch(name, patch_embed(c, width, bias=False), layers, mlp_merger(tower), stream="vision"), tower


def qwen2_5_tower(c: Config, name: str = "visual") -> tuple[Node, Merging]:
    """Qwen2.5-VL: gated MLPs, RMSNorm, windows in all layers but a few."""
    width, side = c.int("hidden_size"), c.int("spatial_merge_size")
    d = tower_dims(c, width, c.int("intermediate_size"))
    tower = Merging(d, side, any_size(c, side), c.int("out_hidden_size"), form="rms")
    c.ignore("in_chans", "spatial_patch_size")
    cells = c.int("window_size") // side // pair(c, "patch_size")[0]
    if not cells:
        raise c.fail("window_size", c.get("window_size"), "at least one merged square of patches")
    whole = set(c.ints("fullatt_block_indexes") or ())
    full, local = tower.attention(Full()), tower.attention(Tiles(cells * side))
    mixers = [full if i in whole else local for i in range(d.layers)]
    ffn = gated_mlp(width, d.inner, bias=True, kind="vision", activate=d.activate)
    layers = tower.layers(mixers, ffn)
    return branch(name, patch_embed(c, width, bias=False), layers, mlp_merger(tower), stream="vision"), tower


def qwen3_tower(c: Config, name: str = "visual", *, deep: bool = True) -> tuple[Node, Merging]:
    """Qwen3-VL: learned positions besides rotary ones, and a merger for each layer the text's first layers read."""
    width, side = c.int("hidden_size"), c.int("spatial_merge_size")
    d = tower_dims(c, width, c.int("intermediate_size"))
    rows = c.int("num_position_embeddings")
    size = int(rows**0.5) * pair(c, "patch_size")[0]
    tower = Merging(d, side, any_size(c, side, size), c.int("out_hidden_size"))
    taps = len(c.ints("deepstack_visual_indexes") or ()) if deep else 0
    c.ignore("deepstack_visual_indexes")
    ffn = plain_mlp(
        width, d.inner, names=("linear_fc1", "linear_fc2"), kind="vision", activate=act(d.activate)
    )  # fmt: skip
    node = branch(
        name, patch_embed(c, width, bias=True), leaf("pos_embed", Embedding(rows, width, "vision")),
        tower.layers([tower.attention(Full())] * d.layers, ffn), fc_merger(tower, "merger"),
        stack("deepstack_merger_list", [fc_merger(tower, "", shuffled=True)] * taps) if taps else None,
        stream="vision",
    )  # fmt: skip
    return node, tower
