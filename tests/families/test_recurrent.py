"""Recurrent and hybrid decoders: published counts, hand sums, steps that add up, and the framework at small sizes."""

from contextlib import suppress

import pytest

from flopsight.errors import BadConfig
from flopsight.models.ledger import Ledger
from flopsight.models.tree import branch
from flopsight.parts.gated_delta import GatedDelta
from flopsight.parts.mamba2 import StateSpaceDual
from flopsight.workload import Work, Workload
from tests.families.agreement import agrees, steps_add_up, unread
from tests.oracle import compare

BASE = {"vocab_size": 99, "hidden_size": 24, "intermediate_size": 40, "num_attention_heads": 4}
TOKENS = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 1}
GQA = BASE | {"num_key_value_heads": 2}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}

MAMBA = {"model_type": "mamba", "vocab_size": 99, "hidden_size": 20, "num_hidden_layers": 2, "state_size": 3}
MAMBA2 = {
    "model_type": "mamba2", "vocab_size": 99, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 6,
    "num_heads": 4, "head_dim": 8, "n_groups": 2, "chunk_size": 8, "conv_kernel": 3,
}  # fmt: skip
JAMBA = GQA | EXPERTS | {
    "model_type": "jamba", "num_hidden_layers": 5, "attn_layer_period": 3, "attn_layer_offset": 1, "mamba_d_state": 5,
    "mamba_d_conv": 3,
}  # fmt: skip
BAMBA = GQA | {
    "model_type": "bamba", "num_hidden_layers": 3, "mamba_n_heads": 6, "mamba_d_state": 5, "mamba_n_groups": 2,
    "mamba_chunk_size": 8,
}  # fmt: skip
GRANITE = BAMBA | {
    "model_type": "granitemoehybrid", "layer_types": ["mamba", "attention", "mamba"], "num_local_experts": 4,
    "num_experts_per_tok": 2, "shared_intermediate_size": 18,
}  # fmt: skip
FALCON_H1 = BAMBA | {"model_type": "falcon_h1", "mamba_d_ssm": 36}
NEMOTRON = GQA | {
    "model_type": "nemotron_h", "head_dim": 8, "mamba_num_heads": 6, "mamba_head_dim": 4, "n_groups": 3,
    "ssm_state_size": 5, "chunk_size": 8, "moe_intermediate_size": 10, "moe_shared_expert_intermediate_size": 14,
    "n_routed_experts": 4, "num_experts_per_tok": 2,
}  # fmt: skip
ZAMBA = BASE | {
    "model_type": "zamba", "num_key_value_heads": 4, "num_hidden_layers": 8, "attn_layer_period": 3,
    "attn_layer_offset": 1, "mamba_d_state": 5, "n_mamba_heads": 2,
}  # fmt: skip
ZAMBA2 = BASE | {
    "model_type": "zamba2", "num_hidden_layers": 8, "num_mem_blocks": 2, "n_mamba_heads": 6, "mamba_d_state": 5,
    "mamba_ngroups": 2, "chunk_size": 8, "adapter_rank": 3,
    "layers_block_type": ["mamba", "hybrid", "hybrid", "mamba", "hybrid", "hybrid", "hybrid", "mamba"],
}  # fmt: skip
QWEN = GQA | EXPERTS | {
    "model_type": "qwen3_next", "num_hidden_layers": 5, "head_dim": 8, "linear_conv_kernel_dim": 3,
    "linear_key_head_dim": 6, "linear_value_head_dim": 10, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "moe_intermediate_size": 10, "shared_expert_intermediate_size": 14,
}  # fmt: skip
DENSE_QWEN = {
    k: v for k, v in QWEN.items() if k in GQA or k.startswith("linear") or k in ("num_hidden_layers", "head_dim")
}
MINIMAX = GQA | {
    "model_type": "minimax", "num_hidden_layers": 3, "head_dim": 8, "block_size": 16, "num_local_experts": 4,
    "num_experts_per_tok": 2,
}  # fmt: skip
LATENT = BASE | TOKENS | {
    "num_key_value_heads": 4, "moe_intermediate_size": 10, "num_hidden_layers": 5, "kv_lora_rank": 12,
    "qk_rope_head_dim": 4, "qk_nope_head_dim": 6, "v_head_dim": 10, "num_experts_per_tok": 2,
}  # fmt: skip
KIMI = LATENT | {
    "model_type": "kimi_linear", "num_local_experts": 4, "linear_head_dim": 7, "linear_num_heads": 3,
    "linear_conv_kernel_dim": 3,
}  # fmt: skip
LISTED = {
    "full_attn_layers": [2, 5], "kda_layers": [1, 3, 4], "head_dim": 5, "num_heads": 2, "short_conv_kernel_size": 4,
}  # fmt: skip
BAILING = LATENT | {
    "model_type": "bailing_hybrid", "num_experts": 4, "head_dim": 7, "layer_group_size": 3, "n_group": 1,
    "topk_group": 1,
}  # fmt: skip
OLMO = BASE | TOKENS | {"model_type": "olmo_hybrid", "hidden_size": 32, "num_hidden_layers": 5}
GRIFFIN = BASE | {"model_type": "recurrent_gemma", "num_hidden_layers": 5, "attention_window_size": 7}
LFM = GQA | TOKENS | {"model_type": "lfm2", "num_hidden_layers": 4}
LFM_TYPES = ["conv", "full_attention", "conv", "conv"]
LFM_MOE = LFM | EXPERTS | {"model_type": "lfm2_moe", "layer_types": LFM_TYPES, "moe_intermediate_size": 10}
LFM3 = LFM | {"model_type": "lfm3", "sliding_window": 5, "num_hidden_layers": 6, "head_dim": 8}
RWKV = {"model_type": "rwkv", "vocab_size": 99, "hidden_size": 24, "num_hidden_layers": 3}
RWKV5 = RWKV | {"model_type": "rwkv5", "head_size": 8}
XLSTM = {
    "model_type": "xlstm",
    "vocab_size": 99,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_heads": 4,
    "chunk_size": 16,
}

