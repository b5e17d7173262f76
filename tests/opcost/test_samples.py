"""Published traces of other machines: sums over their recorded shapes, known from outside this project."""

from collections import defaultdict

from flopsight.opcost import cost
from flopsight.readers import read
from flopsight.trace.columns import OP
from tests.opcost.running import innermost
from tests.readers.places import beside


def by_kind(name):
    """GFLOP (required, whole squares) of a sample by kind of op."""
    (trace,) = read(beside(f"kineto/{name}.json.gz"))
    found = defaultdict(lambda: [0, 0])
    for op, one in innermost(trace):
        found[op][0] += one.flops.required
        found[op][1] += one.flops.full_square
    return trace, {op: tuple(amounts) for op, amounts in found.items()}


def test_a_prefill_of_qwen():
    """16 prompts of 559 tokens through 24 causal layers of 16 heads, 64 wide."""
    _, found = by_kind("h100_qwen1.5-0.5b_prefill")
    assert round((found["aten::mm"][0] + found["aten::addmm"][0]) / 1e9, 3) == 5514.537
    required, square = found["aten::_flash_attention_forward"]
    assert square == 24 * 4 * 16 * 16 * 559**2 * 64
    assert round(square / 1e9, 2) == 491.49
    assert required == square * 560 // (2 * 559)


def test_the_same_model_on_two_makers_chips():
    sums = []
    for name in ("h100_bert-small", "mi300x_bert-small"):
        _, found = by_kind(name)
        assert round(found["aten::addmm"][0] / 1e9, 3) == 8.029
        assert round(found["aten::_flash_attention_forward"][0] / 1e9, 3) == 0.163
        sums.append(found)
    assert sums[0] == sums[1]


def test_a_resnet_trained_with_checkpoints():
    """Forward twice but for the first convolution, and both gradients of each: as much as the forwards together.

    The first convolution has one gradient only, and its forward is not repeated.
    """
    _, found = by_kind("mi300x_resnet_ddp_act_ckpt_rank0")
    assert found["aten::convolution_backward"] == found["aten::miopen_convolution"]


def test_decode_with_kernels_of_other_projects():
    """Products by the sizes of Qwen3-8B; norms, gates, rotary positions and writes into the cache have bytes."""
    trace, found = by_kind("mi300x_sglang_qwen3-8b_decode_graph_capture_bs32")
    host = trace.host
    layer = 4096 * 6144 + 4096 * 4096 + 4096 * 24576 + 12288 * 4096
    assert found["aten::mm"][0] == 2 * 32 * (36 * layer + 4096 * 151936)
    known = defaultdict(int)
    for row in range(len(host)):
        name = trace.names[host.name[row]]
        if host.kind[row] == OP and host.signature[row] >= 0 and name.startswith(("aiter", "sgl")):
            one = cost(name, trace.signatures[host.signature[row]])
            if one is not None:
                assert one.reads > 0
                known[name] += 1
    assert known == {
        "aiter::gemm_a16w16": 144, "aiter::rmsnorm": 73, "aiter::add_rmsnorm": 72, "sgl_kernel::rotary_embedding": 36,
        "sglang::store_cache": 36, "sgl_kernel::silu_and_mul": 36,
    }  # fmt: skip
