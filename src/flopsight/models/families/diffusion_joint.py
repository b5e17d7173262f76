"""Diffusion transformers in which image and prompt tokens attend to one another: SD3, Flux, Qwen-Image and kin."""

from __future__ import annotations

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
    modulated,
    qk_norm,
    square,
    time_embeds,
)
from flopsight.models.blocks.mlp import gated_mlp
from flopsight.models.config import MOST_LAYERS, Config
from flopsight.models.tree import Model, Node, branch, leaf, stack
from flopsight.parts.conv import Conv
from flopsight.parts.linear import Buffer, Parameter
from flopsight.parts.norm import Norm
from flopsight.parts.vector import Elementwise, activation


def heads(c: Config) -> tuple[int, int, int]:
    """Heads, their width, and both multiplied."""
    h, e = c.int("num_attention_heads"), c.int("attention_head_dim")
    return h, e, h * e


def patches(c: Config, width: int, table: int = 0) -> Node:
    """The patch embedding, with a stored table of positions if its side is given."""
    p = c.int("patch_size")
    channels = c.int("in_channels")
    return branch(
        "pos_embed",
        leaf("proj", Conv("embedding", channels, width, (p, p))),
        leaf("pos_embed", Buffer("embedding", (1, table * table, width), per_token=width)) if table else None,
    )


def out_channels(c: Config) -> int:
    """`out_channels`, else as many as come in; null and zero both mean that."""
    return c.maybe("out_channels", least=0) or c.int("in_channels")


def ending(c: Config, width: int, outputs: int, *, bias: bool = True, norm_bias: bool = True) -> list[Node]:
    """The last modulated norm and the projection to latents."""
    return [
        modulated("norm_out", width, 2, bias=norm_bias),
        linear("proj_out", width, outputs, "other", bias=bias),
    ]


def double_block(
    c: Config, attention: DiffusionAttention, inner: int, *, chunks: int = 6, last: bool = False,
    second: DiffusionAttention | None = None, form: str = "gelu-approximate",
) -> Node:  # fmt: skip
    """Two streams with weights of their own that share one attention; in a `last` block the prompt ends."""
    d = attention.width
    context: list[Node] = []
    if not last:
        context = [
            bare_norm("norm2_context", d, stream="context"),
            feed_forward(c, "ff_context", d, inner, form, stream="context"),
            gated_residual("gate_context", d, "context"),
            gated_residual("gate_ff_context", d, "context"),
        ]
    return branch(
        "",
        modulated("norm1", d, chunks),
        modulated("norm1_context", d, 2 if last else 6, stream="context"),
        attention.node("attn"),
        second.node("attn2") if second else None,
        gated_residual("gate", d),
        bare_norm("norm2", d),
        feed_forward(c, "ff", d, inner, form),
        gated_residual("gate_ff", d),
        *context,
    )


def single_block(attention: DiffusionAttention, inner: int, *, modulate: bool = True) -> Node:
    """Attention and MLP side by side on the joint stream, with one projection out of both."""
    d = attention.width
    norm = modulated("norm", d, 3) if modulate else bare_norm("norm", d)
    return branch(
        "",
        norm,
        linear("proj_mlp", d, inner, "mlp"),
        leaf("act_mlp", activation("gelu_tanh", inner)),
        attention.node("attn"),
        linear("proj_out", attention.inner + inner, d, "other"),
        gated_residual("gate", d),
        stream="joint",
    )


SD3_PROMPT = 77 + 256


