"""Vision towers: patches, positions, encoder layers, pooling, in the layouts of CLIP, SigLIP, Pixtral, ViT and DINO.

A tower is a tree with the module names of its framework and a `Picture`, which turns pixels into tokens. Three
streams carry it: "vision" (all tokens of a picture), "vision_patches" (without class and register tokens, what the
patch convolution makes) and "vision_pool" (one vector a picture that may look at all its tokens).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from flopsight.expr import Number, maximum
from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block
from flopsight.models.blocks.mlp import gated_mlp, plain_mlp
from flopsight.models.config import Config
from flopsight.models.tree import Node, StreamRule, branch, leaf, stack
from flopsight.parts.attention import AttentionCore
from flopsight.parts.conv import Conv
from flopsight.parts.linear import Embedding, Linear, Parameter
from flopsight.parts.masks import Cross, Full
from flopsight.parts.norm import Norm
from flopsight.parts.pooling import PackedProjection
from flopsight.workload import Work, Workload

OUT_PROJ = ("q_proj", "k_proj", "v_proj", "out_proj")


_Count: TypeAlias = Callable[[Workload], Number]


def beside_text(w: Workload) -> Number:
    """Pictures in a text model's prompt; a decode step has none."""
    return 0 if w.phase == "decode" else w.batch * w.images


def at_least_one(w: Workload) -> Number:
    """One picture a text unless the workload says more."""
    return w.batch * maximum(w.images, 1)


def one_each(w: Workload) -> Number:
    """A batch of pictures."""
    return w.batch


@dataclass(frozen=True, slots=True)
class Picture:
    """How one picture becomes tokens.

    size   height and width in pixels, unless the workload says otherwise
    patch  height and width of a patch in pixels
    extra  tokens besides the patches: class, distillation and register tokens
    """

    size: tuple[int, int]
    patch: tuple[int, int]
    extra: int = 0

    def grid(self, side: int | None = None) -> tuple[int, int]:
        """Rows and columns of patches."""
        high, wide = (side, side) if side else self.size
        return high // self.patch[0], wide // self.patch[1]

    def patches(self, side: int | None = None) -> int:
        """Number of patches."""
        return prod(self.grid(side))

    def streams(self) -> dict[str, StreamRule]:
        """The rules of a tower beside a text model: `images` pictures a sequence, none of them in decode."""
        return self._rules(beside_text)

    def alone(self) -> dict[str, StreamRule]:
        """The rules of a model that reads nothing but one picture a sequence; its main stream is the tokens."""
        rules = self._rules(one_each)
        return {**rules, "text": rules["vision"], "scored": rules["vision_pool"], "sequence": rules["vision_pool"]}

    def paired(self) -> dict[str, StreamRule]:
        """The rules of a tower that always runs with its text: at least one picture a sequence."""
        return self._rules(at_least_one)

    def _rules(self, pictures: _Count) -> dict[str, StreamRule]:
        def tokens(w: Workload) -> Work:
            return Work(pictures(w), self.patches(w.image_size) + self.extra)

        def patches(w: Workload) -> Work:
            return Work(pictures(w), self.patches(w.image_size))

        def pool(w: Workload) -> Work:
            return Work(pictures(w), 1, keys=self.patches(w.image_size) + self.extra)

        return {"vision": tokens, "vision_patches": patches, "vision_pool": pool}


def pair(c: Config, key: str) -> tuple[int, int]:
    """A side or (height, width): a whole number, a list of one or two, or an object with `height` and `width`."""
    value = c.get(key)
    if isinstance(value, dict):
        value = [value.get("height"), value.get("width")]
    sides = value if isinstance(value, list) and len(value) == 2 else [value] * 2
    high, wide = (_side(c, key, v[0] if isinstance(v, list) and len(v) == 1 else v) for v in sides)
    return high, wide


