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
    "llama": ("llama", "mistral", "qwen2", "qwen3"),
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
    "mixtral": ("mixtral", "qwen3_moe"),
    "deepseek": ("deepseek_v3", "kimi_k2"),
    "bert": (
        "bert", "ernie", "megatron-bert", "roberta", "xlm-roberta", "camembert", "data2vec-text", "xlm-roberta-xl",
        "roberta-prelayernorm", "electra", "rembert", "mpnet",
    ),
    "bart": ("bart", "plbart", "blenderbot-small", "mbart", "pegasus", "blenderbot", "marian", "m2m_100"),
    "whisper": ("whisper",),
    "t5": ("t5", "mt5", "umt5"),
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
