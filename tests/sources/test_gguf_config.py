"""Metadata of published GGUF files against the published configs of the same models."""

# ruff: noqa: E501  (a table, one model a row)

from __future__ import annotations

from dataclasses import replace

import gguf
import pytest

from flopsight.dtypes import dtype
from flopsight.errors import BadConfig, UnknownModel
from flopsight.facts import Unknown
from flopsight.models.sources.gguf import GgufFile, LongArray
from flopsight.models.sources.gguf_config import FAMILIES, gguf_config
from flopsight.models.sources.tensors import StoredTensor


def header(arch, metadata, *tensors, vocab=None, hidden=None):
    """A GgufFile with the embedding and the named tensors; only names and the embedding's shape matter."""
    stored = [StoredTensor(name, dtype("fp16"), (1,), 2) for name in tensors]
    if vocab:
        stored.append(StoredTensor("token_embd.weight", dtype("fp16"), (vocab, hidden), 2 * vocab * hidden))
    prefixed = {key if key.startswith("tokenizer.") else f"{arch}.{key}": value for key, value in metadata.items()}
    return GgufFile("x.gguf", 3, prefixed, tuple(stored), arch)


def dims(layers, hidden, inner, heads, kv=None, key=None, **more):
    found = {
        "block_count": layers,
        "embedding_length": hidden,
        "feed_forward_length": inner,
        "attention.head_count": heads,
    }
    if kv is not None:
        found["attention.head_count_kv"] = kv
    if key is not None:
        found["attention.key_length"] = key
    return found | {name.replace("__", "."): value for name, value in more.items()}


LLAMA = ("llama", dims(32, 4096, 14336, 32, 8), ("output.weight",), 128256)
GLM = dims(
    47, 4096, 10944, 96, 8, 128, expert_count=128, expert_used_count=8, expert_feed_forward_length=1408,
    expert_shared_count=1, leading_dense_block_count=1, nextn_predict_layers=1,
)  # fmt: skip
V3 = dims(
    61, 7168, 18432, 128, 1, 576, attention__value_length=512, attention__key_length_mla=192,
    attention__value_length_mla=128, attention__q_lora_rank=1536, attention__kv_lora_rank=512, rope__dimension_count=64,
    expert_count=256, expert_used_count=8, expert_shared_count=1, expert_feed_forward_length=2048,
    leading_dense_block_count=3, expert_gating_func=2,
)  # fmt: skip
V2_LITE = dims(
    27, 2048, 10944, 16, 16, 192, attention__value_length=128, attention__kv_lora_rank=512, rope__dimension_count=64,
    expert_count=64, expert_used_count=6, expert_shared_count=2, expert_feed_forward_length=1408,
    leading_dense_block_count=1,
)  # fmt: skip
NEXT = dims(
    48, 2048, 5120, 16, 2, 256, ssm__conv_kernel=4, ssm__state_size=128, ssm__group_count=16, ssm__time_step_rank=32,
    ssm__inner_size=4096, full_attention_interval=4, expert_count=512, expert_used_count=10,
    expert_feed_forward_length=512, expert_shared_feed_forward_length=512,
)  # fmt: skip
MAMBA = {"block_count": 64, "embedding_length": 2560, "ssm.conv_kernel": 4, "ssm.inner_size": 5120,
         "ssm.state_size": 16, "ssm.time_step_rank": 160, "attention.head_count": 0}  # fmt: skip
MAMBA2 = {"block_count": 64, "embedding_length": 4096, "ssm.conv_kernel": 4, "ssm.inner_size": 8192,
          "ssm.state_size": 128, "ssm.time_step_rank": 128, "ssm.group_count": 8}  # fmt: skip
KV = [0, 0, 8, 0, 0, 8]

