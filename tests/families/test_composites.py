"""Models of text that also see or hear: exact facts, what pictures cost, and agreement with the framework."""

import pytest

from flopsight.errors import BadConfig, FlopsightError
from flopsight.models.load import build
from flopsight.parts.masks import Full
from flopsight.parts.tiles import Tiles
from flopsight.workload import Work, Workload
from tests.families.agreement import agrees, steps_add_up, unread
from tests.oracle import compare

TEXT = {
    "vocab_size": 99, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
HEADED = {**TEXT, "head_dim": 8}
ROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
PLAIN_ROPE = {"rope_type": "default", "rope_theta": 1e4}
TOWER = {
    "hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 24,
    "patch_size": 4,
}  # fmt: skip
MARKS = {
    "image_token_id": 5, "image_token_index": 5, "video_token_id": 6, "vision_start_token_id": 7,
    "vision_end_token_id": 8, "image_start_token_id": 7, "image_end_token_id": 8,
}  # fmt: skip
MERGING = {
    "depth": 3, "hidden_size": 24, "intermediate_size": 20, "num_heads": 2, "out_hidden_size": 32, "patch_size": 4,
    "spatial_merge_size": 2, "temporal_patch_size": 2,
}  # fmt: skip
QWEN2 = {
    "depth": 3, "embed_dim": 24, "mlp_ratio": 3, "hidden_size": 32, "num_heads": 2, "patch_size": 4,
    "spatial_merge_size": 2, "temporal_patch_size": 2, "in_chans": 3, "spatial_patch_size": 4,
}  # fmt: skip
QWEN25 = {**MERGING, "window_size": 16, "fullatt_block_indexes": [1]}
QWEN3 = {**MERGING, "num_position_embeddings": 16, "deepstack_visual_indexes": [0, 2]}
GLM = {**MERGING, "image_size": 24}
EXPERTS = {
    "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 12, "head_dim": 12,
    "first_k_dense_replace": 1, "rope_parameters": {**ROPE, "mrope_section": [1, 1, 1]},
}  # fmt: skip
HYBRID = {
    "head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8, "layer_types": ["linear_attention", "full_attention", "linear_attention"],
}  # fmt: skip
TURNED = {**HEADED, "head_dim": 12, "rope_parameters": {**ROPE, "mrope_section": [2, 2, 2], "mrope_interleaved": True}}


def native(model_type, vision, text=None, flat=False, **top):
    """A config of a family whose pictures have any size."""
    raw = {"model_type": model_type, **MARKS, **top, "vision_config": vision}
    return (
        {**raw, **TEXT, "rope_parameters": ROPE}
        if flat
        else {**raw, "text_config": text or {**TEXT, "rope_parameters": ROPE}}
    )


NATIVE = {
    "qwen2_vl": native("qwen2_vl", QWEN2, flat=True),
    "qwen2_vl tied": native("qwen2_vl", QWEN2, flat=True, tie_word_embeddings=True),
    "qwen2_vl nested": native("qwen2_vl", QWEN2),
    "qwen2_5_vl": native("qwen2_5_vl", QWEN25, flat=True),
    "qwen3_vl": native("qwen3_vl", QWEN3, TURNED),
    "qwen3_vl_moe": native(
        "qwen3_vl_moe", QWEN3,
        {**TURNED, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12, "mlp_only_layers": [1]},
        tie_word_embeddings=True,
    ),
    "qwen3_5": native(
        "qwen3_5", QWEN3, {**TURNED, **HYBRID}, architectures=["Qwen3_5ForConditionalGeneration"]
    ),
    "glm4v": native("glm4v", GLM),
    "glm4v biased": native("glm4v", {**GLM, "attention_bias": True}),
    "glm_ocr": native("glm_ocr", GLM),
    "glm4v_moe": native("glm4v_moe", GLM, {**TEXT, **EXPERTS}),
    "glm46v": native(
        "glm46v", {**GLM, "model_type": "glm4v_vision"}, {**TEXT, "rope_parameters": ROPE, "model_type": "glm4v_text"}
    ),
    "glm46v routed": native(
        "glm46v", {**GLM, "model_type": "glm4v_moe_vision"}, {**TEXT, **EXPERTS, "model_type": "glm4v_moe_text"}
    ),
}  # fmt: skip


def sized(model_type, text_type, tower_type, *, text=(), vision=(), **top):
    """A config of a family whose pictures have the size of its tower."""
    return {
        "model_type": model_type, **MARKS, **top, "text_config": {**HEADED, "model_type": text_type, **dict(text)},
        "vision_config": {**TOWER, "model_type": tower_type, **dict(vision)},
    }  # fmt: skip


INTERN = {
    "use_qk_norm": True, "norm_type": "rms_norm", "attention_bias": True, "use_mean_pooling": False,
    "use_mask_token": True, "image_size": [24, 24], "patch_size": [4, 4],
}  # fmt: skip
FULL = {"vision_feature_select_strategy": "full"}
# name: (config, tokens of a picture in the text)
SIZED = {
    "llava": (sized("llava", "llama", "clip_vision_model"), 36),
    "llava tied": (
        sized(
            "llava", "qwen2", "clip_vision_model", text={"tie_word_embeddings": True}, **FULL,
            vision_feature_layer=[-2, -1], multimodal_projector_bias=False,
        ),
        37,
    ),
    "llava siglip": (sized("llava", "mistral", "siglip_vision_model", **FULL, vision_feature_layer=-1), 36),
    "vipllava": (sized("vipllava", "llama", "clip_vision_model", vision_feature_layers=[-1, -2, 1]), 36),
    "internvl": (sized("internvl", "qwen2", "internvl_vision"), 9),
    "internvl normed": (sized("internvl", "qwen3", "internvl_vision", vision=INTERN), 9),
    "aya_vision": (sized("aya_vision", "cohere2", "siglip_vision_model"), 9),
    "aya_vision wide": (sized("aya_vision", "cohere2", "siglip_vision_model", alignment_intermediate_size=20), 9),
    "cohere2_vision": (sized("cohere2_vision", "cohere2", "siglip_vision_model", alignment_intermediate_size=20), 9),
    "gemma3": (
        sized("gemma3", "gemma3_text", "siglip_vision_model", mm_tokens_per_image=9, text={"sliding_window": 4}), 9
    ),
    "paligemma": (sized("paligemma", "gemma", "siglip_vision_model", projection_dim=32), 36),
    "paligemma 2": (
        sized("paligemma", "gemma2", "siglip_vision_model", projection_dim=32, text={"sliding_window": 4}), 36
    ),
    "llama4": (
        {
            **sized(
                "llama4", "llama4_text", "llama4_vision_model", architectures=["Llama4ForConditionalGeneration"],
                # one expert only: the framework runs all of them on every token
                text={
                    "num_local_experts": 1, "num_experts_per_tok": 1, "intermediate_size_mlp": 44,
                    "attention_chunk_size": 6, "rope_parameters": PLAIN_ROPE,
                },
                vision={
                    "intermediate_size": 96, "projector_input_dim": 20, "projector_output_dim": 20,
                    "vision_output_dim": 20, "rope_parameters": PLAIN_ROPE,
                },
            )
        },
        9,
    ),
}  # fmt: skip
TILED = {
    "idefics3": (sized("idefics3", "llama", "idefics3_vision", scale_factor=3), 4),
    "smolvlm": (sized("smolvlm", "llama", "smolvlm_vision", scale_factor=2), 9),
    "idefics2": (
        sized(
            "idefics2", "mistral", "idefics2_vision",
            perceiver_config={
                "hidden_size": 32, "resampler_n_latents": 6, "resampler_depth": 2, "resampler_n_heads": 4,
                "resampler_head_dim": 6, "num_key_value_heads": 2,
            },
        ),
        6,
    ),
}  # fmt: skip
PIXTRAL = {
    "mistral3": (sized("mistral3", "mistral", "pixtral", spatial_merge_size=2), 24, 9),
    "mistral3 large": (
        sized("mistral3", "ministral3", "pixtral", tie_word_embeddings=False, multimodal_projector_bias=True), 32, 16
    ),
}  # fmt: skip
MLLAMA = {
    "model_type": "mllama", "image_token_index": 5, "architectures": ["MllamaForConditionalGeneration"],
    "text_config": {**TEXT, "cross_attention_layers": [1], "rope_parameters": PLAIN_ROPE},
    "vision_config": {
        "hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 3, "attention_heads": 2,
        "num_global_layers": 2, "image_size": 24, "patch_size": 4, "max_num_tiles": 2,
        "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]], "vision_output_dim": 72,
        "intermediate_layers_indices": [0, 1],
    },
}  # fmt: skip
ALTERNATING = ["sliding_attention", "full_attention"] * 3
GEMMA3N = {
    **HEADED, "model_type": "gemma3n_text", "vocab_size_per_layer_input": 90, "num_hidden_layers": 6,
    "intermediate_size": [40, 40, 48, 40, 40, 40], "hidden_size_per_layer_input": 6, "num_kv_shared_layers": 3,
    "laurel_rank": 4, "altup_num_inputs": 3, "sliding_window": 4, "layer_types": ALTERNATING,
    "activation_sparsity_pattern": [0.95, 0.0, 0.0, 0.0, 0.0, 0.0],
}  # fmt: skip
GEMMA4 = {
    **HEADED, "model_type": "gemma4_text", "vocab_size_per_layer_input": 90, "num_hidden_layers": 6,
    "global_head_dim": 12, "hidden_size_per_layer_input": 6, "num_kv_shared_layers": 3, "use_double_wide_mlp": True,
    "sliding_window": 4, "layer_types": ALTERNATING,
}  # fmt: skip
GEMMA4_ROUTED = {
    **GEMMA4, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0, "use_double_wide_mlp": False,
    "enable_moe_block": True, "num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 12,
    "attention_k_eq_v": True, "num_global_key_value_heads": 1,
}  # fmt: skip
GEMMA4_SEEING = {
    "model_type": "gemma4", "text_config": GEMMA4, **MARKS, "audio_token_id": 9,
    "vision_config": {
        "hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 12, "patch_size": 4, "pooling_kernel_size": 3,
        "position_embedding_size": 30, "use_clipped_linears": True, "standardize": True,
    },
    "audio_config": {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "subsampling_conv_channels": [128, 8],
        "output_proj_dims": 20,
    },
}  # fmt: skip
LATENT = {
    **TEXT, "model_type": "deepseek_v3", "num_key_value_heads": 4, "q_lora_rank": 8, "kv_lora_rank": 8,
    "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 12, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
}  # fmt: skip
KIMI = {
    "model_type": "kimi_k25", **MARKS, "text_config": LATENT, "projection_hidden_size": 24,
    "vision_config": {
        **{k: v for k, v in TOWER.items() if k != "image_size"}, "pos_emb_height": 6, "pos_emb_width": 6,
    },
}  # fmt: skip
MINIMAX = {
    "model_type": "minimax_m3_vl", **MARKS, "vision_config": TOWER, "projector_hidden_size": 28,
    "text_config": {
        **HEADED, "dense_intermediate_size": 44, "shared_intermediate_size": 12, "num_local_experts": 4,
        "num_experts_per_tok": 2, "layer_types": ["full_attention", "minimax_m3_sparse", "full_attention"],
        "mlp_layer_types": ["dense", "sparse", "sparse"], "index_n_heads": 2, "index_head_dim": 8,
        "index_block_size": 4, "index_topk_blocks": 2, "rotary_dim": 4,
    },
}  # fmt: skip
KIMI_VL = {
    "model_type": "kimi_vl",
    "text_config": {
        "model_type": "deepseek_v3", "vocab_size": 163840, "hidden_size": 2048, "intermediate_size": 11264,
        "moe_intermediate_size": 1408, "num_hidden_layers": 27, "num_attention_heads": 16, "n_shared_experts": 2,
        "n_routed_experts": 64, "num_key_value_heads": 16, "kv_lora_rank": 512, "q_lora_rank": None,
        "qk_rope_head_dim": 64, "v_head_dim": 128, "qk_nope_head_dim": 128, "num_experts_per_tok": 6,
        "moe_layer_freq": 1, "first_k_dense_replace": 1, "tie_word_embeddings": False,
    },
    "vision_config": {
        "model_type": "moonvit", "patch_size": 14, "num_attention_heads": 16, "num_hidden_layers": 27,
        "hidden_size": 1152, "intermediate_size": 4304, "merge_kernel_size": [2, 2], "init_pos_emb_height": 64,
        "init_pos_emb_width": 64,
    },
}  # fmt: skip
HEARING = {
    "voxtral": (
        {
            "model_type": "voxtral", "audio_token_id": 5, "text_config": {**HEADED, "model_type": "llama"},
            "audio_config": {
                "num_mel_bins": 10, "max_source_positions": 16, "hidden_size": 24, "intermediate_size": 96,
                "num_hidden_layers": 2, "num_attention_heads": 2,
            },
        },
        4,
    ),
    "qwen2_audio": (
        {
            "model_type": "qwen2_audio", "audio_token_index": 5, "text_config": {**HEADED, "model_type": "qwen2"},
            "audio_config": {
                "num_mel_bins": 10, "max_source_positions": 16, "d_model": 24, "encoder_ffn_dim": 40,
                "encoder_layers": 2, "encoder_attention_heads": 2,
            },
        },
        8,
    ),
}  # fmt: skip
ALL = {
    **NATIVE, **{n: c[0] for n, c in (*SIZED.items(), *TILED.items(), *PIXTRAL.items(), *HEARING.items())},
    "mllama": MLLAMA, "gemma3n": GEMMA3N, "gemma4": GEMMA4, "gemma4 routed": GEMMA4_ROUTED,
    "gemma4 seeing": GEMMA4_SEEING, "kimi_k25": KIMI, "minimax_m3_vl": MINIMAX, "kimi_vl": KIMI_VL,
}  # fmt: skip
BOTH_WAYS = {"paligemma", "paligemma 2"}


# ------------------------------------------------------------------ without any framework


@pytest.mark.parametrize("name", ALL)
def test_every_key_is_read(name):
    assert unread(ALL[name]) == []


@pytest.mark.parametrize("name", [n for n in ALL if n not in BOTH_WAYS])
def test_decoding_step_by_step_needs_what_a_prefill_needs(name):
    steps_add_up(ALL[name])


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_a_prompt_that_attends_both_ways_takes_the_whole_square(name):
    ledger = compare.ours(ALL[name])
    cores = [one for one in ledger.leaves if one.path.startswith("model.language_model") and "core" in one.path]
    assert any(one.part.mask == Full() for one in cores)


@pytest.mark.parametrize("name", [n for n in ALL if n not in ("gemma3n", "gemma4", "gemma4 routed")])
def test_towers_run_once_a_picture_and_not_in_decode(name):
    ledger = compare.ours(ALL[name])
    none, one, three = (ledger.total(Workload("prefill", 2, 9, images=n)).required for n in (0, 1, 3))
    assert none < one < three
    if name != "mllama":
        assert three - none == 3 * (one - none)
        assert ledger.total(Workload("decode", 2, 1, 9, images=3)) == ledger.total(Workload("decode", 2, 1, 9))


def test_a_decode_step_of_llama_vision_looks_at_the_pictures_before():
    ledger = compare.ours(MLLAMA)
    text, seen = (ledger.total(Workload("decode", 2, 1, 9, images=n)) for n in (0, 2))
    tokens, layers, kept = 2 * 2 * (36 + 1), 1, 2 * 2 * 8
    assert seen.cache_reads - text.cache_reads == 2 * tokens * layers * kept
    assert seen.cache_writes == text.cache_writes
    assert ledger.cache_per_token == 2 * kept


@pytest.mark.parametrize(("side", "patches", "pairs"), [(3, 9, 81), (3, 36, 4 * 81), (4, 36, 400), (8, 36, 1296)])
def test_tiles_of_a_square_picture(side, patches, pairs):
    assert Tiles(side).pairs(Work(1, patches)) == pairs


def test_layers_that_reuse_keys_run_only_where_logits_are():
    ledger = compare.ours(GEMMA4)
    every, last = (ledger.total(Workload("prefill", 1, 33, logits=k)).required for k in ("all", "last"))
    rows = {r.leaf.path: r for r in ledger.rows(Workload("prefill", 1, 33))}
    assert last < every
    assert rows["model.layers.3,5.mlp.down_proj"].cost.required == 2 * 2 * 32 * 80
    step = Workload("decode", 1, 1, 33)
    assert ledger.total(step).cache_reads == 33 * (2 * 2 * 12 * 3) + 4 * (2 * 2 * 8 * 3)
    assert ledger.cache_per_token == 2 * 2 * (8 + 12 + 8)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("qwen2_vl", {"head_dim": 16}),
        ("qwen2_vl", {"num_attention_heads": 5}),
        ("qwen2_5_vl", {"vision_config": {**QWEN25, "window_size": 4}}),
        ("qwen2_5_vl", {"vision_config": {**QWEN25, "num_heads": 7}}),
        ("qwen3_vl", {"vision_config": {**QWEN3, "depth": 0}}),
        ("qwen3_vl", {"vision_config": {**QWEN3, "patch_size": float("nan")}}),
        ("qwen3_vl", {"vision_config": "large"}),
        ("llava", {"vision_config": {**TOWER, "model_type": "nobody"}}),
        ("llava", {"text_config": {**HEADED, "model_type": "nobody"}}),
        ("internvl", {"downsample_ratio": 3.0}),
        ("internvl", {"downsample_ratio": 0.1}),
        ("gemma3", {"mm_tokens_per_image": 10_000}),
        ("idefics3", {"scale_factor": 7}),
        ("gemma4", {"num_kv_shared_layers": 6}),
        ("gemma4", {"layer_types": ["other"] * 6}),
        ("gemma4", {"num_key_value_heads": 3}),
        ("gemma4 routed", {"top_k_experts": 5}),
        ("gemma3n", {"intermediate_size": [40]}),
        ("gemma3n", {"activation_sparsity_pattern": [True]}),
        ("voxtral", {"audio_config": {"hidden_size": 24, "intermediate_size": 50, "num_attention_heads": 2}}),
    ],
)
def test_configs_that_cannot_be_are_refused(name, change):
    with pytest.raises(BadConfig):
        build({**ALL[name], **change}, name, "the config given")


