"""Decoders with routed experts: published counts exactly, and the framework tensor by tensor at small sizes."""

import json
import pathlib
from contextlib import suppress
from dataclasses import replace

import pytest

from flopsight.errors import BadConfig
from flopsight.models.config import Config
from flopsight.models.families import family
from flopsight.models.ledger import Ledger
from flopsight.workload import Workload

FACTS = json.loads((pathlib.Path(__file__).parent.parent / "data" / "routed_facts.json").read_text())

BASE = {
    "vocab_size": 97, "hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 6, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
WIDE = BASE | {"head_dim": 10}
INNER = {"moe_intermediate_size": 14}
ROUTED = {"n_routed_experts": 8, "num_experts_per_tok": 3, "n_shared_experts": 2, "n_group": 2, "topk_group": 1}
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 3}
LOCAL = {"num_local_experts": 8, "num_experts_per_tok": 3}
LATENT = {
    "q_lora_rank": 12, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 6,
    "num_key_value_heads": 4,
}  # fmt: skip
INDEX = {"index_n_heads": 3, "index_head_dim": 8, "index_topk": 5}
WINDOW = {"sliding_window": 7}
V4 = {
    "vocab_size": 97, "hidden_size": 24, "moe_intermediate_size": 14, "num_hidden_layers": 6, "num_attention_heads": 4,
    "num_key_value_heads": 1, "head_dim": 16, "q_lora_rank": 12, "num_experts_per_tok": 3, "n_routed_experts": 8,
    "n_shared_experts": 1, "hc_mult": 3, "sliding_window": 7, "o_groups": 2, "o_lora_rank": 5, "index_n_heads": 3,
    "index_head_dim": 8, "index_topk": 3,
}  # fmt: skip
DENSE_SPARSE = ["dense", "sparse"] * 3
SLIDE_FULL = ["sliding_attention", "full_attention"] * 3

