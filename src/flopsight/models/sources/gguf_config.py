"""From llama.cpp's metadata keys to the config keys and `model_type` of the same family in transformers.

Key names: `gguf.constants.Keys` and llama.cpp's converters. What a key does not say is read off the tensors: a head
that is not stored is tied, biases and query-key norms are there or not. Dimensions only: nothing that changes no count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flopsight.errors import BadConfig, UnknownModel
from flopsight.facts import Unknown
from flopsight.models.sources.gguf import GgufFile, LongArray
from flopsight.models.sources.stream import shown
from flopsight.models.sources.tensors import StoredTensor

MAX_DIMENSION: Final = 2**40

Config = dict[str, Any]


def gguf_config(file: GgufFile) -> Config:
    """A transformers-style config of the model in a GGUF file.

    Raises UnknownModel for a family that is not mapped (its tensors and stored bytes are known all the same), and
    BadConfig for metadata that is missing, of the wrong type, or at odds with the tensors.
    """
    arch = file.architecture
    if isinstance(arch, Unknown):
        raise BadConfig(f"{shown(file.name)}: {arch.why}, so its family is not known. Convert it with llama.cpp.")
    family = FAMILIES.get(arch)
    if family is None:
        known = f"Families read from GGUF: {', '.join(sorted(FAMILIES))}."
        raise UnknownModel(f"{shown(file.name)} is of {shown(arch)}: its bytes are known, its FLOPs are not. {known}")
    meta = _Meta(file, arch)
    config = {"model_type": family.model_type, **meta.renamed(family.required, required=True)}
    config |= meta.renamed(family.optional, required=False) | meta.vocabulary(config)
    return family.finish(meta, config)


@dataclass(frozen=True, slots=True)
class _Meta:
    """Checked access to one file's metadata and tensors."""

    file: GgufFile
    arch: str
    shapes: Mapping[str, StoredTensor] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shapes", {tensor.name: tensor for tensor in self.file.tensors})

    def has(self, tensor: str) -> bool:
        """Whether any block holds this tensor, or the file does outside its blocks."""
        return any(name == tensor or name.endswith(f".{tensor}") for name in self.shapes)

    def raw(self, key: str) -> object:
        return self.file.metadata.get(f"{self.arch}.{key}")

    def bad(self, key: str, value: object) -> BadConfig:
        where = f"{shown(self.file.name)}, {self.arch}.{key}"
        return BadConfig(f"{where}: a whole number of at least 0 was expected, and {shown(value)} was read. {_FIX}")

    def per_layer(self, key: str) -> list[int] | None:
        """The values of a key that holds one number a layer, or None when it holds a single one or is absent."""
        value = self.raw(key)
        if not isinstance(value, list):
            return None
        layers = self.whole("block_count")
        if len(value) != layers or not value:
            what = f"{len(value)} values for {layers} layers"
            raise BadConfig(f"{shown(self.file.name)}, {self.arch}.{key}: {what}. {_FIX}")
        return [self.checked(key, each) for each in value]

    def checked(self, key: str, value: object) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or not 0 <= value < MAX_DIMENSION:
            raise self.bad(key, value)
        return value

    def maybe(self, key: str) -> int | None:
        """A whole number, or None when absent; of a list, the one number in it beside zeros (layers that have none)."""
        layers = self.per_layer(key) if key != "block_count" else None
        if layers is not None:
            different = set(layers) - {0}
            if len(different) > 1:
                raise BadConfig(
                    f"{shown(self.file.name)}, {self.arch}.{key} differs by layer, which is not read. {_FIX}"
                )
            return different.pop() if different else 0
        value = self.raw(key)
        return None if value is None else self.checked(key, value)

    def whole(self, key: str, default: int | None = None) -> int:
        value = self.maybe(key)
        if value is not None:
            return value
        if default is None:
            raise BadConfig(f"{shown(self.file.name)}: {self.arch}.{key} was expected and is missing. {_FIX}")
        return default

    def renamed(self, names: Mapping[str, str], *, required: bool) -> Config:
        found = {new: self.whole(key) if required else self.maybe(key) for key, new in names.items()}
        return {new: value for new, value in found.items() if value is not None}

    def vocabulary(self, config: Config) -> Config:
        """Rows of the embedding as stored, else as stated, else as many as the tokenizer has; and the head's tying."""
        stored = self.shapes.get("token_embd.weight")
        if stored is None or isinstance(stored.shape, Unknown):
            return {"vocab_size": self._stated_vocabulary()}
        hidden = next(config[key] for key in _HIDDEN if key in config)
        if len(stored.shape) != 2 or stored.shape[1] != hidden:
            what = f"token_embd.weight is {stored.shape} and {self.arch}.embedding_length is {hidden}"
            raise BadConfig(f"{shown(self.file.name)}: {what}. {_FIX}")
        return {"vocab_size": stored.shape[0], "tie_word_embeddings": "output.weight" not in self.shapes}

    def _stated_vocabulary(self) -> int:
        stated = self.maybe("vocab_size")
        tokens = self.file.metadata.get("tokenizer.ggml.tokens")
        if stated is not None:
            return stated
        if isinstance(tokens, LongArray):
            return tokens.count
        if isinstance(tokens, list):
            return len(tokens)
        raise BadConfig(f"{shown(self.file.name)}: neither token_embd.weight nor a vocabulary is in the file. {_FIX}")


