"""Trainers that bring their own loop: what they log is the closed form, and what they compute is what it was."""

import os
import subprocess
import sys
import warnings
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from flopsight.errors import FlopsightWarning, MissingCapability, UsageError
from flopsight.meter import NAMES, Meter
from flopsight.meter import clock as clocks
from tests.meter.loops import BATCH, FORWARD, LENGTH, VOCAB, WIDTH, Tiny, made

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


# torchtitan: a stand-in with what torchtitan 0.3's Trainer has


class Container(torch.optim.Optimizer):
    """An optimizer of optimizers, as torchtitan's OptimizersContainer."""

    def __init__(self, parts):
        self.optimizers = [torch.optim.SGD(part.parameters(), lr=0.1) for part in parts]
        super().__init__([p for part in parts for p in part.parameters()], {})

    def step(self):
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self, set_to_none=True):
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none)


class Titan:
    def __init__(self, accumulate, log):
        model, _ = made()
        self.model_parts = [model.bfloat16()]
        self.optimizers = Container(self.model_parts)
        self.metrics_processor = SimpleNamespace(logger=SimpleNamespace(log=log))
        self.step, self.accumulate = 100, accumulate  # as after a checkpoint was loaded

    def train(self, steps):
        torch.manual_seed(1)
        losses = []
        for _ in range(steps):
            self.step += 1
            self.optimizers.zero_grad()
            for _ in range(self.accumulate):
                ids = torch.randint(0, VOCAB, (BATCH, LENGTH))
                loss = nn.functional.cross_entropy(self.model_parts[0](ids).flatten(0, 1).float(), ids.flatten())
                loss.backward()
            self.optimizers.step()
            losses.append(loss.item())
        return losses


def test_torchtitan_steps_and_values(seconds):
    from flopsight.meter.callbacks.torchtitan import metered

    seen = []
    expected = Titan(2, None).train(8)
    trainer = Titan(2, lambda metrics, step: seen.append((step, metrics)))
    meter = metered(trainer, on="h100-sxm", every=4)
    assert trainer.train(8) == expected
    found = meter.report()
    assert (found.steps, found.calls_a_step, found.flops) == (8, 2, 6 * FORWARD)
    assert [step for step, _ in seen] == [104, 108]
    assert seen[-1][1]["flopsight/mfu"] == pytest.approx(6 * FORWARD / 0.1 / PEAK, rel=1e-6)
    assert seen[-1][1]["flopsight/tokens_per_second"] == pytest.approx(2 * BATCH * LENGTH / 0.1)


def test_torchtitan_ranks_with_several_parts_are_refused_before_training():
    from flopsight.meter.callbacks.torchtitan import metered

    trainer = Titan(1, None)
    trainer.model_parts *= 2
    with pytest.raises(UsageError, match="has 2"):
        metered(trainer)


# Lightning: the real one where it is installed, and always a stand-in with its interface


