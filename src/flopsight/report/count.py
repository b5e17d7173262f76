"""The answer of `count`: what a model stores, does and moves, part by part."""

from __future__ import annotations

from typing import Any

import msgspec

from flopsight.report.value import Result


class ModelInfo(msgspec.Struct, kw_only=True):
    """Which model was counted and how far its description can be trusted."""

    name: str
    family: str
    confidence: str
    """"formula": derived by hand and tested against the framework; "fit": from module shapes and traced lengths."""
    tied: bool
    dtype: str
    """Format of the stored weights; "mixed" names follow in bytes.by_dtype."""
    dtype_assumed: bool


class WorkloadInfo(msgspec.Struct, kw_only=True):
    """What the model was asked to do."""

    phase: str
    batch: int
    seq: int
    past: int
    mask: str
    logits: str
    recompute: str
    images: int
    tokens: int
    """Tokens computed now: batch x seq, or what an image's size makes of it."""
    by_sample: bool
    """A sample fixes its own length, so that `seq` plays no part."""


class Params(msgspec.Struct, kw_only=True):
    """Stored values; tied and shared tensors once, buffers and multi-token-prediction layers apart."""

    total: int
    active: int
    """Used by one token, both embedding matrices included."""
    active_excl_input_embedding: int
    active_excl_all_embeddings: int
    embedding: int
    by_kind: dict[str, int]
    buffers: int
    mtp: int


class Flops(msgspec.Struct, kw_only=True):
    """FLOPs of the whole workload, a multiply-add as two. Only `elementwise` is vector work."""

    required: int
    full_square: int
    executed: int
    per_token: float
    """Of the mask asked for, divided by the tokens computed."""
    weights: int
    attention: int
    recurrence: int
    elementwise: int | None
    """null where only matrix work is known (a model counted from traced modules)."""


class Bytes(msgspec.Struct, kw_only=True):
    """Bytes stored and moved. A value that is not known is null, and `unknown` says why."""

    weights: int | None
    by_dtype: dict[str, int]
    kv_per_token: int | None
    """Added by one more token of one sequence while no window is full."""
    state_per_sequence: int | None
    """Recurrent state and convolution tails, which do not grow."""
    kv_at_context: int | None
    """Cache and state of the whole batch after this workload, windows applied."""
    cache_dtype: str
    activations_moved: int | None
    """Read and written by every op as if nothing were fused; an upper bound."""


class PartRow(msgspec.Struct, kw_only=True):
    """One line of the tree: a leaf, or the sum of what lies below a path."""

    path: str
    kind: str
    place: str
    depth: int
    leaf: bool
    times: int
    matrices: list[tuple[str, list[int]]]
    params: int
    required: int
    full_square: int
    executed: int
    elementwise: int
    weight_bytes: int | None
    share: float
    formulas: list[str] = []


class ConventionRow(msgspec.Struct, kw_only=True):
    """What one framework or paper would call the FLOPs of a token of this workload."""

    name: str
    per_token: float | None
    ratio: float | None
    formula: str
    why: str


class TensorRow(msgspec.Struct, kw_only=True):
    """One stored tensor, or a stack of equal ones under one name pattern."""

    name: str
    shape: list[int]
    dtype: str
    stored: int | None
    """Bytes."""
    executed: int
    """How many times one pass runs it."""
    kind: str


class CountResult(Result, kw_only=True):
    """Everything `flopsight count` knows about a model under a workload."""

    command: str = "count"
    model: ModelInfo
    workload: WorkloadInfo
    convention: dict[str, str]
    params: Params
    flops: Flops | None
    """null where the work is not known; `unknown` says why."""
    bytes: Bytes
    attention: str
    """What the required attention is: causal, or over the whole input."""
    parts: list[PartRow]
    conventions: list[ConventionRow]
    unknown: list[str]
    notes: list[str]
    assumed: dict[str, Any]
    tensors: list[TensorRow] | None = None
    next: str = ""

    def headline(self) -> str:
        """The answer in a sentence."""
        from flopsight.report.draw_count import headline

        return headline(self)

    def __repr__(self) -> str:
        return self.headline()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        """The answer, the tree, the conventions, what was not counted, the next command."""
        from flopsight.report.draw_count import draw

        yield from draw(self, options.max_width)
