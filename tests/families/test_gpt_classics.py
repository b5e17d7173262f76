"""The decoders between GPT-1 and Llama: exact counts of released models, and agreement with the framework."""

import pytest

from flopsight.errors import BadConfig
from flopsight.workload import Workload
from tests.families.agreement import agrees, steps_add_up, unread
from tests.oracle.compare import ours

OPT = {
    "model_type": "opt", "vocab_size": 61, "hidden_size": 24, "ffn_dim": 40, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 50,
}  # fmt: skip
BLOOM = {"model_type": "bloom", "vocab_size": 61, "hidden_size": 24, "n_layer": 2, "n_head": 4}
GPTJ = {"model_type": "gptj", "vocab_size": 61, "n_embd": 24, "n_layer": 2, "n_head": 3, "rotary_dim": 4}
CODEGEN = {"model_type": "codegen", "vocab_size": 61, "n_embd": 48, "n_layer": 2, "n_head": 4, "rotary_dim": 4}
NEO = {
    "model_type": "gpt_neo", "vocab_size": 61, "hidden_size": 24, "num_layers": 2, "num_heads": 3, "window_size": 7,
    "attention_types": [[["global", "local"], 1]], "max_position_embeddings": 40,
}  # fmt: skip
NEOX = {
    "model_type": "gpt_neox", "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 52,
}  # fmt: skip
JAPANESE = {
    "model_type": "gpt_neox_japanese", "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 3,
    "num_attention_heads": 2, "intermediate_multiple_size": 3,
}  # fmt: skip
BIGCODE = {"model_type": "gpt_bigcode", "vocab_size": 61, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 50}
MPT = {"model_type": "mpt", "vocab_size": 61, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64}
XGLM = {
    "model_type": "xglm", "vocab_size": 61, "d_model": 24, "ffn_dim": 40, "num_layers": 2, "attention_heads": 3,
    "max_position_embeddings": 64,
}  # fmt: skip
BIOGPT = {
    "model_type": "biogpt", "vocab_size": 61, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
    "intermediate_size": 40, "max_position_embeddings": 50,
}  # fmt: skip
GPT1 = {"model_type": "openai-gpt", "vocab_size": 61, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 50}
CTRL = {"model_type": "ctrl", "vocab_size": 61, "n_embd": 24, "n_layer": 2, "n_head": 3, "dff": 40, "n_positions": 50}
PERSIMMON = {
    "model_type": "persimmon", "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 40,
}  # fmt: skip

VARIANTS = [
    OPT,
    OPT | {"word_embed_proj_dim": 12, "do_layer_norm_before": False},
    OPT | {"enable_bias": False, "layer_norm_elementwise_affine": False, "tie_word_embeddings": False},
    OPT | {"_remove_final_layer_norm": True},
    BLOOM,
    BLOOM | {"n_embed": 32, "tie_word_embeddings": False},
    GPTJ,
    GPTJ | {"n_inner": 37, "tie_word_embeddings": True},
    CODEGEN,
    CODEGEN | {"n_inner": 37},
    NEO,
    NEO | {"intermediate_size": 31, "attention_types": [[["local"], 2]], "tie_word_embeddings": False},
    NEOX,
    NEOX | {"attention_bias": False, "use_parallel_residual": False, "rotary_pct": 1.0, "tie_word_embeddings": True},
    JAPANESE,
    JAPANESE | {"tie_word_embeddings": False},
    BIGCODE,
    BIGCODE | {"multi_query": False, "n_inner": 31},
    MPT,
    MPT | {"tie_word_embeddings": False},
    XGLM,
    BIOGPT,
    BIOGPT | {"tie_word_embeddings": False},
    GPT1,
    CTRL,
    CTRL | {"tie_word_embeddings": False},
    PERSIMMON,
    PERSIMMON | {"qk_layernorm": False, "tie_word_embeddings": True},
]


@pytest.mark.oracle
@pytest.mark.parametrize("raw", VARIANTS, ids=lambda raw: raw["model_type"])
def test_agrees_with_the_framework(raw):
    agrees(raw)


@pytest.mark.parametrize("raw", VARIANTS, ids=lambda raw: raw["model_type"])
def test_every_key_is_read_and_steps_add_up(raw):
    assert unread(raw) == []
    steps_add_up(raw)


RELEASED = [
    ({"model_type": "opt"}, 125_239_296),
    (
        {
            "model_type": "opt", "hidden_size": 1024, "word_embed_proj_dim": 512, "ffn_dim": 4096,
            "num_hidden_layers": 24, "num_attention_heads": 16, "do_layer_norm_before": False,
        },
        331_196_416,
    ),
    ({"model_type": "bloom", "n_embed": 1024, "n_layer": 24, "num_attention_heads": 16}, 559_214_592),
    ({"model_type": "gptj"}, 6_050_882_784),
    ({"model_type": "gpt_neo"}, 1_315_575_808),
    ({"model_type": "gpt_neox"}, 20_554_567_680),
    (
        {
            "model_type": "gpt_neox", "vocab_size": 50304, "hidden_size": 512, "num_hidden_layers": 6,
            "num_attention_heads": 8, "intermediate_size": 2048,
        },
        70_426_624,
    ),
    ({"model_type": "mpt", "d_model": 4096, "n_heads": 32, "n_layers": 32, "vocab_size": 50432}, 6_649_286_656),
    (
        {
            "model_type": "gpt_bigcode", "n_embd": 6144, "n_head": 48, "n_inner": 24576, "n_layer": 40,
            "n_positions": 8192, "vocab_size": 49152,
        },
        15_517_456_384,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "total"), RELEASED, ids=lambda value: str(value)[:40])
def test_released_models(raw, total):
    assert ours(raw).params == total


def test_local_layers_need_less_than_global_ones():
    work = Workload("prefill", 1, 40)
    local = ours(NEO | {"attention_types": [[["local"], 2]]}).total(work)
    whole = ours(NEO | {"attention_types": [[["global"], 2]]}).total(work)
    # 40 queries: 40·41/2 pairs, or 7·8/2 + 33·7 behind a window of 7; 2 layers, scores and mix of 24 values
    assert whole.required - local.required == 2 * 2 * 2 * 24 * (820 - 259)
    assert whole.full == local.full


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (OPT | {"num_attention_heads": 5}, "num_attention_heads"),
        (OPT | {"ffn_dim": 0}, "ffn_dim"),
        (NEO | {"attention_types": [[["global"], 3]]}, "attention_types"),
        (NEO | {"attention_types": "global"}, "attention_types"),
        (NEO | {"attention_types": [[["global"], 10**12]]}, "attention_types"),
        (NEO | {"window_size": -1}, "window_size"),
        (NEOX | {"rotary_pct": "half"}, "partial_rotary_factor"),
        (GPTJ | {"n_layer": float("nan")}, "num_hidden_layers"),
    ],
)
def test_impossible_values_are_named(raw, key):
    with pytest.raises(BadConfig, match=key):
        ours(raw)


def test_options_without_a_formula_are_said():
    strange = ours(MPT | {"expansion_ratio": 3, "attn_config": {"qk_ln": True}}).model.unknown
    assert any("expansion_ratio" in line for line in strange)
    assert any("qk_ln" in line for line in strange)
    assert "cross-attention" in ours(BIGCODE | {"add_cross_attention": True}).model.unknown[0]
