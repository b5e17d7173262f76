"""Dense decoders with multi-head latent attention: MiniCPM3 and Youtu."""

from __future__ import annotations

from flopsight.models.blocks.attention import LatentAttention
from flopsight.models.blocks.decoder import pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp
from flopsight.models.config import Config
from flopsight.models.families.dense import decoder, divided
from flopsight.models.tree import Model
from flopsight.parts.norm import Norm


def latent_dense(c: Config) -> Model:
    """Latent attention and a gated MLP in every layer; a null `v_head_dim` is width / heads."""
    width, norm = c.int("hidden_size"), Norm(c.int("hidden_size"))
    heads = c.int("num_attention_heads")
    value = c.maybe("v_head_dim") or divided(c, width)[1]
    c.ignore("num_key_value_heads", "head_dim")
    mixer = LatentAttention(
        width, heads, c.maybe("q_lora_rank") or 0, c.int("kv_lora_rank"), c.int("qk_nope_head_dim"),
        c.int("qk_rope_head_dim"), value, c.flag("attention_bias", default=False),
    )  # fmt: skip
    bias = c.flag("mlp_bias", default=False)
    ffn = gated_mlp(width, c.int("intermediate_size"), bias=bias, activate=c.word("hidden_act", default="silu"))
    return decoder(c, [pre_norm_layer(norm, mixer.node(), ffn)] * c.layers(), norm)


FAMILIES = {"minicpm3": latent_dense, "youtu": latent_dense}
