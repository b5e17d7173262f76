"""Llama, its relatives, Falcon, Gemma, OLMo, Cohere, Phi, GLM and dense latent attention against the framework."""

import pytest

from flopsight.errors import BadConfig
from flopsight.workload import Workload
from tests.families.agreement import agrees, steps_add_up, unread
from tests.oracle.compare import ours

SMALL = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
}  # fmt: skip


def of(model_type, **more):
    return {**SMALL, "model_type": model_type, **more}


ALL_BIASED = {"attention_bias": True, "mlp_bias": True}
ODD_HEAD = {"head_dim": 10}
FALCON = {
    "model_type": "falcon", "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
}  # fmt: skip
MIXED = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]
LATENT = {"kv_lora_rank": 12, "q_lora_rank": 14, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 10}
LATENT["num_key_value_heads"] = 4

VARIANTS = [
    of("llama"),
    of("llama", **ALL_BIASED, **ODD_HEAD, tie_word_embeddings=True, pretraining_tp=2),
    of("llama", num_key_value_heads=None, head_dim=None),
    of("mistral", sliding_window=7),
    of("mistral", sliding_window=None, **ODD_HEAD, **ALL_BIASED),
    of("ministral", layer_types=MIXED, sliding_window=5, **ODD_HEAD),
    of("ministral", head_dim=8),
    of("ministral3", **ODD_HEAD),
    of("qwen2"),
    of("qwen2", use_sliding_window=True, sliding_window=6, max_window_layers=1, tie_word_embeddings=True, **ALL_BIASED),
    of("qwen2", use_sliding_window=True, sliding_window=6, layer_types=MIXED),
    of("qwen3", head_dim=6, attention_bias=True),
    of("qwen3", use_sliding_window=True, sliding_window=6, max_window_layers=2),
    of("internlm3", qkv_bias=False, bias=False),
    of("iquestcoder"),
    of("granite"),
    of("granite", **ALL_BIASED, tie_word_embeddings=True),
    of("granite_swa", sliding_window=6),
    of("granite_swa", sliding_window=6, layer_types=MIXED, tie_word_embeddings=False, **ALL_BIASED),
    of("hyperclovax"),
    of("hyperclovax", use_post_norm=False, **ALL_BIASED, **ODD_HEAD),
    of("helium", head_dim=8, **ALL_BIASED),
    of("seed_oss", **ODD_HEAD),
    of("seed_oss", attention_bias=False, attention_out_bias=True, mlp_bias=True, head_dim=None),
    of("ernie4_5"),
    of("ernie4_5", use_bias=True, tie_word_embeddings=False, head_dim=None),
    of("hunyuan_v1_dense", **ODD_HEAD),
    of("hunyuan_v1_dense", head_dim=8, attention_bias=True, tie_word_embeddings=True),
    of("smollm3"),
    of("smollm3", use_sliding_window=True, sliding_window=5, no_rope_layers=[1, 0, 1, 1], **ALL_BIASED),
    of("cwm", sliding_window=5, **ODD_HEAD),
    of("cwm", layer_types=MIXED, mlp_bias=True),
    of("starcoder2"),
    of("starcoder2", use_bias=False, sliding_window=5, tie_word_embeddings=False),
    of("nemotron"),
    of("nemotron", **ALL_BIASED, **ODD_HEAD),
    of("jais2", **ODD_HEAD),
    of("jais2", attention_bias=False, mlp_bias=False, tie_word_embeddings=True),
    of("arcee"),
    of("arcee", **ALL_BIASED, **ODD_HEAD),
    of("nanochat"),
    of("nanochat", attention_bias=True),
    of("apertus"),
    of("apertus", attention_bias=True, hidden_act="silu"),
    of("bitnet"),
    of("bitnet", attention_bias=True, tie_word_embeddings=True),
    of("diffllama"),
    of("diffllama", num_key_value_heads=4, attention_bias=True),
    of("glm"),
    of("glm", attention_bias=False, **ODD_HEAD),
    of("glm4"),
    of("glm4", attention_bias=False, tie_word_embeddings=True),
    FALCON,
    FALCON | {"multi_query": False, "parallel_attn": False, "bias": True, "alibi": True},
    FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2, "ffn_hidden_size": 50},
    FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
    FALCON | {"parallel_attn": False, "tie_word_embeddings": False},
    of("gemma"),
    of("gemma", **ODD_HEAD, attention_bias=True, tie_word_embeddings=False),
    of("gemma2", sliding_window=6),
    of("gemma2", layer_types=MIXED, sliding_window=6, attention_bias=True, **ODD_HEAD),
    of("gemma3_text", sliding_window=6, sliding_window_pattern=3),
    of("gemma3_text", layer_types=MIXED, sliding_window=6, **ODD_HEAD),
    of("vaultgemma", sliding_window=6),
    of("olmo"),
    of("olmo", attention_bias=True, tie_word_embeddings=True, clip_qkv=8.0),
    of("olmo2"),
    of("olmo2", attention_bias=True, **ODD_HEAD),
    of("olmo3", sliding_window=6),
    of("olmo3", sliding_window=6, layer_types=MIXED, tie_word_embeddings=True),
    of("exaone4", sliding_window=6),
    of("exaone4", sliding_window=6, layer_types=MIXED, **ODD_HEAD),
    of("exaone4", sliding_window=None, layer_types=["full_attention"] * 4),
    of("cohere"),
    of("cohere", use_qk_norm=True, attention_bias=True, tie_word_embeddings=False),
    of("cohere2", sliding_window=6),
    of("cohere2", sliding_window=6, sliding_window_pattern=2, **ODD_HEAD),
    of("phi"),
    of("phi", qk_layernorm=True, num_key_value_heads=None, partial_rotary_factor=0.25),
    of("phi3"),
    of("phi3", sliding_window=6, tie_word_embeddings=True),
    of("stablelm"),
    of("stablelm", qk_layernorm=True, use_parallel_residual=True, use_qkv_bias=True),
    of("doge", keep_window_size=64),
    of("doge", keep_window_size=64, sliding_window=6, tie_word_embeddings=True, **ALL_BIASED, **ODD_HEAD),
    of("doge", keep_window_size=64, is_moe=True, num_experts=50, num_experts_per_tok=3),
    of("hrm_text", **ODD_HEAD),
    of("hrm_text", head_dim=8, num_layers_per_stack=2, H_cycles=3, L_cycles=1, **ALL_BIASED),
    of("minicpm3", **LATENT),
    of("minicpm3", **LATENT | {"v_head_dim": None}, **ALL_BIASED, tie_word_embeddings=False),
    of("youtu", **LATENT),
    of("youtu", **LATENT | {"q_lora_rank": None}, attention_bias=True, tie_word_embeddings=False),
]