def _side(c: Config, key: str, value: object) -> int:
    number = int(value) if isinstance(value, float | str) and str(value).removesuffix(".0").isdigit() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 2**20:
        raise c.fail(key, value, "a whole number of pixels, or two")
    return number


def picture(c: Config, extra: int = 0) -> Picture:
    """The picture of a config with `image_size` and `patch_size`."""
    found = Picture(pair(c, "image_size"), pair(c, "patch_size"), extra)
    if not found.patches():
        raise c.fail("image_size", c.get("image_size"), "at least one patch")
    return found


@dataclass(frozen=True, slots=True)
class Dims:
    """What every tower layer has: width, heads, inner width, number of layers, activation, line of the breakdown."""

    width: int
    heads: int
    inner: int
    layers: int
    activate: str
    kind: str = "vision"

    def line(self, own: str) -> str:
        """The line of the breakdown: the tower's, or its own where the tower is the whole model."""
        return self.kind or own

    def norm(self, *, form: str = "layer", bias: bool = True) -> Norm:
        """The tower's norm."""
        return Norm(self.width, form, bias=bias, kind=self.line("norm"))

    def attention(
        self, names: tuple[str, str, str, str], biases: tuple[bool, bool, bool, bool], rotary: bool = False
    ) -> Attention:
        """Full attention among the tokens of one picture."""
        e = self.width // self.heads
        return Attention(
            self.width, self.heads, self.heads, e, names=names, biases=biases, mask=Full(), cached=False,
            rotary=e if rotary else 0, kind=self.line("attention"),
        )  # fmt: skip

    def mlp(self, names: tuple[str, str] = ("fc1", "fc2"), *, bias: bool = True) -> Node:
        """The two-matrix MLP."""
        return plain_mlp(self.width, self.inner, bias=bias, names=names, kind=self.line("mlp"), activate=self.activate)


def dims(c: Config, kind: str, inner: int = 0) -> Dims:
    """Read the usual keys."""
    width = c.int("hidden_size")
    inner = inner or c.int("intermediate_size")
    activate = c.word("hidden_act", default="gelu")
    return Dims(width, c.heads(width), inner, c.layers(), activate, kind)


def patch_conv(c: Config, name: str, d: Dims, *, bias: bool = True) -> Node:
    """The convolution that turns each patch into a token."""
    part = Conv(d.line("embedding"), c.int("num_channels"), d.width, pair(c, "patch_size"), bias)
    return leaf(name, part, stream="vision_patches")


def tower_layer(
    d: Dims, norm: Norm, mixer: Node, ffn: Node, *, norms: tuple[str, str], scales: tuple[str, ...] = ()
) -> Node:
    """norm, attention, add, norm, feed-forward, add; `scales` multiply each branch before it is added."""
    scaled = [branch_parameter(s, Parameter(d.line("other"), (d.width,), d.width)) for s in scales]
    return block(
        leaf(norms[0], norm, place="pre"), mixer, leaf(norms[1], norm, place="pre"), ffn, *scaled, width=d.width
    )


def branch_parameter(path: str, part: Parameter) -> Node:
    """A bare parameter at a dotted path."""
    head, _, rest = path.partition(".")
    return branch(head, branch_parameter(rest, part)) if rest else leaf(head, part)


def _clip_layers(d: Dims) -> Node:
    norm = d.norm()
    layer = tower_layer(
        d, norm, d.attention(OUT_PROJ, (True,) * 4).node(), d.mlp(), norms=("layer_norm1", "layer_norm2")
    )
    return branch("encoder", stack("layers", [layer] * d.layers))