BIASED = {"attention_bias": True, "mlp_bias": True, "mamba_proj_bias": True}
FRAMEWORK = {
    "mamba": MAMBA,
    "mamba biased, untied": MAMBA | {
        "use_bias": True, "use_conv_bias": False, "time_step_rank": 4, "tie_word_embeddings": False, "conv_kernel": 3,
    },
    "falcon mamba": MAMBA | {"model_type": "falcon_mamba", "expand": 3},
    "mamba2": MAMBA2,
    "mamba2 biased, tied": MAMBA2 | {"use_bias": True, "use_conv_bias": False, "tie_word_embeddings": True},
    "jamba": JAMBA,
    "jamba dense": JAMBA | {
        "num_experts": 1, "mamba_proj_bias": True, "mamba_conv_bias": False, "tie_word_embeddings": True,
    },
    "bamba": BAMBA | {"attn_layer_indices": [1]},
    "bamba biased": BAMBA | BIASED | {"attn_layer_indices": [0, 2], "mamba_conv_bias": False},
    "bamba without attention": BAMBA,
    "granite": GRANITE,
    "granite dense": GRANITE | BIASED | {
        "num_local_experts": 0, "position_embedding_type": "rope", "tie_word_embeddings": True,
    },
    "granite without layer types": {k: v for k, v in GRANITE.items() if k != "layer_types"},
    "falcon h1": FALCON_H1,
    "falcon h1 biased, normed": FALCON_H1 | BIASED | {
        "mamba_d_ssm": None, "mamba_rms_norm": True, "projectors_bias": True,
    },
    "nemotron pattern": NEMOTRON | {"hybrid_override_pattern": "M-*EM"},
    "nemotron latent experts": NEMOTRON | {
        "layers_block_type": ["mamba", "moe", "attention", "mlp"], "moe_latent_size": 12, "mlp_bias": True,
        "use_bias": True, "use_conv_bias": False,
    },
    "nemotron default": NEMOTRON,
    "zamba": ZAMBA,
    "zamba listed": ZAMBA | {
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"], "num_hidden_layers": 4, "mamba_proj_bias": True,
    },
    "zamba2": ZAMBA2,
    "zamba2 one block, adapters": ZAMBA2 | {
        "use_shared_attention_adapter": True, "use_mem_rope": True, "add_bias_linear": True, "num_mem_blocks": 1,
    },
    "zamba2 a block for each": ZAMBA2 | {"num_mem_blocks": 9},
    "qwen3 next": QWEN,
    "qwen3 next, some dense": QWEN | {
        "mlp_only_layers": [1], "decoder_sparse_step": 2, "full_attention_interval": 2, "attention_bias": True,
        "tie_word_embeddings": True,
    },
    "qwen3.5": DENSE_QWEN | {"model_type": "qwen3_5_text"},
    "qwen3.5 moe": QWEN | {"model_type": "qwen3_5_moe_text", "attention_bias": True},
    "minimax": MINIMAX,
    "minimax listed": MINIMAX | {
        "layer_types": ["linear_attention", "full_attention", "linear_attention"], "head_dim": None,
        "tie_word_embeddings": True,
    },
    "kimi linear": KIMI,
    "kimi linear listed": KIMI | {"q_lora_rank": 9, "linear_attn_config": LISTED, "first_k_dense_replace": 2},
    "olmo hybrid": OLMO,
    "olmo hybrid listed": OLMO | {
        "num_key_value_heads": 2, "linear_key_head_dim": 6, "linear_value_head_dim": 10, "linear_num_key_heads": 2,
        "linear_num_value_heads": 4, "attention_bias": True,
        "layer_types": ["full_attention", "linear_attention", "full_attention", "linear_attention", "linear_attention"],
    },
    "bailing hybrid": BAILING,
    "bailing hybrid biased": BAILING | {"attention_bias": True},
    "recurrent gemma": GRIFFIN,
    "recurrent gemma wide": GRIFFIN | {
        "lru_width": 32, "attention_bias": True, "num_key_value_heads": 1, "block_types": ["recurrent", "attention"],
        "conv1d_width": 3,
    },
    "lfm2": LFM | {"full_attn_idxs": [1]},
    "lfm2 biased, untied": LFM | {
        "layer_types": LFM_TYPES, "conv_bias": True, "block_auto_adjust_ff_dim": False, "tie_word_embeddings": False,
    },
    "lfm2 older keys": LFM | {
        "block_ff_dim": 700, "block_multiple_of": 10, "block_ffn_dim_multiplier": 1.3, "tie_embedding": False,
    },
    "lfm2 moe": LFM_MOE,
    "lfm2 moe without bias": LFM_MOE | {"use_expert_bias": False, "num_dense_layers": 0},
    "lfm3": LFM3,
    "lfm3 plain": LFM3 | {
        "use_sandwich_norm": False, "use_attention_gate": False, "attention_bias": True, "conv_bias": True,
        "num_hidden_layers": 4, "layer_types": ["conv", "full_attention", "sliding_attention", "conv"],
    },
    "rwkv": RWKV,
    "rwkv narrow, tied": RWKV | {"attention_hidden_size": 30, "intermediate_size": 50, "tie_word_embeddings": True},
    "xlstm": XLSTM,
    "xlstm fused": XLSTM | {"weight_mode": "fused", "use_bias": True, "qk_dim_factor": 0.75},
}  # fmt: skip
EVERY = FRAMEWORK | {"rwkv5": RWKV5}


