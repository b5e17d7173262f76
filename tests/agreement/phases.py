"""A step behind a cache, and training, of the decoders that matter most and of one of every other kind."""

from dataclasses import replace

from tests.agreement.others import ENCODERS, IMAGES, SEQ2SEQ
from tests.agreement.texts import TEXTS

PAST = 12
STEPPING = (
    "llama", "mistral", "qwen2", "qwen2 2", "qwen3", "gemma", "gemma2 2", "gemma3_text 2", "phi", "phi3", "glm4",
    "granite", "olmo2", "cohere2", "falcon", "starcoder2", "stablelm", "smollm3", "opt", "bloom", "gptj", "gpt_neox",
    "gpt_bigcode", "mpt", "mixtral", "mixtral 2", "phimoe", "qwen2_moe", "qwen3_moe", "olmoe", "gpt_oss", "granitemoe",
    "deepseek_v2", "deepseek_v3", "minicpm3", "glm4_moe", "deepseek_v32", "llama4_text", "longcat_flash",
    "mamba: mamba", "mamba2: mamba2", "jamba: jamba", "bamba: bamba", "granitemoehybrid: granite",
    "falcon_h1: falcon h1", "zamba2: zamba2", "nemotron_h: nemotron pattern", "qwen3_next: qwen3 next",
    "qwen3_5_text: qwen3.5", "kimi_linear: kimi linear", "olmo_hybrid: olmo hybrid", "minimax: minimax", "lfm2: lfm2",
    "gemma 3n", "gemma 4 edge", "gemma 4 experts",
)  # fmt: skip
LEARNING = (
    *STEPPING, "rwkv: rwkv", "xlstm: xlstm", "recurrent_gemma: recurrent gemma", "diffllama", "doge 3", "deepseek_v4",
    "gemma 4 as an encoder",
)  # fmt: skip
DECODED = {f"{name} | step": replace(TEXTS[name], seq=1, cached=PAST) for name in STEPPING}
TRAINED = {f"{name} | training": replace(TEXTS[name], train=True) for name in LEARNING} | {
    f"{name} | training": replace(case, train=True) for name, case in (ENCODERS | SEQ2SEQ | IMAGES).items()
}