_FIX: Final = "Convert the model again with llama.cpp."
_HIDDEN: Final = ("hidden_size", "n_embd", "d_model")


def _as_is(meta: _Meta, config: Config) -> Config:
    return config


@dataclass(frozen=True, slots=True)
class Family:
    """How one llama.cpp architecture is spelled in transformers.

    required, optional   metadata key (without the architecture's prefix) -> config key
    finish               what needs more than a rename
    """

    model_type: str
    required: Mapping[str, str]
    optional: Mapping[str, str]
    finish: Callable[[_Meta, Config], Config] = _as_is


_REQUIRED: Final = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
}
_OPTIONAL: Final = {
    "context_length": "max_position_embeddings",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
}
_SLIDING: Final = {"attention.sliding_window": "sliding_window"}


def _routed(experts: str) -> dict[str, str]:
    return {"expert_count": experts, "expert_used_count": "num_experts_per_tok"}


def _like_llama(
    model_type: str,
    optional: Mapping[str, str] | None = None,
    finish: Callable[[_Meta, Config], Config] = _as_is,
    required: Mapping[str, str] | None = None,
) -> Family:
    return Family(model_type, {**_REQUIRED, **(required or {})}, {**_OPTIONAL, **(optional or {})}, finish)


def _layer_types(meta: _Meta, config: Config, period: int) -> Config:
    """Sliding layers with every `period`-th full, as llama.cpp's loader assumes where the file has no pattern."""
    layers, pattern = config["num_hidden_layers"], meta.raw("attention.sliding_window_pattern")
    if not config.get("sliding_window"):
        return config
    if isinstance(pattern, list):
        slides = [bool(each) for each in pattern]
        if len(slides) != layers:
            raise meta.bad("attention.sliding_window_pattern", pattern)
    else:
        period = meta.whole("attention.sliding_window_pattern", period) or 1
        _modest(meta, layers)
        slides = [i % period < period - 1 for i in range(layers)]
    return {**config, "layer_types": ["sliding_attention" if s else "full_attention" for s in slides]}


def _modest(meta: _Meta, layers: int) -> None:
    """A list with an entry a layer is made only for as many layers as any model has."""
    if layers > 100_000:
        raise meta.bad("block_count", layers)


def _period(every: int) -> Callable[[_Meta, Config], Config]:
    return lambda meta, config: _layer_types(meta, config, every)


def _llama(meta: _Meta, config: Config) -> Config:
    """Llama, Mistral and Mixtral share one architecture in llama.cpp; experts tell the last apart."""
    config |= {"attention_bias": meta.has("attn_q.bias"), "mlp_bias": meta.has("ffn_down.bias")}
    if not meta.maybe("expert_count"):
        return config
    biases = ("attention_bias", "mlp_bias")
    kept = {key: value for key, value in config.items() if key not in biases}
    return {**kept, "model_type": "mixtral", **meta.renamed(_routed("num_local_experts"), required=True)}


