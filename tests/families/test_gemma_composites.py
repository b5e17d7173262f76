"""Gemma 3, 3n, 4 and PaliGemma: towers, shared keys and values, per-layer embeddings, experts beside an MLP.

The oracle tests build each small config with transformers and compare names, shapes, buffers and FLOPs.
"""

import pytest

from flopsight.errors import BadConfig
from flopsight.models.ledger import Ledger
from flopsight.workload import Workload
from tests.families.agreement import agrees, steps_add_up, unread
from tests.oracle import compare

SIGLIP = {
    "model_type": "siglip_vision_model", "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2,
    "num_attention_heads": 4, "image_size": 56, "patch_size": 7, "vision_use_head": False,
}  # fmt: skip
TEXT3 = {
    "model_type": "gemma3_text", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 7,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 20, "sliding_window": 9, "vocab_size": 211,
}  # fmt: skip
TEXT1 = {
    "model_type": "gemma", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 211,
}  # fmt: skip
GEMMA3 = {"model_type": "gemma3", "mm_tokens_per_image": 16, "text_config": TEXT3, "vision_config": SIGLIP}
PALI = {
    "model_type": "paligemma", "projection_dim": 64, "text_config": TEXT1, "vision_config": SIGLIP, "hidden_size": 64,
    "vocab_size": 211, "image_token_index": 210,
}  # fmt: skip
TEXT3N = {
    "model_type": "gemma3n_text", "hidden_size": 64, "intermediate_size": [96, 96, 96, 128, 128, 64, 64, 64],
    "num_hidden_layers": 8, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "sliding_window": 9,
    "vocab_size": 223, "vocab_size_per_layer_input": 211, "hidden_size_per_layer_input": 20, "altup_num_inputs": 3,
    "laurel_rank": 6, "num_kv_shared_layers": 3, "activation_sparsity_pattern": [0.0] * 8,
}  # fmt: skip
TEXT4 = {
    "model_type": "gemma4_text", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 8,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "global_head_dim": 24, "sliding_window": 9,
    "vocab_size": 223, "vocab_size_per_layer_input": 211, "hidden_size_per_layer_input": 0,
}  # fmt: skip
EDGE = {
    "hidden_size_per_layer_input": 20, "num_kv_shared_layers": 3, "use_double_wide_mlp": True,
    "layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 2,
}  # fmt: skip
EXPERTS = {
    "enable_moe_block": True, "num_experts": 8, "top_k_experts": 3, "moe_intermediate_size": 28,
    "attention_k_eq_v": True, "num_global_key_value_heads": 1, "use_bidirectional_attention": "vision",
}  # fmt: skip
VISION4 = {
    "model_type": "gemma4_vision", "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 12, "patch_size": 4, "position_embedding_size": 32,
    "pooling_kernel_size": 3, "standardize": True,
}  # fmt: skip
AUDIO4 = {
    "model_type": "gemma4_audio", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "subsampling_conv_channels": [128, 8], "output_proj_dims": 40, "conv_kernel_size": 5,
}  # fmt: skip
MOE4 = {"model_type": "gemma4", "text_config": TEXT4 | EXPERTS, "vision_config": VISION4, "audio_config": None}

