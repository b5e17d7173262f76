"""What Gemma 3n and 4 share: last layers that reuse earlier keys and values, embeddings that enter every layer."""

from __future__ import annotations

from dataclasses import replace

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.mlp import act
from flopsight.models.config import Config
from flopsight.models.tree import Node, leaf
from flopsight.parts.linear import Embedding, Linear
from flopsight.parts.masks import Both, Causal, Full, Mask, Window
from flopsight.parts.norm import Norm
from flopsight.parts.vector import Elementwise, activation
from flopsight.workload import Work, Workload

TAIL = "tail"


def tail_stream(w: Workload) -> Work:
    """The scored positions behind everything before them.

    Layers that make no keys and values of their own are needed only where logits are.
    """
    scored = w.scored().queries
    return Work(w.batch, scored, w.past + w.seq - scored, absorbed=w.phase == "decode")


def first_shared(c: Config, kinds: list[bool]) -> int:
    """The first layer that reuses keys and values; as many as there are layers if none does.

    kinds  which layers see a window: a layer takes what the last one of its own kind made
    """
    count, shared = c.layers(), c.int("num_kv_shared_layers", default=0, least=0)
    if shared >= count:
        raise c.fail("num_kv_shared_layers", shared, f"less than the {count} layers")
    first = count - shared
    if not set(kinds[first:]) <= set(kinds[:first]):
        raise c.fail("num_kv_shared_layers", shared, "so few that each kind of layer has one with keys of its own")
    return first


def mask_of(c: Config, sliding: bool) -> Mask:
    """Causal or windowed; both ways in models turned into encoders."""
    size = c.int("sliding_window") if sliding else 0
    if c.get("use_bidirectional_attention", default=None) in ("all", True):
        return Both(size // 2) if size else Full()
    return Window(size) if size else Causal()


def attention(mixer: Attention) -> Node:
    """Attention with a norm over each head of query, key and value, the last without weights."""
    node = mixer.node()
    if not mixer.own_kv:
        return node
    bare = Norm(mixer.key_width, weight=False, copies=mixer.kv_heads)
    return replace(node, children=(*node.children, leaf("v_norm", bare, place="qk")))


def layer_input(width: int, each: int, activate: str) -> tuple[Node, ...]:
    """What a layer does with its own embedding of each token: gate it, project it, norm it."""
    return (
        leaf("per_layer_input_gate", Linear("other", width, each)),
        leaf("per_layer_act", activation(act(activate), each, gated=True)),
        leaf("per_layer_projection", Linear("other", each, width)),
        leaf("post_per_layer_input_norm", Norm(width), place="post"),
    )


def layer_embeddings(c: Config, width: int, each: int, layers: int) -> tuple[Node, ...]:
    """A table with an embedding for every layer, and a projection of the usual one to the same widths."""
    return (
        leaf("embed_tokens_per_layer", Embedding(c.int("vocab_size_per_layer_input"), layers * each)),
        leaf("per_layer_model_projection", Linear("other", width, layers * each)),
        leaf("per_layer_projection_norm", Norm(each, copies=layers), place="pre"),
        leaf("per_layer_sum", Elementwise("add and scale", layers * each, 2, 2)),
    )


def in_tail(layers: list[Node], first: int) -> list[Node]:
    """The layers from `first` on in the stream of scored positions."""
    made = {id(node): replace(node, stream=TAIL) for node in layers[first:]}
    return [*layers[:first], *(made[id(node)] for node in layers[first:])]


def renamed_kind(node: Node, kind: str) -> Node:
    """The same tree with every part on one line of the breakdown."""
    part = node.part
    if part is not None and part.kind not in (kind, "none"):
        part = replace(part, kind=kind)  # type: ignore[type-var]
    return replace(node, part=part, children=tuple(renamed_kind(child, kind) for child in node.children))
