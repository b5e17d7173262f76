"""Trainers that bring their own loop: what they log is the closed form, and what they compute is what it was."""

import warnings

import pytest
import torch
from torch import nn

from flopsight.errors import FlopsightWarning
from flopsight.meter import NAMES, Meter
from flopsight.meter import clock as clocks
from tests.meter.loops import BATCH, FORWARD, LENGTH, VOCAB, Tiny, made

PEAK = 989.4e12
"""Dense bf16 FLOP/s of an H100 SXM, from its datasheet."""


@pytest.fixture
def seconds(monkeypatch):
    """A clock that says a tenth of a second for every span, so that rates are known."""

    class Span:
        def end(self):
            pass

        def seconds(self):
            return 0.1

    monkeypatch.setattr(clocks, "begin", lambda device: Span())


@pytest.fixture
def broken(monkeypatch):
    """A meter that fails at the first call of the model."""

    def fail(*args, **kwargs):
        raise RuntimeError("no such luck")

    monkeypatch.setattr("flopsight.meter.meter.key_of", fail)


class WithLoss(Tiny):
    """As trainers want it."""

    def forward(self, ids):
        logits = super().forward(ids)
        return {"loss": nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids.flatten()), "logits": logits}


def flopsight_warnings(caught):
    return [w for w in caught if issubclass(w.category, FlopsightWarning)]


# transformers.Trainer


class Rows(torch.utils.data.Dataset):
    def __init__(self, steps):
        generator = torch.Generator().manual_seed(3)
        self.ids = torch.randint(0, VOCAB, (steps * BATCH, LENGTH), generator=generator)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return {"ids": self.ids[index]}


class Recorder:
    """What a logger that is a callback gets to see: made late, since its base is transformers'."""

    def __new__(cls):
        from transformers import TrainerCallback

        class Logger(TrainerCallback):
            def __init__(self):
                self.seen = []

            def on_log(self, args, state, control, logs=None, **kwargs):
                self.seen.append(dict(logs))

        return Logger()


def hf_trainer(folder, steps=8, accumulate=1, **options):
    pytest.importorskip("accelerate")
    from transformers import Trainer, TrainingArguments

    torch.manual_seed(0)
    model = WithLoss().bfloat16()
    arguments = TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=BATCH, per_device_eval_batch_size=1, use_cpu=True,
        max_steps=steps, gradient_accumulation_steps=accumulate, logging_steps=1, report_to=[], save_strategy="no",
        disable_tqdm=True, dataloader_pin_memory=False, **options,
    )  # fmt: skip
    return Trainer(
        model, arguments, train_dataset=Rows(steps * accumulate), eval_dataset=Rows(1), callbacks=[Recorder()]
    )


