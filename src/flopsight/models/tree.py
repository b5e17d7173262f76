"""A model: a tree of parts, and the streams of tokens that flow through it.

Names are those of the framework's modules, so a path and a tensor name join to the name in the checkpoint.
Identical layers are one node with a list of copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from flopsight.models.sources.tensors import StoredTensor
from flopsight.parts.part import Part
from flopsight.workload import Work, Workload

StreamRule: TypeAlias = Callable[[Workload], Work]


@dataclass(frozen=True, slots=True)
class Node:
    """One place in the tree: a leaf with a part, or a branch with children.

    name    one step of the path ("self_attn"); "" for a group of copies
    copies  indices of identical, separately stored copies: layers 3 to 60 are one node with copies (3, ..., 60)
    runs    how many times the same stored parameters are executed in one pass (ALBERT, Zamba2)
    stream  which tokens flow through it; None takes the parent's
    place   where a norm stands: "pre", "post", "sandwich", "qk", "final", ...
    """

    name: str
    part: Part | None = None
    children: tuple[Node, ...] = ()
    copies: tuple[int, ...] | None = None
    runs: int = 1
    stream: str | None = None
    place: str = ""


def branch(name: str, *children: Node | None, stream: str | None = None, runs: int = 1) -> Node:
    """A node with children; None among them is dropped."""
    return Node(name, children=tuple(c for c in children if c is not None), stream=stream, runs=runs)


def leaf(name: str, part: Part, *, stream: str | None = None, place: str = "", runs: int = 1) -> Node:
    """A node with a part."""
    return Node(name, part, stream=stream, place=place, runs=runs)


def stack(name: str, layers: Iterable[Node], *, stream: str | None = None) -> Node:
    """A numbered list of layers, equal ones gathered into one node with copies."""
    groups: dict[Node, list[int]] = {}
    nameless: dict[int, Node] = {}  # by identity: hashing a deep node costs, and most lists repeat one object
    kept = list(layers)
    for index, layer in enumerate(kept):
        if id(layer) not in nameless:
            nameless[id(layer)] = replace(layer, name="")
        groups.setdefault(nameless[id(layer)], []).append(index)
    return Node(name, children=tuple(replace(n, copies=tuple(i)) for n, i in groups.items()), stream=stream)


def spans(indices: tuple[int, ...]) -> str:
    """Indices for a person: "0-2,5"."""
    parts: list[list[int]] = []
    for i in indices:
        if parts and i == parts[-1][-1] + 1:
            parts[-1].append(i)
        else:
            parts.append([i])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def text_stream(workload: Workload) -> Work:
    """The main tokens."""
    return workload.text()


def scored_stream(workload: Workload) -> Work:
    """The positions that need logits."""
    return workload.scored()


def sequence_stream(workload: Workload) -> Work:
    """Once per sequence: a pooled vector, a conditioning signal."""
    return Work(workload.batch, 1)


STREAMS: Mapping[str, StreamRule] = {"text": text_stream, "scored": scored_stream, "sequence": sequence_stream}


@dataclass(frozen=True, eq=False)
class Model:
    """A model ready to be counted.

    name      what the user calls it
    family    the model_type or class it was built as
    root      the tree; its stream is "text" unless it says otherwise
    streams   rules that turn a workload into the tokens of each stream
    tied      the head is the input embedding
    dtype     the dtype the checkpoint stores, as its config names it ("" if it does not)
    quantization  the config's quantization section, if any
    unknown   what could not be counted or was not understood, one sentence each
    notes     what the reader should know: conventions of this family, faults of its published count
    assumed   config keys taken from the family's class defaults, with their values
    mtp       multi-token-prediction layers that the checkpoint holds and the main model does not run
    stored    what the headers of a checkpoint say of its tensors, if one was read
    no_flops  why the work of this model is not known at all, or "" where it is
    context   the longest sequence the config allows, if it says
    confidence  "formula" (derived by hand, tested against the framework) or "fit" (from shapes and traced lengths)
    """

    name: str
    family: str
    root: Node
    streams: Mapping[str, StreamRule] = field(default_factory=lambda: STREAMS)
    tied: bool = False
    dtype: str = ""
    quantization: Mapping[str, Any] | None = None
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    assumed: Mapping[str, Any] = field(default_factory=dict)
    confidence: str = "formula"
    mtp: Node | None = None
    stored: tuple[StoredTensor, ...] = ()
    no_flops: str = ""
    context: int | None = None


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf in its place.

    path    with copies as `*` or spans
    stored  how many copies are stored
    times   how many times it is executed in one pass: copies x runs, all the way down
    prefix  name prefixes of every copy are built from these steps
    """

    path: str
    part: Part
    stored: int
    times: int
    stream: str
    place: str
    steps: tuple[str | tuple[int, ...], ...]

    def prefixes(self) -> Iterator[str]:
        """The full module path of every stored copy."""
        return _expand(self.steps, "")


def _expand(steps: tuple[str | tuple[int, ...], ...], prefix: str) -> Iterator[str]:
    if not steps:
        yield prefix
        return
    head, rest = steps[0], steps[1:]
    for step in [head] if isinstance(head, str) else head:
        yield from _expand(rest, f"{prefix}.{step}" if prefix and step != "" else f"{prefix}{step}")


def leaves(root: Node) -> Iterator[Leaf]:
    """Every leaf of the tree, in order."""
    yield from _walk(root, (), 1, 1, "text", "", only=True)


def _walk(
    node: Node, steps: tuple[Any, ...], stored: int, times: int, stream: str, path: str, *, only: bool
) -> Iterator[Leaf]:
    stream = node.stream or stream
    times *= node.runs
    if node.name:
        steps, path = (*steps, node.name), _join(path, node.name)
    if node.copies is not None:
        steps, path = (*steps, node.copies), _join(path, "*" if only else spans(node.copies))
        stored, times = stored * len(node.copies), times * len(node.copies)
    if node.part is not None:
        yield Leaf(path, node.part, stored, times, stream, node.place, steps)
    alone = len([c for c in node.children if c.copies is not None]) == 1
    for child in node.children:
        yield from _walk(child, steps, stored, times, stream, path, only=alone)


def _join(path: str, step: str) -> str:
    return f"{path}.{step}" if path else step


def tensor_name(prefix: str, name: str) -> str:
    """The full name of a tensor of the module at `prefix`."""
    return f"{prefix}.{name}" if prefix and name else prefix or name
