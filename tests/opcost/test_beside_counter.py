"""The FLOPs of a trace's recorded shapes are those that the counter saw in the same run, op by op."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.opcost.running import both  # noqa: E402

LLAMA = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 128,
}  # fmt: skip


def language_model(config, impl="sdpa", length=12):
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=impl)
    ids = torch.randint(0, config.vocab_size, (2, length))
    return lambda: model(input_ids=ids, labels=ids).loss.backward()


def test_llama_forward_and_backward(tmp_path):
    recorded, counted, counter = both(tmp_path / "t.json", language_model(transformers.LlamaConfig(**LLAMA)))
    assert recorded == counted
    assert "aten._scaled_dot_product_flash_attention_for_cpu_backward" in recorded and not counter.uncounted


def test_llama_with_attention_written_as_products(tmp_path):
    """A mask added to scores lowers what is required of their products; in a trace it is a tensor like any other."""
    recorded, counted, _ = both(tmp_path / "t.json", language_model(transformers.LlamaConfig(**LLAMA), "eager"))
    assert {op: sums[1:] for op, sums in recorded.items()} == {op: sums[1:] for op, sums in counted.items()}
    assert recorded["aten.mm"] == counted["aten.mm"]
    required = recorded["aten.bmm"][0]
    assert required == recorded["aten.bmm"][1] > counted["aten.bmm"][0]