def clip_tower(c: Config, name: str = "vision_model", *, kind: str = "vision") -> tuple[Node, Picture]:
    """CLIP: class token, learned positions, a norm before and after the layers."""
    d, seen = dims(c, kind), picture(c, extra=1)
    line, norm = d.line("embedding"), d.norm()
    embeddings = branch(
        "embeddings",
        leaf("class_embedding", Parameter(line, (d.width,))),
        patch_conv(c, "patch_embedding", d, bias=False),
        leaf("position_embedding", Embedding(seen.patches() + 1, d.width, line)),
    )
    node = branch(
        name, embeddings, leaf("pre_layrnorm", norm, place="pre"), _clip_layers(d),
        leaf("post_layernorm", norm, place="final", stream="vision_pool"), stream="vision",
    )  # fmt: skip
    return node, seen


def siglip_tower(c: Config, name: str = "vision_model", *, kind: str = "vision") -> tuple[Node, Picture]:
    """SigLIP: no class token, a norm after the layers, attention pooling unless `vision_use_head` is false."""
    d, seen = dims(c, kind), picture(c)
    line = d.line("embedding")
    positions = leaf("position_embedding", Embedding(seen.patches(), d.width, line))
    embeddings = branch("embeddings", patch_conv(c, "patch_embedding", d), positions)
    return _siglip(c, d, name, embeddings), seen