TEXTS = {
    "3n": TEXT3N,
    "3n unshared, untied, biased": TEXT3N
    | {"num_kv_shared_layers": 0, "tie_word_embeddings": False, "attention_bias": True, "intermediate_size": 96},
    "3n by default patterns": {k: v for k, v in TEXT3N.items() if k != "activation_sparsity_pattern"}
    | {"num_kv_shared_layers": 2, "altup_num_inputs": 2},
    "4 dense": TEXT4,
    "4 dense, keys as values": TEXT4 | {"attention_k_eq_v": True, "num_global_key_value_heads": 4},
    "4 global key-value heads without their switch": TEXT4 | {"num_global_key_value_heads": 1},
    "4 untied, biased, class head dims": {k: v for k, v in TEXT4.items() if k != "global_head_dim"}
    | {"tie_word_embeddings": False, "attention_bias": True},
    "4 edge": TEXT4 | EDGE,
    "4 edge, single width": TEXT4 | EDGE | {"use_double_wide_mlp": False, "num_kv_shared_layers": 1},
    "4 last layer forced to see everything": TEXT4 | {"layer_types": ["sliding_attention"] * 8},
    "4 layers with dimensions of their own": TEXT4
    | {"per_layer_config": {str(i): {"head_dim": 16, "num_key_value_heads": 1} for i in (5, 7)}},
    "4 as an encoder": TEXT4 | {"use_bidirectional_attention": "all"},
    "4 experts": TEXT4 | EXPERTS,
    "4 experts and layer inputs": TEXT4 | EXPERTS | {"hidden_size_per_layer_input": 20},
}
WHOLE = {
    "3": GEMMA3,
    "3 untied": GEMMA3 | {"tie_word_embeddings": False},
    "shield": GEMMA3 | {"model_type": "shieldgemma2"},
    "pali": PALI,
    "4 experts": MOE4,
    "4 edge with ears": MOE4 | {"text_config": TEXT4 | EDGE, "audio_config": AUDIO4},
    "4 clipped": MOE4 | {"vision_config": VISION4 | {"use_clipped_linears": True, "standardize": False}},
    "4 text only": MOE4 | {"vision_config": None},
}


@pytest.mark.oracle
@pytest.mark.parametrize("name", TEXTS)
def test_texts_agree_with_the_framework(name):
    agrees(TEXTS[name])


@pytest.mark.oracle
@pytest.mark.parametrize("name", WHOLE)
def test_composites_agree_with_the_framework(name):
    agrees(WHOLE[name])


@pytest.mark.parametrize("name", [n for n in TEXTS if "encoder" not in n])
def test_a_prefill_is_the_sum_of_its_steps(name):
    steps_add_up(TEXTS[name])


@pytest.mark.parametrize("raw", [*TEXTS.values(), *WHOLE.values()])
def test_every_key_with_a_dimension_is_read(raw):
    assert unread(raw) == []


def _seen(raw, images, size=None, seq=40):
    w = Workload("prefill", 1, seq, logits="all", images=images, image_size=size)
    return compare.ours(raw).total(w)