@pytest.mark.oracle
@pytest.mark.parametrize("name", FRAMEWORK)
def test_tensors_and_flops_are_the_frameworks(name):
    agrees(FRAMEWORK[name], seqs=(1, 16, 37))


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["qwen3 next", "kimi linear", "xlstm", "mamba2", "minimax"])
def test_chunks_are_the_frameworks_at_longer_lengths(name):
    agrees(FRAMEWORK[name], seqs=(64, 130))


@pytest.mark.parametrize("name", EVERY)
def test_a_prefill_is_the_sum_of_its_decode_steps(name):
    steps_add_up(EVERY[name])


@pytest.mark.parametrize("name", EVERY)
def test_every_key_is_read(name):
    assert unread(EVERY[name]) == []


# ------------------------------------------------------------------ published facts

MAMBA_2_8B = {
    "model_type": "mamba", "hidden_size": 2560, "num_hidden_layers": 64, "state_size": 16, "vocab_size": 50280,
    "time_step_rank": 160,
}  # fmt: skip
CODESTRAL = {"model_type": "mamba2", "n_groups": 8, "chunk_size": 256, "vocab_size": 32768}
RECURRENT_GEMMA = {"model_type": "recurrent_gemma", "num_key_value_heads": 1, "intermediate_size": 15360}
QWEN_NEXT = {"model_type": "qwen3_next", "intermediate_size": 5120}
NEMOTRON_8B = {
    "model_type": "nemotron_h", "hybrid_override_pattern": "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-",
}  # fmt: skip
KIMI_48B = {
    "model_type": "kimi_linear", "num_experts": 256, "num_experts_per_token": 8, "num_shared_experts": 1,
    "moe_renormalize": True, "first_k_dense_replace": 1, "head_dim": 72, "mla_use_nope": True, "num_expert_group": 1,
    "linear_attn_config": {
        "full_attn_layers": [4, 8, 12, 16, 20, 24, 27], "head_dim": 128, "num_heads": 32, "short_conv_kernel_size": 4,
        "kda_layers": [1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19, 21, 22, 23, 25, 26],
    },
}  # fmt: skip
# parameters, FLOPs traced at 128 and at 1024 tokens over the whole square
FACTS = {
    "mamba-2.8b": (MAMBA_2_8B, 2_768_345_600, 708_410_081_280, 5_667_225_600_000),
    "mamba-codestral-7b": (CODESTRAL, 7_285_403_648, 2_105_757_663_232, 15_745_500_053_504),
    "recurrentgemma-2b": (RECURRENT_GEMMA, 2_682_862_080, 687_914_147_840, 5_578_467_368_960),
    "qwen3-next-80b-a3b": (QWEN_NEXT, 79_674_391_296, 937_241_083_904, 7_678_267_752_448),
    "nemotron-h-8b": (NEMOTRON_8B, 8_100_852_736, 1_969_701_388_288, 15_820_165_611_520),
}


