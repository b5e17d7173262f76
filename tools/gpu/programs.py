"""The programs that are run: a Llama of 1.2 B and a small mixture of experts, training, prefill and decode, bf16."""

from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3MoeConfig, StaticCache

LLAMA_1B = {
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": True,
}  # fmt: skip
SMALL_MOE = {
    "hidden_size": 1024, "moe_intermediate_size": 512, "num_hidden_layers": 12, "num_attention_heads": 16,
    "num_key_value_heads": 4, "head_dim": 64, "num_experts": 32, "num_experts_per_tok": 4, "vocab_size": 32000,
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    batch: int
    length: int
    past: int


FULL = {"train": Size(8, 2048, 0), "prefill": Size(8, 2048, 0), "decode": Size(32, 1, 2048)}
TINY = {"train": Size(2, 32, 0), "prefill": Size(2, 32, 0), "decode": Size(2, 1, 32)}


def model_of(kind, device, tiny=False):
    """A model with random weights."""
    values = dict(LLAMA_1B if kind == "llama-1b" else SMALL_MOE)
    if tiny:
        values |= {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 256, "num_attention_heads": 4}
        values |= {"num_key_value_heads": 2, "intermediate_size": 128, "moe_intermediate_size": 32, "head_dim": 16}
    config = (LlamaConfig if kind == "llama-1b" else Qwen3MoeConfig)(**values)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)


def train(model, size, *, compiled):
    """One optimizer step on random tokens."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=model.device.type == "cuda")
    forward = torch.compile(model) if compiled else model
    ids = _tokens(model, size.batch, size.length)

    def step():
        forward(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def prefill(model, size, *, compiled):
    """One prompt each."""
    forward = torch.compile(model) if compiled else model
    ids = _tokens(model, size.batch, size.length)

    @torch.inference_mode()
    def step():
        forward(input_ids=ids, use_cache=False, logits_to_keep=1)

    return step


def decode(model, size, *, graphs):
    """One token each behind a cache; with `graphs`, the step is captured once and replayed."""
    cache = StaticCache(config=model.config, max_cache_len=size.past + 8)
    ids = _tokens(model, size.batch, 1)
    place = torch.full((size.batch, 1), size.past, device=model.device)

    @torch.inference_mode()
    def fill():
        model(input_ids=_tokens(model, size.batch, size.past), past_key_values=cache, logits_to_keep=1)

    @torch.inference_mode()
    def step():
        for layer in cache.layers:
            layer.cumulative_length.fill_(size.past)  # the same place again: a step is like the one before
        model(input_ids=ids, past_key_values=cache, position_ids=place)

    fill()
    return captured(step) if graphs else step


def captured(step):
    """The step as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _tokens(model, batch, length):
    return torch.randint(0, model.config.vocab_size, (batch, length), device=model.device)
