"""Published numbers carried as facts, with where they stand, in the words a file of rows uses."""

import json
from pathlib import Path

GPT = {"mlp": "gelu", "tied_embeddings": True}
LLAMA = {"mlp": "swiglu", "tied_embeddings": False}
LLAMA_405B = LLAMA | {
    "name": "Llama-3.1-405B", "params": 405853388800, "layers": 126, "d_model": 16384, "heads": 128, "kv_heads": 8,
    "head_dim": 128, "d_ff": 53248, "vocab": 128256,
}  # fmt: skip
LLAMA_8B = LLAMA | {
    "name": "Llama-3.1-8B", "params": 8030261248, "layers": 32, "d_model": 4096, "heads": 32, "kv_heads": 8,
    "head_dim": 128, "d_ff": 14336, "vocab": 128256,
}  # fmt: skip
LLAMA_2_70B = LLAMA | {
    "name": "Llama-2-70B", "params": 68976648192, "layers": 80, "d_model": 8192, "heads": 64, "kv_heads": 8,
    "head_dim": 128, "d_ff": 28672, "vocab": 32000,
}  # fmt: skip
LLAMA_70B = LLAMA_2_70B | {"name": "Llama-3.1-70B", "params": 70553706496, "vocab": 128256}
DEEPSEEK_V3 = {
    "name": "DeepSeek-V3", "mlp": "swiglu", "layers": 61, "d_model": 7168, "heads": 128, "kv_heads": 128,
    "d_ff": 18432, "vocab": 129280, "experts": 256, "experts_per_token": 8, "moe_d_ff": 2048, "shared_experts": 1,
    "first_k_dense": 3, "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "mtp_layers": 1, "active_params": 37e9,
}  # fmt: skip
QWEN3_235B = {
    "name": "Qwen3-235B-A22B", "mlp": "swiglu", "layers": 94, "d_model": 4096, "heads": 64, "kv_heads": 4,
    "head_dim": 128, "d_ff": 12288, "vocab": 151936, "experts": 128, "experts_per_token": 8, "moe_d_ff": 1536,
}  # fmt: skip
GPT_OSS = {
    "name": "gpt-oss-120b", "mlp": "swiglu", "layers": 36, "d_model": 2880, "heads": 64, "kv_heads": 8,
    "head_dim": 64, "d_ff": 2880, "vocab": 201088, "experts": 128, "experts_per_token": 4, "sliding_window": 128,
}  # fmt: skip
PALM_TEXT = "PaLM Appendix B: MFU = tokens/s * (6N + 12*L*H*Q*T) / (chips*peak); N = all parameters"
KORTHIKANTI_TEXT = "Korthikanti et al. 2022: model FLOPs/iteration = 72*B*s*L*h^2*(1 + s/(6h) + V/(12*L*h))"
NARAYANAN_TEXT = "Narayanan et al. 2021 eq.: F = 96*B*s*l*h^2*(1 + s/(6h) + V/(16*l*h)) per iteration"
FOUNDRY_TEXT = "llmfoundry: model FLOPs/token = 6*NumParams + 12*L*d_model*T; HFU multiplies by 4/3"
BRIDGE_TEXT = "Megatron-Bridge flop_utils; DeepSeek-V3 rows include 1 MTP layer unless labelled otherwise"


