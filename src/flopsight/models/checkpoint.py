"""A model beside the headers of its checkpoint: exact bytes, and a word where the two disagree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flopsight.facts import Unknown
from flopsight.models.ledger import Ledger
from flopsight.models.module import kind_of
from flopsight.models.sources import Checkpoint, Source, StoredTensor, read_checkpoint, read_header
from flopsight.models.tree import Model, Node
from flopsight.parts.linear import Parameter


def with_checkpoint(model: Model, weights: Path) -> Model:
    """The model with what the safetensors headers in `weights` (a folder or a file) say."""
    if weights.is_file():
        return with_stored(model, read_header(weights))
    found = read_checkpoint(weights)
    if found.quantization is not None and model.quantization is None:
        model = replace(model, quantization=found.quantization)
    return _with_unlisted(with_stored(model, found.tensors), found)


def _with_unlisted(model: Model, found: Checkpoint) -> Model:
    if not found.unlisted:
        return model
    names = ", ".join(found.unlisted[:3])
    return replace(model, unknown=(*model.unknown, f"{len(found.unlisted)} tensors are not in the index ({names} ...)"))


def with_stored(model: Model, tensors: tuple[StoredTensor, ...]) -> Model:
    """The model with a checkpoint's tensors; a difference in the number of values is said."""
    told = _difference(model, tensors)
    return replace(model, stored=tensors, notes=(*model.notes, *told))


def _difference(model: Model, tensors: tuple[StoredTensor, ...]) -> list[str]:
    sizes = [t.elements for t in tensors]
    if any(isinstance(size, Unknown) for size in sizes):
        return ["The checkpoint's index names its tensors, but its files are not there, so sizes follow the config."]
    stored = sum(size for size in sizes if isinstance(size, int))
    made = Ledger(model).params
    if stored == made:
        return [f"The checkpoint's {len(tensors):,} tensors hold exactly the {made:,} parameters of the config."]
    why = "packed or scaled formats, a head stored twice, buffers or extra prediction layers change the number"
    return [f"The checkpoint holds {stored:,} values in {len(tensors):,} tensors, the config makes {made:,}: {why}."]


def only_stored(source: Source) -> Model:
    """A model of which only the tensors are known: sizes are exact, FLOPs are not known."""
    weights = source.weights or source.path
    assert weights is not None
    tensors = read_header(weights) if weights.is_file() else read_checkpoint(weights).tensors
    known = [t for t in tensors if isinstance(t.shape, tuple)]
    nodes = tuple(Node(t.name, Parameter(kind_of(t.name), t.shape)) for t in known if isinstance(t.shape, tuple))
    return Model(
        source.name, "safetensors", Node("", children=nodes), stored=tensors, confidence="shapes",
        no_flops="there is no config.json beside the tensors",
        unknown=("FLOPs: there is no config.json, and tensors alone do not say how they are used",),
    )  # fmt: skip
