"""Worked problems, those of the scaling book and others, in words: each with its own formula beside it."""

import math

import pytest

from flopsight.facts import Unknown
from flopsight.validate.arithmetic.problem import Problem
from flopsight.validate.arithmetic.solve import RULES, solve

L70 = {"L": 80, "D": 8192, "F": 28672, "N": 64, "K": 8, "H": 128, "V": 128256}
SEVENTY, LLAMA_7B = 70e9, 6738415616

PROBLEMS = [
    ("arith-sb-training", "FFW parameters of LLaMA-3-70B (3 matrices per layer)", L70, "params", 80 * 3 * 8192 * 28672),
    ("arith-sb-training", "Vocabulary parameters of LLaMA-3-70B", L70, "params", 2 * 128256 * 8192),
    ("arith-sb-training", "Attention parameters of LLaMA-3-70B", L70, "params", 80 * 8192 * 2 * (64 + 8) * 128),
    ("arith-sb-training", "Training FLOPs per token of LLaMA-3-70B (6N)", {"N": SEVENTY}, "FLOP", 6 * SEVENTY),
    (
        "arith-sb-training",
        "Years to train on one TPU v5p",
        {"flops": 6.3e24, "peak": 4.59e14},
        "years",
        6.3e24 / 4.59e14 / 365 / 86400,
    ),
    (
        "arith-sb-training",
        "Days to train on 8960 TPU v5p at 40% MFU",
        {"flops": 6.3e24, "chips": 8960, "peak": 4.59e14, "mfu": 0.4},
        "days",
        44.3247,
    ),
    ("arith-sb-training", "Parameter bytes (bf16) plus optimizer state (fp32 Adam)", {"N": SEVENTY}, "bytes", 7e11),
    (
        "arith-sb-training",
        "Gradient checkpoints, 4 per layer, batch 4M tokens",
        {"L": 80, "D": 8192, "B": 4e6},
        "bytes",
        2 * 80 * 4e6 * 4 * 8192,
    ),
    (
        "arith-sb-training",
        "Optimal FSDP degree X = sqrt(2BN/F)",
        {"B": 4.19e6, "N": 8960, "F": 28672},
        "way",
        math.sqrt(2 * 4.19e6 * 8960 / 28672),
    ),
    ("arith-sb-inference", "KV cache per token of LLaMA-3-70B, int8", {"L": 80, "K": 8, "H": 128}, "bytes", 163840),
    (
        "arith-sb-inference",
        "KV cache of one 32k-token sequence, int8",
        {"per_token": 162e3, "tokens": 32768},
        "bytes",
        163840 * 32768,
    ),
    (
        "arith-sb-inference",
        "Critical batch, bf16 weights, bf16 FLOPs",
        {"flops": 1.97e14, "bw": 8.1e11, "bytes": 2},
        "tokens",
        1.97e14 / 8.1e11,
    ),
    (
        "arith-sb-inference",
        "LLaMA-3-70B bf16: minimum TPU v5e count to hold the parameters",
        {"N": SEVENTY, "dtype": "bf16", "hbm": 16e9},
        "chips",
        8.75,
    ),
    (
        "arith-sb-inference",
        "LLaMA-3-70B int8: HBM left for KV caches on the 8-chip slice",
        {"N": SEVENTY, "dtype": "int8", "chips": 8, "hbm": 16e9},
        "bytes",
        58e9,
    ),
    (
        "arith-sb-inference",
        "QPS per chip, int8 on 8 chips, batch 43",
        {"bs": 43, "step": 0.019, "tokens": 512, "chips": 8},
        "QPS/chip",
        43 / 0.019 / 512 / 8,
    ),
    (
        "arith-sb-inference",
        "T_math at batch 64: 2BDF/(Y*C)",
        {"B": 64, "D": 8192, "F": 28672, "Y": 32, "C": 1.97e14},
        "s",
        2 * 64 * 8192 * 28672 / 32 / 1.97e14,
    ),
    ("arith-sb-transformers", "... fraction of parameters in attention", {"D": 4096, "F": 16384}, "fraction", 0.25),
    ("arith-sb-transformers", "DeepSeek-V3: total training FLOPs", {}, "FLOP", 6 * 37e9 * 14.8e12),
    ("arith-sb-transformers", "DeepSeek-V3: FLOPs utilization", {}, "fraction", 0.216207),
    ("arith-sb-train2", "LLaMA-2-13B attention parameters", {"L": 40, "D": 5120}, "params", 40 * 4 * 5120**2),
    ("arith-sb-roofline", "Critical batch, int8 weights with int8 FLOPs", {}, "tokens", 3.94e14 / 8.1e11 / 2),
    ("arith-sb-tpus", "CPU hosts of a TPU v5e pod", {}, "hosts", 32),
    ("arith-sb-tpus", "bf16 FLOP/s of a TPU v5p pod (4.5e14)", {}, "FLOP/s", 8960 * 4.5e14),
    ("arith-sb-tpus", "FLOPs of int8[128k,128k] x bf16[8,128k]", {}, "FLOP", 2 * 8 * 131072**2),
    ("arith-sb-tpus", "PCIe load of 8 GB over 8 links of 1.5e10 B/s", {}, "s", 8e9 / 8 / 1.5e10),
    ("arith-sb-tpus", "First byte from TPU{0,0} to TPU{3,3} on a v5e 4x4, 1 us/hop", {}, "s", 6e-6),
    (
        "arith-sb-inf2",
        "... decode step, batch 256",
        {"bs": 256, "kv": 819e6, "params": 30e9, "chips": 16, "bw": 8.1e11, "flops": 1.97e14},
        "s",
        256 * 819e6 / 16 / 8.1e11 + 2 * 256 * 30e9 / 16 / 1.97e14,
    ),
    (
        "arith-sb-sharding",
        "Per-device bytes of int8[128,2048] sharded over X=2,Y=8 (Z=2 replicated)",
        {},
        "bytes",
        16384,
    ),
    (
        "arith-sb-sharding",
        "Total bytes of int8[128,2048] sharded over X=2,Y=8 (Z=2 replicated)",
        {},
        "bytes",
        2 * 128 * 2048,
    ),
    ("arith-sb-sharding", "AllReduce_Z of the same", {"bw": 9e10}, "s", 4 * 1024 * 4096 / 9e10),
    (
        "arith-memory",
        "GPT-175B parameter+optimizer memory per GPU, 18 bytes/param (GiB)",
        {"L": 96, "d": 12288, "tp": 8, "pp": 8},
        "GiB",
        12 * 96 * 12288**2 * 18 / 64 / 2**30,
    ),
    (
        "arith-memory",
        "GPT-22B activation memory per GPU with sequence parallelism + selective recompute (GiB)",
        {"L": 48, "d": 6144, "tp": 8, "b": 4, "s": 2048},
        "GiB",
        9.5625,
    ),
    (
        "arith-memory",
        "GPT-175B activation memory per GPU, no recompute, no sequence parallelism (GiB)",
        {"L": 96, "d": 12288, "heads": 96, "tp": 8, "pp": 8, "interleave": 3, "b": 1, "s": 2048},
        "GiB",
        66.84375,
    ),
    (
        "arith-llm-analysis",
        "LLaMA-7B ideal prefill latency, 512 tokens, 1x A100-80GB bf16",
        {"N": LLAMA_7B, "tokens": 512, "gpus": 1},
        "s",
        (2 * LLAMA_7B * 512 + 4 * 32 * 4096 * 512**2) / 312e12,
    ),
    (
        "arith-llm-analysis",
        "LLaMA-7B ideal decode latency per token, 1x A100-80GB bf16 (2039 GB/s)",
        {"N": LLAMA_7B, "gpus": 1},
        "s",
        2 * LLAMA_7B / 2039e9,
    ),
    ("arith-palm", "PaLM 540B MFU at 238.3K tokens/s on 6144 TPU v4", {"peak": 275e12, "chips": 6144}, "%", 46.2),
    ("arith-databricks", "MBU: 7B params, 16-bit, TPOT 14 ms, peak 2 TB/s", {}, "fraction", 0.5),
    (
        "arith-semianalysis",
        "Upper bound on tokens/s for 1T dense params, FP16 (2 bytes)",
        {"N": 1e12, "bytes": 2, "bw": 26.8e12},
        "tokens/s",
        13.4,
    ),
]