@pytest.mark.parametrize("name", FACTS)
def test_published_models(name):
    raw, params, short, long = FACTS[name]
    ledger = compare.ours(raw)
    assert ledger.params == params
    assert [compare.our_flops(ledger, n) for n in (128, 1024)] == [short, long]


def test_lines_of_the_breakdown():
    assert compare.ours(MAMBA_2_8B).by_kind == {"embedding": 128_716_800, "norm": 166_400, "mixer": 2_639_462_400}
    assert compare.ours(RECURRENT_GEMMA).by_kind == {
        "embedding": 655_360_000, "norm": 135_680, "mixer": 377_994_240, "mlp": 1_534_008_320, "attention": 115_363_840,
    }  # fmt: skip


def test_kimi_linear_48b_has_its_published_size():
    ledger = compare.ours(KIMI_48B)
    assert ledger.params + ledger.buffers == 49_122_681_728
    assert unread(KIMI_48B) == []


def test_rwkv_5_world_3b_has_its_published_size_untied():
    raw = {"model_type": "rwkv5", "hidden_size": 2560, "num_hidden_layers": 32, "vocab_size": 65536, "head_size": 64}
    assert compare.ours(raw | {"tie_word_embeddings": False}).params == 3_062_999_040


# ------------------------------------------------------------------ sums by hand


def only(part, work):
    return next(op for op in part.ops(work) if op.engine == "matrix")


def test_mamba2_forms():
    # 2 heads of 3 channels, 5 states, 1 group, chunks of 4; 6 tokens are two chunks, the second half full
    part = StateSpaceDual(heads=2, width=3, states=5, groups=1, chunk=4)
    op = only(part, Work(1, 6))
    assert op.required == 4 * 6 * 30
    assert op.full == 2 * (2 * (2 * 16 * 8 + 4 * 4 * 15) + 2 * 9 * 15)
    area = (4 * 5 + 2 * 3) // 2
    assert op.executed == 2 * area * (5 + 2 * 3) + 4 * 6 * 30
    step = only(part, Work(1, 1, past=9, absorbed=True))
    assert (step.required, step.full, step.executed) == (120, 120, 120)
    assert (step.cache_reads, step.cache_writes, part.cache().fixed) == (30, 30, 30)


