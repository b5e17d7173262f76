"""Tiny configs of several families, and a machine that needs no measuring."""

from flopsight.bench.machine import Curve, Machine
from flopsight.ceiling import Ceilings

LLAMA = {
    "model_type": "llama", "vocab_size": 97, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3,
    "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 256, "rms_norm_eps": 1e-6,
}  # fmt: skip
QWEN2 = {**LLAMA, "model_type": "qwen2", "tie_word_embeddings": True}
QWEN3 = {**LLAMA, "model_type": "qwen3", "head_dim": 16, "tie_word_embeddings": True}
MISTRAL = {**LLAMA, "model_type": "mistral", "sliding_window": 5}
MIXTRAL = {**LLAMA, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}
GPT2 = {"model_type": "gpt2", "vocab_size": 97, "n_embd": 48, "n_head": 4, "n_layer": 3, "n_positions": 128}
GEMMA = {
    **LLAMA, "model_type": "gemma", "head_dim": 16, "hidden_activation": "gelu_pytorch_tanh",
    "tie_word_embeddings": True, "num_key_value_heads": 1,
}  # fmt: skip
REFERENCE = {
    "llama": LLAMA, "qwen2": QWEN2, "qwen3": QWEN3, "mistral": MISTRAL, "mixtral": MIXTRAL, "gpt2": GPT2,
}  # fmt: skip


def machine(dtype: str = "fp32") -> Machine:
    """1 TFLOP/s, 10 GB/s, a microsecond an op."""
    ceilings = Ceilings("cpu", "cpu", {"fp32": 1e12, "bf16": 2e12}, {"copy": 1e10, "read": 1e10}, 1e-6, 1, "2", "")
    flat = Curve((1.0, 2.0), (1e12, 1e12))
    return Machine(ceilings, dtype, flat, 1e12, 1e10, Curve((1.0, 2.0), (1e10, 1e10)), 1e-6)
