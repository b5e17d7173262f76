"""What the class named in `architectures` makes of a decoder: its bare body, a classifier, or a draft of another."""

from __future__ import annotations

import re
from dataclasses import replace

from flopsight.models.blocks.encoder import labels
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.linear import Linear

_DRAFT = re.compile(r"eagle|dflash|dspark|draft|medusa", re.IGNORECASE)


def as_written(model: Model, c: Config) -> Model:
    """A decoder without its language-model head where the file's class has none.

    Embedders are published as `MistralModel`, rewarders as `LlamaForSequenceClassification`; their checkpoints hold
    no head. Models whose root is not a body and a head are returned as they are: their family reads the class itself.
    """
    name = _named(c)
    found = _body_and_head(model.root)
    if found is None or not name:
        return model
    body, head = found
    if _DRAFT.search(name):
        line = f"{name} drafts for another model; only the {c.model_type} layers it is made of are counted"
        return replace(model, unknown=(*model.unknown, line))
    if _bare(name, c):
        return replace(model, root=replace(body, name=body.name.partition(".")[2]), tied=False)
    for ending, bias in (("ForSequenceClassification", False), ("ForTokenClassification", True)):
        if name.endswith(ending):
            score = leaf("score", Linear("other", head.inputs, labels(c), bias), stream="scored")
            return replace(model, root=branch("", body, score), tied=False)
    if name.endswith("RewardModel"):
        line = f"The head of {name} is not known; the body alone is counted."
        return replace(model, root=branch("", body), tied=False, unknown=(*model.unknown, line))
    return model


def _named(c: Config) -> str:
    names = c.raw.get("architectures")
    first = names[0] if isinstance(names, list) and names else None
    return first if isinstance(first, str) else ""


def _body_and_head(root: Node) -> tuple[Node, Linear] | None:
    """The parts of a root that is a body, a head on the scored positions, and the sampler behind it."""
    if len(root.children) != 3:
        return None
    body, head, _ = root.children
    if head.stream != "scored" or not isinstance(head.part, Linear) or head.part.kind != "lm_head" or not body.children:
        return None
    return body, head.part


def _bare(name: str, c: Config) -> bool:
    """`MistralModel` of a mistral; not `ChatGLMModel`, whose code says that it stands for the whole."""
    auto = c.raw.get("auto_map")
    whole = isinstance(auto, dict) and "AutoModelForCausalLM" in auto
    plain = re.sub(r"[^a-z0-9]", "", c.model_type.lower())
    return not whole and c.model_type != "chatglm" and name.lower() == f"{plain}model"
