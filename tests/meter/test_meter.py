"""A metered loop: right numbers, the same results, and nothing that stops it."""

import contextlib
import errno
import gc
import warnings
import weakref

import pytest
import torch

import flopsight
from flopsight.errors import FlopsightWarning, UsageError
from flopsight.meter import NAMES, Meter
from flopsight.meter import clock as clocks
from tests.meter.loops import BATCH, FORWARD, LENGTH, made, train


@pytest.fixture
def seconds(monkeypatch):
    """A clock that says a tenth of a second for every span, so that rates are known."""

    class Span:
        def end(self):
            pass

        def seconds(self):
            return 0.1

    monkeypatch.setattr(clocks, "begin", lambda device: Span())


def plain(**options):
    torch.manual_seed(1)
    return train(*made(), **options)


def test_flops_tokens_and_mfu_are_those_of_the_closed_form(seconds):
    model, optimizer = made()
    model.bfloat16()
    meter = Meter(model, optimizer, on="h100-sxm")
    train(model, optimizer)
    found = meter.report()
    assert (found.phase, found.steps, found.odd["warm-up"]) == ("training", 12, 2)
    assert found.flops == found.executed == found.full_square == 3 * FORWARD
    assert found.tokens_per_second == pytest.approx(BATCH * LENGTH / 0.1)
    assert found.mfu == pytest.approx(3 * FORWARD / 0.1 / 989.4e12, rel=1e-3)
    assert found.peak.startswith("989")


def test_accumulated_batches_are_one_step():
    model, optimizer = made()
    meter = Meter(model, optimizer)
    train(model, optimizer, accumulate=3)
    found = meter.report()
    assert (found.steps, found.calls_a_step, found.flops) == (12, 3, 9 * FORWARD)


def test_losses_and_random_numbers_are_the_same_bits():
    expected = plain()
    torch.manual_seed(1)
    model, optimizer = made()
    torch.manual_seed(1)
    before = train(model, optimizer)
    torch.manual_seed(1)
    model, optimizer = made()
    torch.manual_seed(1)
    Meter(model, optimizer)
    assert train(model, optimizer) == before
    assert len(expected) == 12


def test_each_shape_is_counted_once_and_further_lengths_are_told_exactly(monkeypatch):
    from flopsight.meter import meter as module

    counted = []
    watch = module.Watch
    monkeypatch.setattr(module, "Watch", lambda *args: counted.append(1) or watch(*args))
    model, optimizer = made()
    meter = Meter(model, optimizer)
    train(model, optimizer, steps=24, length=lambda step: 8 + step % 12)
    # three counts span the terms in 1, T and T*S; the fourth shows that they foretell it
    assert len(counted) == 4
    works = list(meter._works.known.values())
    assert {w.flops.required for w in works} == {3 * FORWARD // LENGTH * (8 + i) for i in range(12)}


def test_inference_steps_are_calls_and_decode_is_told_from_three():
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=64, eos_token_id=None, bos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    meter = Meter(model)
    ids = torch.randint(1, 64, (2, 8))
    model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=30, do_sample=False)
    found = meter.report()
    assert (found.phase, found.steps) == ("inference", 30)
    assert found.odd.get("counted", 0) + found.odd["warm-up"] <= 4
    told = meter._works.find(*meter_call(meter, past=20))
    with flopsight.torch.counting(model) as c, torch.no_grad():
        cache = model(ids.repeat(1, 3)[:, :20]).past_key_values
        before = c.flops.required
        model(ids[:, :1], past_key_values=cache)
    assert told.flops.required == c.flops.required - before


def meter_call(meter, past):
    from flopsight.meter.signature import Shape

    ((form, sequences, length),) = meter._works._lines
    return ("never seen",), form, Shape(sequences, length, past)