@pytest.mark.oracle
@pytest.mark.parametrize("raw", [GEMMA3, PALI])
def test_tower_and_projector_cost_what_the_trace_says(raw):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from tests.oracle import framework

    model = framework.build(raw)
    pixels = torch.empty(3, 3, 56, 56, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.model.get_image_features(pixels)
    assert _seen(raw, 3).full - _seen(raw, 0).full == counter.get_total_flops()


@pytest.mark.oracle
@pytest.mark.parametrize("vision", [VISION4, VISION4 | {"num_key_value_heads": 2, "use_clipped_linears": True}])
def test_the_tower_of_gemma_4_costs_what_a_run_says(vision):
    """48 x 48 pixels: 12 x 12 patches, 4 x 4 tokens; run, because the pooling reads values."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoConfig, AutoModel

    raw = MOE4 | {"vision_config": vision}
    config = AutoConfig.for_model(**vision)
    config._attn_implementation = "eager"
    tower = AutoModel.from_config(config).eval()
    places = torch.cartesian_prod(torch.arange(12), torch.arange(12)).flip(1)[None]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        tower(pixel_values=torch.rand(1, 144, 48), pixel_position_ids=places)
    projected = 2 * 16 * 48 * 64
    assert _seen(raw, 1, 48).full - _seen(raw, 0).full == counter.get_total_flops() + projected


@pytest.mark.oracle
@pytest.mark.parametrize("tokens", [5, 12, 24, 30])
@pytest.mark.parametrize("later", [0, 2])
def test_the_sound_tower_of_gemma_4_costs_what_a_run_says(tokens, later):
    """Four frames a token, at lengths that are and are not whole blocks of 12."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoConfig, AutoModel

    audio = AUDIO4 | {"attention_context_right": later}
    tower = AutoModel.from_config(AutoConfig.for_model(**audio)).eval()
    heard = torch.ones(1, 4 * tokens, dtype=torch.bool)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        tower(input_features=torch.rand(1, 4 * tokens, 128), attention_mask=heard)
    ledger = compare.ours(MOE4 | {"audio_config": audio})
    silent, sounding = (ledger.total(Workload("prefill", 1, 40, encoder=n)).full for n in (None, tokens))
    assert sounding - silent == counter.get_total_flops() + 2 * tokens * 40 * 64


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["4 edge", "4 edge, single width"])
def test_layers_without_keys_of_their_own_run_where_logits_are_wanted(name):
    """The framework cuts the stream before those layers down to the positions that are kept."""
    import warnings

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from tests.oracle import framework

    model = framework.build(TEXTS[name])
    framework._patch()
    ids = torch.zeros(1, 33, dtype=torch.long, device="meta")
    with warnings.catch_warnings(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        warnings.simplefilter("ignore")
        model(input_ids=ids, use_cache=False, logits_to_keep=1)
    last = compare.ours(TEXTS[name]).total(Workload("prefill", 1, 33, logits="last"))
    assert last.full == counter.get_total_flops()


@pytest.mark.parametrize("raw", [TEXTS["4 edge"], TEXT3N])
def test_shared_layers_hold_no_cache(raw):
    """5 of 8 layers keep something: 4 or 3 windows of 9 tokens, the rest everything."""
    ledger = compare.ours(raw)
    edge = raw["model_type"] == "gemma4_text"
    per_layer = [2 * 2 * (24 if edge and i == 3 else 12) for i in range(5)]
    assert ledger.cache_per_token == sum(per_layer)
    whole = {3} if edge else {4}
    assert ledger.cache_elements(100) == sum(n * (100 if i in whole else 9) for i, n in enumerate(per_layer))


def test_windows_are_required_only_where_they_reach():
    """Sliding layers see 9 tokens: their extra need per further token stops growing."""
    ledger = compare.ours(TEXT4)
    at = [ledger.total(Workload("decode", 1, 1, past)).required for past in (50, 51, 52)]
    # two of eight layers see everything, 2·(24 + 24)·4 heads for one more token; the sixth by rule, the last by force
    assert at[1] - at[0] == at[2] - at[1] == 2 * 2 * (24 + 24) * 4


def test_a_token_visits_three_of_eight_experts():
    ledger = compare.ours(TEXT4 | EXPERTS)
    assert ledger.by_kind["experts"] == 8 * 8 * 3 * 64 * 28
    assert ledger.active_by_kind["experts"] == 8 * 3 * 3 * 64 * 28
    assert ledger.by_kind["router"] == 8 * (8 * 64 + 64 + 8)


@pytest.mark.parametrize(
    "raw",
    [
        TEXT4 | {"num_kv_shared_layers": 8},
        TEXT4 | {"num_kv_shared_layers": -1},
        TEXT4 | EXPERTS | {"num_experts": None},
        TEXT4 | EXPERTS | {"top_k_experts": 9},
        TEXT4 | {"layer_types": ["chunked_attention"] * 8},
        TEXT4 | EDGE | {"layer_types": ["sliding_attention"] * 7 + ["full_attention"]},
        TEXT3N | {"intermediate_size": [96] * 7},
        TEXT3N | {"activation_sparsity_pattern": [0.5]},
        TEXT3N | {"altup_num_inputs": 0},
        GEMMA3 | {"mm_tokens_per_image": 10_000},
    ],
)
def test_what_cannot_be_is_refused(raw):
    with pytest.raises(BadConfig):
        compare.ours(raw)


def test_gemma_3n_is_its_text_and_says_so():
    model = compare.ours(
        {"model_type": "gemma3n", "text_config": TEXT3N, "vision_config": {}, "audio_config": {}}
    ).model
    alone = compare.ours(TEXT3N)
    names = {n.replace("model.language_model.", "model.") for n, _, _ in Ledger(model).tensors()}
    assert names == {n for n, _, _ in alone.tensors()}
    assert "tower" in model.unknown[0]
