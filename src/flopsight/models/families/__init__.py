"""Families: one file for each group of model types that are built alike.

A family is a function `(Config) -> Model`. `MODULES` says which file holds which model types, so that only the file
in need is imported; strangers add theirs through the entry-point group `flopsight.models`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import TypeAlias

from flopsight.errors import UsageError
from flopsight.models.config import Config
from flopsight.models.tree import Model
from flopsight.plugins import plugins

Family: TypeAlias = Callable[[Config], Model]

MODULES: dict[str, tuple[str, ...]] = {
    "llama": (
        "llama", "mistral", "ministral", "ministral3", "qwen2", "qwen3", "internlm3", "iquestcoder", "code_llama",
    ),
    "diffusion_cross": (
        "DiTTransformer2DModel", "PixArtTransformer2DModel", "SanaTransformer2DModel", "HunyuanDiT2DModel",
    ),
    "diffusion_joint": (
        "SD3Transformer2DModel", "FluxTransformer2DModel", "QwenImageTransformer2DModel", "AuraFlowTransformer2DModel",
    ),
    "diffusion_video": (
        "WanTransformer3DModel", "HunyuanVideoTransformer3DModel", "CogVideoXTransformer3DModel",
        "LTXVideoTransformer3DModel",
    ),
    "gpt2": ("gpt2",),
    "gpt_classics": (
        "opt", "bloom", "gptj", "codegen", "gpt_neo", "gpt_neox", "gpt_neox_japanese", "gpt_bigcode", "mpt", "xglm",
        "biogpt", "openai-gpt", "ctrl", "persimmon", "gpt-sw3",
    ),
    "llama_like": (
        "granite", "helium", "seed_oss", "ernie4_5", "hunyuan_v1_dense", "smollm3", "cwm", "granite_swa", "hyperclovax",
        "glm", "glm4", "starcoder2", "nemotron", "jais2", "arcee", "nanochat", "apertus", "bitnet", "diffllama",
    ),
    "remote": (
        "Yi", "aquila", "xverse", "skywork", "open_llama", "internlm", "internlm2", "baichuan", "minicpm", "mimo",
        "qwen", "exaone", "chatglm", "nemotron-nas", "deci", "openelm", "orion",
        "mobilellm", "phi-msft", "phi3small",
    ),
    "doge": ("doge",),
    "hrm": ("hrm_text",),
    "papers": ("palm", "chinchilla"),
    "latent_dense": ("minicpm3", "youtu"),
    "falcon": ("falcon", "RefinedWeb", "RefinedWebModel"),
    "gemma_text": ("gemma", "gemma2", "gemma3_text", "vaultgemma"),
    "olmo": ("olmo", "olmo2", "olmo3", "exaone4"),
    "parallel": ("cohere", "cohere2", "phi", "phi3", "phi4", "stablelm", "stablelm_epoch"),
    "mamba": ("mamba", "falcon_mamba", "mamba2"),
    "mamba_hybrid": ("jamba", "bamba", "granitemoehybrid", "falcon_h1", "nemotron_h"),
    "zamba": ("zamba", "zamba2"),
    "linear_hybrid": (
        "qwen3_next", "qwen3_5_text", "qwen3_5_moe_text", "minimax", "minimax_text_01", "minimax_m1", "kimi_linear",
        "olmo_hybrid", "bailing_hybrid",
    ),
    "recurrent": ("recurrent_gemma", "lfm2", "lfm2_moe", "lfm3", "rwkv", "rwkv5", "xlstm"),
    "mixtral": ("mixtral", "phimoe", "minimax_m2", "olmoe", "flex_olmo", "aria_text"),
    "qwen_moe": ("qwen2_moe", "qwen3_moe", "mellum", "flint"),
    "gpt_oss": ("gpt_oss",),
    "granite_moe": ("granitemoe", "granitemoeshared", "granitemoe_swa", "jetmoe"),
    "ernie_moe": ("ernie4_5_moe", "hunyuan_v1_moe", "hunyuan"),
    "dbrx": ("dbrx",),
    "llama4": ("llama4_text",),
    "mimo_v2": ("mimo_v2_flash",),
    "minimax_m3": ("minimax_m3_vl_text", "minimax_m3"),
    "glm_moe": (
        "glm4_moe", "solar_open", "dots1", "exaone_moe", "hy_v3", "kolibri1", "afmoe", "laguna", "cohere2_moe",
        "step3p5",
    ),
    "deepseek": (
        "deepseek_v3", "kimi_k2", "deepseek_v2", "glm4_moe_lite", "mistral4", "axk1", "deepseek_v32", "glm_moe_dsa",
        "longcat_flash",
    ),
    "latent_gated": ("axk2", "hy_v4"),
    "deepseek_v4": ("deepseek_v4", "deepseek_ref"),
    "remote_moe": ("deepseek", "grok-1", "arctic", "bailing_moe", "bailing_moe_v2"),
    "bert": (
        "bert", "ernie", "megatron-bert", "roberta", "xlm-roberta", "camembert", "data2vec-text", "xlm-roberta-xl",
        "roberta-prelayernorm", "electra", "rembert", "mpnet",
    ),
    "bart": ("bart", "plbart", "blenderbot-small", "mbart", "pegasus", "blenderbot", "marian", "m2m_100"),
    "wav2vec2": ("wav2vec2", "hubert"),
    "whisper": ("whisper",),
    "clip": (
        "clip", "siglip", "siglip2", "clip_text_model", "clip_vision_model", "siglip_text_model", "siglip_vision_model",
        "siglip2_text_model", "siglip2_vision_model",
    ),
    "vit": ("vit", "deit", "ijepa", "dinov2", "dinov2_with_registers", "dinov3_vit", "beit", "pixtral"),
    "albert": ("albert", "distilbert"),
    "modernbert": ("modernbert", "modernbert-decoder", "nomic_bert", "jina_embeddings_v3", "eurobert"),
    "deberta": ("deberta", "deberta-v2"),
    "t5": ("t5", "mt5", "umt5"),
    "llava": (
        "llava", "llava_next", "llava_next_video", "llava_onevision", "vipllava", "mistral3", "internvl", "aya_vision",
        "cohere2_vision", "gemma3", "shieldgemma2", "paligemma",
    ),
    "glm_vl": ("glm4v", "glm4v_moe", "glm46v", "glm_ocr", "glm4v_text", "glm4v_moe_text", "glm_ocr_text"),
    "routed_vl": ("kimi_k25", "kimi_vl", "minimax_m3_vl"),
    "llama_vision": ("mllama", "llama4"),
    "mllama_text": ("mllama_text_model",),
    "step3p7": ("step3p7",),
    "deepseek_vl": ("deepseek_vl",),
    "audio_encoders": ("voxtral_encoder", "qwen2_audio_encoder"),
    "idefics": ("idefics2", "idefics3", "smolvlm"),
    "hearing": ("voxtral", "qwen2_audio"),
    "gemma3n": ("gemma3n", "gemma3n_text"),
    "gemma4": ("gemma4", "gemma4_text"),
    "qwen_vl": (
        "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "qwen2_vl_text",
        "qwen2_5_vl_text", "qwen3_vl_text", "qwen3_vl_moe_text",
    ),
}  # fmt: skip
"""File of `models/families` -> the model types it builds."""


@lru_cache(1)
def strangers() -> dict[str, Family]:
    """Families added by plugins: each entry point is one model type and its function."""
    found: dict[str, Family] = {}
    for name, family in plugins("flopsight.models"):
        if name in known():
            raise UsageError(f"A plugin wants to replace the built-in family {name!r}; give it another name.")
        if callable(family):
            found[name] = family
    return found


@lru_cache(1)
def known() -> dict[str, str]:
    """Every built-in model type and the file that builds it."""
    return {model_type: module for module, types in MODULES.items() for model_type in types}


def family(model_type: str) -> Family | None:
    """The function that builds a model type, or None if nobody knows it."""
    if model_type in known():
        module = import_module(f"flopsight.models.families.{known()[model_type]}")
        builders: dict[str, Family] = module.FAMILIES
        return builders[model_type]
    return strangers().get(model_type)