def test_kimi_vl_has_the_size_that_is_published():
    # 16.4 billion; its class is not in the framework
    ledger = compare.ours(KIMI_VL)
    assert ledger.params == 16_407_654_384
    assert ledger.by_kind["vision"] == 416_866_032


def test_a_picture_smaller_than_one_token_is_refused():
    with pytest.raises(FlopsightError, match="smallest image is 8 pixels"):
        compare.our_flops(compare.ours(NATIVE["qwen3_vl"]), 9, images=1, image_size=7)


def test_mistral_3_says_that_it_takes_the_head_as_tied():
    silent, told = (compare.ours(PIXTRAL[n][0]).model for n in PIXTRAL)
    assert any("tied" in note for note in silent.notes)
    assert silent.tied
    assert not told.tied


def test_gemma_3n_says_that_its_towers_are_not_counted():
    raw = {"model_type": "gemma3n", "text_config": GEMMA3N, "vision_config": {"hidden_size": 9}, "audio_config": {}}
    assert any("towers" in line or "tower" in line for line in compare.ours(raw).model.unknown)


# ------------------------------------------------------------------ against the framework


@pytest.mark.oracle
@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize(("grid", "images"), [(4, 1), (6, 2)])
def test_pictures_of_any_size_agree(name, grid, images):
    from tests.oracle import seeing

    seeing.agrees(NATIVE[name], seeing.patches(grid, images), images, 4 * grid)


