"""A whole decoder: embedding, layers, final norm, head, in the shapes families give it."""

from __future__ import annotations

from collections.abc import Iterable

from flopsight.models.tree import Model, Node, branch, leaf, stack
from flopsight.parts.linear import Embedding, Linear
from flopsight.parts.norm import Norm
from flopsight.parts.vector import residual, softmax


def block(*children: Node | None, width: int, residuals: int = 2) -> Node:
    """One layer: its children in order, and the additions onto the residual stream."""
    return branch("", *children, leaf("residual", residual(width), runs=residuals))


def pre_norm_layer(
    norm: Norm, mixer: Node, ffn: Node, names: tuple[str, str] = ("input_layernorm", "post_attention_layernorm")
) -> Node:
    """norm, mixer, add, norm, feed-forward, add: the usual layer."""
    return block(leaf(names[0], norm, place="pre"), mixer, leaf(names[1], norm, place="pre"), ffn, width=norm.width)


def causal_lm(
    layers: Iterable[Node],
    *,
    family: str,
    vocab: int,
    width: int,
    tied: bool,
    norm: Norm | None,
    prefix: str = "model",
    embed: str = "embed_tokens",
    stack_name: str = "layers",
    norm_name: str = "norm",
    head: str = "lm_head",
    head_bias: bool = False,
    before: tuple[Node | None, ...] = (),
    after: tuple[Node | None, ...] = (),
    notes: tuple[str, ...] = (),
    unknown: tuple[str, ...] = (),
) -> Model:
    """A decoder with a language-model head.

    before, after   nodes beside the embedding (positions, embedding norms) and beside the final norm
    """
    body = branch(
        prefix,
        leaf(embed, Embedding(vocab, width)),
        *before,
        stack(stack_name, layers),
        leaf(norm_name, norm, place="final") if norm else None,
        *after,
    )
    root = branch("", body, *head_nodes(width, vocab, tied=tied, name=head, bias=head_bias))
    return Model("", family, root, tied=tied, notes=notes, unknown=unknown)


def head_nodes(width: int, vocab: int, *, tied: bool, name: str = "lm_head", bias: bool = False) -> tuple[Node, Node]:
    """The output head on the scored positions, and the softmax that sampling or the loss needs."""
    head = Linear("lm_head", width, vocab, bias, tied=tied)
    return leaf(name, head, stream="scored"), leaf("sampler", softmax(vocab), stream="scored")
