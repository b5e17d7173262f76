"""Diffusion transformers of images with cross-attention to a prompt, or none: DiT, PixArt, Sana, HunyuanDiT."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.diffusion import (
    MODULATION,
    DiffusionAttention,
    bare_norm,
    embedder,
    feed_forward,
    gated_residual,
    joint_notes,
    linear,
    modulated,
    qk_norm,
    square,
)
from flopsight.models.config import Config
from flopsight.models.families.diffusion_joint import heads, out_channels, patches
from flopsight.models.tree import Model, Node, StreamRule, branch, leaf, stack
from flopsight.parts.attention import AttentionCore
from flopsight.parts.conv import Conv
from flopsight.parts.image_attention import LinearImageCore
from flopsight.parts.linear import Embedding, Linear, Parameter
from flopsight.parts.masks import Cross
from flopsight.parts.norm import Norm
from flopsight.parts.vector import Elementwise, activation, residual
from flopsight.workload import Work


def dit(c: Config) -> Model:
    """DiT: class-conditional; every block owns an embedder of time step and class, the first is run once more."""
    h, e, d = heads(c)
    p, layers = c.int("patch_size"), c.layers("num_layers")
    _only(c, "norm_type", "ada_norm_zero")
    c.ignore("norm_num_groups", "upcast_attention")
    canvas = square(c, p)
    blocks = [_dit_block(c, h, e, runs=2 if i == 0 else 1) for i in range(layers)]
    root = branch(
        "",
        patches(c, d),
        stack("transformer_blocks", blocks),
        bare_norm("norm_out", d),
        linear("proj_out_1", d, 2 * d, "other", stream="sequence"),
        leaf("modulate", Elementwise("shift and scale", d, 2)),
        linear("proj_out_2", d, p * p * out_channels(c), "other"),
    )
    embedders = layers - 1
    extra = embedders * (256 * d + d + d * d + d + (c.int("num_embeds_ada_norm") + 1) * d)
    note = f"Every block stores its own embedder here; the paper shares one, {extra:,} parameters less."
    notes = joint_notes(canvas, 0, f"{8 * canvas.height} pixels a side", note)
    return Model("", c.model_type, root, streams=canvas.streams(), notes=notes)


def _only(c: Config, key: str, value: str) -> None:
    if c.word(key) != value:
        raise c.fail(key, c.word(key), f"{value!r}, the only one this class runs")


def _dit_block(c: Config, h: int, e: int, *, runs: int) -> Node:
    d = h * e
    affine = c.flag("norm_elementwise_affine", default=False)
    bias = c.flag("attention_bias", default=True)
    # one more row: the class of no class, for guidance
    classes = Embedding(c.int("num_embeds_ada_norm") + 1, d)
    emb = branch(
        "emb",
        embedder("timestep_embedder", 256, d),
        branch("class_embedder", leaf("embedding_table", classes)),
        stream="sequence",
        runs=runs,
    )
    norm1 = modulated("norm1", d, 6)
    return branch(
        "",
        Node(norm1.name, children=(emb, *norm1.children)),
        DiffusionAttention(d, h, e, bias=bias).node("attn1"),
        gated_residual("gate", d),
        bare_norm("norm3", d, affine=affine),
        feed_forward(c, "ff", d, 4 * d, c.word("activation_fn")),
        gated_residual("gate_ff", d),
    )


def adaln_single(name: str, d: int, *, sizes: bool = False) -> Node:
    """One modulation for all blocks: time step, and for some models resolution and aspect ratio."""
    third = d // 3
    emb = branch(
        "emb",
        embedder("timestep_embedder", 256, d),
        # two numbers, height and width, are embedded one by one
        embedder("resolution_embedder", 256, third, stream="pairs") if sizes else None,
        embedder("aspect_ratio_embedder", 256, third) if sizes else None,
    )
    return branch(name, emb, linear("linear", d, 6 * d, MODULATION), stream="sequence")


def single_block(
    c: Config, attn1: Node, attn2: Node | None, d: int, ff: Node, *, affine: bool, form: str = "layer"
) -> Node:
    """Self-attention, cross-attention and feed-forward, shifted and scaled by a small table plus the shared vector."""
    return branch(
        "",
        leaf("scale_shift_table", Parameter("other", (6, d))),
        bare_norm("norm1", d, affine=affine, form=form),
        leaf("modulate", Elementwise("shift, scale and gate, twice", d, 8)),
        attn1,
        attn2,
        leaf("residual", residual(d)) if attn2 else None,
        bare_norm("norm2", d, affine=affine, form=form),
        ff,
    )


def pixart(c: Config) -> Model:
    """PixArt-alpha and -sigma: cross-attention to the prompt, one modulation for all blocks."""
    h, e, d = heads(c)
    p, channels = c.int("patch_size"), c.maybe("caption_channels")
    _only(c, "norm_type", "ada_norm_single")
    c.ignore("norm_num_groups", "num_embeds_ada_norm", "upcast_attention", "interpolation_scale")
    if c.word("attention_type", default="default") != "default":
        raise c.fail("attention_type", c.word("attention_type"), "'default'")
    canvas = square(c, p)
    named = c.get("use_additional_conditions", default=None)
    sizes = c.int("sample_size") == 128 if named is None else c.flag("use_additional_conditions")
    prompt = 120 if named is None or sizes else 300
    root = branch(
        "",
        leaf("scale_shift_table", Parameter("other", (2, d))),
        patches(c, d),
        stack("transformer_blocks", [_pixart_block(c, h, e)] * c.layers("num_layers")),
        bare_norm("norm_out", d),
        leaf("modulate", Elementwise("shift and scale", d, 2)),
        linear("proj_out", d, p * p * out_channels(c), "other"),
        adaln_single("adaln_single", d, sizes=sizes),
        embedder("caption_projection", channels, d, stream="context") if channels else None,
    )
    notes = joint_notes(canvas, prompt, f"{8 * canvas.height} pixels a side")
    return Model("", c.model_type, root, streams=canvas.streams(prompt, pairs=lambda w: Work(w.batch, 2)), notes=notes)


def _pixart_block(c: Config, h: int, e: int) -> Node:
    d = h * e
    bias, affine = c.flag("attention_bias", default=True), c.flag("norm_elementwise_affine", default=False)
    source = c.maybe("cross_attention_dim")
    cross = DiffusionAttention(d, h, e, source=source or d, side="context", bias=bias) if source else None
    ff = feed_forward(c, "ff", d, 4 * d, c.word("activation_fn"))
    attn1 = DiffusionAttention(d, h, e, bias=bias).node("attn1")
    return single_block(c, attn1, cross.node("attn2") if cross else None, d, ff, affine=affine)


def sana(c: Config) -> Model:
    """Sana: linear attention over deeply compressed latents, convolutions in the feed-forward, cross-attention."""
    h, e, d = heads(c)
    p = c.int("patch_size")
    canvas = square(c, p, shrink=32)
    block = _sana_block(c, h, e)
    root = branch(
        "",
        leaf("scale_shift_table", Parameter("other", (2, d))),
        branch("patch_embed", leaf("proj", Conv("embedding", c.int("in_channels"), d, (p, p)))),
        _sana_time(c, d),
        embedder("caption_projection", c.int("caption_channels"), d, stream="context"),
        leaf("caption_norm", Norm(d, kind=MODULATION), stream="context"),
        stack("transformer_blocks", [block] * c.layers("num_layers")),
        bare_norm("norm_out", d),
        leaf("modulate", Elementwise("shift and scale", d, 2)),
        linear("proj_out", d, p * p * out_channels(c), "other"),
    )
    notes = joint_notes(canvas, 300, f"{32 * canvas.height} pixels a side")
    return Model("", c.model_type, root, streams=canvas.streams(300), notes=notes)


def _sana_time(c: Config, d: int) -> Node:
    if not c.flag("guidance_embeds", default=False):
        return adaln_single("time_embed", d)
    return branch(
        "time_embed",
        embedder("timestep_embedder", 256, d),
        embedder("guidance_embedder", 256, d),
        linear("linear", d, 6 * d),
        stream="sequence",
    )


def _sana_block(c: Config, h: int, e: int) -> Node:
    d, norm = h * e, qk_norm(c)
    block = DiffusionAttention(d, h, e, bias=c.flag("attention_bias", default=False), qk_norm=norm).node("attn1")
    attn1 = branch(
        "attn1",
        *(leaf("core", LinearImageCore(h, e)) if child.name == "core" else child for child in block.children),
    )
    source = c.maybe("cross_attention_dim")
    attn2: Node | None = None
    if source:
        crossing, wide = c.int("num_cross_attention_heads"), c.int("cross_attention_head_dim")
        attn2 = DiffusionAttention(d, crossing, wide, source=source, side="context", qk_norm=norm).node("attn2")
    affine = c.flag("norm_elementwise_affine", default=False)
    ff = _conv_feed_forward(d, int(c.number("mlp_ratio") * d))
    made = single_block(c, attn1, attn2, d, ff, affine=False)
    norm2 = bare_norm("norm2", d, affine=affine) if source else None
    return branch("", *(child if child.name != "norm2" else norm2 for child in made.children))


def _conv_feed_forward(d: int, inner: int) -> Node:
    return branch(
        "ff",
        leaf("conv_inverted", Conv("mlp", d, 2 * inner, (1, 1))),
        leaf("act", activation("silu", 2 * inner)),
        leaf("conv_depth", Conv("mlp", 2 * inner, 2 * inner, (3, 3), groups=2 * inner)),
        leaf("gate", activation("silu", inner, gated=True)),
        leaf("conv_point", Conv("mlp", inner, d, (1, 1), bias=False)),
    )


def hunyuan_dit(c: Config) -> Model:
    """HunyuanDiT: long skip connections from the first half to the second, two prompt encoders, a pooled one."""
    h, e, d = heads(c)
    p, layers = c.int("patch_size"), c.layers("num_layers")
    canvas = square(c, p)
    words, words5 = c.int("text_len"), c.int("text_len_t5")
    cross, wide = c.int("cross_attention_dim"), c.int("cross_attention_dim_t5")
    inner = int(c.number("mlp_ratio") * d)
    width = c.int("hidden_size")
    if width != d:
        raise c.fail("hidden_size", width, f"the {h} heads times {e}")
    outputs = p * p * c.int("in_channels") * (1 + c.flag("learn_sigma", default=True))
    blocks = [_hunyuan_block(c, h, e, inner, cross, skip=i > layers // 2) for i in range(layers)]
    root = branch(
        "",
        leaf("text_embedding_padding", Parameter("embedding", (words + words5, cross))),
        embedder("text_embedder", wide, 4 * wide, cross, stream="t5"),
        patches(c, d),
        _hunyuan_time(c, d, wide, words5),
        stack("blocks", blocks),
        modulated("norm_out", d, 2),
        linear("proj_out", d, outputs, "other"),
    )
    streams = canvas.streams(words + words5)
    # the padding table fixes the number of prompt tokens
    streams |= {name: _fixed(streams[name], words + words5) for name in ("context", "cross")}
    streams |= {
        "t5": lambda w: Work(w.batch, words5),
        "pooled": lambda w: Work(w.batch, words5 + 1),
        "pool": lambda w: Work(w.batch, 1, keys=words5 + 1),
    }
    note = f"{words} CLIP and {words5} T5 prompt tokens, whatever encoder says: the padding table has that many rows."
    notes = joint_notes(canvas, 0, f"{8 * canvas.height} pixels a side", note)
    return Model("", c.model_type, root, streams=streams, notes=notes)


def _fixed(rule: StreamRule, tokens: int) -> StreamRule:
    return lambda w: rule(replace(w, encoder=tokens))


def _hunyuan_time(c: Config, d: int, wide: int, words: int) -> Node:
    pooled, styled = c.int("pooled_projection_dim"), c.flag("use_style_cond_and_image_meta_size", default=True)
    part = {name: Linear("embedding", wide, wide, True) for name in ("q_proj", "k_proj", "v_proj")}
    if wide % 8:
        raise c.fail("cross_attention_dim_t5", wide, "a multiple of the pooler's 8 heads")
    pooler = branch(
        "pooler",
        leaf("positional_embedding", Parameter("embedding", (words + 1, wide))),
        *(leaf(n, one, stream="sequence" if n == "q_proj" else "pooled") for n, one in part.items()),
        leaf("core", AttentionCore(8, wide // 8, wide // 8, 8, Cross(), cached=False), stream="pool"),
        linear("c_proj", wide, pooled),
    )
    return branch(
        "time_extra_emb",
        embedder("timestep_embedder", 256, d),
        pooler,
        leaf("style_embedder", Embedding(1, d)) if styled else None,
        embedder("extra_embedder", pooled + (256 * 6 + d if styled else 0), 4 * d, d),
        stream="sequence",
    )


def _hunyuan_block(c: Config, h: int, e: int, inner: int, cross: int, *, skip: bool) -> Node:
    d = h * e
    norm = Norm(d, "layer", bias=True, kind=MODULATION)
    norm1 = branch(
        "norm1",
        linear("linear", d, d, MODULATION, stream="sequence"),
        leaf("norm", norm, place="pre"),
        leaf("shift", Elementwise("shift", d, 1)),
    )
    skipped = [
        leaf("skip_norm", Norm(2 * d, "layer", bias=True, kind=MODULATION)),
        linear("skip_linear", 2 * d, d, "other"),
    ]
    return branch(
        "",
        *(skipped if skip else []),
        norm1,
        DiffusionAttention(d, h, e, qk_norm="layer_norm", rotary=True).node("attn1"),
        leaf("residual", residual(d)),
        leaf("norm2", norm, place="pre"),
        DiffusionAttention(d, h, e, source=cross, side="context", qk_norm="layer_norm").node("attn2"),
        leaf("residual1", residual(d)),
        leaf("norm3", norm, place="pre"),
        feed_forward(c, "ff", d, inner, c.word("activation_fn")),
        leaf("residual2", residual(d)),
    )


FAMILIES = {
    "DiTTransformer2DModel": dit,
    "PixArtTransformer2DModel": pixart,
    "SanaTransformer2DModel": sana,
    "HunyuanDiT2DModel": hunyuan_dit,
}