def sd3(c: Config) -> Model:
    """Stable Diffusion 3 and 3.5: joint blocks, a second image attention in `dual_attention_layers` of 3.5 medium."""
    h, e, d = heads(c)
    p, layers = c.int("patch_size"), c.layers("num_layers")
    canvas, norm = square(c, p), qk_norm(c)
    if c.int("caption_projection_dim") != d:
        raise c.fail("caption_projection_dim", c.int("caption_projection_dim"), f"the width {d}")
    dual = set(c.ints("dual_attention_layers") or ())
    root = branch(
        "",
        patches(c, d, c.maybe("pos_embed_max_size", least=0) or 0),
        time_embeds("time_text_embed", d, pooled=c.int("pooled_projection_dim")),
        linear("context_embedder", c.int("joint_attention_dim"), d, stream="context"),
        stack("transformer_blocks", [_sd3_block(c, h, e, norm, i in dual, i == layers - 1) for i in range(layers)]),
        *ending(c, d, p * p * out_channels(c)),
    )
    notes = joint_notes(canvas, SD3_PROMPT, f"{8 * canvas.height} pixels a side", "77 CLIP and 256 T5 prompt tokens.")
    return Model("", c.model_type, root, streams=canvas.streams(SD3_PROMPT), notes=notes)


def _sd3_block(c: Config, h: int, e: int, norm: str, dual: bool, last: bool) -> Node:
    d = h * e
    joint = DiffusionAttention(d, h, e, core="joint", added=d, added_out=not last, qk_norm=norm)
    second = DiffusionAttention(d, h, e, qk_norm=norm) if dual else None
    return double_block(c, joint, 4 * d, chunks=9 if dual else 6, last=last, second=second)


FLUX_NORM = "rms_norm"


def flux(c: Config) -> Model:
    """Flux.1: double blocks, then single blocks on the joint stream; latents packed 2 x 2 before they come in."""
    h, e, d = heads(c)
    p = c.int("patch_size")
    canvas = Canvas(128, 128)
    joint = DiffusionAttention(d, h, e, core="joint", added=d, qk_norm=FLUX_NORM, rotary=True)
    alone = DiffusionAttention(d, h, e, out=False, qk_norm=FLUX_NORM, rotary=True)
    singles = c.int("num_single_layers", least=0, most=MOST_LAYERS)
    embeds = time_embeds(
        "time_text_embed", d, guidance=c.flag("guidance_embeds", default=False), pooled=c.int("pooled_projection_dim")
    )
    root = branch(
        "",
        embeds,
        linear("context_embedder", c.int("joint_attention_dim"), d, stream="context"),
        linear("x_embedder", c.int("in_channels"), d),
        stack("transformer_blocks", [double_block(c, joint, 4 * d)] * c.layers("num_layers")),
        stack("single_transformer_blocks", [single_block(alone, 4 * d)] * singles),
        *ending(c, d, p * p * out_channels(c)),
    )
    return Model(
        "", c.model_type, root, streams=canvas.streams(512), notes=joint_notes(canvas, 512, "1024 pixels a side")
    )


def qwen_image(c: Config) -> Model:
    """Qwen-Image: double blocks only, the prompt from a language model; latents packed 2 x 2 before they come in."""
    h, e, d = heads(c)
    p, prompt = c.int("patch_size"), c.int("joint_attention_dim")
    canvas = Canvas(128, 128)
    c.ignore("guidance_embeds")
    unknown = [
        f"{key} = true: its extra conditioning is not counted" for key in _QWEN_EXTRAS if c.flag(key, default=False)
    ]
    root = branch(
        "",
        _qwen_time(c, d),
        leaf("txt_norm", Norm(prompt, kind=MODULATION), stream="context"),
        linear("img_in", c.int("in_channels"), d, "other"),
        linear("txt_in", prompt, d, "other", stream="context"),
        stack("transformer_blocks", [_qwen_block(c, h, e)] * c.layers("num_layers")),
        *ending(c, d, p * p * out_channels(c)),
    )
    notes = joint_notes(canvas, 512, "1024 pixels a side")
    return Model("", c.model_type, root, streams=canvas.streams(512), notes=notes, unknown=tuple(unknown))


_QWEN_EXTRAS = ("zero_cond_t",)
"""Conditions a second time, at time zero, for the tokens of reference images."""


def _qwen_time(c: Config, d: int) -> Node:
    extra = c.flag("use_additional_t_cond", default=False)
    table = leaf("addition_t_embedding.weight", Parameter("embedding", (2, d))) if extra else None
    return branch("time_text_embed", embedder("timestep_embedder", 256, d), table, stream="sequence")