@pytest.mark.oracle
@pytest.mark.parametrize("raw", VARIANTS, ids=lambda raw: raw["model_type"])
def test_agrees_with_the_framework(raw):
    agrees(raw, (5, 17))


@pytest.mark.parametrize("raw", VARIANTS, ids=lambda raw: raw["model_type"])
def test_every_key_is_read_and_steps_add_up(raw):
    assert unread(raw) == []
    steps_add_up(raw)


RELEASED = {
    "llama-3.1-8b": (
        of(
            "llama", vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
            num_attention_heads=32, num_key_value_heads=8,
        ),
        8_030_261_248,
    ),
    "qwen2.5-0.5b": (
        of(
            "qwen2", vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
            num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True,
        ),
        494_032_768,
    ),
    "qwen3-8b": (
        of(
            "qwen3", vocab_size=151936, hidden_size=4096, intermediate_size=12288, num_hidden_layers=36,
            num_attention_heads=32, num_key_value_heads=8, head_dim=128,
        ),
        8_190_735_360,
    ),
    "falcon-7b": ({"model_type": "falcon"}, 6_921_720_704),
    "falcon-rw-1b": (
        {
            "model_type": "falcon", "alibi": True, "bias": True, "hidden_size": 2048, "multi_query": False,
            "parallel_attn": False, "num_attention_heads": 32, "num_hidden_layers": 24, "vocab_size": 50304,
        },
        1_311_625_216,
    ),
    "gemma-2-2b": ({"model_type": "gemma2"}, 2_614_341_888),
    "command-r-plus": (
        {
            "model_type": "cohere", "hidden_size": 12288, "intermediate_size": 33792, "num_attention_heads": 96,
            "num_hidden_layers": 64, "num_key_value_heads": 8, "use_qk_norm": True,
        },
        103_810_674_688,
    ),
    "phi-2": (
        {
            "model_type": "phi", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 32,
            "num_attention_heads": 32,
        },
        2_779_683_840,
    ),
    "olmo-2-7b": (
        {"model_type": "olmo2", "vocab_size": 100352, "num_key_value_heads": 32},
        7_298_617_344,
    ),
    "minicpm3-4b": ({"model_type": "minicpm3"}, 4_073_875_968),
    "nemotron-4-340b": (
        {
            "model_type": "nemotron", "hidden_size": 18432, "intermediate_size": 73728, "num_hidden_layers": 96,
            "num_attention_heads": 96, "num_key_value_heads": 8, "head_dim": 192,
        },
        341_029_195_776,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RELEASED)
def test_released_models(name):
    raw, total = RELEASED[name]
    assert ours(raw).params == total


def test_gemma_2_by_kind():
    assert ours({"model_type": "gemma2"}).by_kind == {
        "embedding": 589_824_000, "attention": 368_050_176, "mlp": 1_656_225_792, "norm": 241_920,
    }  # fmt: skip


def test_windows_lower_what_is_needed_and_what_is_kept():
    wide, narrow = (ours(of("mistral", sliding_window=size)) for size in (None, 7))
    work = Workload("prefill", 1, 40)
    # 4 layers, 4 heads of 8 values, scores and mix; 820 pairs, 259 behind a window of 7
    assert wide.total(work).required - narrow.total(work).required == 4 * 2 * 2 * 32 * (820 - 259)
    assert wide.total(work).full == narrow.total(work).full
    assert narrow.cache_elements(40) * 40 == wide.cache_elements(40) * 7


def test_a_window_in_a_qwen_file_is_off_unless_used():
    assert ours(of("qwen2", sliding_window=6)).total(Workload(seq=30)) == ours(of("qwen2")).total(Workload(seq=30))


def test_gemma_as_an_encoder_sees_both_ways():
    causal = of("gemma3_text", sliding_window=6, layer_types=MIXED)
    work = Workload("prefill", 1, 20)
    both = ours(causal | {"use_bidirectional_attention": True}).total(work)
    assert both.required > ours(causal).total(work).required
    assert both.full == ours(causal).total(work).full


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (of("llama", num_attention_heads=5), "num_attention_heads"),
        (of("llama", num_key_value_heads=3), "num_key_value_heads"),
        (of("granite", num_attention_heads=5), "num_attention_heads"),
        (of("granite", hidden_size=0), "hidden_size"),
        (of("gemma2", layer_types=["sliding_attention"] * 3), "layer_types"),
        (of("gemma2", layer_types=["linear_attention"] * 4), "layer_types"),
        (of("exaone4", sliding_window_pattern="XYZ"), "sliding_window_pattern"),
        (of("cohere2", sliding_window_pattern=0), "sliding_window_pattern"),
        (of("helium", head_dim=10), "head_dim"),
        (of("bitnet", head_dim=10), "head_dim"),
        (of("diffllama", num_key_value_heads=1), "num_key_value_heads"),
        (of("smollm3", no_rope_layers=[1]), "no_rope_layers"),
        (of("glm", partial_rotary_factor=2), "partial_rotary_factor"),
        (FALCON | {"num_attention_heads": 3}, "num_attention_heads"),
        (FALCON | {"num_kv_heads": 3, "new_decoder_architecture": True}, "num_kv_heads"),
        (of("phi3", hidden_size="wide"), "hidden_size"),
        (of("stablelm", num_attention_heads=-1), "num_attention_heads"),
        (of("minicpm3", kv_lora_rank=None), "kv_lora_rank"),
    ],
)
def test_impossible_values_are_named(raw, key):
    with pytest.raises(BadConfig, match=key):
        ours(raw)
