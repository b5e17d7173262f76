"""Models with scans: Mamba2, Jamba, Qwen3-Next. A scan has several exact forms; each truth says which one it takes."""

from __future__ import annotations

from torch import nn

from .specimen import Specimen, causal_lm, tokens
from .truth import (
    B,
    S,
    T,
    Truth,
    causal_attention,
    experts,
    gated_mlp,
    grouped_query,
    product,
    short_conv,
)  # fmt: skip

SCAN = 0.02
"""Counts of scans may part from the chosen form by this share."""
WIDTH, VOCAB, TAPS = 128, 500, 4

M_LAYERS, M_HEADS, M_HEAD, M_STATES, M_GROUPS, M_CHUNK = 4, 8, 32, 16, 2, 32
M_INNER = M_HEADS * M_HEAD
CHUNKS = S // M_CHUNK


def _mamba2() -> nn.Module:
    from transformers import Mamba2Config

    config = Mamba2Config(
        num_heads=M_HEADS, head_dim=M_HEAD, vocab_size=VOCAB, hidden_size=WIDTH, state_size=M_STATES,
        num_hidden_layers=M_LAYERS, expand=2, conv_kernel=TAPS, n_groups=M_GROUPS, chunk_size=M_CHUNK,
    )  # fmt: skip
    return causal_lm(config, "eager")


# The state-space dual in chunks (Dao and Gu 2024, section 6), as matrix products: it is what every implementation
# runs. Scores once a head, whole chunk squares, states handed on by a product over the chunks and the zero state:
# the form of the eager code. (Kernels build scores once a group and skip half a square: a few percent less.)
SSD = (
    B * M_HEADS * CHUNKS
    * (
        product(M_CHUNK, M_STATES, M_CHUNK) + product(M_CHUNK, M_CHUNK, M_HEAD)
        + 2 * product(M_CHUNK, M_STATES, M_HEAD)
    )
    + B * M_HEADS * product(CHUNKS + 1, CHUNKS + 1, M_HEAD * M_STATES)
)  # fmt: skip
M_CONV = M_INNER + 2 * M_GROUPS * M_STATES
MAMBA2 = M_LAYERS * (
    product(T, WIDTH, M_INNER + M_CONV + M_HEADS) + short_conv(M_CONV, TAPS) + SSD + product(T, M_INNER, WIDTH)
) + product(T, WIDTH, VOCAB)  # fmt: skip

J_HEADS, J_KV, J_HEAD, J_INNER, J_ROUTED, J_ACTIVE, J_STATES, J_RANK = 4, 2, 32, 256, 8, 2, 8, 8
J_CHANNELS = 2 * WIDTH


def _jamba() -> nn.Module:
    from transformers import JambaConfig

    config = JambaConfig(
        vocab_size=VOCAB, hidden_size=WIDTH, intermediate_size=J_INNER, num_hidden_layers=4,
        num_attention_heads=J_HEADS, num_key_value_heads=J_KV, num_experts=J_ROUTED, num_experts_per_tok=J_ACTIVE,
        expert_layer_period=2, expert_layer_offset=1, attn_layer_period=4, attn_layer_offset=2,
        mamba_d_state=J_STATES, mamba_d_conv=TAPS, mamba_expand=2, mamba_dt_rank=J_RANK,
    )  # fmt: skip
    return causal_lm(config, "sdpa", "grouped_mm")


# The selective scan as a recurrence (Gu and Dao 2023, section 3.3), which is how every implementation runs it: the
# state is updated by an outer product and read by a product with C, 2·channels·states each. Eager code writes the
# update element by element, so that a count of matrix products misses it: 0.6 % of this model, less of wider ones.
SELECTIVE_SCAN = 2 * product(T * J_CHANNELS, J_STATES, 1)
J_MAMBA = (
    product(T, WIDTH, 2 * J_CHANNELS) + short_conv(J_CHANNELS, TAPS) + product(T, J_CHANNELS, J_RANK + 2 * J_STATES)
    + product(T, J_RANK, J_CHANNELS) + SELECTIVE_SCAN + product(T, J_CHANNELS, WIDTH)
)  # fmt: skip
JAMBA = (
    3 * J_MAMBA
    + grouped_query(WIDTH, J_HEADS, J_KV, J_HEAD)
    + causal_attention(J_HEADS, J_HEAD)
    + 2 * gated_mlp(WIDTH, J_INNER)
    + 2 * experts(WIDTH, J_INNER, J_ROUTED, J_ACTIVE)
    + product(T, WIDTH, VOCAB)
)

