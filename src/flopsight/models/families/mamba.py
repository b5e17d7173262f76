"""Mamba, Falcon Mamba and Mamba-2: layers of one norm and one mixer."""

from __future__ import annotations

from flopsight.expr import ceil_div
from flopsight.models.blocks.decoder import block, causal_lm
from flopsight.models.blocks.recurrent import Mamba1, Mamba2, checked_groups, inner_width
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, leaf
from flopsight.parts.norm import Norm


def step_rank(c: Config, width: int, *names: str) -> int:
    """Rank of the step width; "auto" is a sixteenth of the width, rounded up."""
    auto = c.get(*names, default="auto") in ("auto", None)
    return int(ceil_div(width, 16)) if auto else c.int(*names)


def stacked(c: Config, width: int, mixer: Node) -> Model:
    """Equal layers of norm and mixer."""
    layer = block(leaf("norm", Norm(width), place="pre"), mixer, width=width, residuals=1)
    return causal_lm(
        [layer] * c.layers(), family=c.model_type, vocab=c.int("vocab_size"), width=width, tied=c.tied(),
        norm=Norm(width), prefix="backbone", embed="embeddings", norm_name="norm_f",
    )  # fmt: skip


def selective(c: Config, normed: str) -> Model:
    """Mamba mixers of `intermediate_size` channels, or of `expand` times the width."""
    width = c.int("hidden_size")
    inner = c.maybe("intermediate_size") or inner_width(c, width, "expand")
    c.ignore("expand", "d_inner", "d_model", "n_layer", "ssm_cfg")
    mixer = Mamba1(
        width, inner, c.int("state_size"), step_rank(c, width, "time_step_rank"), c.int("conv_kernel"),
        c.flag("use_bias", default=False), c.flag("use_conv_bias", default=True), normed,
    )  # fmt: skip
    return stacked(c, width, mixer.node("mixer"))


def mamba(c: Config) -> Model:
    """Mamba: no norms inside the mixer."""
    return selective(c, "")


def falcon_mamba(c: Config) -> Model:
    """Falcon Mamba: norms without weights over step width, B and C."""
    return selective(c, "free")


def mamba2(c: Config) -> Model:
    """Mamba-2 with `num_heads` heads of `head_dim` channels."""
    width = c.int("hidden_size")
    heads, each = c.int("num_heads"), c.int("head_dim")
    c.ignore("intermediate_size", "time_step_rank", "rms_norm", "norm_before_gate")
    inner = inner_width(c, width, "expand")
    if heads * each != inner:
        raise c.fail("num_heads", heads, f"such that heads x head width are the {inner} channels")
    mixer = Mamba2(
        width, heads, each, checked_groups(c, heads, "n_groups"), c.int("state_size"), c.int("conv_kernel"),
        c.int("chunk_size"), c.flag("use_bias", default=False), conv_bias=c.flag("use_conv_bias", default=True),
    )  # fmt: skip
    return stacked(c, width, mixer.node("mixer"))


FAMILIES = {"mamba": mamba, "falcon_mamba": falcon_mamba, "mamba2": mamba2}