# what the framework can build and trace on the meta device
TRACED = {
    "mixtral": [WIDE | LOCAL, WIDE | LOCAL | WINDOW | {"tie_word_embeddings": True}],
    "phimoe": [WIDE | LOCAL | WINDOW | {"num_experts_per_tok": 2, "attention_bias": True, "lm_head_bias": True}],
    "minimax_m2": [WIDE | LOCAL],
    "olmoe": [BASE | EXPERTS | {"attention_bias": True}, BASE | EXPERTS],
    "flex_olmo": [WIDE | EXPERTS],
    "aria_text": [WIDE | {"moe_num_experts": 8, "moe_topk": 3, "moe_num_shared_experts": 2}],
    "qwen2_moe": [
        WIDE | EXPERTS | INNER
        | {"shared_expert_intermediate_size": 9, "decoder_sparse_step": 2, "mlp_only_layers": [3]},
        WIDE | EXPERTS | INNER | WINDOW
        | {"shared_expert_intermediate_size": 9, "qkv_bias": False, "use_sliding_window": True, "max_window_layers": 4},
    ],
    "qwen3_moe": [WIDE | EXPERTS | INNER | {"mlp_only_layers": [0, 3], "attention_bias": True}, WIDE | EXPERTS | INNER],
    "mellum": [WIDE | EXPERTS | INNER | WINDOW | {"mlp_layer_types": DENSE_SPARSE, "layer_types": SLIDE_FULL}],
    "flint": [WIDE | EXPERTS | INNER | WINDOW | {"shared_expert_intermediate_size": 9}],
    "gpt_oss": [WIDE | LOCAL | WINDOW, WIDE | LOCAL | WINDOW | {"attention_bias": False}],
    "granitemoe": [WIDE | LOCAL | {"attention_bias": True}],
    "granitemoeshared": [WIDE | LOCAL | {"shared_intermediate_size": 13}],
    "granitemoe_swa": [WIDE | LOCAL | WINDOW | {"shared_intermediate_size": 13}],
    "ernie4_5_moe": [
        WIDE | INNER | {
            "moe_num_experts": 8, "moe_k": 3, "moe_num_shared_experts": 2, "use_bias": True, "moe_layer_interval": 2,
            "moe_layer_start_index": 2, "moe_layer_end_index": 4,
        },
        WIDE | INNER | {"moe_num_experts": 8, "moe_k": 3, "moe_num_shared_experts": 0},
    ],
    "hunyuan_v1_moe": [WIDE | {"num_experts": 8, "moe_topk": [3] * 6, "attention_bias": True}],
    "mimo_v2_flash": [
        WIDE | INNER | ROUTED | WINDOW
        | {"n_shared_experts": None, "num_attention_heads": 8, "v_head_dim": 6, "attention_bias": True},
        WIDE | INNER | ROUTED | {
            "n_shared_experts": None, "v_head_dim": 6, "layer_types": SLIDE_FULL, "mlp_layer_types": DENSE_SPARSE,
        },
    ],
    "minimax_m3_vl_text": [
        WIDE | LOCAL | {
            "dense_intermediate_size": 15, "shared_intermediate_size": 9, "index_n_heads": 2, "index_head_dim": 10,
            "index_block_size": 4, "index_topk_blocks": 2, "mlp_layer_types": DENSE_SPARSE,
            "layer_types": ["full_attention"] * 2 + ["minimax_m3_sparse"] * 4,
        },
    ],
    "glm4_moe": [
        WIDE | INNER | ROUTED | {"first_k_dense_replace": 2, "use_qk_norm": True, "attention_bias": True},
        WIDE | INNER | ROUTED | {"tie_word_embeddings": True},
    ],
    "solar_open": [WIDE | INNER | ROUTED | {"attention_bias": True}],
    "dots1": [WIDE | INNER | ROUTED | WINDOW | {"max_window_layers": 3, "attention_bias": True}],
    "exaone_moe": [
        WIDE | INNER | EXPERTS | WINDOW | {"num_shared_experts": 2},
        WIDE | INNER | EXPERTS | WINDOW | {"sliding_window_pattern": 2, "mlp_layer_types": DENSE_SPARSE},
    ],
    "hy_v3": [WIDE | INNER | EXPERTS | {"num_shared_experts": 2, "attention_bias": True, "mlp_bias": True}],
    "kolibri1": [WIDE | INNER | EXPERTS | WINDOW | {"shared_expert_intermediate_size": 9}],
    "afmoe": [
        WIDE | INNER | EXPERTS | WINDOW | {"num_shared_experts": 2, "num_dense_layers": 2, "attention_bias": True},
    ],
    "laguna": [
        WIDE | INNER | EXPERTS | WINDOW
        | {"shared_expert_intermediate_size": 9, "num_attention_heads_per_layer": [4, 8, 4, 2, 4, 6]},
        WIDE | INNER | EXPERTS | {"shared_expert_intermediate_size": 9, "gating": "per-element"},
    ],
    "cohere2_moe": [
        WIDE | EXPERTS | WINDOW
        | {"num_shared_experts": 2, "first_k_dense_replace": 2, "prefix_dense_intermediate_size": 11},
        WIDE | EXPERTS | WINDOW | {"tie_word_embeddings": False, "attention_bias": True},
    ],
    "deepseek_v2": [
        BASE | LATENT | INNER | ROUTED | {"q_lora_rank": None, "first_k_dense_replace": 1},
        BASE | LATENT | INNER | ROUTED | {"attention_bias": True, "mlp_bias": True, "first_k_dense_replace": 1},
    ],
    "deepseek_v3": [
        BASE | LATENT | INNER | ROUTED | {"first_k_dense_replace": 2},
        BASE | LATENT | INNER | ROUTED | {"q_lora_rank": None, "first_k_dense_replace": 6, "attention_bias": True},
    ],
    "glm4_moe_lite": [BASE | LATENT | INNER | ROUTED],
    "mistral4": [BASE | LATENT | INNER | ROUTED | {"first_k_dense_replace": 1}],
    "axk1": [BASE | LATENT | INNER | ROUTED | {"first_k_dense_replace": 2, "moe_layer_freq": 2}],
    "deepseek_v32": [BASE | LATENT | INDEX | INNER | ROUTED | {"first_k_dense_replace": 1, "attention_bias": True}],
    "glm_moe_dsa": [
        BASE | LATENT | INDEX | INNER | ROUTED | {"index_topk_freq": 3, "index_skip_topk_offset": 2},
        BASE | LATENT | INDEX | INNER | ROUTED | {"index_topk_pattern": "FSSFSF"},
    ],
    "axk2": [BASE | LATENT | INDEX | INNER | ROUTED | {"gated_norm_rank": 5, "first_k_dense_replace": 2}],
    "hy_v4": [BASE | LATENT | INDEX | INNER | ROUTED | {"hc_mult": 3, "mlp_layer_types": DENSE_SPARSE}],
    "deepseek_v4": [
        V4 | {"compress_ratios": [0, 4, 128, 4, 0, 128, 0], "compress_rate_hca": 8, "num_hash_layers": 2},
        V4 | {"num_hidden_layers": 5, "hc_mult": 4, "o_groups": 4},
    ],
}  # fmt: skip