Q_HEADS, Q_KV, Q_HEAD, Q_KEYS, Q_VALUES, Q_KEY, Q_VALUE = 4, 2, 32, 2, 4, 32, 32
Q_ROUTED, Q_ACTIVE, Q_EXPERT, Q_CHUNK = 16, 4, 64, 64


def _qwen3_next() -> nn.Module:
    from transformers import Qwen3NextConfig

    config = Qwen3NextConfig(
        vocab_size=VOCAB, hidden_size=WIDTH, intermediate_size=320, num_hidden_layers=4, num_attention_heads=Q_HEADS,
        num_key_value_heads=Q_KV, head_dim=Q_HEAD, linear_conv_kernel_dim=TAPS, linear_key_head_dim=Q_KEY,
        linear_value_head_dim=Q_VALUE, linear_num_key_heads=Q_KEYS, linear_num_value_heads=Q_VALUES,
        moe_intermediate_size=Q_EXPERT, shared_expert_intermediate_size=Q_EXPERT, num_experts=Q_ROUTED,
        num_experts_per_tok=Q_ACTIVE, max_position_embeddings=S,
    )  # fmt: skip
    return causal_lm(config, "sdpa", "grouped_mm")


def triangle(size: int, columns: int) -> Truth:
    """A unit triangle solved for `columns` right-hand sides: size·(size - 1) FLOPs each, and as much for either
    gradient.
    """
    one = size * (size - 1) * columns
    return Truth(one, one, 3 * one, 3 * one)


def delta_rule() -> Truth:
    """The gated delta rule in chunks (Yang et al. 2024, section 3): k·k and q·k, the triangle solved for values and
    keys, the mix, and of the state two reads and one update a chunk.

    No gradient flows into the zero state before the first chunk, and none out of the state after the last one.
    """
    chunks = S // Q_CHUNK
    inside = (
        2 * product(Q_CHUNK, Q_KEY, Q_CHUNK) + triangle(Q_CHUNK, Q_VALUE + Q_KEY) + product(Q_CHUNK, Q_CHUNK, Q_VALUE)
    )
    states = (
        2 * product(Q_CHUNK, Q_KEY, Q_VALUE, gradients=1)
        + (chunks - 1) * 3 * product(Q_CHUNK, Q_KEY, Q_VALUE)
        + product(Q_CHUNK, Q_KEY, Q_VALUE, gradients=0)
    )
    return B * Q_VALUES * (chunks * inside + states)


Q_CONV = Q_KEYS * Q_KEY * 2 + Q_VALUES * Q_VALUE
Q_LINEAR = (
    product(T, WIDTH, Q_CONV + Q_VALUES * Q_VALUE) + product(T, WIDTH, 2 * Q_VALUES) + short_conv(Q_CONV, TAPS)
    + delta_rule() + product(T, Q_VALUES * Q_VALUE, WIDTH)
)  # fmt: skip
# queries carry an output gate of their own size
Q_ATTENTION = (
    grouped_query(WIDTH, Q_HEADS, Q_KV, Q_HEAD)
    + product(T, WIDTH, Q_HEADS * Q_HEAD)
    + causal_attention(Q_HEADS, Q_HEAD)
)
Q_EXPERTS = experts(WIDTH, Q_EXPERT, Q_ROUTED, Q_ACTIVE) + gated_mlp(WIDTH, Q_EXPERT) + product(T, WIDTH, 1)
QWEN3_NEXT = 3 * Q_LINEAR + Q_ATTENTION + 4 * Q_EXPERTS + product(T, WIDTH, VOCAB)

SPECIMENS = (
    Specimen("Mamba2", _mamba2, tokens(VOCAB, B, S), MAMBA2, tolerance=SCAN),
    Specimen("Jamba hybrid, experts", _jamba, tokens(VOCAB, B, S), JAMBA, tolerance=SCAN),
    Specimen("Qwen3-Next gated delta, experts", _qwen3_next, tokens(VOCAB, B, S), QWEN3_NEXT, tolerance=SCAN),
)