# architecture, metadata, tensors besides the embedding, rows of the embedding -> config keys of the published model
PUBLISHED = [
    (*LLAMA, {"model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336,
              "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "attention_bias": False,
              "mlp_bias": False, "tie_word_embeddings": False}),
    ("llama", dims(32, 4096, 14336, 32, 8, expert_count=8, expert_used_count=2), ("output.weight",), 32000,
     {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 14336}),
    ("qwen2", dims(24, 896, 4864, 14, 2), ("blk.0.attn_q.bias",), 151936, {"model_type": "qwen2", "tie_word_embeddings": True}),
    ("qwen2moe", dims(24, 2048, 5632, 16, 16, expert_count=60, expert_used_count=4, expert_feed_forward_length=1408,
                      expert_shared_feed_forward_length=5632), ("output.weight",), 151936,
     {"model_type": "qwen2_moe", "num_experts": 60, "num_experts_per_tok": 4, "moe_intermediate_size": 1408,
      "shared_expert_intermediate_size": 5632, "decoder_sparse_step": 1}),
    ("qwen3", dims(28, 1024, 3072, 16, 8, 128), (), 151936, {"model_type": "qwen3", "head_dim": 128, "attention_bias": False}),
    ("qwen3moe", dims(48, 2048, 6144, 32, 4, 128, expert_count=128, expert_used_count=8, expert_feed_forward_length=768),
     ("output.weight",), 151936, {"model_type": "qwen3_moe", "num_experts": 128, "moe_intermediate_size": 768}),
    ("qwen3next", NEXT, ("output.weight",), 151936,
     {"model_type": "qwen3_next", "linear_num_value_heads": 32, "linear_value_head_dim": 128, "linear_key_head_dim": 128,
      "linear_num_key_heads": 16, "linear_conv_kernel_dim": 4, "full_attention_interval": 4,
      "shared_expert_intermediate_size": 512}),
    ("gemma", dims(28, 3072, 24576, 16, 16, 256), (), 256000, {"model_type": "gemma", "head_dim": 256}),
    ("gemma2", dims(4, 2304, 9216, 8, 4, 256, attention__sliding_window=4096), (), 256000,
     {"model_type": "gemma2", "sliding_window": 4096, "layer_types": ["sliding_attention", "full_attention"] * 2}),
    ("gemma3", dims(7, 1152, 6912, 4, 1, 256, attention__sliding_window=512), (), 262144,
     {"model_type": "gemma3_text",
      "layer_types": ["sliding_attention"] * 5 + ["full_attention", "sliding_attention"]}),
    ("phi2", dims(32, 2560, 10240, 32, 32, rope__dimension_count=32), ("output.weight",), 51200,
     {"model_type": "phi", "partial_rotary_factor": 0.4}),
    ("phi3", dims(32, 3072, 8192, 32, 32, attention__sliding_window=2047), ("output.weight",), 32064,
     {"model_type": "phi3", "sliding_window": 2047}),
    ("gpt2", dims(12, 768, 3072, 12, context_length=1024), (), 50257,
     {"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "n_inner": 3072, "n_positions": 1024,
      "vocab_size": 50257, "tie_word_embeddings": True}),
    ("gptneox", dims(44, 6144, 24576, 64, rope__dimension_count=24, use_parallel_residual=True), ("output.weight",), 50432,
     {"model_type": "gpt_neox", "use_parallel_residual": True, "rotary_pct": 0.25}),
    ("falcon", dims(32, 4544, 18176, 71, 1), ("blk.0.attn_norm.weight",), 65024,
     {"model_type": "falcon", "multi_query": True, "new_decoder_architecture": False, "num_kv_heads": 1, "bias": False,
      "ffn_hidden_size": 18176}),
    ("falcon", dims(60, 8192, 32768, 128, 8), ("blk.0.attn_norm_2.weight", "output.weight"), 65024,
     {"model_type": "falcon", "multi_query": False, "new_decoder_architecture": True, "num_kv_heads": 8}),
    ("bloom", dims(24, 1024, 4096, 16), (), 250880, {"model_type": "bloom", "n_layer": 24, "hidden_size": 1024, "n_head": 16}),
    ("mpt", dims(32, 4096, 16384, 32, context_length=2048), (), 50432,
     {"model_type": "mpt", "d_model": 4096, "n_layers": 32, "n_heads": 32, "expansion_ratio": 4, "no_bias": True}),
    ("starcoder2", dims(30, 3072, 12288, 24, 2), ("blk.0.attn_q.bias",), 49152, {"model_type": "starcoder2", "use_bias": True}),
    ("stablelm", dims(24, 2048, 5632, 32, 32, rope__dimension_count=16), ("blk.0.attn_q.bias", "blk.0.ffn_norm.weight"), 100352,
     {"model_type": "stablelm", "use_qkv_bias": True, "partial_rotary_factor": 0.25, "use_parallel_residual": False}),
    ("command-r", dims(64, 12288, 33792, 96, 8), ("blk.0.attn_q_norm.weight",), 256000,
     {"model_type": "cohere", "use_qk_norm": True}),
    ("cohere2", dims(4, 4096, 14336, 32, 8, attention__sliding_window=4096), (), 256000,
     {"model_type": "cohere2", "layer_types": ["sliding_attention"] * 3 + ["full_attention"]}),
    ("olmo2", dims(32, 4096, 11008, 32, 32), ("output.weight",), 100352, {"model_type": "olmo2"}),
    ("olmo2", dims(4, 4096, 11008, 32, 32, attention__sliding_window=4096), ("output.weight",), 100278,
     {"model_type": "olmo3", "layer_types": ["sliding_attention"] * 3 + ["full_attention"]}),
    ("olmoe", dims(16, 2048, 1024, 16, 16, expert_count=64, expert_used_count=8), ("output.weight",), 50304,
     {"model_type": "olmoe", "num_experts": 64, "num_experts_per_tok": 8, "intermediate_size": 1024}),
    ("deepseek2", V3, ("output.weight",), 129280,
     {"model_type": "deepseek_v3", "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
      "qk_rope_head_dim": 64, "v_head_dim": 128, "n_routed_experts": 256, "n_shared_experts": 1,
      "moe_intermediate_size": 2048, "first_k_dense_replace": 3, "num_attention_heads": 128, "num_key_value_heads": 128}),
    ("deepseek2", V2_LITE, ("output.weight",), 102400,
     {"model_type": "deepseek_v2", "q_lora_rank": None, "qk_nope_head_dim": 128, "v_head_dim": 128, "n_shared_experts": 2}),
    ("gpt-oss", dims(4, 2880, 2880, 64, 8, 64, expert_count=32, expert_used_count=4, attention__sliding_window=128),
     ("output.weight", "blk.0.attn_q.bias"), 201088,
     {"model_type": "gpt_oss", "num_local_experts": 32, "num_experts_per_tok": 4, "attention_bias": True,
      "layer_types": ["sliding_attention", "full_attention"] * 2}),
    ("glm4", dims(40, 4096, 13696, 32, 2, 128), ("output.weight", "blk.0.attn_q.bias"), 151552,
     {"model_type": "glm4", "attention_bias": True}),
    ("glm4moe", GLM, ("output.weight", "blk.0.attn_q.bias"), 151552,
     {"model_type": "glm4_moe", "num_hidden_layers": 46, "num_nextn_predict_layers": 1, "n_routed_experts": 128,
      "n_shared_experts": 1, "first_k_dense_replace": 1, "use_qk_norm": False}),
    ("granitemoe", dims(24, 1024, 512, 16, 8, expert_count=32, expert_used_count=8), (), 49155,
     {"model_type": "granitemoe", "num_local_experts": 32}),
    ("mamba", MAMBA, ("blk.0.ssm_conv1d.bias",), 50280,
     {"model_type": "mamba", "hidden_size": 2560, "intermediate_size": 5120, "state_size": 16, "time_step_rank": 160,
      "conv_kernel": 4, "use_bias": False, "use_conv_bias": True}),
    ("mamba", {**MAMBA, "ssm.dt_b_c_rms": True}, (), 65024, {"model_type": "falcon_mamba"}),
    ("mamba2", MAMBA2, ("output.weight",), 32768,
     {"model_type": "mamba2", "num_heads": 128, "head_dim": 64, "n_groups": 8, "expand": 2, "state_size": 128}),
    ("lfm2", dims(6, 1024, 4608, 16, KV, shortconv__l_cache=3), (), 65536,
     {"model_type": "lfm2", "num_key_value_heads": 8, "conv_L_cache": 3,
      "layer_types": ["conv", "conv", "full_attention"] * 2}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arch", "metadata", "tensors", "vocab", "expected"),
    PUBLISHED,
    ids=[f"{p[0]}-{p[4]['model_type']}" for p in PUBLISHED],
)
def test_published(arch, metadata, tensors, vocab, expected):
    config = gguf_config(header(arch, metadata, *tensors, vocab=vocab, hidden=metadata["embedding_length"]))
    assert {key: config.get(key) for key in expected} == expected
    assert config["vocab_size"] == vocab


def _keys(node):
    for value in vars(node).values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, type):
            yield from _keys(value)