# the framework's forward needs values, or runs experts that were not chosen
RUN = {
    "jetmoe": [
        {
            "vocab_size": 97, "hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 3,
            "num_key_value_heads": 2, "kv_channels": 10, "num_local_experts": 5, "num_experts_per_tok": 3,
        },
    ],
    "dbrx": [
        {
            "vocab_size": 97, "d_model": 24, "n_heads": 4, "n_layers": 3,
            "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8},
            "ffn_config": {"ffn_hidden_size": 14, "moe_num_experts": 5, "moe_top_k": 2},
        },
    ],
}  # fmt: skip
LLAMA4 = [
    WIDE | LOCAL | {"intermediate_size_mlp": 18, "interleave_moe_layer_step": 2, "attention_chunk_size": 5},
    WIDE | LOCAL | {
        "intermediate_size_mlp": 18, "moe_layers": [0, 4], "no_rope_layers": [1, 0, 1, 1, 0, 1], "use_qk_norm": False,
        "attention_bias": True, "tie_word_embeddings": True,
    },
]  # fmt: skip
LONGCAT = {k: v for k, v in (BASE | LATENT).items() if k not in ("num_hidden_layers", "intermediate_size")} | {
    "num_layers": 2, "ffn_hidden_size": 20, "expert_ffn_hidden_size": 14, "moe_topk": 3, "n_routed_experts": 8,
    "zero_expert_num": 4, "attention_bias": True, "head_dim": 4,
}  # fmt: skip
STEP = WIDE | {
    "num_attention_groups": 2, "moe_num_experts": 8, "moe_top_k": 3, "moe_intermediate_size": 14, "share_expert_dim": 9,
    "sliding_window": 7, "moe_layers_enum": "3,4", "attention_other_setting": {"num_attention_heads": 6},
    "num_hidden_layers": 5, "layer_types": [*SLIDE_FULL[1:], "sliding_attention"], "num_nextn_predict_layers": 1,
}  # fmt: skip
REMOTE = {
    "deepseek": [BASE | INNER | ROUTED | {"first_k_dense_replace": 1}],
    "grok-1": [BASE | EXPERTS],
    "arctic": [BASE | LOCAL | {"parallel_attn_mlp_res": True, "moe_layer_frequency": 2}],
    "bailing_moe": [BASE | INNER | EXPERTS | {"num_shared_experts": 2}],
    "bailing_moe_v2": [BASE | INNER | EXPERTS | {"num_shared_experts": 1, "num_nextn_predict_layers": 1}],
    "hunyuan": [BASE | {"num_experts": 8, "moe_topk": 1, "use_cla": True, "cla_share_factor": 2}],
}


def listed(table):
    return [
        pytest.param(kind | {"model_type": t}, id=f"{t}-{i}")
        for t, kinds in table.items()
        for i, kind in enumerate(kinds)
    ]


