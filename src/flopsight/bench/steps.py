"""One step of each phase, as a program that an observer can follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flopsight.bench.observe import SAMPLER, Observer
from flopsight.bench.subject import Subject
from flopsight.stopwatch import TorchDevice
from flopsight.workload import Phase, Workload


@dataclass(frozen=True, slots=True)
class Step:
    """A step that can be run again and again under the same conditions.

    workload   what the ledger counts for it
    tokens     computed in one step, all sequences together
    prepare    what is done before each step and not timed
    run        the step
    """

    workload: Workload
    tokens: int
    prepare: Callable[[], None]
    run: Callable[[Observer], None]


def step_of(phase: Phase, subject: Subject, device: TorchDevice, vocabulary: int, batch: int, seq: int, past: int,
            learning_rate: float = 1e-4) -> Step:  # fmt: skip
    """A step of a phase: `batch` sequences of `seq` tokens, in decode one token each behind `past`."""
    torch = device.torch
    generator = torch.Generator().manual_seed(0)

    def tokens(length: int) -> Any:
        return torch.randint(0, vocabulary, (batch, length), generator=generator).to(device.device)

    if phase == "train":
        return _train(subject, device, tokens(seq), tokens(seq), learning_rate)
    subject.module.eval()
    return _prefill(subject, torch, tokens(seq)) if phase == "prefill" else _decode(subject, torch, tokens, past)


def _nothing() -> None:
    pass


def _choose(logits: Any, observer: Observer) -> None:
    with observer.inside(SAMPLER):
        logits[:, -1].argmax(-1)


def _prefill(subject: Subject, torch: Any, ids: Any) -> Step:
    """The prompt through the model, its keys and values kept, the next token chosen."""

    def run(observer: Observer) -> None:
        with torch.inference_mode():
            logits, _ = subject.prefill(ids, ids.shape[1])
            _choose(logits, observer)

    return Step(Workload("prefill", ids.shape[0], ids.shape[1], 0, subject.scored), ids.numel(), _nothing, run)


def _decode(subject: Subject, torch: Any, tokens: Any, past: int) -> Step:
    """One token a sequence behind a cache of `past`; the cache is set back before each step."""
    ids = tokens(1)
    with torch.inference_mode():
        _, full = subject.prefill(tokens(past), past + 1)
    held = [full]

    def prepare() -> None:
        with torch.inference_mode():
            held[0] = subject.fork(full, past)

    def run(observer: Observer) -> None:
        with torch.inference_mode():
            _choose(subject.decode(ids, held[0]), observer)

    return Step(Workload("decode", ids.shape[0], 1, past, "last"), ids.shape[0], prepare, run)


def _train(subject: Subject, device: TorchDevice, ids: Any, targets: Any, learning_rate: float) -> Step:
    """Forward, cross-entropy in fp32, backward, AdamW; everything in the model's number format."""
    torch = device.torch
    subject.module.train()
    parameters = list(subject.module.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, fused=device.kind in ("cpu", "cuda"))

    def run(observer: Observer) -> None:
        logits = subject.logits(ids)
        with observer.inside(SAMPLER):
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        observer.backward(loss)
        with observer.inside("optimizer", "optimizer"):
            optimizer.step()
            optimizer.zero_grad()

    return Step(Workload("train", ids.shape[0], ids.shape[1], 0, "all"), ids.numel(), _nothing, run)