def test_names_are_those_of_the_gguf_package():
    known = {key.removeprefix("{arch}.") for key in _keys(gguf.Keys)}
    for arch, family in FAMILIES.items():
        assert arch in gguf.MODEL_ARCH_NAMES.values(), arch
        assert {*family.required, *family.optional} <= known, arch


def test_all_families_are_tried():
    untried = {"phimoe", "olmo", "granite", "smollm3", "seed_oss", "nemotron", "arcee", "lfm2moe"}
    assert set(FAMILIES) - {p[0] for p in PUBLISHED} == untried


# Published files of these families hold the key, and the class keeps it without declaring a default.
NOT_IN_THE_CLASS = {
    "head_dim", "moe_layer_freq", "full_attention_interval", "num_nextn_predict_layers", "partial_rotary_factor", "rotary_pct",
}  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("published", PUBLISHED, ids=lambda p: f"{p[0]}-{p[4]['model_type']}")
def test_config_keys_are_those_of_transformers(published):
    """Every key we emit is an attribute of the family's config class, and sets it."""
    from transformers import AutoConfig

    arch, metadata, tensors, vocab, _ = published
    config = gguf_config(header(arch, metadata, *tensors, vocab=vocab, hidden=metadata["embedding_length"]))
    default = AutoConfig.for_model(config["model_type"])
    assert {key for key in config if not hasattr(default, key)} <= NOT_IN_THE_CLASS
    made = AutoConfig.for_model(**config)
    assert (made.hidden_size, made.vocab_size) == (metadata["embedding_length"], vocab)
    assert made.num_hidden_layers == metadata["block_count"] - config.get("num_nextn_predict_layers", 0)
    for key in set(config) - NOT_IN_THE_CLASS:
        assert getattr(made, key) == config[key] or key == "attn_config", key


