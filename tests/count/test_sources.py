"""The same model through every door: config, checkpoint folder, GGUF, callable; and doors that are closed."""

import json

import numpy as np
import pytest

import flopsight
from flopsight.errors import BadFile, MissingCapability, UnknownModel, UsageError
from flopsight.models.ledger import ledger
from flopsight.models.load import load

RAW = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 100, "torch_dtype": "bfloat16", "max_position_embeddings": 128,
    "tie_word_embeddings": False,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A checkpoint folder with real safetensors of the model that RAW describes."""
    from safetensors.numpy import save_file

    (tmp_path / "config.json").write_text(json.dumps(RAW))
    tensors = {name: np.zeros(t.shape, np.float16) for name, t, _ in ledger(load(RAW)).tensors()}
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path


def test_a_config_file_and_a_dict_are_the_same(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(RAW))
    ours, dict_result = flopsight.count(str(path)), flopsight.count(RAW)
    assert ours.params == dict_result.params
    assert ours.flops == dict_result.flops


def test_a_checkpoint_folder_gives_exact_bytes_and_dtypes(folder):
    result = flopsight.count(str(folder), tensors=True)
    assert result.bytes.weights == 2 * result.params.total
    assert result.bytes.by_dtype == {"fp16": 2 * result.params.total}
    assert {t.dtype for t in result.tensors} == {"fp16"}
    assert any("exactly" in note for note in result.notes)


def test_a_checkpoint_that_disagrees_is_said(folder):
    (folder / "config.json").write_text(json.dumps(RAW | {"num_hidden_layers": 4}))
    result = flopsight.count(str(folder))
    assert any("the config makes" in note for note in result.notes)


def test_safetensors_alone_know_sizes_and_no_flops(folder):
    (folder / "config.json").unlink()
    result = flopsight.count(str(folder / "model.safetensors"))
    assert result.flops is None
    assert result.params.total == ledger(load(RAW)).params
    assert any(line.startswith("FLOPs:") for line in result.unknown)
    with pytest.raises(UsageError, match="no config"):
        flopsight.mfu(str(folder / "model.safetensors"), tokens_per_s=1, on="h200")


def test_a_gguf_counts_like_its_config(tmp_path):
    import gguf

    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(3)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_context_length(128)
    writer.add_vocab_size(100)
    writer.add_rope_dimension_count(16)
    for name, shape in (("token_embd.weight", (100, 64)), ("output.weight", (100, 64)), ("output_norm.weight", (64,))):
        writer.add_tensor(name, np.zeros(shape, np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    result = flopsight.count(str(path))
    assert result.params == flopsight.count(RAW).params
    assert result.bytes.weights == 2 * (2 * 100 * 64 + 64)


def test_a_callable_is_traced_and_agrees_with_the_formula():
    traced = flopsight.count("tests.count.modules:tiny_llama", mask="full", seq=77)
    formula = flopsight.count(RAW, mask="full", seq=77)
    assert traced.model.confidence == "fit"
    assert traced.params.total == formula.params.total
    assert traced.flops.full_square == formula.flops.full_square
    assert traced.params.by_kind == formula.params.by_kind
    # a trace sees neither caches nor vector work, and not seeing is not zero
    assert traced.bytes.kv_per_token is None
    assert traced.flops.elementwise is None
    decode = flopsight.mfu("tests.count.modules:tiny_llama", tokens_per_s=1, on="h200", phase="decode", past=8)
    assert decode.mbu is None
    assert "not known" in decode.mbu_unknown


def test_a_callable_may_say_what_its_forward_takes():
    result = flopsight.count("tests.count.modules:linear_with_inputs", seq=10)
    assert result.flops.required == 2 * 10 * 3 * 5


def test_a_callable_that_cannot_run_says_so_and_gives_no_zero():
    result = flopsight.count("tests.count.modules:linear_alone")
    assert result.flops is None
    assert "not known" in repr(result)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("tests.count.modules:missing", "could not be imported"),
        ("no_such_package:thing", "could not be imported"),
        ("tests.count.modules:VALUE", "not a function"),
        ("tests.count.modules:not_a_module", "should return an nn.Module"),
    ],
)
def test_callables_that_are_none(spec, said):
    with pytest.raises(UsageError, match=said):
        flopsight.count(spec)


def test_an_unknown_family_is_never_a_silent_llama(monkeypatch):
    monkeypatch.setattr("flopsight.models.module.from_transformers", lambda raw, name: None)
    with pytest.raises(UnknownModel, match="not guessed"):
        load(RAW | {"model_type": "lama"})


def test_an_unknown_family_that_transformers_knows_is_a_fit():
    from transformers import BlipTextConfig

    raw = BlipTextConfig().to_dict() | {"model_type": "cpmant", "num_hidden_layers": 2}
    assert load(raw).confidence == "fit"


def test_a_dimension_nobody_read_is_a_loud_line():
    result = flopsight.count(RAW | {"shiny_new_experts": 64})
    assert any("shiny_new_experts = 64" in line for line in result.unknown)


def test_names_with_typos_get_neighbours():
    with pytest.raises(UnknownModel, match=r"llama-3\.1-8b"):
        load("lama-3.1-8b")


def test_a_directory_without_a_model(tmp_path):
    with pytest.raises((BadFile, UsageError)):
        load(str(tmp_path))


def test_a_hub_id_of_a_bundled_model_needs_no_network():
    assert load("openai-community/gpt2").name == "gpt2"


def test_any_other_hub_id_needs_an_extra(monkeypatch):
    import importlib

    real = importlib.import_module

    def hidden(name, *rest):
        if name == "huggingface_hub":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", hidden)
    with pytest.raises(MissingCapability, match=r"flopsight\[hf\]"):
        load("nobody/nothing-at-all")


def test_decode_defaults_to_one_token_behind_a_context():
    result = flopsight.count("llama-3.1-8b", phase="decode", seq=4096)
    assert (result.workload.seq, result.workload.past) == (1, 4096)
    both = flopsight.count("llama-3.1-8b", phase="decode", seq=4, past=100)
    assert (both.workload.seq, both.workload.past) == (4, 100)


@pytest.mark.parametrize(
    "field", [{"batch": 0}, {"seq": -1}, {"past": -5}, {"batch": 2.5}, {"seq": True}, {"images": -1}]
)
def test_workloads_that_cannot_be(field):
    with pytest.raises(UsageError, match=next(iter(field))):
        flopsight.count("gpt2", **field)


@pytest.mark.parametrize(
    "field", [{"phase": "training"}, {"mask": "causal"}, {"logits": "some"}, {"recompute": "half"}]
)
def test_words_that_are_none(field):
    with pytest.raises(UsageError):
        flopsight.count("gpt2", **field)


def test_a_longer_sequence_than_the_model_has_positions_is_said():
    assert any("more than the 1,024 positions" in note for note in flopsight.count("gpt2", seq=5000).notes)


def test_known_kv_caches():
    """2 (K and V) x layers x kv heads x head width x 2 bytes; MLA: layers x (rank + rotary) x 2 bytes."""
    assert flopsight.count("llama-3.1-70b").bytes.kv_per_token == 2 * 80 * 8 * 128 * 2
    assert flopsight.count("deepseek-v3").bytes.kv_per_token == 61 * (512 + 64) * 2
    assert flopsight.count("gpt3-175b").bytes.kv_per_token == 2 * 96 * 96 * 128 * 2
    assert flopsight.count("llama-3.1-70b", cache_dtype="fp8").bytes.kv_per_token == 2 * 80 * 8 * 128


def test_a_result_prints_everywhere():
    result = flopsight.count("mixtral-8x7b", verbose=True)
    assert "46,702,792,704 parameters" in repr(result)
    assert "block_sparse" not in result.to_text()
    assert "<pre" in result._repr_html_()
    assert json.loads(result.to_json())["params"]["total"] == 46702792704


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("bert-base", {"phase": "decode"}),
        ("gpt2", {"images": 1}),
        ("gpt2", {"encoder": 7}),
        ("gpt2", {"image_size": 224}),
        ("vit-base-patch16-224", {"encoder": 7}),
    ],
)
def test_what_a_model_has_no_use_for_is_refused(model, asked):
    with pytest.raises(UsageError, match=model):
        flopsight.count(model, **asked)


def test_recurrent_state_is_told_apart_from_attention():
    jamba, mamba = flopsight.count("jamba-1.5-mini").flops, flopsight.count("mamba-2.8b").flops
    whisper = flopsight.count("whisper-tiny", phase="decode", past=10).flops
    assert jamba.attention > 0 < jamba.recurrence
    assert mamba.attention == 0 < mamba.recurrence
    assert whisper.recurrence == 0 < whisper.attention
    for one in (jamba, mamba, whisper):
        assert one.weights + one.attention + one.recurrence == one.required