def test_recompute_is_executed_and_not_required():
    from torch.utils.checkpoint import checkpoint

    model, optimizer = made()
    head = model.head
    model.forward = lambda ids: checkpoint(lambda x: head(x).tanh(), model.embed(ids), use_reentrant=False)
    meter = Meter(model, optimizer)
    train(model, optimizer)
    found = meter.report()
    assert found.flops == 3 * FORWARD
    assert found.executed == 4 * FORWARD


def test_two_calls_that_share_a_backward_pass_are_counted_as_one_step():
    model, optimizer = made()
    meter = Meter(model, optimizer)
    ids = torch.zeros(BATCH, LENGTH, dtype=torch.long)
    for _ in range(8):
        (model(ids).sum() + model(ids).sum()).backward()
        optimizer.step()
    found = meter.report()
    assert found.flops == 6 * FORWARD
    assert (found.odd["warm-up"], found.steps) == (2, 8)


def test_a_compiled_model_is_compiled_as_often_as_without_a_meter():
    import torch._dynamo.testing as testing

    torch._dynamo.reset()

    def compiled(metered):
        torch._dynamo.reset()
        counter = testing.CompileCounter()
        model, optimizer = made()
        wrapped = torch.compile(model, backend=counter)
        meter = Meter(wrapped, optimizer) if metered else None
        torch.manual_seed(1)
        losses = train(wrapped, optimizer)
        return losses, counter.frame_count, counter.op_count, meter

    without, with_meter = compiled(False), compiled(True)
    assert with_meter[:3] == without[:3]
    assert without[1] > 0
    assert with_meter[3].report().flops == 3 * FORWARD


def test_a_model_compiled_in_place_too():
    import torch._dynamo.testing as testing

    def compiled(metered):
        torch._dynamo.reset()
        counter = testing.CompileCounter()
        model, optimizer = made()
        model.compile(backend=counter)
        meter = Meter(model, optimizer) if metered else None
        train(model, optimizer)
        return counter.frame_count, meter

    (without, _), (with_meter, meter) = compiled(False), compiled(True)
    assert with_meter == without > 0
    assert meter.report().flops == 3 * FORWARD


def test_explicit_steps_with_tokens():
    model, optimizer = made()
    meter = Meter(model)
    for _ in range(6):
        with meter.step(tokens=1000):
            train(model, optimizer, steps=1)
    found = meter.report()
    assert (found.steps, found.flops) == (6, 3 * FORWARD)
    assert found.tokens_per_second == pytest.approx(1000 / found.step_seconds, rel=0.9)


def test_evaluation_between_steps_is_time_outside():
    model, optimizer = made()
    meter = Meter(model, optimizer)
    for _ in range(8):
        train(model, optimizer, steps=1)
        with torch.no_grad():
            model(torch.zeros(2, 4, dtype=torch.long))
    found = meter.report()
    assert (found.steps, found.flops) == (8, 3 * FORWARD)
    assert found.outside_seconds > 0


def test_values_have_the_documented_names():
    seen = []
    model, optimizer = made()
    Meter(model, optimizer, every=4, log=lambda values, step: seen.append((step, set(values))))
    train(model, optimizer)
    assert [step for step, _ in seen] == [4, 8, 12]
    assert set.union(*(names for _, names in seen)) <= set(NAMES)


# what goes wrong in a meter, and what must go on


def disturbed(meter_of):
    """Losses of a loop with a meter that fails, and the warnings that were given."""
    torch.manual_seed(1)
    model, optimizer = made()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        meter = meter_of(model, optimizer)
        losses = train(model, optimizer)
        report = meter.report() if meter is not None else None
    return losses, [w for w in caught if issubclass(w.category, FlopsightWarning)], report


def test_an_exception_in_the_meter_is_one_warning(monkeypatch):
    def broken(*args):
        raise RuntimeError("no such luck")

    monkeypatch.setattr("flopsight.meter.meter.key_of", broken)
    losses, caught, report = disturbed(Meter)
    assert losses == plain()
    assert len(caught) == 1
    assert "stepped aside" in str(caught[0].message)
    assert "no such luck" in report.notes[-1]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), BrokenPipeError(), KeyError("x")])
