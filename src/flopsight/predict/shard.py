"""A model laid over devices: which kernels one device runs, with which shapes, and what it stores.

Matrices that open a block (query, key, value, up, gate) are split by columns, those that close it (output, down) by
rows with a collective behind them; norms, routers and low-rank down-projections are whole on every device; key-value
heads are repeated where there are fewer of them than devices (Shoeybi et al. 2019, arXiv 1909.08053). Matrices that
read the same input run as one product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Final

from flopsight.dtypes import dtype as number_format
from flopsight.errors import UsageError
from flopsight.models.ledger import Ledger
from flopsight.models.tree import Leaf
from flopsight.parts.attention import AttentionCore
from flopsight.parts.linear import Buffer, Embedding, Linear, Parameter
from flopsight.parts.mla import LatentCore, LatentUp
from flopsight.parts.moe import Experts
from flopsight.parts.norm import Norm
from flopsight.parts.vector import Elementwise
from flopsight.plan import Plan
from flopsight.predict.device import Device
from flopsight.predict.formats import Resolved
from flopsight.predict.kernels.attention import Heads
from flopsight.predict.tasks import HALF, Collective, Core, Dense, Kernel, Moved, Other, Routed, Task

ROW: Final = frozenset(
    ("o_proj", "out_proj", "dense", "down_proj", "fc2", "c_proj", "dense_4h_to_h", "wo", "w2", "Wo", "proj",
     "linear_fc2", "net.2", "to_out.0", "to_add_out", "o", "output", "fc_out", "o_b_proj", "output_linear",
     "proj_out", "ffn_output", "fc2_latent_proj", "layer_norm.dense", "value", "wo_proj")
)  # fmt: skip
"""Last steps of the paths of matrices that close a block."""
WHOLE: Final = frozenset(
    ("q_a_proj", "kv_a_proj_with_mqa", "kv_a_proj", "weights_proj", "wk", "shared_expert_gate", "wkv_a")
)
"""Matrices that every device holds whole."""
KV: Final = frozenset(("k_proj", "v_proj", "key", "value", "k", "v", "to_k", "to_v", "kv_proj"))
FUSED: Final = frozenset(("residual", "rope", "route", "apply"))
"""Vector work that engines fold into a neighbour's kernel."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One device's part of a model.

    tasks     what it launches in one pass; `times` still counts all pipeline stages
    stored    bytes of parameters it holds, by kind, an even share of the pipeline's stages
    elements  parameters it holds, by kind
    notes     what was approximated
    """

    tasks: tuple[Task, ...]
    stored: dict[str, float]
    elements: dict[str, float]
    notes: tuple[str, ...] = ()

    @property
    def weights(self) -> float:
        """Bytes of parameters it holds."""
        return sum(self.stored.values())

    @property
    def params(self) -> float:
        """Parameters it holds."""
        return sum(self.elements.values())


@dataclass(frozen=True, slots=True)
class _Scene:
    book: Ledger
    plan: Plan
    kept: Resolved
    device: Device
    training: bool


def shard(book: Ledger, plan: Plan, kept: Resolved, device: Device, *, training: bool = False) -> Shard:
    """The first device's part under a plan; UsageError where heads, experts or layers cannot be split so."""
    check(book, plan)
    return _shard(book, plan, kept, device, training)


@lru_cache(512)
def _shard(book: Ledger, plan: Plan, kept: Resolved, device: Device, training: bool) -> Shard:
    scene = _Scene(book, plan, kept, device, training)
    heads = _kv_heads(book)
    made: list[Task] = []
    stored: dict[str, float] = {}
    elements: dict[str, float] = {}
    for one in book.leaves:
        kernel, share = _kernel(scene, one, heads)
        _hold(scene, one, share, stored, elements)
        if kernel is not None:
            made.append(Task(one.path, one.part.kind, one.stream, one.times, layered(one), kernel, _is_core(one)))
            made.extend(_after(scene, one, kernel))
    return Shard(tuple(_joined(made, book)), stored, elements)


def layered(one: Leaf) -> bool:
    """Whether a leaf lies in the numbered layers."""
    return any(isinstance(step, tuple) for step in one.steps)


def _is_core(one: Leaf) -> bool:
    return isinstance(one.part, AttentionCore | LatentCore)


# ------------------------------------------------------------ what can be split


