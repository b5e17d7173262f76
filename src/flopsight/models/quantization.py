"""From a config's quantization section to the exact stored bytes of every tensor.

Embeddings, norms, routers and the head stay in the model's own format unless a rule names them. Names are those of
checkpoints, where experts lie one by one: `mlp.experts.0.gate_proj` stands for all of a layer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flopsight.dtypes import DType
from flopsight.dtypes import dtype as number_format
from flopsight.errors import UsageError
from flopsight.facts import Unknown
from flopsight.models.layouts import Layout, Unsized
from flopsight.models.patterns import BadPatternError
from flopsight.models.quant_sections import Rules, UnreadableError, read_section
from flopsight.models.tree import Model
from flopsight.parts.conv import Conv
from flopsight.parts.linear import Buffer, Embedding, Linear, Parameter
from flopsight.parts.moe import Experts
from flopsight.parts.norm import Norm
from flopsight.parts.part import Part, Tensor

ASSUMED_DTYPE = "bf16"

FULL_PRECISION = ("e_score_correction_bias",)
"""Tensors that checkpoints hold in fp32 whatever the model's format is, unless the method casts everything."""


# ------------------------------------------------------------------ what a caller sees


class Storage(Protocol):
    """Stored bytes of a model's tensors, one by one.

    notes    what the sizes rest on: assumed formats, parts left out
    indexed  whether two layers of one kind may differ
    """

    notes: tuple[str, ...]
    indexed: bool

    def bytes(self, full_name: str, tensor: Tensor, kind: str, part: Part | None = None) -> int | Unknown:
        """Bytes of one tensor with all that quantization adds to it; `part` tells its layout exactly."""
        ...

    def dtype(self, full_name: str, tensor: Tensor, kind: str, part: Part | None = None) -> str:
        """The format its values are stored in."""
        ...


def storage(model: Model, dtype: str = "") -> Storage:
    """The storage of a model under its quantization section; `dtype` replaces the format the config names."""
    name, assumed = model_dtype(model, dtype)
    notes = [f"The config names no dtype; {name} is assumed."] if assumed else []
    section = model.quantization
    if not section:
        return Stored(model, name, Rules(), tuple(notes))
    try:
        rules = read_section(section, model, name)
    except (BadPatternError, UnreadableError, UsageError, TypeError, ValueError, AttributeError) as error:
        rules = Rules(Unsized(f"the quantization section could not be read: {error}"))
    return Stored(model, name, rules, (*notes, *rules.notes))


def model_dtype(model: Model, dtype: str = "") -> tuple[str, bool]:
    """The format of what is not quantized, and whether it had to be assumed."""
    wanted = dtype or model.dtype
    try:
        found = number_format(wanted).name if wanted else ""
        # a model whose file says fp8 keeps norms and embeddings in 16 bits all the same
        usable = dtype or (found and number_format(found).bits >= 16)
        return (found, False) if usable else (ASSUMED_DTYPE, True)
    except UsageError:
        if dtype:
            raise
        return ASSUMED_DTYPE, True


class Stored:
    """Storage by rules; made by `storage`."""

    def __init__(self, model: Model, dtype: str, rules: Rules, notes: tuple[str, ...]) -> None:
        self.model = model
        self.plain = number_format(dtype)
        self.rules = rules
        self.notes = notes
        self.indexed = rules.indexed
        self._layouts: dict[tuple[tuple[str, ...], str, bool], Layout | None] = {}

    def bytes(self, full_name: str, tensor: Tensor, kind: str, part: Part | None = None) -> int | Unknown:
        """The packed matrices of a quantized tensor, or its elements in the model's format."""
        total = 0
        for matrix, layout in self._pieces(full_name, tensor, kind, part):
            size = layout.bytes(matrix.rows, matrix.columns)
            if isinstance(size, Unknown):
                return size
            total += matrix.count * size + self._cache(full_name)
        if not total:
            total = int(self._as_is(full_name).stored_bytes(tensor.elements))
        return total

    def dtype(self, full_name: str, tensor: Tensor, kind: str, part: Part | None = None) -> str:
        """The layout's format, or the model's."""
        for _, layout in self._pieces(full_name, tensor, kind, part):
            return layout.dtype
        return self._as_is(full_name).name

    def _as_is(self, full_name: str) -> DType:
        precise = full_name.endswith(FULL_PRECISION) and not self.rules.cast
        return number_format("fp32") if precise else self.plain

    def _pieces(self, full_name: str, tensor: Tensor, kind: str, part: Part | None) -> list[tuple[Matrix, Layout]]:
        """The quantized matrices of a tensor; none where it, or one of them, is left alone."""
        if not self.rules.layout and not self.rules.named and not self.rules.exact:
            return []
        found = []
        linear = isinstance(part, Linear) and kind not in ("router", "lm_head")
        for matrix in matrices(full_name, tensor, kind, part):
            layout = self._layout(matrix.names, kind, linear)
            if layout is None or not layout.fits(matrix.rows, matrix.columns):
                return []
            found.append((matrix, layout))
        return found

    def _layout(self, names: tuple[str, ...], kind: str, linear: bool) -> Layout | None:
        key = (names, kind, linear)
        if key not in self._layouts:
            try:
                self._layouts[key] = self.rules.layout_of(names, kind, linear=linear)
            except BadPatternError as error:
                self._layouts[key] = Unsized(str(error))
        return self._layouts[key]

    def _cache(self, full_name: str) -> int:
        return self.rules.caches if full_name.removesuffix(".weight").endswith((".k_proj", ".v_proj")) else 0