@pytest.mark.oracle
@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("images", [1, 2])
def test_pictures_of_the_towers_size_agree(name, images):
    from tests.oracle import seeing

    raw, tokens = SIZED[name]
    inputs = {"input_ids": seeing.prompt(tokens, images), "pixel_values": seeing.pixels(24, images)}
    seeing.agrees(raw, inputs, images)


@pytest.mark.oracle
@pytest.mark.parametrize("raw", [KIMI, MINIMAX], ids=["kimi_k25", "minimax_m3_vl"])
@pytest.mark.parametrize(("grid", "images"), [(4, 1), (6, 2)])
def test_routed_decoders_that_see_agree(raw, grid, images):
    import torch

    from tests.oracle import seeing

    inputs = seeing.patches(grid, images)
    del inputs["mm_token_type_ids"]
    if raw is KIMI:
        inputs["pixel_values"] = torch.zeros(images * grid * grid, 3, 4, 4)
    seeing.agrees(raw, inputs, images, 4 * grid)


@pytest.mark.oracle
@pytest.mark.parametrize("name", TILED)
def test_tiles_agree(name):
    from tests.oracle import seeing

    raw, tokens = TILED[name]
    inputs = {"input_ids": seeing.prompt(tokens, 2), "pixel_values": seeing.pixels(24, 2)[None]}
    seeing.agrees(raw, inputs, 2)


