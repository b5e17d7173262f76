"""Published models that are not bundled: their dimensions, totals and FLOPs stay what they were shown to be.

`tests/data/public_configs.json` holds, per model, the public file its dimensions were read from, the keys of it that
decide a count, the exact parameters, and the FLOPs of the whole score square of 77 tokens. Where "traced" is true the
framework's own class, built from the whole file, gave the same tensors and the same traced FLOPs; the others have no
class in it (or, Flan-T5, one that ties the head its checkpoint holds twice).
"""

import json
import pathlib

import pytest

from flopsight import count
from flopsight.models.ledger import ledger
from flopsight.models.load import build
from flopsight.workload import Workload

PUBLIC = json.loads((pathlib.Path(__file__).parent.parent / "data" / "public_configs.json").read_text())
TINY = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 100}
GROUPED = {**TINY, "num_key_value_heads": 2}
BODIES = [
    {"model_type": "mistral", "architectures": ["MistralModel"], **GROUPED, "head_dim": 16, "sliding_window": None},
    {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"], **GROUPED, "id2label": {"0": "good"}},
    {"model_type": "qwen2", "architectures": ["Qwen2ForTokenClassification"], **GROUPED, "tie_word_embeddings": True},
    {"model_type": "gemma2", "architectures": ["Gemma2ForSequenceClassification"], **GROUPED, "head_dim": 16},
    {"model_type": "gpt_neox", "architectures": ["GPTNeoXModel"], **TINY},
    {"model_type": "phi", "architectures": ["PhiModel"], **TINY},
    {"model_type": "mamba", "architectures": ["MambaModel"], "hidden_size": 64, "num_hidden_layers": 2},
    {"model_type": "opt", "architectures": ["OPTModel"], **TINY, "ffn_dim": 96, "word_embed_proj_dim": 64},
    {"model_type": "gpt2", "architectures": ["GPT2Model"], "n_embd": 64, "n_head": 4, "n_layer": 2},
]


def counted(raw):
    return ledger(build(raw, "it", "the test"))


@pytest.mark.parametrize("name", PUBLIC)
def test_parameters_and_flops_of_a_published_model(name):
    row = PUBLIC[name]
    book = counted(row["config"])
    assert book.params == row["params"]
    assert book.total(Workload("prefill", 1, 77, logits="all")).full == row["flops"]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_key_of_a_published_model_is_understood(name):
    assert [line for line in build(PUBLIC[name]["config"], name, "the test").unknown if "not understood" in line] == []


@pytest.mark.oracle
@pytest.mark.parametrize("raw", BODIES, ids=lambda raw: raw["architectures"][0])
def test_a_body_or_a_classifier_has_no_language_model_head(raw):
    from tests.oracle import compare, framework

    book, model = counted(raw), framework.build(raw)
    mine = {name: tensor.shape for name, tensor, _ in book.tensors() if not tensor.buffer}
    assert compare.differences(mine, framework.parameters(model)) == []
    for seq in (7, 18):
        assert book.total(Workload("prefill", 1, seq, logits="all")).full == framework.flops(model, seq)[0]


def test_a_draft_of_another_model_is_said_to_be_one():
    model = build({"model_type": "llama", "architectures": ["LlamaForCausalLMEagle3"], **GROUPED}, "it", "the test")
    assert any("drafts for another model" in line for line in model.unknown)


def test_code_that_names_the_whole_after_the_body_keeps_its_head():
    raw = {
        "model_type": "llama", "architectures": ["LlamaModel"], **GROUPED,
        "auto_map": {"AutoModelForCausalLM": "modeling.LlamaModel"},
    }  # fmt: skip
    assert counted(raw).by_kind["lm_head"] == 64 * 100


def test_quantization_written_beside_the_config_is_read_without_weights(tmp_path):
    raw = {"model_type": "llama", "dtype": "bfloat16", **GROUPED}
    section = {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": section}))
    beside = count(str(tmp_path)).bytes
    inside = count({**raw, "quantization_config": {"quant_method": "modelopt", **section}}).bytes
    assert beside.weights == inside.weights < count(raw).bytes.weights
    assert beside.by_dtype["fp8_e4m3"] > 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96)
    assert beside.cache_dtype == "fp8_e4m3"


def test_layers_that_an_older_checkpoint_calls_backbone_are_found():
    """NVIDIA's Nemotron files exclude `backbone.layers.N...`, and the class of today says `model.layers.N...`."""
    section = {"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["backbone.layers.0.mixer.q_proj"]}
    raw = {
        "model_type": "nemotron_h", "hybrid_override_pattern": "*-", **GROUPED, "head_dim": 16, "dtype": "bfloat16",
    }  # fmt: skip
    kept = count({**raw, "quantization_config": section}).bytes.by_dtype["bf16"]
    without = count({**raw, "quantization_config": {**section, "exclude_modules": []}}).bytes.by_dtype["bf16"]
    assert kept - without == 2 * 64 * 64