OTHERS = RUN | {"llama4_text": LLAMA4, "longcat_flash": [LONGCAT], "step3p5": [STEP]} | REMOTE
EVERY = listed(TRACED | OTHERS)


def ledger(raw):
    return Ledger(family(raw["model_type"])(Config(raw, raw["model_type"], "test")))


# ---------------------------------------------------------------- published models


@pytest.mark.parametrize("name", FACTS)
def test_parameters_of_published_models(name):
    fact, mine = FACTS[name], ledger(FACTS[name]["config"])
    assert mine.by_kind == fact["breakdown"]
    assert mine.buffers == fact["buffers"]
    assert sum(mine.active_by_kind.values()) == fact["active"]


@pytest.mark.parametrize(("name", "seq"), [(n, s) for n, f in FACTS.items() for s in f["flops"]])
def test_flops_of_published_models(name, seq):
    fact, mine = FACTS[name], ledger(FACTS[name]["config"])
    assert mine.total(Workload("prefill", 1, int(seq), logits="all")).full == fact["flops"][seq]


def test_more_published_totals():
    grok = {
        "model_type": "grok-1", "vocab_size": 131072, "hidden_size": 6144, "intermediate_size": 32768, "num_experts": 8,
        "num_hidden_layers": 64, "num_attention_heads": 48, "num_key_value_heads": 8, "num_experts_per_tok": 2,
    }  # fmt: skip
    assert ledger(grok).by_kind["experts"] == 64 * 8 * 3 * 6144 * 32768
    moe16b = {
        "model_type": "deepseek", "vocab_size": 102400, "hidden_size": 2048, "intermediate_size": 10944,
        "moe_intermediate_size": 1408, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 16,
        "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1,
        "moe_layer_freq": 1, "tie_word_embeddings": False,
    }  # fmt: skip
    assert ledger(moe16b).params == 16_375_728_128


def test_further_token_layer_is_beside_the_model():
    mine = ledger(FACTS["deepseek-v3"]["config"])
    extra = Ledger(replace(mine.model, root=mine.model.mtp))
    d, layer = 7168, 11_507_286_016
    assert extra.params == layer + 2 * d * d + 3 * d
    assert next(n for n, _, _ in extra.tensors() if "eh_proj" in n) == "model.layers.61.eh_proj.weight"


# ---------------------------------------------------------------- any config


@pytest.mark.parametrize("raw", EVERY)
def test_prefill_is_the_sum_of_its_decode_steps(raw):
    mine = ledger(raw)
    whole = mine.total(Workload("prefill", 2, 39, logits="all"))
    steps = [mine.total(Workload("decode", 2, 1, past=i)) for i in range(39)]
    assert whole.required == sum(s.required for s in steps)
    assert whole.elementwise == sum(s.elementwise for s in steps)
    assert whole.required <= whole.full


@pytest.mark.parametrize("raw", EVERY)
@pytest.mark.parametrize("value", [0, -1, float("nan"), "many", 2**60, [], {}, None, True], ids=repr)
def test_hostile_values_are_refused_or_understood(raw, value):
    for key in raw:
        if key == "model_type":
            continue
        with suppress(BadConfig):
            ledger(raw | {key: value})


