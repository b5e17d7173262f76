"""The FLOPs that the running model is counted to do are those of the ledger, in every phase."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from flopsight.bench.forecast import forecasts  # noqa: E402
from flopsight.bench.join import join  # noqa: E402
from flopsight.bench.measure import measure  # noqa: E402
from flopsight.bench.steps import step_of  # noqa: E402
from flopsight.bench.subject import subject  # noqa: E402
from flopsight.models.ledger import ledger  # noqa: E402
from flopsight.models.load import load  # noqa: E402
from flopsight.stopwatch import TorchDevice  # noqa: E402
from tests.bench.tiny import GEMMA, GPT2, LLAMA, MIXTRAL, QWEN3, machine  # noqa: E402

CPU = TorchDevice("cpu")
CASES = [
    ("transformers", raw, phase) for raw in (LLAMA, GPT2, MIXTRAL, QWEN3, GEMMA) for phase in ("prefill", "decode")
]  # fmt: skip
CASES += [("transformers", raw, "train") for raw in (LLAMA, GPT2, GEMMA, MIXTRAL)]
CASES += [("reference", raw, phase) for raw in (LLAMA, GPT2, MIXTRAL) for phase in ("prefill", "decode", "train")]


def ran(using, raw, phase):
    made, book = subject(raw, "tiny", "fp32", CPU, using), ledger(load(raw))
    step = step_of(phase, made, CPU, 97, 2, 16, 24)
    found = measure(step, made, CPU, 0.0)
    return book, step, found, join(book.model, found, forecasts(book, step.workload, machine()), machine())


@pytest.mark.parametrize(("using", "raw", "phase"), CASES, ids=lambda x: x if isinstance(x, str) else x["model_type"])
def test_counted_is_the_ledgers(using, raw, phase):
    book, step, found, (parts, _between) = ran(using, raw, phase)
    assert found.counted is not None, found.uncounted_why
    assert not found.counted.uncounted
    assert found.counted.flops.required == book.total(step.workload).required
    # part by part too, wherever the ledger and the program name the same place
    for part in parts:
        if part.forecast and part.counted and part.path != "sampler":
            assert part.counted.flops.required == part.forecast.required, part.path
    assert sum(p.forecast.required for p in parts if p.forecast) == book.total(step.workload).required


@pytest.mark.parametrize("phase", ["prefill", "decode", "train"])
def test_parts_and_what_lies_between_add_up_to_the_step(phase):
    _, _, found, (parts, between) = ran("transformers", LLAMA, phase)
    assert sum(part.measured for part in parts) + between == found.total
    assert all(type(ns) is int for part in parts for ns in part.nanoseconds.values())
    passes = {during for part in parts for during in part.nanoseconds}
    assert passes == ({"forward", "backward", "optimizer"} if phase == "train" else {"forward"})


def test_each_projection_has_a_backward_pass_of_its_own():
    _, _, _, (parts, _) = ran("transformers", LLAMA, "train")
    for part in parts:
        if part.path.endswith("_proj"):
            assert part.nanoseconds["backward"] > 0


def test_watching_leaves_no_hook_behind():
    made = subject(LLAMA, "tiny", "fp32", CPU, "reference")
    measure(step_of("train", made, CPU, 97, 1, 8, 8), made, CPU, 0.0)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in made.module.modules())
