"""The counter beside the closed forms of twenty-five models: forward and training, to the FLOP."""

from functools import cache

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import flopsight.torch  # noqa: E402

from .zoo import BY_NAME, SPECIMENS, forward, ready, step  # noqa: E402

CASES = [pytest.param(s, id=s.name) for s in SPECIMENS]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def counted(name, training):
    model, inputs = ready(BY_NAME[name], training=training)
    with flopsight.torch.counting(model) as c:
        (step if training else forward)(model, inputs)
    return c.counted


def agree(count, truth, tolerance):
    """Equal to the FLOP, or within the share in which forms of a scan differ."""
    return count == truth if not tolerance else abs(count - truth) <= tolerance * truth


def test_there_are_twenty_five_of_them():
    assert len(BY_NAME) == len(SPECIMENS) == 25


@pytest.mark.parametrize("specimen", CASES)
def test_forward(specimen):
    c, truth = counted(specimen.name, False), specimen.truth
    assert c.uncounted == ()
    assert agree(c.flops.full_square, truth.full, specimen.tolerance), c.flops.full_square / truth.full
    assert agree(c.flops.required, truth.required, specimen.tolerance), c.flops.required / truth.required


@pytest.mark.parametrize("specimen", CASES)
def test_training(specimen):
    c, truth = counted(specimen.name, True), specimen.truth
    assert c.uncounted == ()
    assert agree(c.flops.full_square, truth.train_full, specimen.tolerance), c.flops.full_square / truth.train_full
    assert agree(c.flops.required, truth.train_required, specimen.tolerance), c.flops.required / truth.train_required


@pytest.mark.parametrize("specimen", [pytest.param(s, id=s.name) for s in SPECIMENS if s.executed])
def test_executed(specimen):
    """Where kernels run plain products, or attention without a mask, what they ran is known too."""
    ran = counted(specimen.name, False).flops.executed, counted(specimen.name, True).flops.executed
    assert ran == specimen.executed


def test_checkpointing_raises_hfu_and_not_mfu():
    plain = counted("Llama GQA eager", True)
    again = counted("Llama, activation checkpointing, eager", True)
    assert again.flops.required == plain.flops.required
    assert again.flops.full_square == plain.flops.full_square
    assert again.flops.executed - plain.flops.executed == again.during("recompute").flops.executed > 0


@pytest.mark.parametrize("specimen", [pytest.param(s, id=s.name) for s in SPECIMENS if s.name.endswith("eager")])
@pytest.mark.parametrize("training", [False, True], ids=["forward", "training"])
def test_the_truths_themselves_beside_torch(specimen, training):
    """Where everything is a plain product, PyTorch's own counter is right too, and says what the kernels ran."""
    from torch.utils.flop_counter import FlopCounterMode

    model, inputs = ready(specimen, training=training)
    with FlopCounterMode(display=False) as mode:
        (step if training else forward)(model, inputs)
    assert mode.get_total_flops() == specimen.executed[training]