def siglip2_tower(c: Config, name: str = "vision_model", *, kind: str = "vision") -> tuple[Node, Picture]:
    """SigLIP 2 with native sizes: flattened patches go through a linear, positions are resized to the picture."""
    d, patch = dims(c, kind), pair(c, "patch_size")
    rows = c.int("num_patches")
    side = max(1, round(rows**0.5))
    seen = Picture((side * patch[0], max(1, rows // side) * patch[1]), patch)
    line = d.line("embedding")
    flat = Linear(line, c.int("num_channels") * patch[0] * patch[1], d.width, bias=True)
    embeddings = branch(
        "embeddings", leaf("patch_embedding", flat), leaf("position_embedding", Embedding(rows, d.width, line))
    )
    return _siglip(c, d, name, embeddings), seen


def _siglip(c: Config, d: Dims, name: str, embeddings: Node) -> Node:
    head = pooling_head(d) if c.flag("vision_use_head", default=True) else None
    final = leaf("post_layernorm", d.norm(), place="final")
    return branch(name, embeddings, _clip_layers(d), final, head, stream="vision")


def pooling_head(d: Dims, name: str = "head") -> Node:
    """A learned query attends to all tokens; norm and MLP on the one vector that results."""
    e = d.width // d.heads
    line = d.line("pooler")
    attention = branch(
        "attention",
        leaf("", PackedProjection(d.width, kind=line)),
        leaf("core", AttentionCore(d.heads, e, e, d.heads, Cross(), cached=False, kind=line)),
        leaf("out_proj", Linear(line, d.width, d.width, bias=True)),
    )
    mlp = plain_mlp(d.width, d.inner, kind=line, activate=d.activate)
    return branch(
        name, leaf("probe", Parameter(line, (1, 1, d.width))), attention,
        leaf("layernorm", Norm(d.width, "layer", bias=True, kind=line)), mlp, stream="vision_pool",
    )  # fmt: skip


def pixtral_tower(c: Config, name: str = "vision_tower", *, kind: str = "vision") -> tuple[Node, Picture]:
    """Pixtral: two-dimensional rotary positions, RMSNorm, gated MLP, no biases; pictures of any size."""
    d, seen = dims(c, kind), picture(c)
    c.ignore("head_dim")
    norm = d.norm(form="rms", bias=False)
    mixer = d.attention(("q_proj", "k_proj", "v_proj", "o_proj"), (False,) * 4, rotary=True).node("attention")
    ffn = gated_mlp(d.width, d.inner, "feed_forward", kind=d.line("mlp"), activate=d.activate)
    layer = tower_layer(d, norm, mixer, ffn, norms=("attention_norm", "ffn_norm"))
    layers = branch("transformer", stack("layers", [layer] * d.layers))
    node = branch(
        name, patch_conv(c, "patch_conv", d, bias=False), leaf("ln_pre", norm, place="pre"), layers, stream="vision"
    )
    return node, seen


O_PROJ = ("q_proj", "k_proj", "v_proj", "o_proj")


def vit_layer(c: Config, d: Dims) -> Node:
    """One ViT layer."""
    qkv = c.flag("qkv_bias", default=True)
    mixer = d.attention(O_PROJ, (qkv, qkv, qkv, True)).node("attention")
    return tower_layer(d, d.norm(), mixer, d.mlp(), norms=("layernorm_before", "layernorm_after"))


def vit_embeddings(c: Config, d: Dims, seen: Picture, tokens: tuple[str, ...], *extra: Node) -> Node:
    """Class and other learned tokens, learned positions for all of them, the patch convolution."""
    line = d.line("embedding")
    return branch(
        "embeddings",
        *(leaf(t, Parameter(line, (1, 1, d.width))) for t in tokens),
        leaf("position_embeddings", Parameter(line, (1, seen.patches() + len(tokens), d.width), d.width)),
        *extra,
        branch("patch_embeddings", patch_conv(c, "projection", d)),
    )


def vit_tower(
    c: Config, name: str = "", *, kind: str = "vision", tokens: tuple[str, ...] = ("cls_token",)
) -> tuple[Node, Picture]:
    """ViT and DeiT: class token (and distillation token), learned positions, a final norm."""
    d, seen = dims(c, kind), picture(c, extra=len(tokens))
    final = leaf("layernorm", d.norm(), place="final")
    node = branch(
        name, vit_embeddings(c, d, seen, tokens), stack("layers", [vit_layer(c, d)] * d.layers), final, stream="vision"
    )
    return node, seen


def _swiglu_inner(width: int, inner: int) -> int:
    # two thirds of the plain inner width, rounded up to a multiple of 8
    return (int(inner * 2 / 3) + 7) // 8 * 8


def dinov2_tower(c: Config, name: str = "", *, kind: str = "vision") -> tuple[Node, Picture]:
    """DINOv2, with registers where the config has them: scaled branches, gated MLP if `use_swiglu_ffn`."""
    width, gated = c.int("hidden_size"), c.flag("use_swiglu_ffn", default=False)
    d = dims(c, kind, int(width * c.number("mlp_ratio")) or 1)
    registers = c.int("num_register_tokens", default=0, least=0)
    seen = picture(c, extra=1 + registers)
    layer = _dino_layer(d, d.attention(O_PROJ, (*(c.flag("qkv_bias", default=True),) * 3, True)), _dinov2_mlp(d, gated))
    node = branch(
        name, _dinov2_embeddings(c, d, seen, registers), branch("encoder", stack("layer", [layer] * d.layers)),
        leaf("layernorm", d.norm(), place="final"), stream="vision",
    )  # fmt: skip
    return node, seen


def _dinov2_mlp(d: Dims, gated: bool) -> Node:
    if not gated:
        return d.mlp()
    return gated_mlp(d.width, _swiglu_inner(d.width, d.inner), bias=True, kind=d.line("mlp"))


def _dinov2_embeddings(c: Config, d: Dims, seen: Picture, registers: int) -> Node:
    line = d.line("embedding")
    masked = c.flag("use_mask_token", default=True)
    return branch(
        "embeddings",
        leaf("cls_token", Parameter(line, (1, 1, d.width))),
        leaf("mask_token", Parameter(line, (1, d.width))) if masked else None,
        leaf("position_embeddings", Parameter(line, (1, seen.patches() + 1, d.width), d.width)),
        leaf("register_tokens", Parameter(line, (1, registers, d.width))) if registers else None,
        branch("patch_embeddings", patch_conv(c, "projection", d)),
    )


def _dino_layer(d: Dims, attention: Attention, ffn: Node) -> Node:
    return tower_layer(
        d, d.norm(), attention.node("attention"), ffn, norms=("norm1", "norm2"),
        scales=("layer_scale1.lambda1", "layer_scale2.lambda1"),
    )  # fmt: skip


def dinov3_tower(c: Config, name: str = "", *, kind: str = "vision") -> tuple[Node, Picture]:
    """DINOv3: rotary positions on the patches, registers, scaled branches."""
    d = dims(c, kind)
    registers = c.int("num_register_tokens", default=0, least=0)
    seen, line = picture(c, extra=1 + registers), d.line("embedding")
    biases = tuple(c.flag(f"{w}_bias", default=w != "key") for w in ("query", "key", "value", "proj"))
    mixer = d.attention(O_PROJ, (biases[0], biases[1], biases[2], biases[3]), rotary=True)
    layer = _dino_layer(d, mixer, _dinov3_mlp(c, d))
    embeddings = branch(
        "embeddings",
        leaf("cls_token", Parameter(line, (1, 1, d.width))),
        leaf("mask_token", Parameter(line, (1, 1, d.width))),
        leaf("register_tokens", Parameter(line, (1, registers, d.width))),
        patch_conv(c, "patch_embeddings", d),
    )
    layers = branch("model", stack("layer", [layer] * d.layers))
    return branch(name, embeddings, layers, leaf("norm", d.norm(), place="final"), stream="vision"), seen


def _dinov3_mlp(c: Config, d: Dims) -> Node:
    bias = c.flag("mlp_bias", default=True)
    if c.flag("use_gated_mlp", default=False):
        return gated_mlp(d.width, d.inner, bias=bias, kind=d.line("mlp"), activate=d.activate)
    return d.mlp(("up_proj", "down_proj"), bias=bias)


def beit_tower(c: Config, name: str = "", *, kind: str = "vision") -> tuple[Node, Picture]:
    """BEiT: no bias on keys, scaled branches, positions as a relative table (in every layer or shared) or learned."""
    d, seen = dims(c, kind), picture(c, extra=1)
    scale = c.get("layer_scale_init_value", default=0.1)
    layer = tower_layer(
        d, d.norm(), _beit_attention(c, d, seen), d.mlp(), norms=("layernorm_before", "layernorm_after"),
        scales=("lambda_1", "lambda_2") if isinstance(scale, int | float) and scale > 0 else (),
    )  # fmt: skip
    shared = _relative_table(d, seen) if c.flag("use_shared_relative_position_bias", default=False) else None
    mean = c.flag("use_mean_pooling", default=True)
    node = branch(
        name, _beit_embeddings(c, d, seen), branch("shared_position_bias", shared) if shared else None,
        stack("layers", [layer] * d.layers), None if mean else leaf("layernorm", d.norm(), place="final"),
        stream="vision",
    )  # fmt: skip
    return node, seen


def _relative_table(d: Dims, seen: Picture) -> Node:
    high, wide = seen.grid()
    # every offset between two patches, and three for the class token
    rows = (2 * high - 1) * (2 * wide - 1) + 3
    return leaf("relative_position_bias_table", Parameter(d.line("attention"), (rows, d.heads)))


def _beit_attention(c: Config, d: Dims, seen: Picture) -> Node:
    own = c.flag("use_relative_position_bias", default=False)
    extra = (branch("relative_position_bias", _relative_table(d, seen)),) if own else ()
    node = d.attention(O_PROJ, (True, False, True, True)).node("attention")
    return branch("", node, *extra)


def _beit_embeddings(c: Config, d: Dims, seen: Picture) -> Node:
    line = d.line("embedding")
    learned = c.flag("use_absolute_position_embeddings", default=False)
    positions = Parameter(line, (1, seen.patches() + 1, d.width), d.width)
    return branch(
        "embeddings",
        leaf("cls_token", Parameter(line, (1, 1, d.width))),
        leaf("mask_token", Parameter(line, (1, 1, d.width))) if c.flag("use_mask_token", default=False) else None,
        leaf("position_embeddings", positions) if learned else None,
        branch("patch_embeddings", patch_conv(c, "projection", d)),
    )
