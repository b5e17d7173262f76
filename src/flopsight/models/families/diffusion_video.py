"""Diffusion transformers of video: Wan, HunyuanVideo, CogVideoX, LTX."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from flopsight.models.blocks.diffusion import (
    MODULATION,
    Canvas,
    DiffusionAttention,
    bare_norm,
    embedder,
    feed_forward,
    gated_residual,
    joint_notes,
    linear,
    patch3,
    qk_norm,
    time_embeds,
)
from flopsight.models.config import MOST_LAYERS, Config
from flopsight.models.families.diffusion_cross import adaln_single, single_block
from flopsight.models.families.diffusion_joint import double_block, ending, heads, out_channels
from flopsight.models.families.diffusion_joint import single_block as joint_single
from flopsight.models.tree import Model, Node, StreamRule, branch, leaf, stack
from flopsight.parts.conv import Conv
from flopsight.parts.linear import Buffer, Linear, Parameter
from flopsight.parts.norm import Norm
from flopsight.parts.vector import Elementwise, activation, residual
from flopsight.workload import Work

WAN_PROMPT = 512
CLIP_TOKENS = 257
ACROSS = "rms_norm_across_heads"


def wan(c: Config) -> Model:
    """Wan 2.1 and 2.2: self-attention, cross-attention to the prompt and, in some, to an image's CLIP tokens."""
    h, e, d = heads(c)
    patch, freq = patch3(c), c.int("freq_dim")
    image, positions = c.maybe("image_dim"), c.maybe("pos_embed_seq_len")
    # the autoencoder of Wan 2.2 5B has 48 channels and shrinks each side 16 times instead of 8
    deep = c.int("out_channels") == 48
    canvas = Canvas(704 // 16, 1280 // 16, 31, patch, 16, 4) if deep else Canvas(60, 104, 21, patch, 8, 4)
    embed = branch(
        "condition_embedder",
        embedder("time_embedder", freq, d),
        linear("time_proj", d, 6 * d),
        embedder("text_embedder", c.int("text_dim"), d, stream="context"),
        _wan_image(image, d, positions) if image else None,
        stream="sequence",
    )
    root = branch(
        "",
        leaf("scale_shift_table", Parameter("other", (1, 2, d))),
        leaf("patch_embedding", Conv("embedding", c.int("in_channels"), d, patch)),
        embed,
        stack("blocks", [_wan_block(c, h, e)] * c.layers("num_layers")),
        bare_norm("norm_out", d),
        leaf("modulate", Elementwise("shift and scale", d, 2)),
        linear("proj_out", d, out_channels(c) * prod(patch), "other"),
    )
    size = "121 frames of 704 x 1280" if deep else "81 frames of 480 x 832"
    more = ("The time step is embedded once a sample; pipelines that give every token its own do it more often.",)
    notes = joint_notes(canvas, WAN_PROMPT, size, *(more if deep else ()))
    return Model("", c.model_type, root, streams=_wan_streams(canvas, image, positions), notes=notes)


def _wan_streams(canvas: Canvas, image: int | None, positions: int | None) -> Mapping[str, StreamRule]:
    clip = (positions or CLIP_TOKENS) if image else 0
    return canvas.streams(
        WAN_PROMPT,
        clip=lambda w: Work(w.batch, clip),
        cross_clip=lambda w: Work(w.batch, canvas.tokens(w), keys=clip),
    )


def _wan_image(image: int, d: int, positions: int | None) -> Node:
    affine = Norm(image, "layer", bias=True, kind="embedding")
    return branch(
        "image_embedder",
        leaf("pos_embed", Parameter("embedding", (1, positions, image))) if positions else None,
        leaf("norm1", affine),
        branch(
            "ff",
            linear("net.0.proj", image, image),
            leaf("act", activation("gelu", image)),
            linear("net.2", image, d),
        ),
        leaf("norm2", Norm(d, "layer", bias=True, kind="embedding")),
        stream="clip",
    )


def _wan_block(c: Config, h: int, e: int) -> Node:
    d, norm = h * e, Norm(h * e, "layer", bias=True, kind=MODULATION)
    added = c.maybe("added_kv_proj_dim") or 0
    c.ignore("qk_norm")
    return branch(
        "",
        leaf("scale_shift_table", Parameter("other", (1, 6, d))),
        bare_norm("norm1", d),
        leaf("modulate", Elementwise("shift, scale and gate, twice", d, 8)),
        DiffusionAttention(d, h, e, qk_norm=ACROSS, rotary=True).node("attn1"),
        leaf("norm2", norm, place="pre") if c.flag("cross_attn_norm", default=True) else None,
        DiffusionAttention(d, h, e, qk_norm=ACROSS, side="context", images=added).node("attn2"),
        leaf("residual", residual(d)),
        bare_norm("norm3", d),
        feed_forward(c, "ffn", d, c.int("ffn_dim"), "gelu-approximate"),
    )


def hunyuan_video(c: Config) -> Model:
    """HunyuanVideo: Flux's blocks over space and time, and a small transformer that refines the prompt."""
    h, e, d = heads(c)
    p, pt, norm = c.int("patch_size"), c.int("patch_size_t"), qk_norm(c)
    canvas = Canvas(720 // 8, 1280 // 8, 33, (pt, p, p), 8, 4)
    kind = c.get("image_condition_type", default=None)
    inner = int(c.number("mlp_ratio") * d)
    joint = DiffusionAttention(d, h, e, core="joint", added=d, qk_norm=norm, rotary=True)
    alone = DiffusionAttention(d, h, e, out=False, qk_norm=norm, rotary=True)
    unknown = ["image_condition_type = 'token_replace': its second modulation is not counted"] * (
        kind == "token_replace"
    )
    embeds = time_embeds(
        "time_text_embed", d, guidance=c.flag("guidance_embeds", default=False), pooled=c.int("pooled_projection_dim")
    )
    singles = c.int("num_single_layers", least=0, most=MOST_LAYERS)
    root = branch(
        "",
        branch("x_embedder", leaf("proj", Conv("embedding", c.int("in_channels"), d, (pt, p, p)))),
        _refiner(c, h, e),
        embeds,
        stack("transformer_blocks", [double_block(c, joint, inner)] * c.layers("num_layers")),
        stack("single_transformer_blocks", [joint_single(alone, inner)] * singles),
        *ending(c, d, pt * p * p * out_channels(c)),
    )
    notes = joint_notes(canvas, 256, "129 frames of 720 x 1280")
    return Model("", c.model_type, root, streams=canvas.streams(256), notes=notes, unknown=tuple(unknown))


def _refiner(c: Config, h: int, e: int) -> Node:
    d, text = h * e, c.int("text_embed_dim")
    norm = Norm(d, "layer", bias=True, kind="embedding")
    block = branch(
        "",
        leaf("norm1", norm, place="pre"),
        DiffusionAttention(d, h, e).node("attn"),
        branch("norm_out", linear("linear", d, 2 * d, stream="sequence")),
        gated_residual("gate", d),
        leaf("norm2", norm, place="pre"),
        feed_forward(c, "ff", d, 4 * d, "linear-silu"),
        gated_residual("gate_ff", d),
    )
    blocks = [block] * c.int("num_refiner_layers", least=0, most=MOST_LAYERS)
    # everything below `context_embedder` prepares the prompt
    return branch(
        "context_embedder",
        time_embeds("time_text_embed", d, pooled=text),
        linear("proj_in", text, d),
        branch("token_refiner", stack("refiner_blocks", blocks)),
        stream="context",
    )


def cogvideox(c: Config) -> Model:
    """CogVideoX: one stream of prompt and video with shared weights, but a modulation for each."""
    h, e, d = heads(c)
    p, pt, time = c.int("patch_size"), c.maybe("patch_size_t"), c.int("time_embed_dim")
    squeeze, frames, prompt = c.int("temporal_compression_ratio"), c.int("sample_frames"), c.int("max_text_seq_length")
    canvas = Canvas(
        c.int("sample_height"), c.int("sample_width"), (frames - 1) // squeeze + 1, (pt or 1, p, p), 8, squeeze
    )
    c.ignore("flip_sin_to_cos", "freq_shift")
    affine, offset = c.flag("norm_elementwise_affine", default=True), c.maybe("ofs_embed_dim", least=0) or 0
    outputs = p * p * (pt or 1) * out_channels(c)
    block = _cog_block(c, h, e, time, affine)
    root = branch(
        "",
        _cog_patches(c, d, canvas, prompt),
        embedder("time_embedding", d, time),
        embedder("ofs_embedding", offset, offset, stream="batch") if offset else None,
        stack("transformer_blocks", [block] * c.layers("num_layers")),
        bare_norm("norm_final", d, affine=affine, stream="text"),
        _cog_norm("norm_out", d, time, 2, affine),
        linear("proj_out", d, outputs, "other"),
    )
    size = f"{frames} frames of {8 * canvas.height} x {8 * canvas.width}"
    # the offset of image-to-video is one number for the whole batch
    streams = canvas.streams(prompt, batch=lambda w: Work(1, 1))
    return Model("", c.model_type, root, streams=streams, notes=joint_notes(canvas, prompt, size))


def _cog_patches(c: Config, d: int, canvas: Canvas, prompt: int) -> Node:
    p, channels = c.int("patch_size"), c.int("in_channels")
    bias, pt = c.flag("patch_bias", default=True), c.maybe("patch_size_t")
    rotary = c.flag("use_rotary_positional_embeddings", default=False)
    learned = c.flag("use_learned_positional_embeddings", default=False)
    # without a frame patch it is a convolution of each frame, with one a matrix on flattened patches
    proj = Linear("embedding", channels * p * p * pt, d, True) if pt else Conv("embedding", channels, d, (p, p), bias)
    rows = (canvas.height // p) * (canvas.width // p) * canvas.frames + prompt
    # without rotation positions are sines made on loading; learned ones of the rotary kind are stored as a buffer
    table = Buffer("embedding", (1, rows, d), per_token=d) if learned and rotary else None
    return branch(
        "patch_embed",
        leaf("proj", proj),
        linear("text_proj", c.int("text_embed_dim"), d, stream="context"),
        leaf("pos_embedding", table, stream="joint") if table else None,
    )


def _cog_norm(name: str, d: int, time: int, chunks: int, affine: bool) -> Node:
    return branch(
        name,
        linear("linear", time, chunks * d, MODULATION, stream="sequence"),
        bare_norm("norm", d, affine=affine),
        leaf("modulate", Elementwise("shift and scale", d, 2)),
    )


def _cog_block(c: Config, h: int, e: int, time: int, affine: bool) -> Node:
    d = h * e
    attention = DiffusionAttention(
        d, h, e, bias=c.flag("attention_bias", default=True), qk_norm="layer_norm",
        rotary=c.flag("use_rotary_positional_embeddings", default=False),
    )  # fmt: skip
    return branch(
        "",
        _cog_norm("norm1", d, time, 6, affine),
        attention.node("attn1"),
        gated_residual("gate", d),
        _cog_norm("norm2", d, time, 6, affine),
        feed_forward(c, "ff", d, 4 * d, c.word("activation_fn")),
        gated_residual("gate_ff", d),
        stream="joint",
    )


def ltx(c: Config) -> Model:
    """LTX-Video: very strong compression (32 x 32 x 8), RMS norms, cross-attention to the prompt."""
    h, e, d = heads(c)
    p, pt = c.int("patch_size"), c.int("patch_size_t")
    canvas = Canvas(512 // 32, 704 // 32, 21, (pt, p, p), 32, 8)
    root = branch(
        "",
        leaf("scale_shift_table", Parameter("other", (2, d))),
        linear("proj_in", c.int("in_channels"), d, "other"),
        adaln_single("time_embed", d),
        embedder("caption_projection", c.int("caption_channels"), d, stream="context"),
        stack("transformer_blocks", [_ltx_block(c, h, e)] * c.layers("num_layers")),
        bare_norm("norm_out", d),
        leaf("modulate", Elementwise("shift and scale", d, 2)),
        linear("proj_out", d, out_channels(c), "other"),
    )
    notes = joint_notes(canvas, 128, "161 frames of 512 x 704")
    return Model("", c.model_type, root, streams=canvas.streams(128), notes=notes)


def _ltx_block(c: Config, h: int, e: int) -> Node:
    d, norm = h * e, qk_norm(c)
    bias, out_bias = c.flag("attention_bias", default=True), c.flag("attention_out_bias", default=True)
    attn1 = DiffusionAttention(d, h, e, bias=bias, out_bias=out_bias, qk_norm=norm, rotary=True)
    attn2 = DiffusionAttention(
        d, h, e, source=c.int("cross_attention_dim"), side="context", bias=bias, out_bias=out_bias, qk_norm=norm
    )
    ff = feed_forward(c, "ff", d, 4 * d, c.word("activation_fn"))
    affine = c.flag("norm_elementwise_affine", default=False)
    return single_block(c, attn1.node("attn1"), attn2.node("attn2"), d, ff, affine=affine, form="rms")


FAMILIES = {
    "WanTransformer3DModel": wan,
    "HunyuanVideoTransformer3DModel": hunyuan_video,
    "CogVideoXTransformer3DModel": cogvideox,
    "LTXVideoTransformer3DModel": ltx,
}