# ------------------------------------------------------------------ the matrices of a tensor and their names


@dataclass(frozen=True, slots=True)
class Matrix:
    """`count` matrices of n rows (outputs) and m columns (inputs), and the names checkpoints give the first."""

    names: tuple[str, ...]
    rows: int
    columns: int
    count: int = 1


def matrices(full_name: str, tensor: Tensor, kind: str, part: Part | None) -> list[Matrix]:
    """The matrices that a stored tensor consists of; none for vectors, tables, convolutions."""
    if isinstance(part, Embedding | Norm | Parameter | Buffer | Conv) or tensor.buffer:
        return []
    if isinstance(part, Experts):
        return _experts(full_name, tensor, part)
    if tensor.routed and len(tensor.shape) in (2, 3):
        count = tensor.routed[1]
        rows, columns = tensor.shape[-2:] if len(tensor.shape) == 3 else (tensor.shape[0] // count, tensor.shape[1])
        return [Matrix(module_names(full_name), rows, columns, count)] if rows > 1 else []
    if len(tensor.shape) != 2 or not tensor.name.endswith("weight") or (part is None and kind in ("embedding", "norm")):
        return []
    turned = isinstance(part, Linear) and part.transposed
    rows, columns = reversed(tensor.shape) if turned else tensor.shape
    return [Matrix(module_names(full_name.removesuffix(".weight")), rows, columns)]


def _experts(full_name: str, tensor: Tensor, part: Experts) -> list[Matrix]:
    path = full_name.removesuffix(f".{tensor.name}")
    e, d, f = part.experts, part.width, part.inner

    def one(*steps: str, rows: int, columns: int) -> Matrix:
        stacked = (full_name, path)
        single = tuple(f"{path}.0.{step}" for step in steps)
        return Matrix(tuple(n for name in (*single, *stacked) for n in module_names(name)), rows, columns, e)

    if tensor.name == part.down:
        return [one("down_proj", "w2", rows=d, columns=f)]
    if tensor.name == part.up:
        up = one("up_proj", "w3", rows=f, columns=d)
        return [one("gate_proj", "w1", rows=f, columns=d), up] if part.gated else [up]
    return []


_RENAMED = (
    ("model.layers.", "backbone.layers."), ("model.language_model.", "language_model.model."),
    ("model.language_model.", "model."), ("model.language_model.", "language_model."), ("model.visual.", "visual."),
    ("model.vision_tower.", "vision_tower."), ("model.vision_tower.", "vision_model."),
    ("model.multi_modal_projector.", "multi_modal_projector."), ("lm_head", "language_model.lm_head"),
    (".mlp.experts", ".block_sparse_moe.experts"), (".mlp.gate", ".block_sparse_moe.gate"),
    (".mlp.experts", ".mixer.experts"), (".mlp.experts", ".feed_forward.experts"),
)  # fmt: skip
"""Where module names of today differ from those of older checkpoints."""


def module_names(path: str) -> tuple[str, ...]:
    """The module's own name and the names older checkpoints may give it."""
    first = [path, *(path.replace(new, old, 1) for new, old in _RENAMED[:9] if path.startswith(new))]
    every = [*first, *(one.replace(new, old, 1) for one in first for new, old in _RENAMED[9:] if new in one)]
    return tuple(dict.fromkeys(every))