def test_a_logger_that_fails_is_left_out(error):
    def log(values, step):
        raise error

    losses, caught, report = disturbed(lambda m, o: Meter(m, o, every=2, log=log))
    assert losses == plain()
    assert len(caught) == 1
    assert report.flops == 3 * FORWARD


def test_a_full_disk_is_said_once(tmp_path):
    losses, caught, _ = disturbed(lambda m, o: Meter(m, o, every=2, log="/dev/full"))
    assert losses == plain()
    assert len(caught) == 1


def test_warnings_as_errors_do_not_stop_the_loop(monkeypatch):
    monkeypatch.setattr("flopsight.meter.meter.shape_of", lambda *args: 1 / 0)
    model, optimizer = made()
    Meter(model, optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(train(model, optimizer)) == 12


def test_a_formula_that_fails_is_an_op_not_counted():
    flopsight.torch.register("meter_tests::twice", lambda *args, **kwargs: 1 / 0)

    @torch.library.custom_op("meter_tests::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    twice.register_autograd(lambda ctx, gradient: gradient * 2)
    model, optimizer = made()
    forward = model.forward
    model.forward = lambda ids: twice(forward(ids))
    meter = Meter(model, optimizer)
    train(model, optimizer)
    assert any("twice" in op for op in meter.report().uncounted)


def test_a_model_that_changes_format_and_shape_mid_run_is_counted_anew():
    model, optimizer = made()
    meter = Meter(model, optimizer)
    train(model, optimizer)
    model.bfloat16()
    train(model, optimizer, steps=6, batch=2 * BATCH)
    assert meter.last.dtype == "bf16"
    assert meter._history.done[-1].works[0].flops.required == 6 * FORWARD


def test_the_users_own_exceptions_pass_and_the_next_steps_are_right():
    model, optimizer = made()
    meter = Meter(model, optimizer)

    def interrupt(step):
        if step == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, optimizer, inner=interrupt)
    train(model, optimizer)
    assert meter.report().flops == 3 * FORWARD
    assert not meter.failed


def test_two_meters_on_one_model_agree():
    model, optimizer = made()
    first, second = Meter(model, optimizer), Meter(model, optimizer)
    train(model, optimizer)
    assert first.report().flops == second.report().flops == 3 * FORWARD


def test_the_model_is_not_kept_alive_and_the_report_outlives_it():
    model, optimizer = made()
    meter = Meter(model, optimizer)
    train(model, optimizer)
    alive = weakref.ref(model)
    del model, optimizer
    gc.collect()
    assert alive() is None
    assert meter.report().flops == 3 * FORWARD


def test_detached_hooks_are_gone():
    model, optimizer = made()
    meter = Meter(model, optimizer)
    train(model, optimizer)
    meter.detach()
    train(model, optimizer)
    assert meter.report().steps == 12
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_what_is_no_logger_is_refused_before_anything_runs():
    with pytest.raises(UsageError, match="Values go to"):
        Meter(made()[0], log=3)


def test_no_peak_no_mfu_and_a_sentence():
    model, optimizer = made()
    meter = Meter(model, optimizer, on="h100-sxm")
    train(model, optimizer)
    found = meter.report()
    assert found.mfu is None
    assert "fp32" in str(found)


def test_threads_that_call_the_model_do_not_disturb_training():
    from threading import Thread

    model, optimizer = made()
    meter = Meter(model, optimizer)

    def look():
        with torch.no_grad(), contextlib.suppress(RuntimeError):
            model(torch.zeros(1, 4, dtype=torch.long))

    def inner(step):
        thread = Thread(target=look)
        thread.start()
        thread.join()

    train(model, optimizer, inner=inner)
    assert meter.report().flops == 3 * FORWARD