def _attention_bias(meta: _Meta, config: Config) -> Config:
    return {**config, "attention_bias": meta.has("attn_q.bias")}


def _rotary(meta: _Meta, config: Config, key: str) -> Config:
    """The share of a head that is rotated; `head_dim` goes where the family's config has none."""
    heads = config["num_attention_heads"]
    rotated = meta.maybe("rope.dimension_count")
    if rotated is None or not heads or not config["hidden_size"] // heads:
        return config
    return {**config, key: rotated / (config["hidden_size"] // heads)}


def _phi2(meta: _Meta, config: Config) -> Config:
    return _rotary(meta, config, "partial_rotary_factor")


def _neox(meta: _Meta, config: Config) -> Config:
    config.pop("num_key_value_heads", None)
    parallel = meta.raw("use_parallel_residual")
    return _rotary(meta, {**config, "use_parallel_residual": bool(parallel)}, "rotary_pct")


def _stablelm(meta: _Meta, config: Config) -> Config:
    flags = {
        "use_qkv_bias": meta.has("attn_q.bias"),
        "qk_layernorm": meta.has("attn_q_norm.weight"),
        "use_parallel_residual": not meta.has("ffn_norm.weight"),
    }
    return _rotary(meta, {**config, **flags}, "partial_rotary_factor")


def _falcon(meta: _Meta, config: Config) -> Config:
    """Falcon 7B has one norm and one key head; the newer decoder has two norms and grouped key heads."""
    newer = meta.has("attn_norm_2.weight")
    flags = {"new_decoder_architecture": newer, "parallel_attn": True, "alibi": False}
    several = config["num_attention_heads"] if newer else 1
    kv = config.pop("num_key_value_heads", several)
    config.pop("head_dim", None)
    return {**config, **flags, "num_kv_heads": kv, "multi_query": kv == 1, "bias": meta.has("attn_qkv.bias")}


def _mpt(meta: _Meta, config: Config) -> Config:
    hidden, inner = config["d_model"], meta.whole("feed_forward_length")
    if not hidden or inner % hidden:
        raise meta.bad("feed_forward_length", inner)
    attention = {"alibi": not meta.has("position_embd.weight"), "qk_ln": meta.has("attn_q_norm.weight")}
    if (kv := meta.maybe("attention.head_count_kv")) not in (None, config["n_heads"]):
        attention |= {"kv_n_heads": kv, "attn_type": "grouped_query_attention"}  # type: ignore[dict-item]
    return {
        **config,
        "expansion_ratio": inner // hidden,
        "attn_config": attention,
        "no_bias": not meta.has("attn_qkv.bias"),
    }


def _starcoder2(meta: _Meta, config: Config) -> Config:
    return {**config, "use_bias": meta.has("attn_q.bias")}


def _cohere(meta: _Meta, config: Config) -> Config:
    return {**config, "use_qk_norm": meta.has("attn_q_norm.weight")}


def _olmo2(meta: _Meta, config: Config) -> Config:
    """OLMo 3 is OLMo 2 with a window on three layers of four, and has no architecture of its own."""
    if not config.get("sliding_window"):
        return config
    return _layer_types(meta, {**config, "model_type": "olmo3"}, 4)


def _deepseek2(meta: _Meta, config: Config) -> Config:
    """Latent attention; newer files write the cached width under key_length and the head's under key_length_mla."""
    key = meta.maybe("attention.key_length_mla") or meta.whole("attention.key_length")
    value = meta.maybe("attention.value_length_mla") or meta.whole("attention.value_length")
    rope = meta.whole("rope.dimension_count")
    if key <= rope:
        raise meta.bad("rope.dimension_count", rope)
    config.pop("head_dim", None)
    heads = {"qk_nope_head_dim": key - rope, "qk_rope_head_dim": rope, "v_head_dim": value}
    biased = meta.has("exp_probs_b.bias") or meta.raw("expert_gating_func") == 2
    config |= {"model_type": "deepseek_v3" if biased else "deepseek_v2", **heads, "moe_layer_freq": 1}
    return {
        **config,
        "q_lora_rank": meta.maybe("attention.q_lora_rank"),
        "num_key_value_heads": config["num_attention_heads"],
    }


def _gpt_oss(meta: _Meta, config: Config) -> Config:
    return _layer_types(meta, {**config, "attention_bias": meta.has("attn_q.bias")}, 2)


def _glm4_moe(meta: _Meta, config: Config) -> Config:
    """llama.cpp counts the multi-token-prediction layers among the blocks."""
    extra = config.get("num_nextn_predict_layers", 0)
    if extra > config["num_hidden_layers"]:
        raise meta.bad("nextn_predict_layers", extra)
    flags = {"attention_bias": meta.has("attn_q.bias"), "use_qk_norm": meta.has("attn_q_norm.weight")}
    return {**config, **flags, "num_hidden_layers": config["num_hidden_layers"] - extra}


def _qwen_moe(meta: _Meta, config: Config) -> Config:
    return {**config, "decoder_sparse_step": 1, "mlp_only_layers": []}


def _qwen3_next(meta: _Meta, config: Config) -> Config:
    heads, inner = meta.whole("ssm.time_step_rank"), meta.whole("ssm.inner_size")
    if not heads or inner % heads:
        raise meta.bad("ssm.time_step_rank", heads)
    return _qwen_moe(meta, {**config, "linear_num_value_heads": heads, "linear_value_head_dim": inner // heads})


def _mamba(meta: _Meta, config: Config) -> Config:
    """Falcon Mamba is Mamba with norms on dt, B and C."""
    if meta.raw("ssm.dt_b_c_rms") is True:
        config["model_type"] = "falcon_mamba"
    return {**config, "use_bias": meta.has("ssm_in.bias"), "use_conv_bias": meta.has("ssm_conv1d.bias")}


def _mamba2(meta: _Meta, config: Config) -> Config:
    inner, heads = meta.whole("ssm.inner_size"), config["num_heads"]
    if not heads or inner % heads or not config["hidden_size"]:
        raise meta.bad("ssm.time_step_rank", heads)
    return {**config, "head_dim": inner // heads, "expand": inner // config["hidden_size"]}


def _lfm2(meta: _Meta, config: Config) -> Config:
    """A layer without key heads is a short convolution."""
    kv = meta.per_layer("attention.head_count_kv")
    if kv is None:
        raise BadConfig(
            f"{shown(meta.file.name)}: {meta.arch}.attention.head_count_kv must have one value a layer. {_FIX}"
        )
    types = ["full_attention" if each else "conv" for each in kv]
    return {**config, "layer_types": types, "block_auto_adjust_ff_dim": False}


_SSM: Final = {"ssm.conv_kernel": "conv_kernel", "ssm.state_size": "state_size"}
_STACK: Final = {"block_count": "num_hidden_layers", "embedding_length": "hidden_size"}
_CONTEXT: Final = {"context_length": "max_position_embeddings"}
_WIDTH: Final = {"expert_feed_forward_length": "moe_intermediate_size"}
_SHARED: Final = {"expert_shared_feed_forward_length": "shared_expert_intermediate_size"}
_DEEPSEEK_MOE: Final = {
    **_routed("n_routed_experts"),
    **_WIDTH,
    "expert_shared_count": "n_shared_experts",
    "leading_dense_block_count": "first_k_dense_replace",
    "nextn_predict_layers": "num_nextn_predict_layers",
}
_GPT2: Final = {
    "block_count": "n_layer",
    "embedding_length": "n_embd",
    "attention.head_count": "n_head",
    "feed_forward_length": "n_inner",
    "context_length": "n_positions",
}
_BLOOM: Final = {"block_count": "n_layer", "embedding_length": "hidden_size", "attention.head_count": "n_head"}
_MPT: Final = {
    "block_count": "n_layers",
    "embedding_length": "d_model",
    "attention.head_count": "n_heads",
    "context_length": "max_seq_len",
}
_QWEN3_NEXT: Final = {
    "ssm.conv_kernel": "linear_conv_kernel_dim",
    "ssm.state_size": "linear_key_head_dim",
    "ssm.group_count": "linear_num_key_heads",
}
_MAMBA2: Final = {"ssm.time_step_rank": "num_heads", "ssm.group_count": "n_groups"}

FAMILIES: Final[Mapping[str, Family]] = {
    "llama": _like_llama("llama", finish=_llama),
    "qwen2": _like_llama("qwen2"),
    "qwen2moe": _like_llama("qwen2_moe", {**_routed("num_experts"), **_WIDTH, **_SHARED}, _qwen_moe),
    "qwen3": _like_llama("qwen3", finish=_attention_bias),
    "qwen3moe": _like_llama("qwen3_moe", {**_routed("num_experts"), **_WIDTH}, _qwen_moe),
    "qwen3next": _like_llama(
        "qwen3_next",
        {**_routed("num_experts"), **_WIDTH, **_SHARED, "full_attention_interval": "full_attention_interval"},
        _qwen3_next,
        required=_QWEN3_NEXT,
    ),
    "gemma": _like_llama("gemma"),
    "gemma2": _like_llama("gemma2", _SLIDING, _period(2)),
    "gemma3": _like_llama("gemma3_text", _SLIDING, _period(6)),
    "phi2": _like_llama("phi", finish=_phi2),
    "phi3": _like_llama("phi3", _SLIDING),
    "phimoe": _like_llama("phimoe", {**_SLIDING, **_routed("num_local_experts")}, _attention_bias),
    "gpt2": Family("gpt2", _GPT2, {}),
    "gptneox": _like_llama("gpt_neox", finish=_neox),
    "falcon": Family("falcon", {**_REQUIRED, "feed_forward_length": "ffn_hidden_size"}, _OPTIONAL, _falcon),
    "bloom": Family("bloom", _BLOOM, {}),
    "mpt": Family("mpt", _MPT, {}, _mpt),
    "starcoder2": _like_llama("starcoder2", _SLIDING, _starcoder2),
    "stablelm": _like_llama("stablelm", finish=_stablelm),
    "command-r": _like_llama("cohere", finish=_cohere),
    "cohere2": _like_llama("cohere2", _SLIDING, _period(4)),
    "olmo": _like_llama("olmo"),
    "olmo2": _like_llama("olmo2", _SLIDING, _olmo2),
    "olmoe": _like_llama("olmoe", _routed("num_experts")),
    "deepseek2": _like_llama(
        "deepseek_v2", _DEEPSEEK_MOE, _deepseek2, required={"attention.kv_lora_rank": "kv_lora_rank"}
    ),
    "gpt-oss": _like_llama("gpt_oss", {**_SLIDING, **_routed("num_local_experts")}, _gpt_oss),
    "glm4": _like_llama("glm4", finish=_attention_bias),
    "glm4moe": _like_llama("glm4_moe", _DEEPSEEK_MOE, _glm4_moe),
    "granite": _like_llama("granite", finish=_attention_bias),
    "granitemoe": _like_llama("granitemoe", _routed("num_local_experts"), _attention_bias),
    "smollm3": _like_llama("smollm3", finish=_attention_bias),
    "seed_oss": _like_llama("seed_oss", finish=_attention_bias),
    "nemotron": _like_llama("nemotron", finish=_attention_bias),
    "arcee": _like_llama("arcee", finish=_attention_bias),
    "mamba": Family(
        "mamba",
        {**_STACK, **_SSM, "ssm.inner_size": "intermediate_size", "ssm.time_step_rank": "time_step_rank"},
        _CONTEXT,
        _mamba,
    ),
    "mamba2": Family("mamba2", {**_STACK, **_SSM, **_MAMBA2}, _CONTEXT, _mamba2),
    "lfm2": _like_llama("lfm2", finish=_lfm2, required={"shortconv.l_cache": "conv_L_cache"}),
    "lfm2moe": _like_llama(
        "lfm2_moe",
        {**_routed("num_experts"), **_WIDTH, "leading_dense_block_count": "num_dense_layers"},
        _lfm2,
        required={"shortconv.l_cache": "conv_L_cache"},
    ),
}
"""llama.cpp architecture -> how to read it."""