def check(book: Ledger, plan: Plan) -> None:
    """UsageError naming what does not divide: heads, experts, layers."""
    for one in book.leaves:
        part = one.part
        if one.stream == "text" and isinstance(part, AttentionCore | LatentCore) and part.heads % plan.tp:
            near = [t for t in range(1, part.heads + 1) if part.heads % t == 0 and t <= 4 * plan.tp]
            raise UsageError(
                f"tp {plan.tp} does not divide the {part.heads} attention heads of {book.model.name}; "
                f"possible are {', '.join(map(str, near))}."
            )
        if isinstance(part, Experts) and part.experts % plan.ep:
            raise UsageError(f"ep {plan.ep} does not divide the {part.experts} experts of {book.model.name}.")
    layers = depth(book)
    if plan.pp > 1 and plan.pp * plan.vp > layers:
        raise UsageError(f"pp {plan.pp} x vp {plan.vp} is more than the {layers} layers of {book.model.name}.")


@lru_cache(256)
def depth(book: Ledger) -> int:
    """Numbered layers of the main stack."""
    found = {step for one in book.leaves for step in one.steps if isinstance(step, tuple) and one.stream == "text"}
    return max((max(step) + 1 for step in found), default=1)


def _kv_heads(book: Ledger) -> dict[str, int]:
    """Key-value heads by path of the attention block."""
    return {_parent(one.path): one.part.kv_heads for one in book.leaves if isinstance(one.part, AttentionCore)}


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _last(path: str) -> str:
    parts = path.split(".")
    return ".".join(parts[-2:]) if len(parts) > 1 and parts[-1].isdigit() else parts[-1]


# ------------------------------------------------------------ one leaf, one kernel


def _kernel(s: _Scene, one: Leaf, heads: dict[str, int]) -> tuple[Kernel | None, float]:
    """The kernel of a leaf and the share of its parameters that the device holds."""
    part, tp = one.part, s.plan.tp
    if isinstance(part, Linear):
        return _dense(s, one, part, heads)
    if isinstance(part, Experts):
        return _routed(s, one, part)
    if isinstance(part, AttentionCore):
        return _core(s, one, part), 1.0
    if isinstance(part, LatentCore):
        return _latent(s, part), 1.0
    if isinstance(part, LatentUp):
        n = part.heads * (part.key_width + part.value_width) // tp
        return Dense(n, part.rank, s.kept.multiplied(one), s.kept.stored(one), _blocked(s, one)), 1 / tp
    if isinstance(part, Embedding):
        return Moved(part, 1.0), 1 / tp
    if isinstance(part, Norm | Elementwise | Parameter | Buffer):
        return Moved(part, _vector_share(s, one), _last(one.path) in FUSED), 1.0
    bits = s.kept.stored(one)
    return Other(part, 1 / tp, s.kept.multiplied(one), bits, _cache_bits(s)), 1 / tp


def _cache_bits(s: _Scene) -> float:
    return float(number_format(s.kept.formats.cache).stored_bits)


def _vector_share(s: _Scene, one: Leaf) -> float:
    """Activations inside a split block lie split; norms and residuals only under sequence parallelism."""
    inside = isinstance(one.part, Elementwise) and _last(one.path) not in ("residual", "sampler", "route")
    return 1 / s.plan.tp if inside or s.plan.sequence_parallel else 1.0


