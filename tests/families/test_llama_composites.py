"""Composites of Meta, StepFun, DeepSeek and Mistral under other options, and their text and audio halves alone."""

import copy

import pytest

from flopsight.errors import BadConfig
from flopsight.models.load import build, load
from flopsight.workload import Workload
from tests.families.agreement import agrees, steps_add_up, unread
from tests.oracle import compare

TEXT = {
    "vocab_size": 99, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 5, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
HEADED = {**TEXT, "head_dim": 8}
ROPE = {"rope_type": "default", "rope_theta": 1e4}
TOWER = {
    "hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 24,
    "patch_size": 4,
}  # fmt: skip
MARKS = {"image_token_id": 5, "image_token_index": 5}
EXPERTS = 3


def changed(raw, **changes):
    """A copy with other values; a dict changes the nested config of that name."""
    found = copy.deepcopy(raw)
    for key, value in changes.items():
        found[key] = {**found[key], **value} if isinstance(value, dict) else value
    return found


LLAMA4 = {
    "model_type": "llama4", **MARKS, "architectures": ["Llama4ForConditionalGeneration"],
    "text_config": {
        **HEADED, "model_type": "llama4_text", "num_local_experts": EXPERTS, "num_experts_per_tok": 1,
        "intermediate_size_mlp": 44, "attention_chunk_size": 6, "interleave_moe_layer_step": 2,
        "rope_parameters": ROPE,
    },
    "vision_config": {
        **TOWER, "model_type": "llama4_vision_model", "intermediate_size": 96, "projector_input_dim": 20,
        "projector_output_dim": 20, "vision_output_dim": 20, "rope_parameters": ROPE,
    },
}  # fmt: skip
# name: (config, routed layers, tokens of a picture)
LLAMA4S = {
    "every second layer routed": (LLAMA4, 2, 9),
    "all layers routed": (changed(LLAMA4, text_config={"interleave_moe_layer_step": 1}), 5, 9),
    "named layers": (
        changed(
            LLAMA4,
            text_config={
                "moe_layers": [0, 3, 4], "no_rope_layers": [1, 0, 1, 1, 0], "use_qk_norm": False,
                "attention_bias": True, "num_key_value_heads": 1,
            },
        ),
        3, 9,
    ),
    "thirds of a side": (
        changed(
            LLAMA4,
            text_config={"attention_chunk_size": 100},
            vision_config={
                "pixel_shuffle_ratio": 1 / 3, "intermediate_size": 216, "projector_input_dim": 12,
                "projector_output_dim": 12, "vision_output_dim": 12, "num_hidden_layers": 1,
            },
        ),
        2, 4,
    ),
}  # fmt: skip
MLLAMA = {
    "model_type": "mllama", **MARKS, "architectures": ["MllamaForConditionalGeneration"],
    "text_config": {**TEXT, "cross_attention_layers": [1, 3], "rope_parameters": ROPE},
    "vision_config": {
        "hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 4, "attention_heads": 2,
        "num_global_layers": 2, "image_size": 24, "patch_size": 4, "max_num_tiles": 2,
        "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]], "vision_output_dim": 72,
        "intermediate_layers_indices": [0, 1],
    },
}  # fmt: skip
FOUR = [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]]
# name: (config, tiles, tokens of a tile after padding)
MLLAMAS = {
    "two tiles": (MLLAMA, 2, 40),
    "one tile": (changed(MLLAMA, vision_config={"max_num_tiles": 1, "supported_aspect_ratios": [[1, 1]]}), 1, 40),
    "four tiles, no room for padding": (
        changed(
            MLLAMA,
            text_config={"cross_attention_layers": [0, 4], "num_key_value_heads": 4},
            vision_config={
                "max_num_tiles": 4, "supported_aspect_ratios": FOUR, "intermediate_layers_indices": [0, 2, 3],
                "vision_output_dim": 96, "image_size": 16, "num_global_layers": 1, "attention_heads": 3,
            },
        ),
        4, 24,
    ),
    "nothing crossed": (changed(MLLAMA, text_config={"cross_attention_layers": []}), 2, 40),
}  # fmt: skip
CLIP = {"num_mel_bins": 10, "max_source_positions": 16}
VOXTRAL = {
    "model_type": "voxtral", "audio_token_id": 5, "text_config": {**HEADED, "model_type": "llama"},
    "audio_config": {
        **CLIP, "hidden_size": 24, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
    },
}  # fmt: skip
QWEN2_AUDIO = {
    "model_type": "qwen2_audio", "audio_token_index": 5, "text_config": {**HEADED, "model_type": "qwen2"},
    "audio_config": {
        **CLIP, "d_model": 24, "encoder_ffn_dim": 40, "encoder_layers": 2, "encoder_attention_heads": 2,
    },
}  # fmt: skip
# name: (config, tokens of a clip in the text, frames)
HEARING = {
    "voxtral": (VOXTRAL, 4, 32),
    "voxtral, pairs": (
        changed(
            VOXTRAL, text_config={"tie_word_embeddings": True, "attention_bias": True},
            audio_config={"intermediate_size": 48, "max_source_positions": 22, "num_attention_heads": 3},
        ),
        11, 44,
    ),
    "qwen2_audio": (QWEN2_AUDIO, 8, 32),
    "qwen2_audio, longer": (
        changed(
            QWEN2_AUDIO, text_config={"tie_word_embeddings": True},
            audio_config={"max_source_positions": 24, "encoder_attention_heads": 4},
        ),
        12, 48,
    ),
}  # fmt: skip
ENCODERS = {
    "voxtral_encoder": {**VOXTRAL["audio_config"], "model_type": "voxtral_encoder"},
    "qwen2_audio_encoder": {**QWEN2_AUDIO["audio_config"], "model_type": "qwen2_audio_encoder"},
}
MLLAMA_TEXT = {**MLLAMA["text_config"], "model_type": "mllama_text_model"}
STEP = {
    "model_type": "step3p7", **MARKS,
    "text_config": {
        **HEADED, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12, "share_expert_dim": 10,
        "moe_layers_enum": "1,2", "sliding_window": 4, "num_sliding_attention_heads": 6,
        "layer_types": ["full_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention"],
    },
    "vision_config": {
        "width": 24, "layers": 2, "heads": 2, "mlp_ratio": 2.5, "image_size": 28, "patch_size": 4,
        "intermediate_size": 999,
    },
}  # fmt: skip
STEPS = {
    "silent": STEP,
    "tied": changed(STEP, tie_word_embeddings=True, projector_bias=True),
    "newer keys": changed(
        STEP, tie_word_embeddings=False, vision_config={"mlp_ratio": 1.99, "patch_size": 3},
        text_config={"mlp_layer_types": ["dense", "sparse", "sparse", "dense", "sparse"], "attention_bias": True},
    ),
}  # fmt: skip
DEEPSEEK = {
    "model_type": "deepseek_vl", **MARKS, "text_config": {**HEADED, "model_type": "llama"},
    "vision_config": {**TOWER, "model_type": "siglip_vision_model", "vision_use_head": False},
}  # fmt: skip
DEEPSEEKS = {
    "tied": DEEPSEEK,
    "untied": changed(DEEPSEEK, tie_word_embeddings=False),
    "pooling head": changed(DEEPSEEK, vision_config={"vision_use_head": True}),
}  # fmt: skip
SEEING = {
    **{f"llama4 {n}": c[0] for n, c in LLAMA4S.items()}, **{f"mllama {n}": c[0] for n, c in MLLAMAS.items()},
    **{n: c[0] for n, c in HEARING.items()}, **{f"step3p7 {n}": c for n, c in STEPS.items()},
    **{f"deepseek_vl {n}": c for n, c in DEEPSEEKS.items()},
}  # fmt: skip
ALL = {**SEEING, "mllama_text_model": MLLAMA_TEXT, **ENCODERS}