def hf_train(trainer):
    """(losses, what a logger saw)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="torch")
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    seen = next(c for c in trainer.callback_handler.callbacks if type(c).__name__ == "Logger").seen
    return losses, [logs for logs in seen if "loss" in logs]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_what_the_trainer_logs_is_the_closed_form_and_losses_are_the_same_bits(tmp_path, seconds, accumulate):
    from flopsight.meter.callbacks.huggingface import metered

    expected, _ = hf_train(hf_trainer(tmp_path, accumulate=accumulate))
    trainer = hf_trainer(tmp_path, accumulate=accumulate)
    callback = metered(trainer, on="h100-sxm", quiet=True)
    losses, seen = hf_train(trainer)
    assert losses == expected
    assert len(losses) == 8
    for logs in (seen[-1], trainer.state.log_history[-2]):
        assert logs["flopsight/tokens_per_second"] == pytest.approx(accumulate * BATCH * LENGTH / 0.1)
        assert logs["flopsight/mfu"] == pytest.approx(accumulate * 3 * FORWARD / 0.1 / PEAK, rel=1e-6)
        assert {name for name in logs if name.startswith("flopsight/")} <= set(NAMES)
    assert callback.report.flops == accumulate * 3 * FORWARD
    assert (callback.report.steps, callback.report.calls_a_step) == (8, accumulate)
    assert not trainer.model._forward_hooks


def test_evaluation_inside_of_training_is_not_counted(tmp_path, capsys):
    from flopsight.meter.callbacks.huggingface import metered

    trainer = hf_trainer(tmp_path, eval_strategy="steps", eval_steps=2, eval_on_start=True)
    callback = metered(trainer)
    hf_train(trainer)
    assert (callback.report.steps, callback.report.flops) == (8, 3 * FORWARD)
    evaluations = [entry for entry in trainer.state.log_history if "eval_runtime" in entry]
    assert len(evaluations) == 5
    assert not any(name.startswith("flopsight/") for entry in evaluations for name in entry)
    talk = capsys.readouterr()
    assert "training, " in talk.err


def test_a_model_that_the_trainer_compiles_is_noticed(tmp_path):
    import torch._dynamo

    from flopsight.meter.callbacks.huggingface import metered

    torch._dynamo.reset()
    trainer = hf_trainer(tmp_path, torch_compile=True, torch_compile_backend="eager")
    callback = metered(trainer, quiet=True)
    hf_train(trainer)
    assert trainer.model_wrapped is not trainer.model
    assert (callback.report.steps, callback.report.flops) == (8, 3 * FORWARD)


def test_a_callback_that_is_handed_to_the_trainer_keeps_its_values_in_the_history(tmp_path, seconds):
    from flopsight.meter.callbacks.huggingface import MeterCallback

    trainer = hf_trainer(tmp_path)
    callback = MeterCallback(quiet=True)
    trainer.add_callback(callback)
    hf_train(trainer)
    hf_train(trainer)  # a second train() gets a meter of its own
    assert trainer.state.log_history[-2]["flopsight/tokens_per_second"] == pytest.approx(BATCH * LENGTH / 0.1)
    assert callback.report.steps == 8


def test_a_meter_that_fails_leaves_the_trainer_going_with_one_warning(tmp_path, broken):
    from flopsight.meter.callbacks.huggingface import metered

    trainer = hf_trainer(tmp_path)
    metered(trainer)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses == hf_train(hf_trainer(tmp_path))[0]
    assert len(flopsight_warnings(caught)) == 1


def test_a_report_that_fails_too(tmp_path, monkeypatch):
    from flopsight.meter.callbacks.huggingface import metered

    monkeypatch.setattr(Meter, "_report", lambda *args: 1 / 0)
    trainer = hf_trainer(tmp_path)
    metered(trainer)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.train()
    assert trainer.state.global_step == 8
    assert len(flopsight_warnings(caught)) == 1
    assert not trainer.model._forward_hooks


# accelerate


def accelerated(accumulate, tracker=None):
    accelerate = pytest.importorskip("accelerate")
    from accelerate.state import AcceleratorState, GradientState
    from accelerate.tracking import GeneralTracker

    AcceleratorState._reset_state(True)
    GradientState._reset_state()  # a Trainer's data loader may still be at its end there

    class Tracked(GeneralTracker):
        name, requires_logging_directory, main_process_only, tracker = "seen", False, False, None

        def store_init_configuration(self, values):
            pass

        def log(self, values, step=None, **kwargs):
            tracker(values, step)

    trackers = [Tracked(_blank=True)] if tracker is not None else None
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=accumulate, log_with=trackers)
    if tracker is not None:
        accelerator.init_trackers("x")
    model, optimizer = made()
    return accelerator, *accelerator.prepare(model.bfloat16(), optimizer)


def accelerate_train(accelerator, model, optimizer, batches):
    torch.manual_seed(1)
    losses = []
    for _ in range(batches):
        with accelerator.accumulate(model):
            ids = torch.randint(0, VOCAB, (BATCH, LENGTH))
            loss = nn.functional.cross_entropy(model(ids).flatten(0, 1).float(), ids.flatten())
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def test_accelerate_steps_are_those_of_the_optimizer_inside(seconds):
    from flopsight.meter.callbacks.accelerate import metered

    seen = []
    expected = accelerate_train(*accelerated(3), batches=24)
    loop = accelerated(3, lambda values, step: seen.append((step, values)))
    meter = metered(*loop, on="h100-sxm", every=4)
    assert accelerate_train(*loop, batches=24) == expected
    found = meter.report()
    assert (found.steps, found.calls_a_step, found.flops) == (8, 3, 9 * FORWARD)
    assert [step for step, _ in seen] == [4, 8]
    assert seen[-1][1]["flopsight/mfu"] == pytest.approx(9 * FORWARD / 0.1 / PEAK, rel=1e-6)
    assert seen[-1][1]["flopsight/tokens_per_second"] == pytest.approx(3 * BATCH * LENGTH / 0.1)


def test_a_tracker_that_fails_is_left_out():
    from flopsight.meter.callbacks.accelerate import metered

    def log(values, step):
        raise BrokenPipeError

    expected = accelerate_train(*accelerated(1), batches=12)
    loop = accelerated(1, log)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        meter = metered(*loop, every=2)
        losses = accelerate_train(*loop, batches=12)
    assert losses == expected
    assert len(flopsight_warnings(caught)) == 1
    assert meter.report().flops == 3 * FORWARD