class Lit:
    """What a LightningModule does, in whichever base there is."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = Tiny().bfloat16()
        self.losses = []

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self.net(batch).flatten(0, 1).float(), batch.flatten())
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch, batch_idx):
        self.net(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Metrics:
    """A logger of ours in Lightning."""

    def __init__(self):
        self.seen = []

    def log_metrics(self, metrics, step=None):
        self.seen.append((step, dict(metrics)))


def stand_in_fit(callback, batches, accumulate):
    module = type("Module", (Lit, nn.Module), {})()
    optimizer = module.configure_optimizers()
    logger = Metrics()
    trainer = SimpleNamespace(
        strategy=SimpleNamespace(model=module), optimizers=[optimizer], loggers=[logger], global_step=0,
        is_global_zero=True,
    )  # fmt: skip
    hook = (lambda name: getattr(callback, name)(trainer, module)) if callback is not None else (lambda name: None)
    hook("on_train_start")
    for number, ids in enumerate(batches):

        def closure(ids=ids, number=number):
            loss = module.training_step(ids, number)
            loss.backward()
            return loss

        if (number + 1) % accumulate:
            closure()
            continue
        optimizer.step(closure)  # the batch runs inside of the optimizer's step, as in Lightning
        optimizer.zero_grad()
        trainer.global_step += 1
        with torch.no_grad():
            module.validation_step(ids[:1], 0)
    hook("on_train_end")
    return module.losses, logger.seen


def lightning_fit(callback, batches, accumulate):
    lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
    from lightning.pytorch.loggers import Logger

    class Own(Metrics, Logger):
        name, version = "own", 0

        def __init__(self):
            Logger.__init__(self)
            Metrics.__init__(self)

        def log_hyperparams(self, *args, **kwargs):
            pass

    module, logger = type("Module", (Lit, lightning.LightningModule), {})(), Own()
    trainer = lightning.Trainer(
        accelerator="cpu", devices=1, max_epochs=1, accumulate_grad_batches=accumulate, logger=logger,
        callbacks=[callback] if callback is not None else [], enable_progress_bar=False, enable_checkpointing=False,
        enable_model_summary=False, val_check_interval=accumulate,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", FlopsightWarning)
        trainer.fit(module, *(torch.utils.data.DataLoader(rows, batch_size=None) for rows in (batches, batches[:1])))
    return module.losses, logger.seen


@pytest.fixture(params=[stand_in_fit, lightning_fit])
def fit(request, monkeypatch):
    if request.param is stand_in_fit:
        monkeypatch.setitem(sys.modules, "lightning.pytorch", SimpleNamespace(Callback=object))
    return request.param


def batches(count):
    generator = torch.Generator().manual_seed(3)
    return [torch.randint(0, VOCAB, (BATCH, LENGTH), generator=generator) for _ in range(count)]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_lightning_steps_and_values(fit, seconds, accumulate):
    from flopsight.meter.callbacks.lightning import meter_callback

    expected, _ = fit(None, batches(8 * accumulate), accumulate)
    call = nn.Module.__call__
    callback = meter_callback(on="h100-sxm", every=4, quiet=True)
    losses, seen = fit(callback, batches(8 * accumulate), accumulate)
    assert losses == expected
    assert nn.Module.__call__ is call
    found = callback.attached.report
    assert (found.steps, found.calls_a_step, found.flops) == (8, accumulate, accumulate * 3 * FORWARD)
    ours = [(step, values) for step, values in seen if "flopsight/mfu" in values]
    assert [step for step, _ in ours] == [3, 7]  # the number that Lightning gives the fourth and the eighth
    assert ours[-1][1]["flopsight/mfu"] == pytest.approx(accumulate * 3 * FORWARD / 0.1 / PEAK, rel=1e-6)
    assert ours[-1][1]["flopsight/tokens_per_second"] == pytest.approx(accumulate * BATCH * LENGTH / 0.1)


def test_lightning_goes_on_without_a_meter_that_fails(fit, broken):
    from flopsight.meter.callbacks.lightning import meter_callback

    expected, _ = fit(None, batches(8), 1)
    with pytest.warns(FlopsightWarning, match="stepped aside") as caught:
        losses, _ = fit(meter_callback(quiet=True), batches(8), 1)
    assert losses == expected
    assert len(flopsight_warnings(caught)) == 1


def test_without_lightning_a_sentence(monkeypatch):
    from flopsight.meter.callbacks.lightning import PACKAGES, meter_callback

    for name in PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingCapability, match="pip install lightning"):
        meter_callback()


# JAX


@pytest.fixture
def jax_loop(monkeypatch):
    """(step, arguments of a call, a clock that a test moves)."""
    jax = pytest.importorskip("jax")
    module = import_module("flopsight.meter.callbacks.jax")
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock.now)

    def train_step(state, ids):
        def loss(state):
            logits = state["embed"][ids] @ state["head"]
            return -jax.nn.log_softmax(logits.astype("float32"))[..., 0].mean()

        value, gradient = jax.value_and_grad(loss)(state)
        return jax.tree.map(lambda weight, slope: weight - 0.1 * slope, state, gradient), value

    def state():
        numbers = jax.random.normal(jax.random.key(0), (VOCAB, WIDTH), "bfloat16")
        return {"embed": numbers, "head": numbers.T}

    def ids(batch=BATCH, length=LENGTH):
        return jax.random.randint(jax.random.key(1), (batch, length), 0, VOCAB)

    return SimpleNamespace(step=train_step, state=state, ids=ids, clock=clock, jax=jax, Meter=module.JaxMeter)


def jax_train(loop, step, steps=12, seconds=0.1, ids=None):
    state, losses = loop.state(), []
    for _ in range(steps):
        state, loss = step(state, loop.ids() if ids is None else ids)
        losses.append(float(loss))
        loop.clock.now += seconds
    return losses


def test_jax_values_are_the_closed_form_and_losses_the_same_bits(jax_loop):
    seen = []
    expected = jax_train(jax_loop, jax_loop.jax.jit(jax_loop.step))
    step = jax_loop.Meter(
        jax_loop.jax.jit(jax_loop.step), jax_loop.state(), jax_loop.ids(), on="h100-sxm", every=4,
        log=lambda values, step: seen.append((step, values)),
    )  # fmt: skip
    assert jax_train(jax_loop, step) == expected
    found = step.report()
    assert (found.phase, found.dtype, found.steps, found.ordinary) == ("training", "bf16", 12, 9)
    assert found.odd == {"warm-up": 2}  # and the last is found done at a next call only
    assert found.flops == found.executed == 3 * FORWARD
    assert found.step_seconds == pytest.approx(0.1)
    assert found.mfu == pytest.approx(3 * FORWARD / 0.1 / PEAK, rel=1e-6)
    assert [step for step, _ in seen] == [4, 8]
    assert seen[-1][1]["flopsight/tokens_per_second"] == pytest.approx(BATCH * LENGTH / 0.1)
    assert set(seen[-1][1]) <= set(NAMES)


def test_jax_shapes_are_counted_once_each(jax_loop, monkeypatch):
    import flopsight.jax

    counted, count = [], flopsight.jax.count
    monkeypatch.setattr(flopsight.jax, "count", lambda *args, **kwargs: counted.append(1) or count(*args, **kwargs))
    step = jax_loop.Meter(jax_loop.jax.jit(jax_loop.step))
    for batch in (BATCH, 2 * BATCH, BATCH):
        jax_train(jax_loop, step, ids=jax_loop.ids(batch=batch))
    found = step.report()
    assert len(counted) == 2
    assert found.odd == {"warm-up": 2, "counted": 1}
    assert found.flops * found.ordinary == 3 * FORWARD * (10 + 2 * 11 + 11)


def test_jax_steps_underway_when_something_is_counted_are_not_timed(jax_loop, monkeypatch):
    from flopsight.meter.callbacks.in_flight import InFlight

    upset, original = [], InFlight.upset
    monkeypatch.setattr(InFlight, "upset", lambda self, odd: upset.append(odd) or original(self, odd))
    step = jax_loop.Meter(jax_loop.jax.jit(jax_loop.step))
    jax_train(jax_loop, step)
    jax_train(jax_loop, step, ids=jax_loop.ids(length=8))
    assert upset == ["warm-up", "warm-up", "counted"]


def test_jax_donated_states_are_neither_kept_nor_asked(jax_loop):
    step = jax_loop.Meter(jax_loop.jax.jit(jax_loop.step, donate_argnums=0))
    jax_train(jax_loop, step)
    assert step.report().ordinary == 9


def test_jax_random_keys_static_arguments_and_numbers(jax_loop):
    jax = jax_loop.jax

    def product(state, key, times):
        x = state["x"]
        for _ in range(times):
            x = x @ state["x"]
        return {"x": x / 64, "n": state["n"] + 1}, jax.random.split(key)[0]

    step = jax_loop.Meter(jax.jit(product, static_argnums=2), static_argnums=(2,))
    state, key = {"x": jax.numpy.ones((64, 64)), "n": 0}, jax.random.key(0)
    for times in (2, 2, 2, 2, 3, 3, 3):
        state, key = step(state, key, times)
        jax.block_until_ready(state)
        jax_loop.clock.now += 0.1
    found = step.report()
    # the number becomes an array after the first call: shapes are counted anew, inside of warm-up
    assert (found.phase, found.ordinary, found.odd) == ("inference", 3, {"warm-up": 2, "counted": 1})
    assert found.flops == pytest.approx(2 * 64**3 * (2 + 2 + 3) / 3)


def test_jax_calls_inside_of_a_traced_function_are_no_steps(jax_loop):
    step = jax_loop.Meter(jax_loop.jax.jit(jax_loop.step))
    jax_loop.jax.jit(lambda state, ids: step(state, ids)[1])(jax_loop.state(), jax_loop.ids())
    assert step.report().steps == 0


@pytest.mark.parametrize("where", ["flopsight.jax.count", "flopsight.meter.callbacks.jax.work_of"])
def test_jax_goes_on_without_a_meter_that_fails(jax_loop, monkeypatch, where):
    expected = jax_train(jax_loop, jax_loop.jax.jit(jax_loop.step))
    monkeypatch.setattr(where, lambda *args, **kwargs: 1 / 0)
    step = jax_loop.Meter(jax_loop.jax.jit(jax_loop.step))
    with pytest.warns(FlopsightWarning, match="stepped aside") as caught:
        assert jax_train(jax_loop, step) == expected
    assert len(flopsight_warnings(caught)) == 1
    assert "stepped aside" in step.report().notes[-1]


def test_jax_goes_on_without_a_logger_that_fails(jax_loop):
    def log(values, step):
        raise BrokenPipeError

    step = jax_loop.Meter(jax_loop.jax.jit(jax_loop.step), every=2, log=log)
    with pytest.warns(FlopsightWarning, match="logger failed") as caught:
        jax_train(jax_loop, step)
    assert len(flopsight_warnings(caught)) == 1
    assert step.report().ordinary == 9


def test_jax_exceptions_of_the_step_pass_and_are_no_steps(jax_loop):
    def failing(x):
        raise KeyError("mine")

    step = jax_loop.Meter(failing)
    with pytest.warns(FlopsightWarning), pytest.raises(KeyError, match="mine"):
        step(jax_loop.ids())
    assert step.report().ordinary == 0


class Leaf:
    """A result that becomes ready when a test says so."""

    def __init__(self, ready=False, deleted=False):
        self.ready, self.deleted = ready, deleted

    def is_ready(self):
        assert not self.deleted, "JAX raises here"
        return self.ready

    def is_deleted(self):
        return self.deleted


def test_steps_underway_are_not_timed_before_they_are_ready():
    from flopsight.meter.callbacks.in_flight import Flight, InFlight

    flights, leaves = InFlight(), [Leaf() for _ in range(4)]
    for at, leaf in enumerate(leaves):
        flights.add(Flight(None, None, result=leaf), begun=at / 1000)  # dispatched within milliseconds
    assert not flights.landed(1.0)
    leaves[2].ready = True  # a device goes in order: those before are done too
    leaves[1].deleted = True
    leaves[0].ready = True
    assert [flight.seconds for flight in flights.landed(3.0)] == [1.0] * 3
    leaves[3].ready = True
    assert [flight.seconds for flight in flights.landed(4.0)] == [1.0]


def test_steps_that_share_their_time_with_an_odd_one_are_odd():
    from flopsight.meter.callbacks.in_flight import Flight, InFlight

    flights, leaf = InFlight(), Leaf(ready=True)
    flights.add(Flight(None, None, result=leaf), begun=0.0)
    flights.add(Flight(None, None, "counted", result=leaf), begun=0.0)
    assert [flight.odd for flight in flights.landed(1.0)] == ["counted"] * 2


def test_steps_underway_can_be_made_odd():
    from flopsight.meter.callbacks.in_flight import Flight, InFlight

    flights = InFlight()
    flights.add(Flight(None, None, result=Leaf(ready=True)), begun=0.0)
    flights.upset("counted")
    assert [flight.odd for flight in flights.landed(1.0)] == ["counted"]


def test_results_that_are_all_donated_count_as_done_behind_the_longest_queue():
    from flopsight.meter.callbacks.in_flight import MOST, Flight, InFlight

    flights = InFlight()
    for step in range(MOST + 3):
        flights.add(Flight(None, None, result=Leaf(deleted=True)), begun=float(step))
    assert len(flights.landed(100.0)) == 3


def test_jax_loops_need_no_torch_and_use_all_devices():
    program = """
import sys
sys.modules["torch"] = None
import jax, jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from flopsight.meter.callbacks.jax import JaxMeter
mesh = jax.make_mesh((4,), ("data",))
x = jax.device_put(jnp.ones((8, 64), "bfloat16"), NamedSharding(mesh, PartitionSpec("data")))
shapes = jax.ShapeDtypeStruct((8, 64), "bfloat16"), jax.ShapeDtypeStruct((64, 32), "bfloat16")
step = JaxMeter(jax.jit(lambda x, w: x @ w), *shapes, on="h100-sxm")
for _ in range(9):
    jax.block_until_ready(step(x, jnp.ones((64, 32), "bfloat16")))
found = step.report()
assert found.phase == "inference" and found.device.startswith("4 x "), found
assert found.flops == 2 * 8 * 64 * 32, found.flops
share = found.mfu / (found.flops / found.step_seconds / (4 * 989.4e12))
assert abs(share - 1) < 1e-6, share
moved = 2 * (8 * 64 + 64 * 32 + 8 * 32)  # bytes: the roofline of so small a product is that of the memory
assert abs(found.attainable * found.step_seconds / (moved / (4 * 3.35e12)) - 1) < 0.01, found.attainable
"""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    pytest.importorskip("jax")
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