PARAMETERS = {
    "llama": 8030261248, "mixtral": 46702792704, "qwen2": 494032768, "qwen2_moe": 14315784192, "qwen3": 596049920,
    "gemma": 8537680896, "phi": 2779683840, "phi3": 3821079552, "gpt2": 124439808, "bloom": 559214592,
    "mpt": 6649286656, "starcoder2": 3030371328, "olmoe": 6919161856, "deepseek_v2": 15706484224, "glm4": 9400279040,
    "granitemoe": 1334628352, "mamba": 2768345600, "mamba2": 7285403648,
}  # fmt: skip


@pytest.mark.oracle
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("model_type", PARAMETERS)
def test_transformers_builds_the_published_model_from_our_config(model_type):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    arch, metadata, tensors, vocab, _ = next(p for p in PUBLISHED if p[4]["model_type"] == model_type)
    config = gguf_config(header(arch, metadata, *tensors, vocab=vocab, hidden=metadata["embedding_length"]))
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**config))
    model.tie_weights()
    assert sum(p.numel() for p in {id(p): p for p in model.parameters()}.values()) == PARAMETERS[model_type]


def without(key):
    arch, metadata, tensors, vocab = LLAMA
    kept = {name: value for name, value in metadata.items() if name != key}
    return header(arch, kept, *tensors, vocab=vocab, hidden=4096)


