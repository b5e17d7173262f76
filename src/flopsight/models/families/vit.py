"""Models of one image: ViT, DeiT, I-JEPA, DINOv2 and v3. Their main stream is the tokens of the image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flopsight.models.blocks.encoder import NO_DECODE, classifier, head_of, inside, labels
from flopsight.models.blocks.vision import Picture, beit_tower, dinov2_tower, dinov3_tower, pixtral_tower, vit_tower
from flopsight.models.config import Config
from flopsight.models.tree import STREAMS, Model, Node, branch, leaf
from flopsight.parts.linear import Linear
from flopsight.parts.norm import Norm

ONE_IMAGE = "The batch is a batch of images, one a sequence; the number of tokens follows from the image's size."


@dataclass(frozen=True, slots=True)
class Layout:
    """A tower, the module it sits in when there is a head, whether the bare model pools, and the head's inputs.

    inputs  how many vectors of the tower's width the classifier reads at once
    """

    tower: Callable[..., tuple[Node, Picture]]
    prefix: str
    pooled: bool = False
    inputs: int = 1
    tokens: tuple[str, ...] | None = None


LAYOUTS = {
    "vit": Layout(vit_tower, "vit", pooled=True, tokens=("cls_token",)),
    "deit": Layout(vit_tower, "deit", pooled=True, tokens=("cls_token", "distillation_token")),
    "ijepa": Layout(vit_tower, "ijepa", tokens=()),
    "dinov2": Layout(dinov2_tower, "dinov2", inputs=2),
    "dinov2_with_registers": Layout(dinov2_tower, "dinov2_with_registers", inputs=2),
    "dinov3_vit": Layout(dinov3_tower, "dinov3_vit"),
    "beit": Layout(beit_tower, "beit"),
    "pixtral": Layout(pixtral_tower, "pixtral"),
}


def pooled(c: Config) -> Node:
    """The dense layer on the class token."""
    width = c.int("hidden_size")
    out = c.maybe("pooler_output_size") or width
    return branch("pooler", leaf("dense", Linear("pooler", width, out, True)), stream="vision_pool")


def beit_pool(c: Config) -> Node | None:
    """The norm of the averaged patches, if they are averaged."""
    if not c.flag("use_mean_pooling", default=True):
        return None
    norm = Norm(c.int("hidden_size"), "layer", bias=True, kind="pooler")
    return branch("pooler", leaf("layernorm", norm, place="final"), stream="vision_pool")


def heads(c: Config, layout: Layout, head: str) -> tuple[Node, ...] | None:
    """The modules beside the tower; None for a head that is not known."""
    if head == "Model":
        return ()
    names = {
        "ImageClassification": ("classifier",),
        "ImageClassificationWithTeacher": ("cls_classifier", "distillation_classifier"),
    }.get(head)
    if names is None:
        return None
    classes = labels(c)
    if not classes:
        return ()
    return tuple(classifier(layout.inputs * c.int("hidden_size"), classes, n, stream="vision_pool") for n in names)


def vit(c: Config) -> Model:
    """The tower with its pooler, or with the classes its `architectures` names."""
    layout = LAYOUTS[c.model_type]
    head = head_of(c, "Model")
    beside = heads(c, layout, head)
    bare = head == "Model" or beside is None
    extra = {} if layout.tokens is None else {"tokens": layout.tokens}
    tower, seen = layout.tower(c, "" if bare else layout.prefix, kind="", **extra)
    pool = pooled(c) if layout.pooled and bare else None
    if c.model_type == "beit":
        pool = inside("" if bare else "beit", beit_pool(c))
    c.ignore("pooler_output_size", "pooler_act", "encoder_stride")
    unknown = () if beside is not None else (f"The head of {head} is not known; the body alone is counted.",)
    return Model(
        "", c.model_type, branch("", tower, pool, *(beside or ())), streams={**STREAMS, **seen.alone()},
        notes=(ONE_IMAGE, NO_DECODE), unknown=unknown,
    )  # fmt: skip


FAMILIES = dict.fromkeys(LAYOUTS, vit)