def gpt(name: str, layers: int, width: int, heads: int, vocab: int = 51200, **more: object) -> dict:
    """A GPT of Megatron's tables: f = 4h, learned positions, tied."""
    sizes = {"layers": layers, "d_model": width, "heads": heads, "kv_heads": heads, "d_ff": 4 * width, "vocab": vocab}
    return GPT | {"name": name, "head_dim": width // heads} | sizes | more


def row(
    name: str, group: str, convention: str, model: dict, measured: dict, *, count: int = 1, peak: float | None = 312,
    **more: object,
) -> dict:  # fmt: skip
    """One row."""
    hardware = {"count": count, "peak_tflops_used": peak} if peak else {"count": count}
    workload = more.pop("workload", {})
    base = {"id": name, "group": group, "kind": "train_mfu", "quality": "A", "recalled": False}
    found = {"model": model, "hardware": hardware, "workload": workload, "measured": measured}
    return base | found | {"convention": convention} | more


def palm() -> list[dict]:
    """PaLM, arXiv 2204.02311, table 3: tokens a second, chips and printed MFU."""
    palm540 = {
        "name": "PaLM 540B", "params": 540.35e9, "layers": 118, "d_model": 18432, "heads": 48, "kv_heads": 1,
        "head_dim": 256, "d_ff": 73728, "vocab": 256000, "mlp": "swiglu", "tied_embeddings": True,
    }  # fmt: skip
    mt_nlg = gpt("MT-NLG 530B", 105, 20480, 128, 50272, params=530e9)
    gpt3 = gpt("GPT-3 175B", 96, 12288, 96, 50257, params=174.6e9)
    at = {"workload": {"seq_len": 2048}}
    return [
        row(
            "palm",
            "palm-table3",
            PALM_TEXT,
            palm540,
            {"tokens_per_s": 238300, "mfu_pct": 46.2},
            count=6144,
            peak=275,
            **at,
        ),
        row("mt-nlg", "palm-table3", PALM_TEXT, mt_nlg, {"tokens_per_s": 65430, "mfu_pct": 30.2}, count=2240, **at),
        row(
            "gpt-3",
            "palm-table3",
            PALM_TEXT,
            gpt3,
            {"non_attention_model_tflops_per_gpu": 24.6, "mfu_pct": 21.3},
            count=10000,
            peak=125,
            published_issue="printed MFU is 5 % above what the printed throughput gives",
            **at,
        ),
    ]


STEP = {"seq_len": 2048, "activation_recompute": "selective(attention core)"}


def korthikanti() -> list[dict]:
    """arXiv 2205.05198, table 5: seconds a step, MFU and HFU on A100."""
    table = (
        ("22B", gpt("GPT-22B", 48, 6144, 64), 1.1, 41.5, 43.7, 4, 8),
        ("175B", gpt("GPT-175B", 96, 12288, 96), 13.75, 51.4, 52.8, 64, 64),
        ("530B", gpt("GPT-530B", 105, 20480, 128), 37.83, 56.0, 57.0, 280, 280),
        ("1T", gpt("GPT-1T", 128, 25600, 160), 71.49, 56.3, 57.0, 512, 512),
    )
    return [
        row(
            f"korthikanti-{name}",
            "korthikanti",
            KORTHIKANTI_TEXT,
            model,
            {"step_time_s": step, "mfu_pct": mfu, "hfu_pct": hfu},
            count=count,
            workload=STEP | {"global_batch": batch},
        )
        for name, model, step, mfu, hfu, batch, count in table
    ]


def narayanan() -> list[dict]:
    """arXiv 2104.04473: table 1 (TFLOP/s over the peak), table 2 (days), Megatron-LM's table of 2020 (step time)."""
    v100 = {"step_time_s": 1.093, "hardware_tflops_per_gpu": 64.2}
    days = {"hardware_tflops_per_gpu": 138, "training_days_300B_tokens": 169}
    at = {"seq_len": 2048, "activation_checkpointing": True}
    return [
        row(
            "table1-1T",
            "megatron",
            NARAYANAN_TEXT,
            gpt("GPT-1T", 128, 25600, 160),
            {"hardware_tflops_per_gpu": 163, "hfu_pct": 52},
            count=3072,
            workload=at,
        ),
        row(
            "v100-2B",
            "megatron",
            "96*B*s*l*h^2*(1+s/6h+V/16lh) with s=1024",
            gpt("GPT2-2B", 30, 2304, 18),
            v100,
            count=2,
            peak=125,
            workload={"seq_len": 1024, "global_batch": 8},
        ),
        row(
            "table2-530B",
            "megatron",
            "training time ~= 8*T*P/(n*X) with T=300e9 tokens",
            gpt("GPT-530B", 105, 20480, 128, params=529.6e9),
            days,
            count=640,
            workload=at,
        ),
        row(
            "bloom-176B",
            "bloom",
            "HARDWARE TFLOP/s: 4*2 coefficient (full recompute)",
            gpt("BLOOM-176B", 70, 14336, 112, 250880),
            {"log_tflops_example": 149.77, "log_samples_per_s_example": 19.561},
            count=384,
            workload=at,
        ),
    ]


def foundry() -> list[dict]:
    """mosaicml/llm-foundry:scripts/train/benchmarking/README.md."""
    mpt70 = gpt("MPT-70b", 80, 8192, 64, 50368, params=64862437376, max_seq_len_learned_pos=2048)
    mpt3 = gpt("MPT-3b", 32, 2560, 20, 50368, params=2730480640, max_seq_len_learned_pos=32768)
    large = {"mfu_pct": 41.25, "hfu_pct": 55.0, "tokens_per_s": 515636}
    long = {"mfu_pct": 14.38, "hfu_pct": 19.18, "tokens_per_s": 46853}
    return [
        row(
            "mpt-70b",
            "llmfoundry",
            FOUNDRY_TEXT,
            mpt70,
            large,
            count=512,
            peak=989.5,
            workload={"seq_len": 2048, "activation_checkpointing": True},
        ),
        row(
            "mpt-3b-32k",
            "llmfoundry",
            FOUNDRY_TEXT,
            mpt3,
            long,
            count=8,
            peak=1979,
            workload={"seq_len": 32768, "activation_checkpointing": True},
        ),
    ]


def bridge() -> list[dict]:
    """NVIDIA-NeMo/Megatron-Bridge:docs/performance-summary.md, several releases: tokens/s and TFLOP/s of one GPU."""
    table = (
        ("405b", "26.06", LLAMA_405B, 8192, 843, 2129, "", {}),
        ("dsv3", "26.06", DEEPSEEK_V3, 4096, 4969, 1292, "", {}),
        ("dsv3-without", "25.11", DEEPSEEK_V3, 4096, 4018, 1003, 'row label "DeepSeekV3 (w/o MTP)"', {}),
        ("qwen3", "26.06", QWEN3_235B, 4096, 9015, 1335, "", {}),
        ("gpt-oss", "26.06", GPT_OSS, 4096, 33166, 1081, "", {}),
        ("gpt-oss-before", "26.04", GPT_OSS, 4096, 19275, 524, "", {}),
        ("lora", "26.06", LLAMA_70B, 4096, 6206, 1731, "", {"task": "LoRA"}),
    )
    return [
        row(
            f"bridge-{name}",
            f"megatron-bridge/{release}/pretrain",
            BRIDGE_TEXT,
            model,
            {"tokens_per_s_per_gpu": rate, "model_tflops_per_gpu": done},
            peak=5000,
            notes=notes,
            workload={"seq_len": seq} | more,
        )
        for name, release, model, seq, rate, done, notes, more in table
    ]


def others() -> list[dict]:
    """torchtitan, MaxText, TPU recipes, FlashAttention-2, Llama 3, DGX Cloud."""
    old = "torchtitan (April 2024): 6*(ALL params incl. input embedding) + 12*L*d*s"
    new = "torchtitan: 6*(params minus input embedding) + 12*L*d*s per token"
    cloud = "MFU = GBS*model_flops_per_sequence/(step*GPUs*peak); FULL (non-causal) attention for Llama-3.1 405B"
    full = {"step_time_s": 9.347, "tokens_per_s": 56092, "mfu_pct": 47.4, "model_flops_per_sequence": 2.17e16}
    return [
        row(
            "titan-a100",
            "torchtitan",
            old,
            LLAMA_2_70B,
            {"tokens_per_s_per_gpu": 355, "mfu_pct": 50.8},
            workload={"seq_len": 4096},
        ),
        row(
            "titan-405b",
            "torchtitan",
            new,
            LLAMA_405B,
            {"tokens_per_s_per_gpu": 177, "mfu_pct": 23.46},
            peak=1978,
            workload={"seq_len": 8192},
        ),
        row(
            "ironwood-dsv3",
            "tpu",
            "MaxText after July 2025: causal-halved attention",
            DEEPSEEK_V3,
            {"tokens_per_s_per_gpu": 2425.75, "model_tflops_per_gpu": 607.53},
            peak=2307,
            workload={"seq_len": 4096},
        ),
        row(
            "v6e-8b",
            "tpu",
            "MaxText; full or causal attention depends on MaxText version",
            LLAMA_8B,
            {"tokens_per_s_per_gpu": 7243.378, "model_tflops_per_gpu": 419.485},
            peak=918,
            workload={"seq_len": 8192},
        ),
        row(
            "v5p-32b",
            "maxtext",
            "MaxText before July 2025: NO causal halving",
            {},
            {"model_tflops_per_gpu": 319, "mfu_pct": 69.43},
            peak=459,
        ),
        row(
            "flash2",
            "flash",
            "6*seqlen*params + 12*L*hidden*seqlen^2 per sequence",
            {},
            {"model_tflops_per_gpu": 225, "mfu_pct": 72.1},
        ),
        row(
            "llama3",
            "llama3",
            "MFU = TFLOP/s / 989; the FLOP count is not stated",
            LLAMA_405B,
            {"model_tflops_per_gpu": 430, "mfu_pct": 43},
            peak=989.4,
        ),
        row(
            "cloud-405b",
            "dgxc",
            cloud,
            LLAMA_405B,
            full,
            count=128,
            peak=2450,
            workload={"seq_len": 8192, "global_batch": 64},
        ),
    ]


def write(folder: Path, rows: list[dict], name: str = "rows.jsonl") -> Path:
    """Rows as a file; gives the folder."""
    (folder / name).write_text("".join(json.dumps(one) + "\n" for one in rows))
    return folder