def test_delta_rule_forms():
    part = GatedDelta(heads=2, key_width=3, value_width=5, chunk=4)
    op = only(part, Work(1, 6))
    assert op.required == 6 * 6 * 30
    assert op.full == 2 * 2 * (16 * (4 * 3 + 2 * 5) + 6 * 4 * 15)
    assert op.executed == 2 * 2 * (16 * (6 * 3 + 4 * 5) + 6 * 4 * 15 + 64 // 3)


def test_nothing_but_attention_grows_with_the_context():
    assert compare.ours(MAMBA_2_8B).cache_per_token == 0
    assert compare.ours(MAMBA_2_8B).cache_fixed == 64 * 5120 * (16 + 3)
    assert compare.ours(ZAMBA2).cache_per_token == 5 * 2 * 4 * 12


def test_shared_blocks_are_stored_once_and_run_often():
    once, often = compare.ours(ZAMBA2 | {"num_mem_blocks": 9}), compare.ours(ZAMBA2 | {"num_mem_blocks": 1})
    assert often.params < once.params
    assert compare.our_flops(often, 11) == compare.our_flops(once, 11)


def test_the_released_names_of_zamba2_mean_the_same():
    older = {
        k: v
        for k, v in ZAMBA2.items()
        if k not in ("n_mamba_heads", "mamba_d_state", "adapter_rank", "intermediate_size")
    }
    older |= {"mamba_headdim": 8, "state_size": 5, "lora_rank": 3, "ffn_hidden_size": 40}
    assert compare.ours(older).by_kind == compare.ours(ZAMBA2).by_kind


def test_the_original_names_of_minimax_mean_the_same():
    older = {k: v for k, v in MINIMAX.items() if k != "block_size"} | {
        "model_type": "minimax_text_01",
        "attn_type_list": [1, 0, 1],
    }
    assert compare.ours(older).params == compare.ours(MINIMAX).params


# ------------------------------------------------------------------ further tokens


def stored(node):
    return sum(row.elements * leaf.stored for leaf in Ledger(Holder(node)).leaves for row in leaf.part.tensors())


class Holder:
    """As much of a model as a ledger's leaves need."""

    def __init__(self, node):
        self.root = branch("", node)


def test_qwens_further_layer():
    model = compare.ours(QWEN | {"mtp_num_hidden_layers": 1}).model
    layer = 4 * 24 + 2 * 24 * 24 + 24  # norms of both inputs, of the layer and at the end: 5; and [2d -> d]
    attention = 24 * (64 + 16 + 16) + 32 * 24 + 2 * 8
    experts = 24 * 4 + 4 * 3 * 24 * 10 + 3 * 24 * 14 + 24
    assert stored(model.mtp) == layer + attention + experts
    assert compare.ours(QWEN).model.mtp is None


def test_nemotrons_further_layers():
    raw = NEMOTRON | {"hybrid_override_pattern": "M*", "num_nextn_predict_layers": 1}
    model = compare.ours(raw | {"mtp_layers_block_type": ["attention", "moe"]}).model
    norms, start = 5 * 24, 2 * 24 * 24
    attention = 24 * (32 + 16 + 16) + 32 * 24
    experts = 24 * 4 + 4 * 2 * 24 * 10 + 2 * 24 * 14
    assert stored(model.mtp) - 4 == norms + start + attention + experts  # 4 correction values are a buffer


# ------------------------------------------------------------------ hostile files

WRONG = (0, -1, None, True, 1.5, "x", [], {}, float("nan"), float("inf"), 10**30, [0], ["?"], "MMX", [None])


@pytest.mark.parametrize("name", EVERY)
def test_hostile_values_never_leave_a_traceback(name):
    raw = EVERY[name]
    for key in raw:
        for value in WRONG:
            if key != "model_type":
                with suppress(BadConfig):
                    ledger = compare.ours(raw | {key: value})
                    ledger.total(Workload("decode", 1, 1, 5))


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (MAMBA2 | {"num_heads": 5}, "num_heads"),
        (MAMBA2 | {"n_groups": 3}, "n_groups"),
        (BAMBA | {"mamba_d_head": 7}, "mamba_n_heads"),
        (JAMBA | {"attn_layer_offset": 3}, "attn_layer_offset"),
        (GRANITE | {"layer_types": ["mamba", "swamp", "mamba"]}, "layer_types"),
        (NEMOTRON | {"hybrid_override_pattern": "MXM"}, "hybrid_override_pattern"),
        (KIMI | {"linear_attn_config": LISTED | {"kda_layers": [1, 3]}}, "kda_layers"),
        (QWEN | {"linear_num_key_heads": 3}, "linear_num_key_heads"),
        (RWKV5 | {"head_size": 7}, "head_size"),
    ],
)
def test_impossible_shapes_are_named(raw, key):
    with pytest.raises(BadConfig, match=key):
        compare.ours(raw)
