"""State-space models, linear attention and other recurrences: Mamba, SSD, flash-linear-attention, RWKV, RNN cells."""

from typing import Final

from flopsight.kernels.names import Rows

ROWS: Final[Rows] = (
    ("scan", """
        selective_scan selective_state mamba chunk_state chunk_scan chunk_cumsum state_passing ssd_ bmm_chunk
        chunk_fwd chunk_bwd chunk_gated chunk_delta chunk_kda chunk_gla chunk_local chunk_scaled chunk_dot
        chunk_simple _kda_ _gdn_ gated_delta delta_rule recompute_w_u fused_recurrent solve_tril merge_16x16 wy_repr
        wy_fast prepare_wy _wkv wkv6 wkv7 rwkv causal_conv1d short_conv rg_lru rglru linear_attn linear_attention
        lightning_attn lightning_attention recurrent_scan associative_scan lru_scan flash_linear retention _elman_
        rnn_ _lstm lstm_ _gru_ gru_cell persist_rnn
    """),
)  # fmt: skip