def brute_blocks(length, size, top):
    return sum(min(q // size, top - 1) * size + q % size + 1 for q in range(length))


@pytest.mark.parametrize("length", [1, 3, 4, 5, 12, 13, 31])
@pytest.mark.parametrize("top", [1, 2, 5])
def test_masks_by_counting(length, top):
    from flopsight.parts.compressed import Entries
    from flopsight.parts.masks import TopBlocks
    from flopsight.workload import Work

    assert TopBlocks(4, top).pairs(Work(1, length)) == brute_blocks(length, 4, top)
    assert Entries(4, top).pairs(Work(1, length)) == sum(min((p + 1) // 4, top) for p in range(length))
    assert Entries(4).pairs(Work(1, length)) == sum((p + 1) // 4 for p in range(length))


# ---------------------------------------------------------------- the framework


@pytest.mark.oracle
@pytest.mark.parametrize("raw", listed(TRACED))
def test_against_the_framework(raw):
    from tests.oracle import compare, framework

    mine, model = compare.ours(raw), framework.build(raw)
    assert not compare.differences(compare.our_parameters(mine), framework.parameters(model))
    assert {n: t.shape for n, t, _ in mine.tensors() if t.buffer} == framework.buffers(model)
    for seq in (5, 16, 39):
        assert compare.our_flops(mine, seq, 2) == framework.flops(model, seq, 2)[0]


@pytest.mark.oracle
@pytest.mark.parametrize("raw", listed(RUN))
def test_against_a_run_of_the_framework(raw):
    from tests.oracle import compare, framework

    mine, model = compare.ours(raw), framework.build(raw)
    assert not compare.differences(compare.our_parameters(mine), framework.parameters(model))
    assert compare.our_flops(mine, 17, 2) == run_flops(model, 17, 2)


@pytest.mark.oracle
@pytest.mark.parametrize("raw", listed({"llama4_text": LLAMA4}))
def test_llama4_runs_experts_nobody_chose(raw):
    from tests.oracle import compare, framework

    mine, model = compare.ours(raw), framework.build(raw)
    assert not compare.differences(compare.our_parameters(mine), framework.parameters(model))
    routed = len(raw.get("moe_layers") or range(1, 6, 2))
    idle = (8 - 3) * 6 * 2 * 16 * 24 * 20 * routed
    assert compare.our_flops(mine, 16, 2) + idle == framework.flops(model, 16, 2)[0]


@pytest.mark.oracle
def test_longcat_but_for_the_zero_experts():
    from tests.oracle import compare, framework

    raw = LONGCAT | {"model_type": "longcat_flash"}
    mine, model = compare.ours(raw), framework.build(raw)
    # the framework stores gate and up of the four zero experts too
    theirs = {n: ((8, *s[1:]) if n.endswith("gate_up_proj") else s) for n, s in framework.parameters(model).items()}
    assert not compare.differences(compare.our_parameters(mine), theirs)
    assert compare.our_flops(mine, 17, 2) == run_flops(model, 17, 2, bar="e_score_correction_bias", real=8)


@pytest.mark.oracle
def test_step_text_decoder():
    import torch
    from transformers import AutoConfig
    from transformers.models.step3p7.modeling_step3p7 import Step3p7TextModel

    from tests.oracle import compare, framework

    mine = compare.ours(STEP | {"model_type": "step3p5"})
    config = AutoConfig.for_model("step3p5", **STEP)
    with torch.device("meta"):
        model = Step3p7TextModel(config)
    theirs = {f"model.{n}": s for n, s in framework.parameters(model).items()} | {"lm_head.weight": (97, 24)}
    assert not compare.differences(compare.our_parameters(mine), theirs)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["deepseek_v3", "glm4_moe", "mellum"])
def test_further_token_layers_against_the_framework(name):
    import torch
    from transformers.modeling_layers import MtpModel

    from tests.oracle import compare, framework

    raw = TRACED[name][0] | {"model_type": name, "num_nextn_predict_layers": 1}
    mine = compare.ours(raw).model
    with torch.device("meta"):
        theirs = MtpModel(framework.build(raw), 1)
    shared = ("embed_tokens", "shared_head")
    sizes = [p.numel() for n, p in theirs.named_parameters() if not any(s in n for s in shared)]
    assert Ledger(replace(mine, root=mine.mtp)).params == sum(sizes)


def run_flops(model, seq, batch, bar="", real=0):
    """FLOPs of a forward pass on the processor with random values; `bar` keeps tokens from routes beyond `real`."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.manual_seed(0)
    model = type(model)(model.config).eval().requires_grad_(False)
    for name, buffer in model.named_buffers():
        if bar and name.endswith(bar):
            buffer[real:] = -1e9
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=torch.randint(0, 97, (batch, seq)), use_cache=False)
    return counter.get_total_flops()
