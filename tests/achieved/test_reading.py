"""What real profiles say was achieved, beside numbers made by other means."""

import numpy as np
import pytest

from flopsight.achieved.graphs import captures
from flopsight.achieved.reading import reading_of
from flopsight.achieved.timeline import COMMUNICATION
from flopsight.counted import Flops
from flopsight.readers import read
from tests.readers.places import beside, kept

QWEN = {
    "model_type": "qwen2", "architectures": ["Qwen2Model"], "hidden_size": 1024, "intermediate_size": 2816,
    "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 151936,
    "tie_word_embeddings": True, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
}  # fmt: skip
SMALL = (
    "h100_qwen1.5-0.5b_prefill", "h100_bert-small", "mi300x_bert-small", "a100_alexnet_sync", "a100_event_sync",
    "a100_triton_example", "a100_no_gpu_activity", "mi210_gpu_only", "mi250_minitoy_rocm6.2",
    "mi300x_sglang_qwen3-8b_decode_graph_replay", "cpu_only_rank34_gloo", "a100_cupti_counters_alexnet",
)  # fmt: skip


def of(name):
    (trace,) = read(kept(f"kineto/{name}.json.gz"))
    return reading_of(trace)


@pytest.mark.parametrize("name", SMALL)
def test_parts_add_up_to_the_nanosecond(name):
    found = of(name)
    for times in (*found.times, found.whole, found.total):
        for t in times:
            assert sum(t.parts.values()) == t.window
            idle = sum(n for part, n in t.parts.items() if part.startswith("idle"))
            assert idle == t.window - t.busy
            assert t.exposed == t.parts.get(COMMUNICATION, 0)


def test_products_and_attention_of_a_prefill():
    """mm and addmm 5514.537 GFLOP and whole score squares 491.49, summed over Input Dims by other code."""
    found = of("h100_qwen1.5-0.5b_prefill")
    gemm = sum(o.flops.executed for o in found.ops if o.op in ("aten::mm", "aten::addmm"))
    core = [o.flops for o in found.ops if o.kind == "attention"]
    assert gemm == pytest.approx(5514.537e9, rel=1e-6)
    assert sum(f.full_square for f in core) == pytest.approx(491.49e9, rel=1e-5)
    pairs = 16 * 16 * 559 * 560 // 2
    assert core == [Flops(24 * 4 * 64 * pairs, 24 * 4 * 64 * 16 * 16 * 559**2, 24 * 4 * 64 * pairs)]
    (window,) = found.windows
    assert window.length == pytest.approx(34.89e6, rel=1e-3)
    assert found.total[0].busy == pytest.approx(31.9e6, rel=1e-3)
    assert (found.coverage.flops, found.coverage.op, found.coverage.module) == (1.0, 1.0, 1.0)


def test_the_same_model_on_two_vendors_has_the_same_flops():
    one, other = of("h100_bert-small"), of("mi300x_bert-small")
    assert one.flops == other.flops
    products = sum(o.flops.executed for o in one.ops if o.kind == "gemm" and o.op == "aten::addmm")
    assert products == pytest.approx(8.029e9, rel=1e-3)
    assert sum(f.executed for f in one.flops.values()) - products == pytest.approx(0.163e9, rel=5e-3)


def test_recompute_is_executed_and_not_required():
    """ResNet-18, three steps of 10 images: 3.627 GFLOP forward, and twice that backward but for the first dX."""
    (trace,) = read(beside("kineto/mi300x_resnet_ddp_act_ckpt_rank0.json.gz"))
    found = reading_of(trace)
    images, stem = 30, 2 * 112 * 112 * 64 * 3 * 49
    stages = 2 * sum(
        side * side * (9 * (old * new + 3 * new * new) + (old * new if old != new else 0))
        for side, old, new in ((56, 64, 64), (28, 64, 128), (14, 128, 256), (7, 256, 512))
    )
    head = 2 * 512 * 1000
    required = images * (3 * (stem + stages + head) - stem)
    flops = sum(found.flops.values(), Flops(0, 0, 0))
    assert flops.required == required
    assert flops.executed - flops.required == images * stages
    assert found.total[0].hidden["communication"] > 0


