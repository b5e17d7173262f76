"""CLIP and SigLIP: a text tower and an image tower that meet in a score; each tower also alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from flopsight.expr import maximum, minimum
from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.encoder import NO_DECODE, classifier, head_of, labels
from flopsight.models.blocks.mlp import plain_mlp
from flopsight.models.blocks.vision import (
    OUT_PROJ,
    Picture,
    clip_tower,
    dims,
    siglip2_tower,
    siglip_tower,
    tower_layer,
)
from flopsight.models.config import Config
from flopsight.models.tree import STREAMS, Model, Node, StreamRule, branch, leaf, stack
from flopsight.parts.linear import Embedding, Linear, Parameter
from flopsight.parts.masks import Causal, Full
from flopsight.parts.norm import Norm
from flopsight.parts.pooling import Similarity
from flopsight.workload import Work, Workload

PAIRS = "One image a text unless the workload says more; texts are cut to what the positions hold."


def text_tower(c: Config, *, causal: bool, head: Node | None = None) -> tuple[Node, ...]:
    """Learned positions, pre-norm layers, a final norm; the children of `text_model`."""
    d = dims(c, "")
    norm = Norm(d.width, "layer", bias=True)
    mixer = Attention(
        d.width, d.heads, d.heads, d.width // d.heads, names=OUT_PROJ, biases=(True,) * 4,
        mask=Causal() if causal else Full(), cached=False,
    )  # fmt: skip
    mlp = plain_mlp(d.width, d.inner, activate=d.activate)
    layer = tower_layer(d, norm, mixer.node(), mlp, norms=("layer_norm1", "layer_norm2"))
    embeddings = branch(
        "embeddings",
        leaf("token_embedding", Embedding(c.int("vocab_size"), d.width)),
        leaf("position_embedding", Embedding(c.int("max_position_embeddings"), d.width)),
    )
    layers = branch("encoder", stack("layers", [layer] * d.layers))
    found = (embeddings, layers, leaf("final_layer_norm", norm, place="final"))
    return found if head is None else (*found, head)


def siglip_text_head(c: Config) -> Node:
    """The last token's projection."""
    width = c.int("hidden_size")
    out = c.maybe("projection_size") or width
    return leaf("head", Linear("other", width, out, True), stream="sequence")


def cut(most: int) -> dict[str, StreamRule]:
    """A text stream of at most `most` tokens."""

    def text(w: Workload) -> Work:
        work = w.text()
        return replace(work, queries=minimum(work.queries, most))

    return {**STREAMS, "text": text}


def pairs(w: Workload) -> Work:
    """Every text of the batch against every image."""
    return Work(w.batch, 1, keys=w.batch * maximum(w.images, 1))


def halves(c: Config, kind: str) -> tuple[Config, Config]:
    """The configs of the two towers; old files hold them as `text_config_dict` and `vision_config_dict`."""
    found = []
    for side in ("text", "vision"):
        name = f"{side}_config"
        old = not c.has(name) and c.has(f"{name}_dict")
        found.append(c.sub(f"{name}_dict" if old else name, f"{kind}_{side}_model"))
        found[-1].ignore("projection_dim", "tie_word_embeddings")
        c.ignore(f"{name}_dict")
    return found[0], found[1]


def two_towers(c: Config, kids: tuple[Node, ...], texts: Config, tower: tuple[Node, Picture], width: int) -> Model:
    """Both towers and the score."""
    vision, seen = tower
    root = branch(
        "",
        branch("text_model", *kids),
        vision,
        *_between(c, texts, width),
        leaf("similarity", Similarity(width), stream="pair"),
    )
    most = texts.int("max_position_embeddings")
    streams = {**cut(most), **seen.paired(), "pair": pairs}
    return Model("", c.model_type, root, streams=streams, notes=(PAIRS, NO_DECODE), context=most)


def _between(c: Config, texts: Config, width: int) -> tuple[Node, ...]:
    if c.model_type != "clip":
        return tuple(leaf(n, Parameter("other", (1,), 0)) for n in ("logit_scale", "logit_bias"))
    seen = c.children["vision_config" if "vision_config" in c.children else "vision_config_dict"]
    return (
        leaf("logit_scale", Parameter("other", ())),
        leaf("visual_projection", Linear("other", seen.int("hidden_size"), width), stream="vision_pool"),
        leaf("text_projection", Linear("other", texts.int("hidden_size"), width), stream="sequence"),
    )


def clip(c: Config) -> Model:
    """CLIP: causal text tower, class-token image tower, two projections."""
    texts, images = halves(c, "clip")
    if head_of(c, "Model") == "ImageClassification":
        return image_classifier(c, clip_tower(images, kind=""), images)
    return two_towers(c, text_tower(texts, causal=True), texts, clip_tower(images), c.int("projection_dim"))


def siglip(c: Config) -> Model:
    """SigLIP 1 and 2: the text tower sees both ways and projects its last token."""
    texts, images = halves(c, c.model_type)
    tower = siglip2_tower if c.model_type == "siglip2" else siglip_tower
    if head_of(c, "Model") == "ImageClassification":
        return image_classifier(c, tower(images, kind=""), images)
    kids = text_tower(texts, causal=False, head=siglip_text_head(texts))
    return two_towers(c, kids, texts, tower(images), images.int("hidden_size"))


def image_classifier(c: Config, tower: tuple[Node, Picture], images: Config) -> Model:
    """The image tower alone with classes."""
    node, seen = tower
    root = branch("", node, classifier(images.int("hidden_size"), labels(c)))
    return Model("", c.model_type, root, streams={**STREAMS, **seen.alone()}, notes=(NO_DECODE,))


def text_alone(c: Config) -> Model:
    """A text tower as a model of its own, with or without its projection."""
    causal = c.model_type == "clip_text_model"
    head = None if causal else siglip_text_head(c)
    kids = text_tower(c, causal=causal, head=head)
    root = branch("", *kids)
    if head_of(c, "Model") == "TextModelWithProjection":
        width = c.int("hidden_size")
        out = leaf("text_projection", Linear("other", width, c.int("projection_dim")), stream="sequence")
        root = branch("", branch("text_model", *kids), out)
    most = c.int("max_position_embeddings")
    return Model("", c.model_type, root, streams=cut(most), notes=(NO_DECODE,), context=most)


TOWERS: dict[str, Callable[..., tuple[Node, Picture]]] = {
    "clip_vision_model": clip_tower,
    "siglip_vision_model": siglip_tower,
    "siglip2_vision_model": siglip2_tower,
}


def image_alone(c: Config) -> Model:
    """An image tower as a model of its own, with or without its projection."""
    projected = head_of(c, "Model") == "VisionModelWithProjection"
    node, seen = TOWERS[c.model_type](c, "vision_model" if projected else "", kind="")
    root = branch("", node)
    if projected:
        width, out = c.int("hidden_size"), c.int("projection_dim")
        root = branch("", node, leaf("visual_projection", Linear("other", width, out), stream="vision_pool"))
    return Model("", c.model_type, root, streams={**STREAMS, **seen.alone()}, notes=(NO_DECODE,))


FAMILIES = {
    "clip": clip,
    "siglip": siglip,
    "siglip2": siglip,
    "clip_text_model": text_alone,
    "siglip_text_model": text_alone,
    "siglip2_text_model": text_alone,
    **dict.fromkeys(TOWERS, image_alone),
}
