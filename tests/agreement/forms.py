"""Which cases count the whole somewhere, by cause; one that stops to do so fails until it leaves this list."""

BY_CAUSE = {
    "eager": (
        "granite_swa", "granite_swa 2", "gemma2", "gemma2 2", "vaultgemma", "bloom", "bloom 2", "gptj", "gptj 2",
        "codegen", "codegen 2", "gpt_neo", "gpt_neo 2", "gpt_neox_japanese", "gpt_neox_japanese 2", "mpt", "mpt 2",
        "xglm", "openai-gpt", "flint", "gpt_oss", "gpt_oss 2", "granitemoe_swa", "mimo_v2_flash", "mimo_v2_flash 2",
        "hy_v4", "deepseek_v4", "deepseek_v4 2", "paligemma 2", "gemma4",
    ),
    "unfused": (
        "falcon", "falcon 5", "minicpm3 2", "deepseek_v2", "deepseek_v2 2", "deepseek_v3", "deepseek_v3 2",
        "glm4_moe_lite", "mistral4", "axk1", "deepseek_v32", "glm_moe_dsa", "glm_moe_dsa 2", "axk2", "longcat_flash",
        "kimi_k25",
    ),
    "indexer": (
        "minimax_m3_vl_text", "deepseek_v32", "glm_moe_dsa", "glm_moe_dsa 2", "axk2", "hy_v4", "deepseek_v4",
        "deepseek_v4 2", "minimax_m3_vl",
    ),
    "scan": (
        "mamba: mamba", "mamba: mamba biased, untied", "falcon_mamba: falcon mamba", "mamba2: mamba2",
        "mamba2: mamba2 biased, tied", "jamba: jamba", "jamba: jamba dense", "bamba: bamba", "bamba: bamba biased",
        "bamba: bamba without attention", "granitemoehybrid: granite", "granitemoehybrid: granite dense",
        "granitemoehybrid: granite without layer types", "falcon_h1: falcon h1",
        "falcon_h1: falcon h1 biased, normed", "nemotron_h: nemotron pattern", "nemotron_h: nemotron latent experts",
        "nemotron_h: nemotron default", "zamba: zamba", "zamba: zamba listed", "zamba2: zamba2",
        "zamba2: zamba2 one block, adapters", "zamba2: zamba2 a block for each", "qwen3_next: qwen3 next",
        "qwen3_next: qwen3 next, some dense", "qwen3_5_text: qwen3.5", "qwen3_5_moe_text: qwen3.5 moe",
        "minimax: minimax", "minimax: minimax listed", "kimi_linear: kimi linear", "kimi_linear: kimi linear listed",
        "olmo_hybrid: olmo hybrid", "olmo_hybrid: olmo hybrid listed", "bailing_hybrid: bailing hybrid",
        "bailing_hybrid: bailing hybrid biased", "xlstm: xlstm", "qwen3_5",
    ),
    "average": ("gemma4",),
    "cut positions": (
        "wav2vec2", "hubert",
        "mamba: mamba", "mamba: mamba biased, untied", "falcon_mamba: falcon mamba", "mamba2: mamba2",
        "mamba2: mamba2 biased, tied", "jamba: jamba", "jamba: jamba dense", "bamba: bamba", "bamba: bamba biased",
        "bamba: bamba without attention", "granitemoehybrid: granite", "granitemoehybrid: granite dense",
        "granitemoehybrid: granite without layer types", "falcon_h1: falcon h1",
        "falcon_h1: falcon h1 biased, normed", "nemotron_h: nemotron pattern", "nemotron_h: nemotron latent experts",
        "nemotron_h: nemotron default", "zamba: zamba", "zamba: zamba listed", "zamba2: zamba2",
        "zamba2: zamba2 one block, adapters", "zamba2: zamba2 a block for each", "qwen3_next: qwen3 next",
        "qwen3_next: qwen3 next, some dense", "qwen3_5_text: qwen3.5", "qwen3_5_moe_text: qwen3.5 moe",
        "kimi_linear: kimi linear", "kimi_linear: kimi linear listed", "olmo_hybrid: olmo hybrid",
        "olmo_hybrid: olmo hybrid listed", "bailing_hybrid: bailing hybrid", "bailing_hybrid: bailing hybrid biased",
        "recurrent_gemma: recurrent gemma", "recurrent_gemma: recurrent gemma wide", "lfm2: lfm2",
        "lfm2: lfm2 biased, untied", "lfm2_moe: lfm2 moe", "lfm2_moe: lfm2 moe without bias", "lfm3: lfm3",
        "lfm3: lfm3 plain", "qwen3_5",
    ),
}  # fmt: skip