# ------------------------------------------------------------------ without any framework


@pytest.mark.parametrize("name", ALL)
def test_every_key_is_read(name):
    assert unread(ALL[name]) == []


@pytest.mark.parametrize("name", [n for n in ALL if n not in ENCODERS])
@pytest.mark.parametrize("seq", [5, 19])
def test_decoding_step_by_step_needs_what_a_prefill_needs(name, seq):
    steps_add_up(ALL[name], seq)


@pytest.mark.parametrize("name", SEEING)
def test_towers_run_in_prefill_alone_and_only_for_pictures_and_clips(name):
    ledger = compare.ours(SEEING[name])
    towers = {"vision", "audio", "projector"}
    for phase, images in (("prefill", 0), ("decode", 2), ("prefill", 1)):
        rows = ledger.rows(Workload(phase, 2, 1, 9 if phase == "decode" else 0, images=images))
        run = sum(r.cost.required for r in rows if r.leaf.part.kind in towers)
        assert (run > 0) == (phase == "prefill" and images > 0)


def test_chunks_cut_what_llama_4_needs():
    whole = compare.ours(changed(LLAMA4, text_config={"attention_chunk_size": 64}))
    chunked, tokens = compare.ours(LLAMA4), 33
    # chunks of six: five whole ones and one of three; four of five layers have them
    pairs = 5 * (6 * 7 // 2) + 3 * 4 // 2
    saved = 4 * (tokens * (tokens + 1) // 2 - pairs) * 4 * 4 * 8
    work = Workload("prefill", 1, tokens)
    assert whole.total(work).required - chunked.total(work).required == saved


def test_active_parameters_of_llama_4_scout():
    from flopsight.models.ledger import ledger

    assert sum(ledger(load("llama-4-scout")).active_by_kind.values()) == 18_044_827_136


@pytest.mark.parametrize("seen", [0, 1, 7])
def test_states_brought_to_llama_visions_text_are_cached_in_decode(seen):
    ledger = compare.ours(MLLAMA_TEXT)
    step = ledger.total(Workload("decode", 2, 1, 9, encoder=seen or None))
    blind = ledger.total(Workload("decode", 2, 1, 9))
    kept, layers = 2 * 2 * 8, 2
    assert step.cache_reads - blind.cache_reads == 2 * seen * kept * layers
    assert (step.required > blind.required) == bool(seen)


@pytest.mark.parametrize("key", ["mlp_ratio", "heads", "patch_size", "image_size", "width"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "x", 10**30, [], None])
def test_hostile_values_of_step_3_7_are_named(key, value):
    # a null mlp_ratio, like every null, is not the class default
    with pytest.raises(BadConfig, match="config"):
        build(changed(STEP, vision_config={key: value}), "test", "the test config")


def test_the_picture_of_step_3_7_keeps_odd_rows():
    model = build(STEP, "test", "the test config")
    made = {s: model.streams[s](Workload(images=1)).tokens for s in ("vision", "vision_halved", "vision_merged")}
    assert made == {"vision": 49, "vision_halved": 16, "vision_merged": 4}


# ------------------------------------------------------------------ beside the framework


def overrun(raw, routed, tokens):
    """What the framework does too much: it runs every expert of Llama 4 on every token."""
    text = raw["text_config"]
    return (EXPERTS - 1) * 6 * tokens * text["hidden_size"] * text["intermediate_size"] * routed


@pytest.mark.oracle
@pytest.mark.parametrize("name", LLAMA4S)
@pytest.mark.parametrize("images", [1, 2])
def test_llama_4_agrees(name, images):
    from tests.oracle import seeing

    raw, routed, tokens = LLAMA4S[name]
    inputs = {"input_ids": seeing.prompt(tokens, images), "pixel_values": seeing.pixels(24, images)}
    seeing.agrees(raw, inputs, images, extra=overrun(raw, routed, inputs["input_ids"].shape[1]))


@pytest.mark.oracle
@pytest.mark.parametrize("name", MLLAMAS)
@pytest.mark.parametrize("images", [1, 2])
def test_llama_vision_agrees(name, images):
    import torch

    from tests.oracle import seeing

    raw, tiles, padded = MLLAMAS[name]
    side = raw["vision_config"]["image_size"]
    ids = torch.tensor([[1] + [5] * images + [2] * 5])
    inputs = {
        "input_ids": ids, "pixel_values": torch.ones(1, images, tiles, 3, side, side),
        "aspect_ratio_ids": torch.full((1, images), 1), "aspect_ratio_mask": torch.ones(1, images, tiles).long(),
        "cross_attention_mask": torch.ones(1, ids.shape[1], images, tiles).long(),
    }  # fmt: skip
    # the framework makes the mask between tiles by a product of two vectors
    seeing.agrees(raw, inputs, images, extra=images * 2 * (tiles * padded) ** 2)


@pytest.mark.oracle
@pytest.mark.parametrize("name", [n for n in MLLAMAS if n != "nothing crossed"])
def test_llama_vision_skips_crossed_layers_without_pictures(name):
    agrees(MLLAMAS[name][0], (5, 16, 33))


@pytest.mark.oracle
@pytest.mark.parametrize("seq", [5, 16])
@pytest.mark.parametrize("seen", [0, 1, 7])
def test_llama_visions_text_agrees(seq, seen):
    import torch

    from tests.oracle import framework

    agrees(MLLAMA_TEXT, (seq,), "MllamaForCausalLM")
    states = torch.zeros(2, seen, 32, device="meta")
    ids = torch.zeros(2, seq, dtype=torch.long, device="meta")
    inputs = {"input_ids": ids} | ({"cross_attention_states": states} if seen else {})
    traced, _ = framework.flops(framework.build(MLLAMA_TEXT, "MllamaForCausalLM"), seq, **inputs)
    assert compare.our_flops(compare.ours(MLLAMA_TEXT), seq, 2, encoder=seen or None) == traced


@pytest.mark.oracle
@pytest.mark.parametrize("name", HEARING)
@pytest.mark.parametrize("clips", [1, 2])
def test_sounds_agree(name, clips):
    import torch

    from tests.oracle import seeing

    raw, tokens, frames = HEARING[name]
    inputs = {"input_ids": seeing.prompt(tokens, clips), "input_features": torch.ones(clips, 10, frames)}
    if raw["model_type"] == "qwen2_audio":
        inputs["feature_attention_mask"] = torch.ones(clips, frames).long()
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    seeing.agrees(raw, inputs, clips)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_alone_agree(name):
    import torch

    from tests.oracle import framework, seeing

    ledger, model = compare.ours(ENCODERS[name]), framework.build(ENCODERS[name])
    assert compare.differences(compare.our_parameters(ledger), framework.parameters(model)) == []
    traced = seeing.traced(seeing.on_cpu(ENCODERS[name]), input_features=torch.ones(2, 10, 32))
    assert compare.our_flops(ledger, 1, 2) == traced


@pytest.mark.oracle
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("side", [28, 20, 36])
@pytest.mark.parametrize("images", [0, 1, 2])
def test_step_3_7_agrees(name, side, images):
    from tests.oracle import seeing

    raw = STEPS[name]
    across = side // raw["vision_config"]["patch_size"]
    tokens = (-(-across // 4)) ** 2
    inputs = {"input_ids": seeing.prompt(tokens, images)}
    if images:
        inputs["pixel_values"] = seeing.pixels(side, images)
    seeing.agrees(raw, inputs, images, side)


@pytest.mark.oracle
@pytest.mark.parametrize("name", DEEPSEEKS)
@pytest.mark.parametrize("images", [1, 2])
def test_deepseek_vl_agrees(name, images):
    from tests.oracle import seeing

    inputs = {"input_ids": seeing.prompt(36, images), "pixel_values": seeing.pixels(24, images)}
    seeing.agrees(DEEPSEEKS[name], inputs, images)


@pytest.mark.oracle
@pytest.mark.parametrize("name", DEEPSEEKS)
def test_texts_of_deepseek_vl_agree(name):
    agrees(DEEPSEEKS[name], (5, 16, 33))