@pytest.mark.parametrize(
    ("chapter", "question", "inputs", "unit", "answer"), PROBLEMS, ids=[one[1][:50] for one in PROBLEMS]
)
def test_solved(chapter, question, inputs, unit, answer):
    found = solve(Problem(question, inputs, unit, chapter))
    assert not isinstance(found, Unknown), found.why
    assert found.value == pytest.approx(answer, rel=2e-3)


@pytest.mark.parametrize(
    "question",
    [
        "How many angels dance on a needle?", "", "Price of 8 H100 for a year", "Parameters of a model nobody named",
        "Time to first token under load", "(((((" * 200, "KV cache", "2 2 2 2",
    ],
)  # fmt: skip
def test_what_no_rule_understands_is_not_answered(question):
    assert isinstance(solve(Problem(question, {}, "s", "arith-elsewhere")), Unknown)


def test_rules_that_disagree_are_no_answer(monkeypatch):
    from flopsight.validate.arithmetic import solve as module
    from flopsight.validate.arithmetic.problem import Rule

    rules = (Rule("one", "1", lambda p: 1.0), Rule("two", "2", lambda p: 2.0))
    monkeypatch.setattr(module, "RULES", rules)
    found = module.solve(Problem("anything", {}, "s", "x"))
    assert isinstance(found, Unknown)
    assert "disagree" in found.why


def test_the_problem_before_is_seen():
    found = solve(Problem("its MFU on TPU v5p (459)", {}, "%", "elsewhere", earlier=134.924))
    assert not isinstance(found, Unknown)
    assert found.value == pytest.approx(29.395, abs=1e-3)


def test_every_rule_has_a_name_and_a_formula():
    assert all(rule.name and rule.formula for rule in RULES)
