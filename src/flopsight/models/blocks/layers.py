"""One decoder layer in the arrangements of norms, mixer and feed-forward block that are not the usual pre-norm."""

from __future__ import annotations

from flopsight.models.blocks.decoder import block
from flopsight.models.tree import Node, leaf
from flopsight.parts.norm import Norm


def parallel_layer(norm: Norm, mixer: Node, ffn: Node, name: str = "input_layernorm") -> Node:
    """x + mixer(norm(x)) + ffn(norm(x)): one norm for both."""
    return block(leaf(name, norm, place="pre"), mixer, ffn, width=norm.width)


def post_norm_layer(
    norm: Norm,
    mixer: Node,
    ffn: Node,
    names: tuple[str, str] = ("post_attention_layernorm", "post_feedforward_layernorm"),
) -> Node:
    """A norm after the mixer and one after the feed-forward block, none before them."""
    return block(
        mixer, leaf(names[0], norm, place="post"), ffn, leaf(names[1], norm, place="post"), width=norm.width
    )  # fmt: skip


def sandwich_layer(norm: Norm, mixer: Node, ffn: Node, names: tuple[str, str, str, str]) -> Node:
    """Four norms: before and after the mixer, before and after the feed-forward block."""
    return block(
        leaf(names[0], norm, place="pre"), mixer, leaf(names[1], norm, place="sandwich"),
        leaf(names[2], norm, place="pre"), ffn, leaf(names[3], norm, place="sandwich"), width=norm.width,
    )  # fmt: skip
