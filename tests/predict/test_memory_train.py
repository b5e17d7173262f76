"""Memory of training against Korthikanti et al. 2022 and Rajbhandari et al. 2020."""

import pytest

from flopsight.hardware.catalog import find
from flopsight.models.ledger import ledger
from flopsight.models.load import build, load
from flopsight.plan import Formats, Plan
from flopsight.predict.device import device_of
from flopsight.predict.forward import forward
from flopsight.predict.memory_train import kept_by_layer, memory_train
from flopsight.predict.train import Batch

A100 = device_of(find("nvidia-a100-sxm4-80gb"))
S, H, A, L = 2048, 12288, 96, 96
GPT3 = ledger(
    build(
        {"model_type": "gpt2", "n_embd": H, "n_layer": L, "n_head": A, "vocab_size": 51200, "n_positions": S,
         "activation_function": "gelu_new"}, "gpt-175b", "test",
    )
)  # fmt: skip


def run(plan, book=GPT3, device=A100):
    return forward(book, device, plan, Formats(weights="bf16"), training=True)


@pytest.mark.parametrize("t", [1, 2, 4, 8])
def test_a_gpt_layer_keeps_korthikantis_bytes(t):
    """s·b·h·(10 + 24/t + 5as/(ht)) with tensor parallelism, all over t with sequence parallelism (their table 2)."""
    batch = Batch(S, 8, 1, fused=False)
    square = 5 * A * S / H
    plain = kept_by_layer(run(Plan(tp=t)), batch) / H
    assert plain == pytest.approx(10 + 24 / t + square / t, rel=1e-3)
    both = kept_by_layer(run(Plan(tp=t, sequence_parallel=True)), batch) / H
    assert both == pytest.approx((34 + square) / t, rel=1e-3)
    spared = kept_by_layer(run(Plan(tp=t, sequence_parallel=True, recompute="selective")), batch) / H
    assert spared == pytest.approx(34 / t, rel=1e-3)


def test_a_fused_kernel_keeps_no_square():
    batch = Batch(S, 8, 1)
    longer = Batch(2 * S, 8, 1)
    plan = Plan(tp=8, sequence_parallel=True)
    assert kept_by_layer(run(plan), batch) == kept_by_layer(run(plan), longer)


@pytest.mark.parametrize(("zero", "each"), [(0, 18), (1, 6 + 12 / 64), (2, 2 + 16 / 64), (3, 18 / 64)])
def test_states_follow_zero(zero, each):
    """Rajbhandari et al. 2020, figure 1, with fp32 gradients: 2 + 4 + 12 bytes, sharded stage by stage."""
    found = memory_train(run(Plan(dp=64, zero=zero)), Batch(S, 64))
    states = found.weights + found.gradients + found.optimizer
    assert states == pytest.approx(each * run(Plan(dp=64)).shard.params, rel=1e-6)


def test_shards_sum_to_the_whole():
    """Weights of all tensor- and pipeline-parallel devices are those of the model, up to norms held by each."""
    one, many = run(Plan()), run(Plan(tp=4, pp=8, dp=2))
    kinds = ("attention", "mlp")
    for kind in kinds:
        assert many.shard.elements[kind] * 32 == pytest.approx(one.shard.elements[kind], rel=1e-3)


def test_recompute_and_micro_batches_are_monotone():
    kinds = [memory_train(run(Plan(tp=8, pp=8, recompute=r)), Batch(S, 64, fused=False)).activations
             for r in ("none", "selective", "full")]  # fmt: skip
    assert kinds[0] > kinds[1] > kinds[2]
    sizes = [memory_train(run(Plan(tp=8)), Batch(S, 8, m)).total for m in (1, 2, 4, 8)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4


def test_published_run_fits():
    """GPT-3 on 64 A100-80GB with full recompute ran (Korthikanti et al. 2022); without any it would not."""
    plan = Plan(tp=8, pp=8, vp=3, schedule="interleaved", recompute="full")
    assert memory_train(run(plan), Batch(S, 64, fused=False)).total < A100.memory
    bare = memory_train(run(plan.with_(recompute="none")), Batch(S, 64, fused=False))
    assert bare.total > A100.memory


def test_adapters_hold_no_states():
    book = ledger(load("llama-3.1-8b"))
    found = memory_train(run(Plan(), book), Batch(4096, 8, adapters=True))
    assert found.gradients == found.optimizer == 0
    assert found.weights > 0