def with_(key, value):
    arch, metadata, tensors, vocab = LLAMA
    return header(arch, {**metadata, key: value}, *tensors, vocab=vocab, hidden=4096)


@pytest.mark.parametrize("key", ["block_count", "embedding_length", "feed_forward_length", "attention.head_count"])
def test_missing_metadata(key):
    with pytest.raises(BadConfig, match=key):
        gguf_config(without(key))


@pytest.mark.parametrize(
    "value", ["32", -1, 2.5, True, float("nan"), float("inf"), 2**63, LongArray("uint32", 2000), [1], [[1]]]
)
@pytest.mark.parametrize("key", ["block_count", "attention.head_count"])
def test_absurd_metadata(key, value):
    with pytest.raises(BadConfig, match=key):
        gguf_config(with_(key, value))


def test_whole_floats_are_whole_and_equal_layers_are_one_number():
    assert gguf_config(with_("block_count", 32.0))["num_hidden_layers"] == 32
    assert gguf_config(with_("attention.head_count_kv", [8] * 32))["num_key_value_heads"] == 8
    with pytest.raises(BadConfig, match="differs by layer"):
        gguf_config(with_("feed_forward_length", [14336] * 31 + [7]))


def test_vocabulary_without_an_embedding():
    arch, metadata, tensors, _ = LLAMA
    assert gguf_config(header(arch, {**metadata, "vocab_size": 7}, *tensors))["vocab_size"] == 7
    assert (
        gguf_config(header(arch, {**metadata, "tokenizer.ggml.tokens": LongArray("string", 9000)}))["vocab_size"]
        == 9000
    )
    assert gguf_config(header(arch, {**metadata, "tokenizer.ggml.tokens": ["a"]}))["vocab_size"] == 1
    with pytest.raises(BadConfig, match="vocabulary"):
        gguf_config(header(arch, metadata))


def test_embedding_at_odds_with_the_metadata():
    arch, metadata, tensors, vocab = LLAMA
    with pytest.raises(BadConfig, match="embedding_length is 4096"):
        gguf_config(header(arch, metadata, *tensors, vocab=vocab, hidden=4095))


def test_unknown_families_keep_their_tensors():
    _, metadata, tensors, vocab = LLAMA
    file = header("rwkv7", metadata, *tensors, vocab=vocab, hidden=4096)
    with pytest.raises(UnknownModel, match="its bytes are known, its FLOPs are not") as e:
        gguf_config(file)
    assert "qwen3moe" in str(e.value)
    with pytest.raises(BadConfig, match="not known"):
        gguf_config(replace(file, architecture=Unknown("no architecture")))


@pytest.mark.parametrize(
    ("arch", "metadata"),
    [
        ("gemma2", dims(10**9, 64, 64, 4, attention__sliding_window=8)),
        ("gemma2", dims(4, 64, 64, 4, attention__sliding_window=8, attention__sliding_window_pattern=[True])),
        ("deepseek2", {**V3, "rope.dimension_count": 192}),
        ("glm4moe", {**GLM, "nextn_predict_layers": 48}),
        ("mamba2", {**MAMBA2, "ssm.time_step_rank": 0}),
        ("mamba2", {**MAMBA2, "ssm.time_step_rank": 3}),
        ("qwen3next", {**NEXT, "ssm.time_step_rank": 0}),
        ("mpt", dims(1, 64, 100, 4)),
        ("lfm2", dims(2, 64, 64, 4, 2, shortconv__l_cache=3)),
        ("lfm2", dims(2, 64, 64, 4, [2], shortconv__l_cache=3)),
    ],
)
def test_contradictions(arch, metadata):
    with pytest.raises(BadConfig):
        gguf_config(header(arch, metadata, "output.weight", vocab=8, hidden=metadata["embedding_length"]))