def _dense(s: _Scene, one: Leaf, part: Linear, heads: dict[str, int]) -> tuple[Kernel, float]:
    n, k, tp = part.outputs, part.inputs // part.groups, s.plan.tp
    how = split_of(one)
    if how == "row":
        k, share = max(1, k // tp), 1 / tp
    elif how == "column":
        ways = min(tp, heads.get(_parent(one.path), tp)) if _last(one.path) in KV else tp
        n, share = max(1, n // ways), 1 / ways
    else:
        share = 1.0
    return Dense(n, k, s.kept.multiplied(one), s.kept.stored(one), _blocked(s, one)), share


def _blocked(s: _Scene, one: Leaf) -> bool:
    return s.kept.block and s.kept.multiplied(one) == "fp8"


def split_of(one: Leaf) -> str:
    """Row, column or whole."""
    if one.part.kind in ("router", "norm/modulation") or _last(one.path) in WHOLE:
        return "whole"
    return "row" if _last(one.path) in ROW and one.part.kind != "lm_head" else "column"


def _routed(s: _Scene, one: Leaf, part: Experts) -> tuple[Kernel, float]:
    plan = s.plan
    shards = plan.expert_shards
    kernel = Routed(
        part.experts, part.visited, part.experts / plan.ep, part.width, max(1, part.inner // plan.expert_tp),
        part.gated, s.kept.multiplied(one), s.kept.stored(one), span=max(1.0, shards / (plan.tp * plan.cp)),
        shards=plan.ep, block=_blocked(s, one),
    )  # fmt: skip
    return kernel, 1 / shards


def _core(s: _Scene, one: Leaf, part: AttentionCore) -> Kernel:
    tp = s.plan.tp
    local = max(1, part.kv_heads // tp)
    heads = Heads(max(1, part.heads // tp), local, part.key_width, part.value_width)
    return Core(
        part, heads, 1 / (tp * s.plan.cp), local / part.kv_heads / s.plan.cp, s.kept.formats.attention, _cache_bits(s)
    )


def _latent(s: _Scene, part: LatentCore) -> Kernel:
    tp = s.plan.tp
    heads = Heads(
        max(1, part.heads // tp),
        1,
        part.rank + part.rope,
        part.rank,
        True,
        part.nope + part.rope + part.value_width,
    )
    return Core(part, heads, 1 / (tp * s.plan.cp), 1.0 / s.plan.cp, s.kept.formats.attention, _cache_bits(s))


def _hold(s: _Scene, one: Leaf, share: float, stored: dict[str, float], elements: dict[str, float]) -> None:
    """Add a leaf's parameters to what the device holds."""
    kind, each = one.part.kind, one.stored * share / (s.plan.pp if layered(one) else 1)
    for tensor in one.part.tensors():
        held = each * prod(tensor.shape)
        elements[kind] = elements.get(kind, 0.0) + (0.0 if tensor.buffer else held)
        stored[kind] = stored.get(kind, 0.0) + held * s.kept.stored(one) / 8


# ------------------------------------------------------------ collectives


def _after(s: _Scene, one: Leaf, kernel: Kernel) -> Iterator[Task]:
    """What the devices exchange after a leaf."""
    if isinstance(kernel, Routed):
        yield from _exchange(s, one, kernel)
    elif isinstance(kernel, Dense) and s.plan.tp > 1 and split_of(one) == "row" and one.part.kind != "shared_experts":
        yield from _reduce(s, one, kernel.n)


def _reduce(s: _Scene, one: Leaf, width: int) -> Iterator[Task]:
    """The sum over tensor-parallel devices behind a matrix split by rows."""
    tp, across = s.plan.tp, s.plan.tp > s.device.domain
    if s.plan.sequence_parallel:
        yield _message(one, Collective("reduce_scatter", width * HALF, tp, across))
        yield _message(one, Collective("all_gather", width * HALF, tp, across))
        return
    yield _message(one, Collective("all_reduce", width * HALF, tp, across, custom=not s.training))


def _message(one: Leaf, message: Collective, name: str = "") -> Task:
    """A collective behind a leaf."""
    return Task(f"{one.path}.{name or message.how}", "collective", one.stream, one.times, layered(one), message)


def _exchange(s: _Scene, one: Leaf, kernel: Routed) -> Iterator[Task]:
    """Tokens to their experts and back: an all-to-all between devices with tokens of their own, else a sum."""
    plan = s.plan
    if plan.expert_shards == 1:
        return
    across = plan.expert_shards > s.device.domain
    base = Task(one.path, "collective", one.stream, one.times, layered(one), kernel)
    if kernel.span <= 1.0 and not plan.sequence_parallel:
        message = Collective(
            "all_reduce", kernel.width * HALF, plan.tp, plan.tp > s.device.domain, custom=not s.training
        )
        yield replace(base, path=one.path + ".all_reduce", kernel=message)
        return
    each = kernel.width * min(kernel.visited, plan.ep) / plan.tp
    for name, bytes_ in (("dispatch", 1.0 if kernel.compute in ("fp8", "fp4") else 2.0), ("combine", 2.0)):
        message = Collective("all_to_all", each * bytes_, plan.expert_shards, across, custom=not s.training)
        yield _message(one, message, name)


# ------------------------------------------------------------ products that read one input


def _joined(tasks: list[Task], book: Ledger) -> Iterator[Task]:
    """Column-split products of one block that read the same input become one."""
    places = {one.path: one for one in book.leaves}
    groups: dict[tuple[object, ...], list[Task]] = {}
    order: list[list[Task]] = []
    for task in tasks:
        key = _key(task, places)
        if key is not None and key in groups:
            groups[key].append(task)
            continue
        group = [task]
        order.append(group)
        if key is not None:
            groups[key] = group
    for group in order:
        yield group[0] if len(group) == 1 else _one(group)


def _key(task: Task, places: dict[str, Leaf]) -> tuple[object, ...] | None:
    one, kernel = places.get(task.path), task.kernel
    if one is None or not isinstance(one.part, Linear) or not isinstance(kernel, Dense):
        return None
    if split_of(one) == "row" or one.part.kind in ("lm_head", "router", "vision", "other", "projector", "embedding"):
        return None
    return _parent(task.path), kernel.k, split_of(one), task.stream, task.times, kernel.compute, kernel.bits


def _one(group: list[Task]) -> Task:
    kernels = [t.kernel for t in group if isinstance(t.kernel, Dense)]
    names = "+".join(t.path.rpartition(".")[2] for t in group)
    path = f"{_parent(group[0].path)}.{names}"
    return replace(group[0], path=path, kernel=replace(kernels[0], n=sum(k.n for k in kernels)))