@pytest.mark.oracle
@pytest.mark.parametrize("name", PIXTRAL)
def test_pixtral_towers_agree(name):
    import torch

    from tests.oracle import seeing

    raw, side, tokens = PIXTRAL[name]
    inputs = {"input_ids": seeing.prompt(tokens), "pixel_values": seeing.pixels(side)}
    seeing.agrees(raw, {**inputs, "image_sizes": torch.tensor([[side, side]])}, 1, side)


@pytest.mark.oracle
@pytest.mark.parametrize("images", [1, 2])
def test_llama_vision_agrees(images):
    import torch

    from tests.oracle import seeing

    ids = torch.tensor([[1] + [5] * images + [2] * 5])
    inputs = {
        "input_ids": ids, "pixel_values": torch.ones(1, images, 2, 3, 24, 24),
        "aspect_ratio_ids": torch.full((1, images), 2), "aspect_ratio_mask": torch.ones(1, images, 2).long(),
        "cross_attention_mask": torch.ones(1, ids.shape[1], images, 2).long(),
    }  # fmt: skip
    # the framework makes the mask between tiles by a product of two vectors
    seeing.agrees(MLLAMA, inputs, images, extra=images * 2 * (2 * 40) ** 2)


@pytest.mark.oracle
@pytest.mark.parametrize("name", HEARING)
def test_sounds_agree(name):
    import torch

    from tests.oracle import seeing

    raw, tokens = HEARING[name]
    inputs = {"input_ids": seeing.prompt(tokens, 2), "input_features": torch.ones(2, 10, 32)}
    if name == "qwen2_audio":
        inputs |= {"feature_attention_mask": torch.ones(2, 32).long(), "attention_mask": torch.ones(1, 20).long()}
    seeing.agrees(raw, inputs, 2)