def _qwen_block(c: Config, h: int, e: int) -> Node:
    d = h * e
    attention = DiffusionAttention(d, h, e, core="joint", added=d, qk_norm="rms_norm", rotary=True)
    sides = [
        node
        for word, stream in (("img", None), ("txt", "context"))
        for node in (
            linear(f"{word}_mod.1", d, 6 * d, "other", stream="sequence"),
            bare_norm(f"{word}_norm1", d, stream=stream),
            leaf(f"{word}_modulate", Elementwise("shift, scale and gate, twice", d, 8), stream=stream),
            bare_norm(f"{word}_norm2", d, stream=stream),
            feed_forward(c, f"{word}_mlp", d, 4 * d, "gelu-approximate", stream=stream),
        )
    ]
    return branch("", attention.node("attn"), *sides)


REGISTERS = 8


def auraflow(c: Config) -> Model:
    """AuraFlow: double blocks, then single ones, no biases, 8 learned register tokens before the prompt."""
    h, e, d = heads(c)
    p, channels = c.int("patch_size"), c.int("in_channels")
    canvas = square(c, p)
    inner = -(-(8 * d // 3) // 256) * 256
    joint = DiffusionAttention(d, h, e, core="joint", bias=False, out_bias=False, added=d, added_bias=False,
                               qk_norm="fp32_layer_norm")  # fmt: skip
    alone = DiffusionAttention(d, h, e, bias=False, out_bias=False, qk_norm="fp32_layer_norm")
    caption = c.int("caption_projection_dim")
    if caption != d:
        raise c.fail("caption_projection_dim", caption, f"the width {d}")
    positions = Parameter("embedding", (1, c.int("pos_embed_max_size"), d))
    doubles = c.int("num_mmdit_layers", most=MOST_LAYERS)
    singles = c.int("num_single_dit_layers", least=0, most=MOST_LAYERS)
    root = branch(
        "",
        leaf("register_tokens", Parameter("other", (1, REGISTERS, d))),
        branch("pos_embed", leaf("pos_embed", positions), linear("proj", p * p * channels, d)),
        linear("context_embedder", c.int("joint_attention_dim"), caption, bias=False, stream="prompt"),
        embedder("time_step_proj", 256, d),
        stack("joint_transformer_blocks", [_aura_double(joint, inner)] * doubles),
        stack("single_transformer_blocks", [_aura_single(alone, inner)] * singles),
        *ending(c, d, p * p * out_channels(c), bias=False, norm_bias=False),
    )
    notes = joint_notes(canvas, 256, f"{8 * canvas.height} pixels a side", "8 register tokens stand before the prompt.")
    return Model("", c.model_type, root, streams=canvas.streams(256, fixed=REGISTERS), notes=notes)


AURA_MLP = ("linear_1", "linear_2", "out_projection")


def _aura_double(attention: DiffusionAttention, inner: int) -> Node:
    d = attention.width
    side = gated_mlp(d, inner, "ff_context", names=AURA_MLP)
    return branch(
        "",
        modulated("norm1", d, 6, bias=False),
        modulated("norm1_context", d, 6, stream="context", bias=False),
        attention.node("attn"),
        bare_norm("norm2", d),
        gated_mlp(d, inner, "ff", names=AURA_MLP),
        gated_residual("gate", d),
        gated_residual("gate_ff", d),
        bare_norm("norm2_context", d, stream="context"),
        Node(side.name, children=side.children, stream="context"),
        gated_residual("gate_context", d, "context"),
        gated_residual("gate_ff_context", d, "context"),
    )


def _aura_single(attention: DiffusionAttention, inner: int) -> Node:
    d = attention.width
    return branch(
        "",
        modulated("norm1", d, 6, bias=False),
        attention.node("attn"),
        bare_norm("norm2", d),
        gated_mlp(d, inner, "ff", names=AURA_MLP),
        gated_residual("gate", d),
        gated_residual("gate_ff", d),
        stream="joint",
    )


FAMILIES = {
    "SD3Transformer2DModel": sd3,
    "FluxTransformer2DModel": flux,
    "QwenImageTransformer2DModel": qwen_image,
    "AuraFlowTransformer2DModel": auraflow,
}
