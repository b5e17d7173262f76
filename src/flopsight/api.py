"""The verbs: a question in plain arguments, an answer that prints itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flopsight.cost import Recompute
from flopsight.errors import UsageError
from flopsight.workload import Logits, Mask, Phase, Workload

if TYPE_CHECKING:
    from pathlib import Path

    from flopsight.report.bench import BenchResult
    from flopsight.report.calibrate import CalibrateResult
    from flopsight.report.can import CanResult
    from flopsight.report.ceiling import CeilingResult
    from flopsight.report.count import CountResult
    from flopsight.report.hardware import HardwareResult
    from flopsight.report.mfu import MfuResult
    from flopsight.report.models import ModelsResult
    from flopsight.report.plan import PlanResult
    from flopsight.report.predict import PredictResult
    from flopsight.report.trace import TraceResult
    from flopsight.report.trace_diff import TraceDiffResult
    from flopsight.report.validate import ValidateResult
    from flopsight.validate.run import Progress

DEFAULT_TOKENS = 2048


def count(
    model: str | Mapping[str, Any],
    *,
    phase: Phase = "prefill",
    batch: int = 1,
    seq: int | None = None,
    past: int | None = None,
    mask: Mask = "required",
    logits: Logits = "all",
    recompute: Recompute = "none",
    images: int = 0,
    image_size: int | None = None,
    encoder: int | None = None,
    cache_dtype: str | None = None,
    tensors: bool = False,
    verbose: bool = False,
) -> CountResult:
    """Count every part of a transformer under a workload.

    model        a bundled name, a path to a config.json, folder or .gguf, a hub id, `pkg.module:callable`, or a dict
    phase        "train" (forward and backward), "prefill" (forward) or "decode" (tokens behind a cache)
    seq, past    tokens computed now and tokens cached; by default 2,048 (or the model's context) for train and
                 prefill, and one token behind that many for decode
    mask         which square the headline and the shares use: the causal area, or the whole score square
    logits       "all" positions through the head, or only the "last"
    recompute    activation checkpointing of training, in `executed`

    Raises UnknownModel, BadConfig, BadFile, UsageError or MissingCapability.
    """
    from flopsight.models.load import load
    from flopsight.report.build_count import build

    loaded = load(model)
    workload = workload_of(phase, batch, seq, past, logits, images, image_size, encoder, context=loaded.context)
    return build(loaded, workload, mask, recompute, cache_dtype, tensors=tensors, verbose=verbose)


def mfu(
    model: str | Mapping[str, Any],
    *,
    tokens_per_s: float,
    on: str,
    phase: Phase = "train",
    batch: int = 1,
    seq: int | None = None,
    past: int | None = None,
    dtype: str = "bf16",
    basis: str = "datasheet",
    recompute: Recompute = "none",
    convention: str = "exact",
    cache_dtype: str | None = None,
    hardware_files: Sequence[str] = (),
) -> MfuResult:
    """Say what utilization a throughput means on a machine, and what every framework would have printed.

    tokens_per_s  of all devices together: trained, prefilled or decoded tokens
    on            a machine of the catalogue, "8xH100-SXM"
    basis         which peak: "datasheet", "clock" (units x rate x maximum clock) or "measured" (best published GEMM)
    convention    how the numerator is counted; "exact" is what the model requires

    Raises Impossible above 100 %, with the likeliest cause; UsageError where the peak is not known.
    """
    from flopsight.hardware.machine import node
    from flopsight.models.load import load
    from flopsight.report.build_mfu import BASES, build
    from flopsight.units import check_number

    if check_number(tokens_per_s, "tokens a second") <= 0:
        raise UsageError(f"Tokens a second are above zero; got {tokens_per_s}.")
    if basis not in BASES:
        raise UsageError(f"The basis is one of {', '.join(BASES)}; got {basis!r}.")
    loaded = load(model)
    workload = workload_of(phase, batch, seq, past, context=loaded.context)
    return build(
        loaded, workload, node(on, hardware_files), tokens_per_s, dtype=dtype, basis=basis, recompute=recompute,
        name=convention, cache_dtype=cache_dtype,
    )  # fmt: skip


def hardware(
    name: str | None = None,
    *,
    vendor: str | None = None,
    status: str | None = None,
    dtype: str = "bf16",
    links: bool = False,
    cpus: bool = False,
    files: Sequence[str | Path] = (),
    jax: bool = False,
) -> HardwareResult:
    """List the catalogue, show one entry of it with every source, or match this machine.

    name         nothing lists; "here" asks this machine's drivers; else a chip, a node ("8xH100-SXM"), a link or a
                 processor family
    vendor, status, dtype   which chips the list holds, and the number format of their peaks
    links, cpus  list these instead of chips
    files        chip files of your own
    jax          with "here": import JAX and ask it, which may take seconds and hold a TPU

    Raises UnknownHardware, UsageError, BadFile or BadConfig.
    """
    from flopsight.report import build_hardware

    if name == "here":
        from flopsight.hardware.detect import here

        return build_hardware.here(here(ask_jax=jax, extra_files=files))
    if name is not None:
        return build_hardware.entry(name, files)
    if links or cpus:
        return build_hardware.other_listing(of_links=links, dtype=dtype)
    return build_hardware.listing(vendor, status, dtype, files)


def workload_of(
    phase: Phase,
    batch: int,
    seq: int | None,
    past: int | None,
    logits: Logits = "all",
    images: int = 0,
    image_size: int | None = None,
    encoder: int | None = None,
    *,
    context: int | None = None,
) -> Workload:
    """The workload of a request, defaults filled in.

    A decode request with only `seq` means one token behind a context of that length.
    """
    tokens = min(DEFAULT_TOKENS, context or DEFAULT_TOKENS)
    if phase == "decode":
        seq, past = (seq or 1, past) if past is not None else (1, seq if seq is not None else tokens)
    return Workload(phase, batch, tokens if seq is None else seq, past or 0, logits, encoder, images, image_size)


def validate(folder: str | Path, *, progress: Progress | None = None) -> ValidateResult:
    """Run the published measurements of a folder (*.jsonl, one row a line) against our formulas.

    progress  called with (rows done, rows in all)

    Raises UsageError where there are no such files, BadFile for a line that is no row.
    """
    from flopsight.report.build_validate import build
    from flopsight.validate.run import run

    return build(run(folder, progress) if progress else run(folder))


def calibrate(
    device: str = "cuda:0", *, quick: bool = False, save: bool = False, out: str | Path | None = None,
    progress: Progress | None = None,
) -> CalibrateResult:  # fmt: skip
    """Measure kernels on a torch device and put the predictions beside them.

    save  keep the corrections for the chip, so that later predictions use them
    out   also write the result as JSON to this file

    Raises MissingCapability without torch, UsageError for a device torch cannot use or a chip that is not known.
    """
    from flopsight.calibrate.run import calibrate as measure
    from flopsight.report.build_calibrate import build, keep

    found = build(measure(device, quick=quick, progress=progress) if progress else measure(device, quick=quick))
    return keep(found, save=save, out=out)


def ceiling(
    device: str = "", *, quick: bool = False, save: bool = False, out: str | Path | None = None,
    progress: Progress | None = None, patience: float = 60.0,
) -> CeilingResult:  # fmt: skip
    """Measure what a torch device can do at best: products, bandwidth by working set, launches.

    Under torchrun it measures the collectives between the ranks instead; every rank calls it.

    device    cpu, cuda:0, xpu, mps; "" takes the accelerator that torch sees, else the processor
    save      keep the ceilings as a chip record of the user's, for the `measured` basis of every other verb
    out       also write the result as JSON to this file
    patience  seconds that a rank waits for the others

    Raises MissingCapability without torch or where ranks do not answer, UsageError for a device torch cannot use or a
    file that cannot be written.
    """
    from flopsight.ceiling import run
    from flopsight.ceiling.world import world
    from flopsight.report import build_ceiling

    bar = progress or (lambda done, total: None)
    chosen, group = run.device_of(device), world()
    build_ceiling.check(save=save, out=out)
    if group is None:
        found = run.measure(chosen, quick=quick, progress=bar)
        return build_ceiling.keep(build_ceiling.build(found), build_ceiling.save_found(found) if save else None, out)
    from flopsight.ceiling.collectives import measure

    exchange = measure(chosen, group, quick=quick, patience=patience, progress=bar)
    result = build_ceiling.build_exchange(exchange)
    if group.rank:
        return result
    return build_ceiling.keep(result, build_ceiling.save_exchange(exchange) if save else None, out)


def bench(
    model: str | Mapping[str, Any], *, phases: Sequence[str] = ("prefill", "decode"), batches: Sequence[int] = (1,),
    seq: int | None = None, past: int | None = None, on: str = "here", device: str = "", dtype: str = "",
    seconds: float = 60.0, layers: int | None = None, using: str | None = None, out: str | Path | None = None,
    progress: Progress | None = None,
) -> BenchResult:  # fmt: skip
    """Run a decoder with random weights on the device that is there, and put predicted beside measured.

    phases   of "prefill", "decode" and "train"; every one at every batch of `batches`
    seq      tokens of a prompt or training sequence, 512 by default; `past` tokens are cached in decode, else `seq`
    on       "here"
    device   cpu, cuda:0, xpu, mps; "" takes the accelerator that torch sees, else the processor
    dtype    fp32, bf16 or fp16; "" takes bf16 where this device is faster in it, else fp32
    seconds  for all cases together, the machine's own measurements left out
    layers   how many layers run; None takes all that fit, and the answer is scaled and says so
    using    "transformers" or "reference"; None takes transformers where it is installed

    Raises UsageError for what is no decoder, MissingCapability without torch or without an implementation, Impossible
    where not even one layer fits.
    """
    from flopsight.bench.run import Ask
    from flopsight.bench.run import bench as run
    from flopsight.ceiling.run import device_of
    from flopsight.report.build_bench import build, check_out, keep

    if on != "here":
        raise UsageError(
            f"bench runs on the machine it is on, --on here; got {on!r}. For that: flopsight predict MODEL --on {on}."
        )
    check_out(out)
    ask = Ask(
        model, tuple(phases), tuple(batches), seq, past, device_of(device), dtype, seconds, layers, using,  # type: ignore[arg-type]
    )  # fmt: skip
    return keep(build(run(ask, progress) if progress else run(ask)), out)


def predict(
    model: str | Mapping[str, Any], *, on: str, phase: str = "decode", batch: int | None = None,
    concurrency: int | None = None, isl: int | None = None, osl: int | None = None, seq: int | None = None,
    micro_batch: int = 1, global_batch: int | None = None, dtype: str = "", weights: str = "", kv: str = "",
    tp: int | None = None, pp: int | None = None, dp: int | None = None, ep: int | None = None, cp: int | None = None,
    zero: int | None = None, recompute: str = "", engine: str = "", framework: str = "generic",
    price: float | None = None, depth: int | None = None, files: Sequence[str] = (), vp: int | None = None,
    schedule: str = "", prefix_hit: float = 0.0, acceptance: float | None = None, draft_tokens: int = 0,
) -> PredictResult:  # fmt: skip
    """Predict how long a step takes on a machine, why, and what it leaves unused, with an interval.

    phase    "train" (one optimizer step), "prefill", "decode" (one token each), or "serve" (a closed loop of clients)
    batch    sequences over all devices; `concurrency` requests in flight; `global_batch` sequences of a training step
    tp, ...  the layout; what is left out is chosen, and the answer says so
    engine, framework   serving and training software, whose own time is added
    price    dollars for a device and hour
    vp, schedule   virtual stages of a pipeline rank, and "1f1b", "gpipe", "interleaved" or "zero_bubble"
    prefix_hit     share of a prompt that lies in the cache already
    draft_tokens, acceptance   drafts a step of speculative decoding, and the share of them that stand

    Raises UsageError for what means nothing, Impossible where it does not fit, with a change that would.
    """
    from flopsight.report.build_predict import Wish, asked, build

    wish = Wish(
        phase, on, batch, concurrency, isl, osl, seq, micro_batch, global_batch, dtype, weights, kv, tp, pp, dp, ep, cp,
        zero, recompute, engine, framework, tuple(files), price, depth, vp, schedule, prefix_hit, acceptance,
        draft_tokens,
    )  # fmt: skip
    return build(asked(model, wish), wish)


def can(
    model: str | Mapping[str, Any] | None = None, *, on: str, tokens_per_s: float, params: float | None = None,
    context: int = DEFAULT_TOKENS, cache_dtype: str = "", engine: str = "vllm", compare: Sequence[str] | None = None,
    reach: float = 1000.0, hardware_files: Sequence[str] = (),
) -> CanResult:  # fmt: skip
    """Say whether one user of a model gets so many tokens a second on a machine, and show the arithmetic.

    model    as for `count`, or a plain size ("dense:1T"); or `params`, the size as a number
    compare  other machines; None takes one of each current kind, an empty list none
    reach    a higher rate, for which is said what it would take

    Raises UsageError for a rate, size or context that means nothing, UnknownModel and UnknownHardware.
    """
    from flopsight.report.build_can import asked, build, check_rate

    asked_, node, others = asked(model, on, tokens_per_s, params, context, cache_dtype, engine, compare, hardware_files)
    return build(asked_, node, others, check_rate(reach))


def plan(
    model: str | Mapping[str, Any], *, on: str, isl: int | None = None, osl: int | None = None, slo: str = "",
    sure: float = 0.5, concurrency: int | None = None, engine: str = "", weights: str = "", kv: str = "",
    formats: str = "", train: bool = False, global_batch: int | None = None, seq: int | None = None,
    dtype: str = "bf16", optimizer: str = "adam", files: Sequence[str] = (), progress: Progress | None = None,
) -> PlanResult:  # fmt: skip
    """Find the layout of a model on a machine: try every one that fits, rank them, and say how to launch the best.

    isl, osl      mean tokens of a served request and its answer; or `train` with `global_batch` sequences of `seq`
    slo, sure     "ttft=1s,tpot=30ms", and how surely it is to be kept (0.5 takes the prediction itself)
    concurrency   requests in flight; None takes for each layout the most that keeps the promise
    engine        vllm, sglang, trtllm; for training megatron, torchtitan, ...
    formats       "any" tries weight and cache formats too
    progress      called with (layouts done, layouts in all)

    Raises UsageError for what means nothing, Impossible where nothing fits or no layout keeps the promise.
    """
    from flopsight.report.build_plan import Wish, build

    wish = Wish(
        on, isl, osl, slo, sure, concurrency, engine, weights, kv, formats, train, global_batch, seq, dtype, optimizer,
        tuple(files),
    )  # fmt: skip
    return build(model, wish, progress or (lambda done, total: None))


def trace(
    *files: str | Path, model: str | Mapping[str, Any] | None = None, on: str | None = None, step: str | None = None,
    basis: str = "datasheet", fmt: str | None = None, max_size: int | None = None,
    hardware_files: Sequence[str | Path] = (), progress: Progress | None = None,
) -> TraceResult:  # fmt: skip
    """Say what recorded programs achieved, by whom, and where the rest of their time went.

    files     profiles, traces and counter exports of any format that is read; archives and folders of them
    model     sets the prediction for each part beside what it achieved
    on        the chip whose peaks divide; by default the one whose driver reports exactly the name in the file
    step      a step's number or name; by default every step that the file marks
    basis     which peak: "datasheet", "clock" or "measured"
    fmt       name of the reader; by default the one that recognises the content
    max_size  bytes that a file may unpack to, where the default refuses

    Raises BadFile, UsageError, UnknownHardware or UnknownModel.
    """
    from flopsight.report.trace_run import Wish, run

    wish = Wish(files, model, on, step, basis, fmt, max_size, hardware_files=tuple(hardware_files))
    return run(wish, progress)


def profile(
    command: Sequence[str], *, using: str = "auto", skip: int = 3, steps: int = 3, whole: bool = False,
    out: str | Path | None = None, model: str | Mapping[str, Any] | None = None, on: str | None = None,
) -> tuple[TraceResult, int]:  # fmt: skip
    """Run a command under a profiler; what it achieved, and its exit code.

    using        "auto", "torch", "nsys", "ncu", "rocprofv3" or "perf"
    skip, steps  steps to pass over first, and to record; `whole` records everything
    out          folder of the files; None makes a new one in the current folder

    Raises UsageError, MissingCapability, and BadFile where nothing was recorded.
    """
    from pathlib import Path
    from time import strftime

    from flopsight.profile.launch import profile as launch
    from flopsight.profile.tools import Recording
    from flopsight.report.trace_run import Wish, run

    folder = Path(out) if out is not None else Path(f"flopsight-profile-{strftime('%Y%m%d-%H%M%S')}")
    done = launch(command, Recording(str(folder.absolute()), skip, steps, whole), using)
    found = run(Wish(done.files, model=model, on=on, here=True))
    return found, done.code


def trace_diff(
    a: str | Path, b: str | Path, *, on: str | None = None, step: str | None = None,
    hardware_files: Sequence[str | Path] = (),
) -> TraceDiffResult:  # fmt: skip
    """Say what moved between two traces, by kind of time and by op, and whether it is more than noise.

    Raises BadFile, UsageError or UnknownHardware.
    """
    from flopsight.report.trace_run import Wish, run_diff

    return run_diff(a, b, Wish((a, b), on=on, step=step, hardware_files=tuple(hardware_files)))


def models() -> ModelsResult:
    """The models and model types that are known by name."""
    from flopsight.models.families import known, strangers
    from flopsight.models.load import bundled
    from flopsight.report.models import ModelsResult

    return ModelsResult(bundled=list(bundled()), families=sorted([*known(), *strangers()]))


def schema(command: str) -> dict[str, Any]:
    """The JSON Schema of a command's JSON; UsageError for a command that has none."""
    import msgspec

    from flopsight.report.schemas import RESULTS

    if command not in RESULTS:
        raise UsageError(f"There is a schema for {', '.join(RESULTS)}; got {command!r}.")
    return msgspec.json.schema(RESULTS[command]())
