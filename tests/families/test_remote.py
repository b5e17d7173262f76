"""Decoders without a class in the framework: published totals, names of the checkpoints, and what they refuse."""

import pytest

from flopsight.errors import BadConfig
from flopsight.models.ledger import Ledger
from flopsight.models.tree import Model
from flopsight.workload import Workload
from tests.families.agreement import steps_add_up, unread
from tests.oracle.compare import our_parameters, ours

GLM4 = {
    "model_type": "chatglm", "add_bias_linear": False, "add_qkv_bias": True, "ffn_hidden_size": 13696,
    "hidden_size": 4096, "kv_channels": 128, "multi_query_attention": True, "multi_query_group_num": 2,
    "num_attention_heads": 32, "num_layers": 40, "padded_vocab_size": 151552, "post_layer_norm": True, "rmsnorm": True,
    "tie_word_embeddings": False,
}  # fmt: skip
CHATGLM1 = {
    "model_type": "chatglm", "hidden_size": 4096, "inner_hidden_size": 16384, "num_attention_heads": 32,
    "num_layers": 28, "vocab_size": 130528, "position_encoding_2d": True,
}  # fmt: skip
QWEN = {
    "model_type": "qwen", "hidden_size": 4096, "intermediate_size": 22016, "kv_channels": 128, "no_bias": True,
    "num_attention_heads": 32, "num_hidden_layers": 32, "vocab_size": 151936, "tie_word_embeddings": False,
}  # fmt: skip
BAICHUAN = {
    "model_type": "baichuan", "hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32,
    "num_hidden_layers": 32, "vocab_size": 125696, "tie_word_embeddings": False,
}  # fmt: skip
INTERNLM2 = {
    "model_type": "internlm2", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 8, "vocab_size": 92544, "bias": False, "tie_word_embeddings": False,
}  # fmt: skip
EXAONE = {
    "model_type": "exaone", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
    "num_layers": 32, "num_key_value_heads": 8, "vocab_size": 102400, "tie_word_embeddings": False,
    "activation_function": "silu",
}  # fmt: skip
MINICPM = {
    "model_type": "minicpm", "hidden_size": 2304, "intermediate_size": 5760, "num_attention_heads": 36,
    "num_hidden_layers": 40, "num_key_value_heads": 36, "vocab_size": 122753,
}  # fmt: skip
MIMO = {
    "model_type": "mimo", "num_hidden_layers": 36, "hidden_size": 4096, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 11008, "vocab_size": 151680, "attention_bias": True,
    "sliding_window": 32768, "max_window_layers": 32, "use_sliding_window": False, "num_nextn_predict_layers": 1,
    "tie_word_embeddings": False,
}  # fmt: skip
PALM = {
    "model_type": "palm", "hidden_size": 18432, "num_hidden_layers": 118, "num_attention_heads": 48,
    "num_key_value_heads": 1, "head_dim": 256, "intermediate_size": 73728, "vocab_size": 256000,
    "parallel_attn_ffn": True, "bias": False,
}  # fmt: skip
CHINCHILLA = {
    "model_type": "chinchilla", "hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64,
    "num_key_value_heads": 64, "head_dim": 128, "intermediate_size": 32768, "vocab_size": 32000,
}  # fmt: skip

OPENELM = {
    "model_type": "openelm", "model_dim": 1280, "num_transformer_layers": 16, "head_dim": 64, "vocab_size": 32000,
    "num_query_heads": [12] * 5 + [16] * 7 + [20] * 4, "num_kv_heads": [3] * 5 + [4] * 7 + [5] * 4,
    "ffn_multipliers": [
        0.5, 0.73, 0.97, 1.2, 1.43, 1.67, 1.9, 2.13, 2.37, 2.6, 2.83, 3.07, 3.3, 3.53, 3.77, 4.0,
    ],
    "ffn_dim_divisor": 256, "ffn_with_glu": True, "normalize_qk_projections": True, "share_input_output_layers": True,
    "activation_fn_name": "swish",
}  # fmt: skip
MOBILE = {
    "model_type": "mobilellm", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 32000, "share_embedding": True,
}  # fmt: skip
PHI_FIRST = {
    "model_type": "phi-msft", "n_embd": 2560, "n_head": 32, "n_head_kv": None, "n_inner": None, "n_layer": 32,
    "vocab_size": 51200, "rotary_dim": 32, "n_positions": 2048,
}  # fmt: skip
PHI3_SMALL = {
    "model_type": "phi3small", "hidden_size": 4096, "ff_intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 100352, "dense_attention_every_n_layers": 2,
}  # fmt: skip
QWEN_SMALL = QWEN | {
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
}
BAICHUAN_LARGE = BAICHUAN | {
    "hidden_size": 5120, "intermediate_size": 13696, "num_attention_heads": 40, "num_hidden_layers": 40,
}  # fmt: skip
PUBLISHED = [
    (GLM4, 9_399_951_360),
    (GLM4 | {"num_layers": 28, "padded_vocab_size": 65024}, 6_243_584_000),
    (CHATGLM1, 6_173_286_400),
    (QWEN, 7_721_324_544),
    (QWEN_SMALL, 1_836_828_672),
    (BAICHUAN, 7_505_973_248),
    (BAICHUAN_LARGE, 13_896_668_160),
    (INTERNLM2, 7_737_708_544),
    (EXAONE, 7_818_448_896),
    (MINICPM, 2_724_880_896),
    (OPENELM, 271_527_168),
    (PHI_FIRST, 2_779_683_840),
    (PHI3_SMALL, 7_392_272_384),
    (MIMO, 7_622_619_136),
    (PALM, 540_356_474_880),
    (CHINCHILLA, 70_056_681_472),
]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "total"), PUBLISHED, ids=lambda value: value["model_type"] if isinstance(value, dict) else ""
)
def test_published_totals(raw, total):
    assert ours(raw).params == total
    assert unread(raw) == []
    steps_add_up(raw, 5)