@pytest.mark.oracle
@pytest.mark.parametrize("name", [*NATIVE, *SIZED, *TILED, *PIXTRAL, *HEARING, "mllama", "gemma4", "gemma4 routed"])
def test_texts_agree(name):
    agrees(ALL[name], (5, 16))


@pytest.mark.oracle
@pytest.mark.parametrize("shared", [0, 3])
@pytest.mark.parametrize("seq", [5, 16, 33])
def test_gemma_3n_agrees(shared, seq):
    from tests.oracle import seeing

    raw = {**GEMMA3N, "num_kv_shared_layers": shared}
    seeing.agrees(raw, {"input_ids": seeing.prompt(seq - 4)}, 0, architecture="Gemma3nForCausalLM")


@pytest.mark.oracle
def test_gemma_4_agrees_on_pictures():
    import torch

    from tests.oracle import seeing

    grid, images = 6, 2
    ids = seeing.prompt(4, images)
    row = torch.arange(grid)
    places = torch.stack(torch.meshgrid(row, row, indexing="xy"), -1).reshape(1, -1, 2).repeat(images, 1, 1)
    inputs = {
        "input_ids": ids, "pixel_values": torch.zeros(images, grid * grid, 48), "image_position_ids": places,
        "mm_token_type_ids": (ids == 5).int(),
    }  # fmt: skip
    seeing.agrees(GEMMA4_SEEING, inputs, images, 4 * grid)


@pytest.mark.oracle
@pytest.mark.parametrize("tokens", [12, 30, 37])
def test_gemma_4_agrees_on_sounds(tokens):
    import torch

    from tests.oracle import seeing

    ledger, model = compare.ours(GEMMA4_SEEING), seeing.on_cpu(GEMMA4_SEEING).model
    heard = seeing.traced(
        model.audio_tower, input_features=torch.zeros(2, 4 * tokens, 128),
        attention_mask=torch.ones(2, 4 * tokens, dtype=torch.bool),
    )  # fmt: skip
    heard += seeing.traced(model.embed_audio, inputs_embeds=torch.zeros(2, tokens, 20))
    assert compare.our_flops(ledger, 9, 2, encoder=tokens) - compare.our_flops(ledger, 9, 2) == heard