def test_a_replayed_graph_gets_the_ops_that_were_captured():
    """Qwen3-8B, one token of 32 requests: 2·32·(36·(4096·(6144 + 4096) + 3·4096·12288) + 4096·151936) FLOPs."""
    (capture,) = read(beside("kineto/mi300x_sglang_qwen3-8b_decode_graph_capture_bs32.json.gz"))
    (trace,) = read(kept("kineto/mi300x_sglang_qwen3-8b_decode_graph_replay.json.gz"))
    alone = reading_of(trace)
    assert (alone.flops, alone.replayed) == ({}, 544)
    found = reading_of(trace, captured=captures(capture))
    expected = 2 * 32 * (36 * (4096 * (6144 + 4096) + 3 * 4096 * 12288) + 4096 * 151936)
    assert found.flops == {"bf16": Flops(expected, expected, expected)}
    assert found.replayed == 0
    assert found.coverage.module > 0.99


def test_a_capture_of_another_length_is_not_taken():
    (capture,) = read(beside("kineto/mi300x_sglang_qwen3-8b_decode_graph_capture_bs32.json.gz"))
    (trace,) = read(kept("kineto/mi300x_sglang_qwen3-8b_decode_graph_replay.json.gz"))
    (one,) = captures(capture)
    other = type(one)(one.trace, one.calls[:-1], one.names[:-1])
    found = reading_of(trace, captured=[other])
    assert found.replayed == 544
    assert any("match no captured graph" in note for note in found.notes)


def test_without_a_device_nothing_is_called_idle():
    found = of("a100_no_gpu_activity")
    assert not found.device_side
    assert found.devices[0].vendor == "cpu"


def test_steps_and_one_of_them():
    (trace,) = read(beside("kineto/v100_ddp_2rank_rank1_large.json.gz"))
    every = reading_of(trace)
    assert [w.name for w in every.windows] == [f"ProfilerStep#{n}" for n in range(2, 7)]
    ends = [w.end for w in every.windows]
    assert all(w.start >= end for w, end in zip(every.windows[1:], ends, strict=False))
    one = reading_of(trace, "3")
    assert [w.name for w in one.windows] == ["ProfilerStep#3"]
    assert one.total[0].parts == every.times[1][0].parts
    # every kernel of the file begins in one of the steps, the last one included
    assert sum(t.kernels for t in every.total) == every.whole[0].kernels


def test_ledger_and_shapes_agree_and_parts_are_joined():
    from flopsight.achieved.beside import beside as joined
    from flopsight.hardware.catalog import find
    from flopsight.models.load import load

    found = of("h100_qwen1.5-0.5b_prefill")
    result = joined(found, load(QWEN), find("h100-sxm"))
    w = result.setting.workload
    assert (w.phase, w.batch, w.seq) == ("prefill", 16, 559)
    products = [p for p in result.parts if p.ledger]
    assert len(products) == 4
    assert all(p.ledger == p.counted for p in products)
    # all but the rotary table's product, which the model runs in fp32 and the ledger leaves to the vector engine
    assert result.ledger_flops == found.flops["bf16"].required
    assert sum(p.achieved for p in result.parts) == pytest.approx(sum(n.duration for n in found.names) / 1e9)


def test_sums_of_kernels_are_kept():
    for name in SMALL:
        found = of(name)
        if found.device_side and not found.windows[0].marked:
            assert sum(n.duration for n in found.names) == sum(t.kernel_sum for t in found.whole)


def test_idle_is_told_by_cause():
    found = of("h100_bert-small")
    (t,) = found.total
    assert t.parts["idle: the host had not launched"] > 0.5 * t.window
    assert np.isclose(t.idle / t.window, 0.92, atol=0.02)