def test_what_mimo_predicts_ahead_is_beside_the_model():
    ahead = Ledger(Model("", "mimo", ours(MIMO).model.mtp))
    assert ahead.params == 7_833_409_536 - 7_622_619_136
    assert "model.mtp_layers.0.self_attn.q_proj.bias" in our_parameters(ahead)
    assert ours(MIMO | {"num_nextn_predict_layers": 0}).model.mtp is None


def test_names_are_those_of_the_checkpoints():
    assert our_parameters(ours(QWEN))["transformer.h.31.attn.c_attn.bias"] == (12288,)
    assert our_parameters(ours(GLM4))["transformer.encoder.layers.0.mlp.dense_h_to_4h.weight"] == (27392, 4096)
    assert our_parameters(ours(INTERNLM2))["model.layers.3.attention.wqkv.weight"] == (6144, 4096)
    assert our_parameters(ours(BAICHUAN))["model.layers.0.self_attn.W_pack.weight"] == (12288, 4096)
    assert our_parameters(ours(EXAONE))["transformer.h.0.attn.attention.out_proj.weight"] == (4096, 4096)


def searched(*blocks, **more):
    """A Llama-Nemotron of width 768 with 4 heads."""
    base = {"model_type": "nemotron-nas", "vocab_size": 61, "hidden_size": 768, "num_attention_heads": 4}
    return base | {"num_hidden_layers": len(blocks), "block_configs": list(blocks)} | more


def test_searched_layers_have_their_own_sizes():
    usual = {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 2.625}}
    no_attention = {"attention": {"no_op": True}, "ffn": {"ffn_mult": 0.5}}
    linear = {"attention": {"replace_with_linear": True}, "ffn": {"replace_with_linear": True}}
    nothing = {"attention": {"no_op": True}, "ffn": {"no_op": True}}
    shapes = our_parameters(ours(searched(usual, no_attention, linear, nothing)))
    assert shapes["model.layers.0.self_attn.k_proj.weight"] == (384, 768)
    # 2/3 of 2.625 times 768 is 1344, rounded up to 1536; of 0.5 times 768 it is 256
    assert shapes["model.layers.0.mlp.up_proj.weight"] == (1536, 768)
    assert shapes["model.layers.1.mlp.up_proj.weight"] == (256, 768)
    assert "model.layers.1.input_layernorm.weight" not in shapes
    assert shapes["model.layers.2.self_attn.linear_attn.weight"] == shapes["model.layers.2.mlp.linear_mlp.weight"]
    assert not any(name.startswith("model.layers.3.") for name in shapes)


def test_deci_layers_share_keys_differently():
    raw = {
        "model_type": "deci", "vocab_size": 61, "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads_per_layer": [4, 2, 1],
    }  # fmt: skip
    shapes = our_parameters(ours(raw))
    assert [shapes[f"model.layers.{i}.self_attn.k_proj.weight"] for i in range(3)] == [(32, 32), (16, 32), (8, 32)]


def test_a_query_sees_all_heads_of_its_group():
    one, many = (ours(GLM4 | {"multi_query_group_num": n}) for n in (2, 32))
    assert one.cache_elements(10) * 16 == many.cache_elements(10)
    assert one.total(Workload(seq=9)).required < many.total(Workload(seq=9)).required


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (QWEN | {"intermediate_size": 22017}, "intermediate_size"),
        (QWEN | {"kv_channels": None, "num_attention_heads": 31}, "num_attention_heads"),
        (GLM4 | {"multi_query_group_num": 3}, "multi_query_group_num"),
        (searched({"attention": {"n_heads_in_group": 3}, "ffn": {"ffn_mult": 1}}), "n_heads_in_group"),
        (searched({"attention": {"n_heads_in_group": 2, "window_length": 8}, "ffn": {}}), "window_length"),
        (searched({"attention": {"no_op": True}, "ffn": {"ffn_mult": float("inf")}}), "ffn_mult"),
        (searched({"attention": 3}), "attention"),
        (searched(7), "block_configs"),
        (searched(block_configs=None, num_hidden_layers=2), "block_configs"),
        (CHINCHILLA | {"num_attention_heads": 0}, "num_attention_heads"),
    ],
)
def test_impossible_values_are_named(raw, key):
    with pytest.raises(BadConfig, match=key):
        ours(raw)


def test_what_is_not_counted_is_said():
    assert "sparse_config" in ours(MINICPM | {"sparse_config": {"topk": 64}}).model.unknown[0]
    assert "pre_seq_len" in ours(GLM4 | {"pre_seq_len": 128}).model.unknown[0]


def test_shared_layers_are_stored_once_and_run_twice():
    once, twice = ours(MOBILE), ours(MOBILE | {"layer_sharing": True})
    assert once.params == twice.params == 124_635_456
    assert twice.cache_per_token == 2 * once.cache_per_token
