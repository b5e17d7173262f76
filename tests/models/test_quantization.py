"""Stored bytes of quantized checkpoints: published totals, closed forms, name patterns, hostile sections."""

import contextlib
import time

import pytest

from flopsight.facts import Unknown
from flopsight.models.config import Config
from flopsight.models.families import family
from flopsight.models.layouts import Awq, BlockwiseFour, Codebooks, Gptq, PackedInts, Scaled
from flopsight.models.ledger import Ledger
from flopsight.models.load import load
from flopsight.models.patterns import BadPatternError, Expression, Names
from flopsight.models.quant_sections import METHODS
from flopsight.models.quantization import module_names, storage
from flopsight.models.storage import stored_bytes, weight_bits

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}

LLAMA = {
    "model_type": "llama", "hidden_size": 256, "intermediate_size": 640, "num_attention_heads": 4,
    "num_key_value_heads": 2, "num_hidden_layers": 3, "vocab_size": 1000, "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}  # fmt: skip
MATRICES = {"q_proj": (256, 256), "k_proj": (128, 256), "v_proj": (128, 256), "o_proj": (256, 256),
            "gate_proj": (640, 256), "up_proj": (640, 256), "down_proj": (256, 640)}  # fmt: skip
REST = 2 * (2 * 1000 * 256 + 7 * 256)

DEEPSEEK_V3 = {
    "model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048,
    "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128, "q_lora_rank": 1536,
    "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "n_routed_experts": 256,
    "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3, "moe_layer_freq": 1,
    "vocab_size": 129280, "num_nextn_predict_layers": 1, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip


def book(raw, **section):
    return Ledger(load({**raw, "quantization_config": section}) if section else load(raw))


def total(raw, **section):
    found = stored_bytes(book(raw, **section))
    assert not found.unknown
    return found.total


def each(layout, names=tuple(MATRICES)):
    return 3 * sum(layout.bytes(*MATRICES[name]) for name in names)


# ------------------------------------------------------------------ published totals


def gpt_oss(layers, experts):
    return {
        "model_type": "gpt_oss", "hidden_size": 2880, "intermediate_size": 2880, "num_attention_heads": 64,
        "num_key_value_heads": 8, "head_dim": 64, "num_hidden_layers": layers, "num_local_experts": experts,
        "num_experts_per_tok": 4, "vocab_size": 201088, "sliding_window": 128, "attention_bias": True,
        "tie_word_embeddings": False, "layer_types": ["sliding_attention", "full_attention"] * (layers // 2),
    }  # fmt: skip


@pytest.mark.parametrize(("layers", "experts", "published"), [(24, 32, 13_761_264_768), (36, 128, 65_248_815_744)])
def test_gpt_oss_total_size_of_the_published_index(layers, experts, published):
    skipped = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    section = {"quant_method": "mxfp4", "modules_to_not_convert": skipped}
    assert total(gpt_oss(layers, experts), **section) == published


def test_deepseek_v3_in_awq_is_the_total_size_of_a_published_index():
    section = {"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True, "version": "gemm"}
    assert total(DEEPSEEK_V3, **section) == 364_589_799_936


def test_deepseek_v3_in_fp8_lies_within_the_headers_of_the_published_files():
    found = stored_bytes(book(DEEPSEEK_V3, **FP8), mtp=True)
    second_copies = 2 * 2 * 129280 * 7168  # the predicting layer's own embedding and head
    files = 688_586_727_753
    assert 0 < files - found.total - second_copies < 13_000_000
    assert found.by_dtype["fp32"] == 4 * 256 * 59


# ------------------------------------------------------------------ closed forms


def test_bits_a_weight():
    assert 8 * Awq(4, 128).bytes(4096, 4096) / 4096**2 == 4.15625
    assert 8 * Scaled("mxfp4", 4, 1, (1, 32)).bytes(4096, 4096) / 4096**2 == 4.25
    assert 8 * (Scaled("nvfp4", 4, 1, (1, 16), once=8).bytes(4096, 4096) - 8) / 4096**2 == 4.5


def test_tiles_are_rounded_up_at_the_edges():
    assert Scaled("fp8_e4m3", 8, 4, (128, 128)).bytes(576, 7168) == 576 * 7168 + 4 * 5 * 56


def test_awq_shapes_of_a_published_checkpoint():
    # Qwen2.5-0.5B's down_proj: qweight (4864, 112), qzeros (38, 112), scales (38, 896)
    assert Awq(4, 128).bytes(896, 4864) == 4 * 4864 * 112 + 4 * 38 * 112 + 2 * 38 * 896


def test_other_layouts_by_their_shapes():
    assert Awq(4, 64, gemv=True).bytes(256, 640) == 4 * 256 * 80 + 4 * 256 * 2 + 2 * 256 * 16
    assert Gptq(4, 128).bytes(256, 640) == 4 * 80 * 256 + 4 * 5 * 32 + 2 * 5 * 256 + 4 * 640
    assert Gptq(3, -1).bytes(256, 640) == 4 * 60 * 256 + 4 * 24 + 2 * 256 + 4 * 640
    assert PackedInts(4, 128, 2).bytes(256, 640) == 4 * 256 * 80 + 2 * 256 * 5 + 16
    assert PackedInts(4, 128, 2, symmetric=False, reordered=True).bytes(256, 640) == (
        4 * 256 * 80 + 2 * 256 * 5 + 16 + 4 * 32 * 5 + 4 * 640
    )
    assert BlockwiseFour().bytes(256, 640) == 256 * 320 + 4 * 2560 + 64
    assert BlockwiseFour(double=True).bytes(256, 640) == 256 * 320 + 2560 + 4 * 10 + 1024 + 64
    assert Codebooks(8, 1, 1, 16).bytes(256, 640) == 2 * 256 * 80 + 2 * 65536 * 8 + 2 * 256


def test_unquantized_is_the_dtype_of_the_file_or_assumed():
    plain = stored_bytes(book(LLAMA))
    assert plain.total == REST + each(Scaled("bf16", 16, 0, (None, None)))
    assert stored_bytes(book({k: v for k, v in LLAMA.items() if k != "torch_dtype"})).notes
    assert stored_bytes(book(LLAMA), dtype="fp32").total == 2 * plain.total


def group(fmt, **weights):
    return {
        "format": fmt,
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "ignore": ["lm_head"],
    }


CASES = {
    "fp8 blocks": (FP8, Scaled("fp8_e4m3", 8, 4, (128, 128))),
    "fp8 whole, static": (
        {**FP8, "weight_block_size": None, "activation_scheme": "static"},
        Scaled("fp8_e4m3", 8, 4, (None, None), once=4),
    ),
    "fbgemm": ({"quant_method": "fbgemm_fp8"}, Scaled("fp8_e4m3", 8, 4, (1, None))),
    "awq": ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}, Awq(4, 128)),
    "gptq": ({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True, "sym": True}, Gptq(4, 128)),
    "gptq 8": ({"quant_method": "gptq", "bits": 8, "group_size": -1}, Gptq(8, -1)),
    "auto-round": (
        {"quant_method": "auto-round", "bits": 4, "group_size": 128, "packing_format": "auto_round:auto_gptq"},
        Gptq(4, 128),
    ),
    "nf4": (
        {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
        BlockwiseFour(double=True),
    ),
    "int8": ({"quant_method": "bitsandbytes", "load_in_8bit": True}, Scaled("int8", 8, 4, (1, None), once=1)),
    "eetq": ({"quant_method": "eetq"}, Scaled("int8", 8, 2, (1, None))),
    "bitnet": ({"quant_method": "bitnet"}, Scaled("int2", 2, 2, (None, None))),
    "ct fp8 channel": (
        {"quant_method": "compressed-tensors"}
        | group("float-quantized", num_bits=8, type="float", strategy="channel"),
        Scaled("fp8_e4m3", 8, 2, (1, None)),
    ),
    "ct fp8 block": (
        group("float-quantized", num_bits=8, type="float", strategy="block", block_structure=[128, 128]),
        Scaled("fp8_e4m3", 8, 2, (128, 128)),
    ),
    "ct int8": (group("int-quantized", num_bits=8, type="int", strategy="channel"), Scaled("int8", 8, 2, (1, None))),
    "ct int4": (
        group("pack-quantized", num_bits=4, type="int", strategy="group", group_size=128, symmetric=True),
        PackedInts(4, 128, 2),
    ),
    "ct int4, reordered": (
        group("pack-quantized", num_bits=4, type="int", group_size=128, symmetric=False, actorder="group"),
        PackedInts(4, 128, 2, symmetric=False, reordered=True),
    ),
    "ct nvfp4": (
        group("nvfp4-pack-quantized", num_bits=4, type="float", strategy="tensor_group", group_size=16),
        Scaled("nvfp4", 4, 1, (1, 16), once=4),
    ),
    "ct mxfp4": (
        group("mxfp4-pack-quantized", num_bits=4, type="float", strategy="group", group_size=32),
        Scaled("mxfp4", 4, 1, (1, 32)),
    ),
    "modelopt fp8": (
        {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]},
        Scaled("fp8_e4m3", 8, 4, (None, None), once=4),
    ),
    "modelopt nvfp4": (
        {"quantization": {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["lm_head"]}},
        Scaled("nvfp4", 4, 1, (1, 16), once=8),
    ),
    "aqlm": (
        {"quant_method": "aqlm", "in_group_size": 8, "out_group_size": 1, "num_codebooks": 2, "nbits_per_codebook": 8},
        Codebooks(8, 1, 2, 8),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_all_matrices_of_decoder_layers_and_nothing_else(case):
    section, layout = CASES[case]
    ledger = book(LLAMA, **section)
    found = stored_bytes(ledger)
    assert found.total == REST + each(layout)
    assert found.by_dtype == {"bf16": REST, layout.dtype: each(layout)}
    assert found.by_kind["embedding"] == found.by_kind["lm_head"] == 2 * 1000 * 256
    assert weight_bits(ledger, frozenset({"mlp"})) < 16


@pytest.mark.parametrize("method", ["hqq", "torchao", "quanto", "quark", "spqr", "vptq", "higgs", "something_new"])
def test_what_is_not_known_is_a_value(method):
    found = stored_bytes(book(LLAMA, quant_method=method))
    assert found.total == REST
    assert sum(found.unknown.values()) == 3 * sum(a * b for a, b in MATRICES.values())
    assert isinstance(weight_bits(book(LLAMA, quant_method=method)), Unknown)


def test_cache_scales_of_modelopt():
    plain = {"quant_method": "modelopt", "quant_algo": "FP8"}
    assert total(LLAMA, **plain, kv_cache_quant_algo="FP8") == total(LLAMA, **plain) + 3 * 2 * 4


def test_mixed_precision_by_layer():
    layers = {f"model.layers.{i}.mlp": {"quant_algo": "NVFP4", "group_size": 16} for i in range(3)}
    layers["model.layers.1.self_attn.q_proj"] = {"quant_algo": "FP8"}
    found = stored_bytes(book(LLAMA, quant_method="modelopt", quant_algo="MIXED_PRECISION", quantized_layers=layers))
    four = each(Scaled("nvfp4", 4, 1, (1, 16), once=8), ("gate_proj", "up_proj", "down_proj"))
    assert found.by_dtype["nvfp4"] == four
    assert found.by_dtype["fp8_e4m3"] == 256 * 256 + 8


def test_dynamic_gptq():
    dynamic = {r"-:.*\.0\..*": {}, r"+:.*down_proj": {"bits": 8, "group_size": 64}}
    found = stored_bytes(book(LLAMA, quant_method="gptq", bits=4, group_size=128, dynamic=dynamic))
    assert found.by_dtype["int8"] == 2 * Gptq(8, 64).bytes(256, 640)
    others = [shape for name, shape in MATRICES.items() if name != "down_proj"]
    assert found.by_dtype["int4"] == 2 * sum(Gptq(4, 128).bytes(*shape) for shape in others)


def test_experts_are_sized_one_by_one_under_their_checkpoint_names():
    raw = {
        **LLAMA, "model_type": "qwen3_moe", "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 100,
        "decoder_sparse_step": 1, "head_dim": 64,
    }  # fmt: skip
    layout = Scaled("fp8_e4m3", 8, 2, (1, None))
    section = group("float-quantized", num_bits=8, type="float", strategy="channel")
    found = stored_bytes(book(raw, **section))
    assert found.by_kind["experts"] == 3 * 6 * (2 * layout.bytes(100, 256) + layout.bytes(256, 100))
    assert found.by_kind["router"] == 3 * 2 * 6 * 256
    section["ignore"] = ["lm_head", r"re:.*experts\.\d+\.down_proj$"]
    found = stored_bytes(book(raw, **section))
    assert found.by_kind["experts"] == 3 * 6 * (2 * layout.bytes(100, 256) + 2 * 256 * 100)


# ------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("rule", "pattern", "name", "matches"),
    [
        ("transformers", "model.layers.1", "model.layers.1.mlp", True),
        ("transformers", "model.layers.1", "model.layers.11.mlp", False),
        ("transformers", "model.layers.*.self_attn", "model.layers.11.self_attn.q_proj", True),
        ("transformers", "mlp.gate", "model.layers.3.mlp.gate", True),
        ("transformers", "mlp.gate", "model.layers.3.mlp.gate_proj", False),
        ("transformers", "visual", "model.visual.blocks.0.attn", True),
        ("compressed", "re:.*lm_head", "lm_head", True),
        ("compressed", r"re:visual\..*", "model.visual.x", False),
        ("compressed", "model.layers.0", "model.layers.0.mlp", False),
        ("glob", "model.layers.6*", "model.layers.61.mlp.gate_proj", True),
        ("glob", "lm_head", "lm_head", True),
        ("glob", "*self_attn", "model.layers.0.self_attn.q_proj", True),
        ("glob", "*.kv_b_proj", "model.layers.0.self_attn.kv_b_proj2", False),
        ("regex", r".*(?!.*gate)mlp", "model.mlp", True),
        ("regex", r"^(?!.*vision).*mlp", "model.vision.mlp", False),
    ],
)  # fmt: skip
def test_name_rules(rule, pattern, name, matches):
    assert Names([pattern], rule).match([name]) is matches


@pytest.mark.parametrize(
    "pattern", [r"(a+)+$", r"(a|a)*b", r"(.*)*x", r".*.*.*.*.*.*y", r"((a?){50}){50}b", "a" * 3000]
)
def test_no_pattern_hangs(pattern):
    start = time.perf_counter()
    with contextlib.suppress(BadPatternError):
        Expression(pattern).ends("a" * 300)
    assert time.perf_counter() - start < 1.5


@pytest.mark.parametrize("pattern", ["(", r"(m)\1", "(?<=a)b", "(?i)a", "a" * 5000, "(" * 1500 + ")" * 1500])
def test_patterns_that_are_refused_are_a_value_not_a_crash(pattern):
    found = stored_bytes(book(LLAMA, **{**group("pack-quantized", num_bits=4), "ignore": ["re:" + pattern]}))
    assert found.unknown


@pytest.mark.parametrize(
    "section",
    [
        {**FP8, "weight_block_size": [0, 128]}, {**FP8, "weight_block_size": "128"}, {**FP8, "weight_block_size": [1]},
        {"quant_method": "awq", "bits": -4}, {"quant_method": "awq", "bits": 4, "group_size": 0.5},
        {"quant_method": "gptq", "bits": "four"}, {"quant_method": "gptq", "bits": True},
        {"quant_method": 7}, {"quant_method": "aqlm", "nbits_per_codebook": 10**9},
        {"quant_method": "compressed-tensors", "config_groups": {"a": 3}},
        {"quant_method": "compressed-tensors", "config_groups": []},
        group("float-quantized", num_bits=8, type="float", scale_dtype="nonsense"),
        {"quant_method": "modelopt", "quant_algo": ["FP8"]},
    ],
)  # fmt: skip
def test_hostile_sections_give_unknown(section):
    found = stored_bytes(book(LLAMA, **section))
    assert found.unknown
    assert found.total >= REST


def test_names_of_older_checkpoints():
    names = module_names("model.language_model.layers.0.mlp.experts.0.gate_proj")
    assert "model.layers.0.block_sparse_moe.experts.0.gate_proj" in names
    assert module_names("lm_head") == ("lm_head", "language_model.lm_head")


def test_every_method_reads_an_empty_section():
    for method in METHODS:
        assert storage(load({**LLAMA, "quantization_config": {"quant_method": method}})).dtype


# ------------------------------------------------------------------ the framework's own quantized modules


@pytest.mark.oracle
def test_fp8_modules_of_the_framework():
    import torch
    from transformers import FineGrainedFP8Config
    from transformers.integrations.finegrained_fp8 import replace_with_fp8_linear

    from tests.oracle import framework

    raw = {**LLAMA, "intermediate_size": 600}
    model = framework.build(raw).to(torch.bfloat16)
    section = FineGrainedFP8Config(weight_block_size=(128, 128))
    replace_with_fp8_linear(model, ["lm_head"], section)
    theirs = sum(p.numel() * p.element_size() for p in model.parameters())
    assert total(raw, **FP8) == theirs


@pytest.mark.oracle
def test_mxfp4_experts_of_the_framework():
    import torch
    from transformers import GptOssConfig
    from transformers.integrations.mxfp4 import Mxfp4GptOssExperts

    raw = {**gpt_oss(2, 4), "hidden_size": 128, "intermediate_size": 64, "vocab_size": 100}
    with torch.device("meta"):
        experts = Mxfp4GptOssExperts(GptOssConfig(**{k: v for k, v in raw.items() if k != "model_type"}))
    packed = sum(p.numel() for name, p in experts.named_parameters() if "bias" not in name)
    biases = sum(p.numel() for name, p in experts.named_parameters() if "bias" in name)
    ours = stored_bytes(book(raw, quant_method="mxfp4")).by_kind["experts"]
    assert ours == 2 * (packed + packed * 2 // 32 + 2 * biases)


def test_family_is_found_for_the_configs_here():
    assert family("deepseek_v3")
    assert Config(LLAMA, "llama").layers() == 3
