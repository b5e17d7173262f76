"""Models that `package.module:function` may name."""

import torch


def tiny_llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=100, attn_implementation="eager",
    )  # fmt: skip
    return LlamaForCausalLM(config)


def linear_with_inputs():
    return torch.nn.Linear(3, 5), lambda seq: {"input": torch.zeros(1, seq, 3, device="meta")}


def linear_alone():
    return torch.nn.Linear(3, 5)


def not_a_module():
    return 7


VALUE = 3
