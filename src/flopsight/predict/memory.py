"""What one device holds in inference: weights, cache, the largest step's activations, what drivers keep, what is left.

The cache is counted as paged engines count it: blocks of a few tokens, layers with a window up to the window and the
prompt tokens of one step, recurrent states once a sequence (vLLM, v1/core/kv_cache_utils.py, kv_cache_interface.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from flopsight.errors import UsageError
from flopsight.models.ledger import Ledger
from flopsight.parts.attention import AttentionCore
from flopsight.parts.linear import Embedding
from flopsight.parts.mla import LatentCore
from flopsight.plan import Formats, Plan
from flopsight.predict.device import Device
from flopsight.predict.engines.engine import Engine
from flopsight.predict.forward import Forward, forward
from flopsight.predict.shard import depth
from flopsight.predict.tasks import HALF, Core, Dense, Other, Routed, Task

GIB: Final = 2**30
MOST: Final = 2**24
DRIVER: Final = 0.5 * GIB
"""What a framework does not see of the memory that the driver shows: 79.64 and 79.22 GiB of an H100, 140.4 and 139.8
of an H200 (torch.cuda.get_device_properties in published logs)."""
CONTEXT: Final = 0.25 * GIB
"""Outside the framework's allocator on one device: workspaces of libraries and loaded kernels beyond the context.
Published vLLM start-up logs print 0.08 to 0.26 GiB of "non_torch_memory" on one GPU (vllm-project/vllm#12126)."""
CHANNELS: Final = 0.9 * GIB
"""More where devices exchange data: NCCL's channels and an engine's all-reduce buffers; 0.2 to 1.8 GiB in such logs."""
SCORES: Final = 3
"""32-bit copies of the logits alive in the sampler: logits, probabilities, what is sorted."""
STATE: Final = 8.0
"""Bytes an element of recurrent state: 32 bits, twice, since prefix caching keeps the state at the last full block."""
ASIDE: Final = frozenset(("sglang",))
"""Engines whose fraction holds weights and cache alone (SGLang, mem_fraction_static): activations take the rest."""
LEFT: Final = frozenset(("trtllm", "trtllm2023"))
"""Engines whose fraction is of what weights and activations leave (TensorRT-LLM, free_gpu_memory_fraction)."""
ROUNDED: Final = 0.02
"""Of activations and weights: what the allocator rounds up."""


@dataclass(frozen=True, slots=True)
class Cache:
    """Bytes of one sequence's cache on one device, as a function of its length.

    full     bytes a token of layers that keep everything
    windows  (window, bytes a token) of layers that keep no more than that
    fixed    bytes of states, whatever the length
    block    tokens a block holds
    chunk    prompt tokens of one step, which a window holds beside its own
    """

    full: float
    windows: tuple[tuple[int, float], ...]
    fixed: float
    block: int
    chunk: int

    def bytes(self, tokens: int) -> float:
        """Of a sequence of so many tokens, in whole blocks."""
        total = self.fixed + self.full * self._whole(tokens)
        for window, each in self.windows:
            total += each * self._whole(self.held(window, tokens))
        return total

    def held(self, window: int, tokens: int) -> int:
        """Tokens a layer with a window keeps: the window, a step's prompt and a block begun, no more than there are."""
        return min(tokens, window - 1 + self.chunk) + (self.block if tokens > window else 0)

    def exact(self, tokens: int) -> float:
        """The same without rounding to blocks and without the prompt beside windows."""
        return self.fixed + self.full * tokens + sum(each * min(tokens, window) for window, each in self.windows)

    def _whole(self, tokens: int) -> int:
        return -(-tokens // self.block) * self.block

    def tokens(self, room: float, longest: int) -> int:
        """Tokens that fit where requests may be `longest` tokens long: room over one request's bytes, times its length.

        This is what vLLM prints as "GPU KV cache size": a rate at full length, which windows make far more than the
        room over a token's bytes.
        """
        each = self.bytes(longest)
        return int(max(0.0, room) / each * longest) if each else MOST


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one device.

    weights        parameters
    cache          keys, values and states of the sequences asked for
    activations    of the largest step, and its logits
    buffers        of drivers, libraries and exchanges
    fragmentation  blocks begun and not full, allocations rounded up
    capacity       what the engine may take; 0 where the device's memory is not known
    room           of it, for the cache
    sequences      of one replica
    largest_batch  sequences of one replica at which it breaks, less one
    cache_tokens   the cache holds in all, where requests are as long as asked
    fits           whether all of it does
    starts         whether the engine comes up and runs one sequence, the others waiting
    notes          what was assumed
    """

    weights: float
    cache: float
    activations: float
    buffers: float
    fragmentation: float
    capacity: float
    room: float
    sequences: int
    largest_batch: int
    cache_tokens: int
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """All uses together."""
        return self.weights + self.cache + self.activations + self.buffers + self.fragmentation

    @property
    def fits(self) -> bool:
        """Whether the sequences asked for fit at once."""
        return self.capacity > 0 and self.sequences <= self.largest_batch

    @property
    def starts(self) -> bool:
        """Whether at least one sequence fits."""
        return self.largest_batch >= 1


def memory(
    book: Ledger, device: Device, plan: Plan, formats: Formats, engine: Engine, *, concurrency: int, isl: int, osl: int,
    longest: int = 0, fraction: float = 0.0,
) -> Memory:  # fmt: skip
    """What a device of the plan holds while `concurrency` requests run.

    longest   tokens of the longest request the engine admits; 0 takes isl + osl
    fraction  of the device's memory that the engine may take; 0 takes the engine's own
    """
    for name, value in (("concurrency", concurrency), ("isl", isl), ("osl", osl)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"{name} is a whole number of at least 1; got {value!r}.")
    run = forward(book, device, plan, formats)
    weights = weights_of(run)
    sequences, length = -(-concurrency // plan.dp), isl + osl
    cached = cache_of(run, engine)
    steps = min(engine.chunk, sequences * isl)
    activations = step_bytes(run, steps, min(sequences, engine.sequences, steps))
    buffers = CONTEXT + (CHANNELS if plan.devices > 1 else 0.0)
    rounded = ROUNDED * activations
    capacity, room = _room(engine, device, fraction or engine.fraction, weights, activations + buffers + rounded)
    each = cached.bytes(length)
    most = min(MOST, int(room // each)) if room > 0 and each else (MOST if room > 0 else 0)
    held = sequences * cached.exact(length)
    return Memory(
        weights, held, activations, buffers, sequences * each - held + rounded, capacity, room, sequences, most,
        cached.tokens(room, longest or length), _notes(run, device),
    )  # fmt: skip


def weights_of(run: Forward) -> float:
    """Parameters on one device; under zero 3 its share, and two layers that are gathered at a time."""
    stored, plan = run.shard.weights, run.plan
    if plan.zero < 3 or plan.dp == 1:
        return stored
    return stored / plan.dp + 2 * stored / depth(run.book)


def _room(engine: Engine, device: Device, fraction: float, weights: float, more: float) -> tuple[float, float]:
    """(what the engine may take, what of it the cache gets), by the engine's own meaning of its fraction."""
    whole = max(0.0, device.memory - DRIVER)
    if engine.name in ASIDE:
        return whole, min(whole * fraction - weights, whole - weights - more)
    if engine.name in LEFT:
        return whole, fraction * (whole - weights - more)
    return whole * fraction, whole * fraction - weights - more


def _notes(run: Forward, device: Device) -> tuple[str, ...]:
    unknown = () if device.memory else (f"The memory of {device.label} is not known; nothing can be said to fit.",)
    return (*run.kept.notes, *run.shard.notes, *unknown)


# ------------------------------------------------------------ cache


def cache_of(run: Forward, engine: Engine) -> Cache:
    """One sequence's cache on the first device of a replica."""
    full, fixed = 0.0, 0.0
    windows: dict[int, float] = {}
    for task, share, bits in _keepers(run):
        kept = task.kernel.part.cache()  # type: ignore[attr-defined]
        times = task.times / run.plan.pp * share
        fixed += times * kept.fixed * STATE
        each = times * kept.per_token * bits / 8
        if kept.window is None:
            full += each
        elif each:
            windows[kept.window] = windows.get(kept.window, 0.0) + each
    chunk = min(engine.chunk, 2**20)
    return Cache(full, tuple(sorted(windows.items())), fixed, engine.block, chunk)


def _keepers(run: Forward) -> Iterator[tuple[Task, float, float]]:
    """Tasks with a cache, the share of it that one device keeps, and the bits of an element."""
    for task in run.shard.tasks:
        if isinstance(task.kernel, Core):
            yield task, task.kernel.cached, task.kernel.bits
        elif isinstance(task.kernel, Other):
            yield task, task.kernel.share, task.kernel.cache_bits


# ------------------------------------------------------------ activations


def step_bytes(run: Forward, tokens: int, sequences: int) -> float:
    """Bytes alive at the worst moment of a step: the widest pair of products of a layer, the residual, and logits.

    tokens of the step on one replica, sequences whose logits are taken. Each product's input and output are 16 bits;
    hidden states are held three times (residual, input, output); logits are whole on every device, in 32 bits.
    """
    width = hidden(run.book)
    widest = max((_alive(task, tokens) for task in run.shard.tasks if task.layered), default=0.0)
    local = tokens / run.plan.cp
    return widest / run.plan.cp + 3 * local * width * HALF + logits_bytes(run.book, sequences)


def logits_bytes(book: Ledger, sequences: int) -> float:
    """Scores over the vocabulary, as the sampler holds them: at least of the sequences that engines make room for."""
    rows = max((one.part.rows for one in book.leaves if isinstance(one.part, Embedding)), default=0)
    return SCORES * 4.0 * max(sequences, 1) * rows


def _alive(task: Task, tokens: int) -> float:
    """Input and output of a product, and of what stands between an expert's two products."""
    kernel = task.kernel
    if isinstance(kernel, Dense):
        return HALF * tokens * (kernel.n + kernel.k)
    if isinstance(kernel, Routed):
        visits = tokens * kernel.span * kernel.visited * kernel.stored / kernel.experts
        return HALF * visits * (max((2 + kernel.gated) * kernel.inner, kernel.inner + kernel.width) + kernel.width)
    return 0.0


def hidden(book: Ledger) -> int:
    """Width of the residual stream."""
    tables = [one.part.width for one in book.leaves if isinstance(one.part, Embedding)]
    return tables[0] if tables else 0


# ------------------------------------------------------------ what would help


def smallest_change(
    book: Ledger, device: Device, plan: Plan, formats: Formats, engine: Engine, *, concurrency: int, isl: int, osl: int
) -> str:
    """One sentence: the smallest change that makes it fit, or that nothing tried does."""
    asked = {"concurrency": concurrency, "isl": isl, "osl": osl}
    now = memory(book, device, plan, formats, engine, **asked)
    if now.fits:
        return f"It fits: {now.total / GIB:.1f} of {now.capacity / GIB:.1f} GiB."
    if not now.capacity:
        return f"The memory of {device.label} is not known, so whether it fits cannot be said."
    if now.largest_batch:
        return f"Run at most {now.largest_batch * plan.dp} sequences at once: the cache holds no more."
    for words, changed_plan, changed_formats, length in _changes(book, device, plan, formats, isl + osl):
        if _starts(book, device, changed_plan, changed_formats, engine, length):
            return words
    return f"Nothing tried makes it fit: weights alone take {now.weights / GIB:.1f} of {now.capacity / GIB:.1f} GiB."


def _starts(book: Ledger, device: Device, plan: Plan, formats: Formats, engine: Engine, length: int) -> bool:
    try:
        return memory(book, device, plan, formats, engine, concurrency=plan.dp, isl=max(1, length - 1), osl=1).starts
    except UsageError:
        return False


Change = tuple[str, Plan, Formats, int]


def _changes(book: Ledger, device: Device, plan: Plan, formats: Formats, length: int) -> Iterator[Change]:
    """What can be changed, the least first: the cache, lengths, 8-bit weights, devices, 4-bit weights, both."""
    if not formats.cache and device.has("fp8"):
        yield "Keep the cache in fp8.", plan, replace(formats, cache="fp8"), length
    for share in (0.5, 0.25):
        shorter = max(2, int(length * share))
        yield f"Shorten requests to {shorter:,} tokens.", plan, formats, shorter
    narrow = list(_narrower(device, formats))
    wider = list(_wider(book, device, plan))
    for name, less in narrow[:-1]:
        yield f"Store the weights in {name}.", plan, less, length
    for words, more in wider:
        yield f"{words}.", more, formats, length
    yield f"Store the weights in {narrow[-1][0]}.", plan, narrow[-1][1], length
    for name, less in narrow:
        for words, more in wider:
            yield f"{words} and store the weights in {name}.", more, less, length


def _narrower(device: Device, formats: Formats) -> Iterator[tuple[str, Formats]]:
    for name in ("fp8", "int4"):
        if name == "int4" or device.has(name):
            yield name, replace(formats, weights=name, experts=name if formats.experts else "")


def _wider(book: Ledger, device: Device, plan: Plan) -> Iterator[tuple[str, Plan]]:
    """More devices for one copy of the model, the fewest first."""
    for times in (2, 4, 8):
        tp, pp = plan.tp * times, plan.pp * times
        if tp <= device.domain and _divides(book, tp):
            yield f"Share each layer among {tp} devices (tp)", replace(plan, tp=tp)
        elif pp <= depth(book):
            yield f"Cut the layers into {pp} stages (pp)", replace(plan, pp=pp)


def _divides(book: Ledger, ways: int) -> bool:
    cores = [one.part for one in book.leaves if isinstance(one.part, AttentionCore | LatentCore)]
    return all(core.heads % ways == 0 for core in cores)
