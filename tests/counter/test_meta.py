"""Abstract runs: no memory, the same numbers as the real run, and closed forms at full size."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import flopsight.torch  # noqa: E402
from flopsight.errors import UsageError  # noqa: E402

SMALL = {
    "vocab_size": 500, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 64}
LATENT = {
    "q_lora_rank": 64, "kv_lora_rank": 32, "qk_rope_head_dim": 16, "v_head_dim": 32, "qk_nope_head_dim": 32,
    "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1, "n_routed_experts": 8, "num_key_value_heads": 4,
}  # fmt: skip
CONFIGS = {
    "Llama": {}, "Mistral": {"sliding_window": 64}, "Qwen2": {}, "Qwen3": {"head_dim": 32},
    "Gemma2": {"head_dim": 32, "sliding_window": 64}, "Gemma3Text": {"head_dim": 32, "sliding_window": 64},
    "Mixtral": {"num_local_experts": 4}, "Qwen3Moe": {"head_dim": 32, "num_experts": 8, **EXPERTS},
    "DeepseekV3": {**EXPERTS, **LATENT}, "GPT2": {"n_embd": 128, "n_layer": 2, "n_head": 4},
    "GptOss": {"head_dim": 32, "num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": 64},
}  # fmt: skip


def config_of(family):
    return getattr(transformers, f"{family}Config")(**{**SMALL, **CONFIGS[family]})


def build(config):
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)


@pytest.mark.parametrize("family", CONFIGS)
def test_an_abstract_run_equals_the_real_one(family):
    config, ids = config_of(family), torch.randint(0, 500, (2, 128))
    model = build(config)
    with flopsight.torch.counting(model) as real:
        model(ids, labels=ids, use_cache=False).loss.backward()
    found = flopsight.torch.count_abstract(lambda: build(config), ids, labels=ids, use_cache=False, backward=True)
    assert found.flops == real.flops
    assert found.bytes == real.bytes
    assert found.elementwise == real.elementwise
    assert {(r.module, r.op): r.amount for r in found.rows if r.amount.flops.executed} == {
        (r.module, r.op): r.amount for r in real.rows if r.amount.flops.executed
    }
    assert not found.uncounted


def test_padding_is_seen():
    config, ids = config_of("Llama"), torch.randint(0, 500, (2, 128))
    mask = torch.ones(2, 128, dtype=torch.long)
    mask[1, :40] = 0
    model = build(config)
    with torch.no_grad(), flopsight.torch.counting() as real:
        model(ids, attention_mask=mask, use_cache=False)
    found = flopsight.torch.count_abstract(lambda: build(config), ids, attention_mask=mask, use_cache=False)
    assert found.flops == real.flops
    assert found.flops.required < found.flops.full_square


def test_a_built_model_is_lent_and_given_back():
    model, ids = build(config_of("Llama")), torch.zeros(1, 16, dtype=torch.long)
    weights = dict(model.named_parameters())
    before = {name: weight.clone() for name, weight in weights.items()}
    found = flopsight.torch.count_abstract(model, ids, labels=ids, backward=True)
    assert dict(model.named_parameters()) == weights
    assert all(torch.equal(weight, before[name]) and weight.grad is None for name, weight in weights.items())
    with torch.device("meta"):
        meta = build(config_of("Llama"))
    assert flopsight.torch.count_abstract(meta, ids, labels=ids, backward=True).flops == found.flops


def llama_8b(layers=32):
    return transformers.LlamaConfig(
        vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=layers, num_attention_heads=32,
        num_key_value_heads=8, rope_theta=500000.0, max_position_embeddings=8192,
    )  # fmt: skip


def llama_flops(tokens, layers=32):
    """Weights once a token, causal scores and mix over s(s+1)/2 pairs, 4096 wide each."""
    matrices = layers * (4096 * (4096 + 2 * 1024) + 4096 * 4096 + 3 * 4096 * 14336) + 4096 * 128256
    return 2 * tokens * matrices + layers * 4 * 4096 * tokens * (tokens + 1) // 2


def test_llama_3_8b_at_8192_is_its_closed_form():
    ids = torch.zeros(1, 8192, dtype=torch.long)
    forward = flopsight.torch.count_abstract(lambda: build(llama_8b()), ids, use_cache=False)
    assert forward.flops.required == llama_flops(8192)
    training = flopsight.torch.count_abstract(lambda: build(llama_8b()), ids, labels=ids, backward=True)
    assert training.flops.required == 3 * llama_flops(8192)


def test_eager_experts_say_what_to_do():
    config = config_of("Mixtral")
    config._experts_implementation = "eager"
    with pytest.raises(UsageError, match="grouped_mm"):
        flopsight.torch.count_abstract(lambda: build(config), torch.zeros(1, 16, dtype=torch.long))


def test_experts_in_fp32():
    config, ids = config_of("Qwen3Moe"), torch.zeros(1, 64, dtype=torch.long)

    def model(dtype):
        return transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)

    wide = flopsight.torch.count_abstract(lambda: model(torch.float32), ids, labels=ids, backward=True)
    narrow = flopsight.torch.count_abstract(lambda: model(torch.bfloat16), ids, labels=ids, backward=True)
    assert wide.flops == narrow.flops
    assert wide.bytes.total > narrow.bytes.total


def test_a_plain_module_and_its_own_errors():
    layer = torch.nn.Linear(8, 4)
    found = flopsight.torch.count_abstract(layer, torch.zeros(3, 8), backward=True)
    assert found.flops.required == 2 * 2 * 3 * 8 * 4
    with pytest.raises(RuntimeError, match="reduction dim"):
        flopsight.torch.count_abstract(layer, torch.zeros(3, 9))
    with pytest.raises(UsageError, match="backward"):
        flopsight.torch.count_abstract(torch.nn.Identity(), torch.zeros(3), backward=True)
