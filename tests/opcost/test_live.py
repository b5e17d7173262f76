"""Recorded shapes give what the counter counted in the same run."""

import collections

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

import flopsight.torch
from flopsight.achieved.attribution import attribute
from flopsight.achieved.work import work_of
from flopsight.counted import Flops
from flopsight.readers import read


def both(run, tmp_path):
    """Executed and required FLOPs by op: counted live, and from the profile of a second run."""
    from torch.profiler import ProfilerActivity, profile

    with flopsight.torch.counting() as c:
        run()
    assert not c.uncounted
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as p:
        run()
    path = tmp_path / "trace.json"
    p.export_chrome_trace(str(path))
    (trace,) = read(path)
    work = work_of(trace, attribute(trace))
    found = collections.defaultdict(lambda: Flops(0, 0, 0))
    for kind in work.kind[work.kind >= 0].tolist():
        if work.kinds[kind].flops.executed:
            found[work.names[kind]] += work.kinds[kind].flops
    counted = collections.defaultdict(lambda: Flops(0, 0, 0))
    for row in c.rows:
        if row.amount.flops.executed:
            counted[row.op.split(".")[0]] += row.amount.flops
    return dict(found), dict(counted)


def total(by_op, column):
    return sum(getattr(f, column) for f in by_op.values())


def llama(attention):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=128, attn_implementation=attention,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    ids = torch.randint(0, 128, (2, 24))

    def run():
        model(input_ids=ids, labels=ids).loss.backward()
        model.zero_grad(set_to_none=True)

    return run


@pytest.mark.oracle
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_llama_forward_and_backward(attention, tmp_path):
    found, counted = both(llama(attention), tmp_path)
    assert total(found, "executed") == total(counted, "executed")
    assert total(found, "full_square") == total(counted, "full_square")
    if attention == "sdpa":  # eager masks are values, which no record holds
        assert total(found, "required") == total(counted, "required")


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_other_families(kind, tmp_path):
    from transformers import AutoConfig, AutoModel

    sizes = {
        "bert": {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 80},
        "gpt2": {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 64},
    }[kind]
    model = AutoModel.from_config(AutoConfig.for_model(kind, vocab_size=100, **sizes)).eval()
    ids = torch.randint(0, 100, (2, 20))
    found, counted = both(lambda: model(input_ids=ids)[0].sum().backward(), tmp_path)
    assert total(found, "executed") == total(counted, "executed")


def test_convolutions(tmp_path):
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 12, 3, stride=2, padding=1), torch.nn.ReLU(),
        torch.nn.Conv2d(12, 24, 3, groups=3, dilation=2),
        torch.nn.ConvTranspose2d(24, 8, 4, stride=2, groups=2), torch.nn.Conv2d(8, 8, 3, groups=8, padding="same"),
    )  # fmt: skip
    images = torch.randn(2, 3, 20, 24)
    found, counted = both(lambda: net(images).sum().backward(), tmp_path)
    assert total(found, "executed") == total(counted, "executed")
    line, counted = both(lambda: torch.nn.functional.conv1d(torch.randn(3, 4, 30), torch.randn(6, 4, 5)), tmp_path)
    assert total(line, "executed") == total(counted, "executed") == 2 * 3 * 6 * 26 * 4 * 5


def test_products_of_every_kind(tmp_path):
    a, b, c = torch.randn(5, 7), torch.randn(7, 11), torch.randn(4, 5, 7)

    def run():
        torch.mm(a, b)
        torch.addmm(torch.randn(11), a, b)
        torch.bmm(c, torch.randn(4, 7, 3))
        torch.baddbmm(torch.randn(4, 5, 3), c, torch.randn(4, 7, 3))
        torch.nn.functional.linear(c, torch.randn(9, 7), torch.randn(9))
        torch.matmul(c, b)
        torch.mv(a, torch.randn(7))
        torch.dot(a[0], a[1])
        torch.einsum("bij,jk->bik", c, b)

    found, counted = both(run, tmp_path)
    products = 2 * 5 * 7 * 11 * 2 + 2 * 4 * 5 * 7 * 3 * 2 + 2 * 20 * 7 * 9 + 2 * 20 * 7 * 11 * 2 + 2 * 35 + 2 * 7
    assert total(found, "executed") == total(counted, "executed") == products


def test_attention_with_flags_masks_and_few_key_heads(tmp_path):
    q, k, v = torch.randn(2, 4, 9, 16), torch.randn(2, 4, 13, 16), torch.randn(2, 4, 13, 16)
    few = torch.randn(2, 2, 13, 16)
    sdpa = torch.nn.functional.scaled_dot_product_attention

    def run():
        sdpa(q, k, v)
        sdpa(q, k, v, is_causal=True)
        sdpa(q, few, few, enable_gqa=True, is_causal=True)

    found, counted = both(run, tmp_path)
    for column in ("required", "full_square", "executed"):
        assert total(found, column) == total(counted, column)


def test_experts_in_groups(tmp_path):
    x, w = torch.randn(24, 16, dtype=torch.bfloat16), torch.randn(3, 16, 32, dtype=torch.bfloat16)
    ends = torch.tensor([5, 11, 24], dtype=torch.int32)
    found, counted = both(lambda: torch._grouped_mm(x, w, offs=ends), tmp_path)
    assert total(found, "executed") == total(counted, "executed") == 2 * 24 * 16 * 32


def test_bytes_of_elements(tmp_path):
    from torch.profiler import ProfilerActivity, profile

    x, y = torch.randn(40, 50), torch.randn(50)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as p:
        z = x + y
        z.relu_()
        torch.softmax(x, -1)
        x.to(torch.bfloat16)
        torch.nn.functional.layer_norm(x, (50,))
    path = tmp_path / "trace.json"
    p.export_chrome_trace(str(path))
    (trace,) = read(path)
    work = work_of(trace, attribute(trace))
    moved = {work.names[k]: work.kinds[k] for k in set(work.kind[work.kind >= 0].tolist())}
    add, relu, soft = (moved[f"aten::{n}"] for n in ("add", "relu_", "_softmax"))
    assert (add.reads, add.writes) == (x.nbytes + y.nbytes, z.nbytes)
    assert (relu.reads, relu.writes) == (z.nbytes, z.nbytes)
    assert (soft.reads, soft.writes, soft.elementwise) == (x.nbytes, x.nbytes, 5 * 2000)
    assert (moved["aten::copy_"].reads, moved["aten::copy_"].writes) == (x.nbytes, x.nbytes // 2)
    assert moved["aten::native_layer_norm"].writes == x.nbytes
    assert np.isclose(moved["aten::native_layer_norm"].reads, x.nbytes)
