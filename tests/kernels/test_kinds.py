"""Kinds of kernels: names of every family, every name of the sample traces, names that are hostile."""

from collections import Counter

import numpy as np
import pytest

from flopsight.kernels import KINDS, kind_of
from flopsight.kernels.names import (
    attention,
    compilers,
    convolutions,
    experts,
    general,
    layers,
    native,
    products,
    sequence,
)
from flopsight.readers import read
from flopsight.trace.columns import KERNEL
from tests.kernels.real_names import kinds
from tests.readers.places import beside


@pytest.mark.parametrize(("kind", "name"), kinds(), ids=lambda text: text[:60])
def test_a_name_says_what_its_kernel_is_for(kind, name):
    assert kind_of(name) == kind


# Share of kernel time (ns) whose name says nothing. at::cuda::spin_kernel is PyTorch's sleep; jacobi_kernel and
# initialize_boundaries are a user's own.
SAMPLES = {
    "kineto/a100_alexnet_sync.json.gz": 0,
    "kineto/a100_ddp_2rank_nccl_meta_rank0.json.gz": 0,
    "kineto/a100_event_sync.json.gz": 0.7347,
    "kineto/a100_triton_example.json.gz": 0,
    "kineto/h100_bert-small.json.gz": 0,
    "kineto/h100_qwen1.5-0.5b_prefill.json.gz": 0,
    "kineto/mi210_gpu_only.json.gz": 0,
    "kineto/mi250_minitoy_rocm6.2.json.gz": 0,
    "kineto/mi300x_bert-small.json.gz": 0,
    "kineto/mi300x_resnet_ddp_act_ckpt_rank0.json.gz": 0,
    "kineto/mi300x_sglang_qwen3-8b_decode_graph_capture_bs32.json.gz": 0,
    "kineto/mi300x_sglang_qwen3-8b_decode_graph_replay.json.gz": 0,
    "kineto/v100_ddp_2rank_rank1_large.json.gz": 0,
    "kineto/v100_dlrm_8ranks.tar.gz": 0,
    "execution-trace/a100_simple_add_kineto.json.gz": 0,
    "nsys/gh200_jacobi_2023.4.sqlite.gz": 1.0,
    "nsys/h100_2gpu_dit_seqpar_before.sqlite.gz": 0,
    "nsys/rtx3080_mock.sqlite.gz": 0,
    "rocprof/rocprofv3_csv": 0,
    "rocprof/rpd_matmul.rpd": 0,
    "xplane/mi300x_jax_conv.xplane.pb": 0,
}


def kernel_time(path):
    """{name: ns} of a file's kernels."""
    spent = Counter()
    for trace in read(path):
        rows = np.flatnonzero(trace.kernels.kind == KERNEL)
        for name, ns in zip(trace.kernels.name[rows], trace.kernels.duration[rows], strict=True):
            spent[trace.names[name]] += int(ns)
    return spent


@pytest.mark.parametrize(("sample", "other"), SAMPLES.items())
def test_names_of_the_samples_are_known(sample, other):
    spent = kernel_time(beside(sample))
    unknown = sum(ns for name, ns in spent.items() if kind_of(name) in ("other", "fused"))
    assert unknown / sum(spent.values()) == pytest.approx(other, abs=1e-4)


def test_one_model_on_two_vendors_has_the_same_kinds():
    h100, mi300x = (kernel_time(beside(f"kineto/{chip}_bert-small.json.gz")) for chip in ("h100", "mi300x"))
    assert {kind_of(name) for name in h100} == {kind_of(name) for name in mi300x}


@pytest.mark.parametrize(
    "name",
    [
        "", "_", "_Z", "_ZN", "_Z9999", "void ", "<", "(", "()", "::", "\0", "\ud800", "核心", "ﬀ", "é" * 50,
        "triton_", "triton_poi_", "triton_poi_fused_", "kernel_cutlass_", "at::native::", "at::native::<>",
        "_ZN2at6nativ", "_ZL9999999999999999999999E", "nccl", "Cijk_", "\n\n",
    ],
)  # fmt: skip
def test_any_text_has_a_kind(name):
    assert kind_of(name) in KINDS


REPEATED = (
    "a", "A", "aA", "_", "9", "1a", "9a", "S", "S_", "L", "La", "Li1E", "<", "(", "::", "x<", "void ", "-", "a-",
    "all-", "loop_", "wrapped_", "triton_poi_", "fused_", "add_", "gemm", "_mm_", "Ⱥ", "nccl", "Memcpy ", ".kd",
    "kernel_cutlass_", "(anonymous namespace)::", "<unnamed>::", "at::native::", "128x128_",
)  # fmt: skip
PREFIXES = ("", "_Z", "_ZN", "triton_poi_", "loop_", "all-", "Cijk_", "void at::native::", "void cutlass::Kernel<")


@pytest.mark.parametrize("piece", REPEATED)
def test_a_name_of_a_million_characters_has_a_kind(piece):
    """A pattern that backtracks would not come back from these."""
    for prefix in PREFIXES:
        assert kind_of(f"{prefix}{piece * (10**6 // len(piece))}") in KINDS


def test_tables_name_kinds_that_exist_and_no_word_twice():
    for rows in (
        attention.ROWS, sequence.ROWS, experts.ROWS, layers.NORMS, layers.QUANTIZATION, layers.LOOKUPS,
        convolutions.ROWS, products.ROWS, general.ROWS, native.HEADS, native.FUNCTORS, native.MULTI_TENSOR,
        compilers.INDUCTOR, compilers.HLO,
    ):  # fmt: skip
        for kind, words in rows:
            assert kind in KINDS
            assert max(Counter(words.split()).values()) == 1
