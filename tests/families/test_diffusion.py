"""Diffusion transformers: published counts and breakdowns, tokens from sizes, agreement with diffusers."""

import pytest

from flopsight.errors import BadConfig, UsageError
from flopsight.models.config import Config, constructor_defaults
from flopsight.models.families import MODULES, family
from flopsight.models.ignorable import ignorable
from flopsight.models.ledger import Ledger
from flopsight.models.load import load
from flopsight.workload import Workload

DIT = {
    "_class_name": "DiTTransformer2DModel", "num_attention_heads": 16, "attention_head_dim": 72, "in_channels": 4,
    "out_channels": 8, "num_layers": 28, "sample_size": 32, "patch_size": 2, "attention_bias": True,
    "activation_fn": "gelu-approximate", "num_embeds_ada_norm": 1000, "norm_type": "ada_norm_zero",
    "norm_elementwise_affine": False,
}  # fmt: skip
SD3 = {
    "_class_name": "SD3Transformer2DModel", "sample_size": 128, "patch_size": 2, "in_channels": 16, "num_layers": 24,
    "attention_head_dim": 64, "num_attention_heads": 24, "joint_attention_dim": 4096, "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048, "out_channels": 16, "pos_embed_max_size": 192,
}  # fmt: skip
FLUX = {
    "_class_name": "FluxTransformer2DModel", "attention_head_dim": 128, "guidance_embeds": True, "in_channels": 64,
    "joint_attention_dim": 4096, "num_attention_heads": 24, "num_layers": 19, "num_single_layers": 38, "patch_size": 1,
    "pooled_projection_dim": 768,
}  # fmt: skip
WAN = {
    "_class_name": "WanTransformer3DModel", "patch_size": [1, 2, 2], "num_attention_heads": 12,
    "attention_head_dim": 128, "in_channels": 16, "out_channels": 16, "text_dim": 4096, "freq_dim": 256,
    "ffn_dim": 8960, "num_layers": 30, "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads",
}  # fmt: skip

PUBLISHED = [
    (DIT, 749_826_464, {"embedding": 77788800, "norm/modulation": 223147008, "attention": 148764672,
                        "mlp": 297432576, "other": 2693408}),
    (SD3, 2_028_328_000, {"embedding": 14656512, "norm/modulation": 675197952, "attention": 450918912,
                          "mlp": 887456256, "other": 98368}),
    (FLUX, 11_901_408_320, {"embedding": 45047808, "norm/modulation": 3247448064, "attention": 2511127552,
                            "mlp": 4304406528, "other": 1793378368}),
    (WAN, 1_418_996_800, {"other": 377920, "embedding": 25674240, "attention": 566784000, "norm/modulation": 92160,
                          "mlp": 826068480}),
]  # fmt: skip


def book(raw):
    model = load(raw)
    assert model.unknown == ()
    return Ledger(model)


def flops(ledger, side, prompt, frames=0, batch=1):
    return ledger.total(Workload("prefill", batch, encoder=prompt, image_size=side, images=frames)).full


@pytest.mark.parametrize(("raw", "total", "kinds"), PUBLISHED, ids=["dit", "sd3", "flux", "wan"])
def test_parameters_and_breakdown(raw, total, kinds):
    ledger = book(raw)
    assert ledger.params == total
    assert ledger.by_kind == kinds


@pytest.mark.parametrize(
    ("raw", "side", "prompt", "frames", "traced"),
    [
        (DIT, 256, 1, 0, 237_333_676_032), (DIT, 512, 1, 0, 1_049_167_429_632),
        (SD3, 256, 77, 0, 468_048_691_200), (SD3, 512, 200, 0, 1_880_067_145_728),
        (FLUX, 256, 77, 0, 4_385_417_342_976), (FLUX, 512, 200, 0, 16_863_665_061_888),
        (WAN, 256, 77, 17, 3_544_918_523_904), (WAN, 256, 512, 9, 2_255_998_943_232),
    ],
)  # fmt: skip
def test_flops_traced_by_the_framework(raw, side, prompt, frames, traced):
    assert flops(book(raw), side, prompt, frames) == traced
    assert flops(book(raw), side, prompt, frames, batch=3) == 3 * traced


def test_tokens_follow_from_sizes():
    tokens = {
        name: book(raw).works(Workload()) for name, raw in (("flux", FLUX), ("sd3", SD3), ("wan", WAN), ("dit", DIT))
    }
    assert tokens["flux"]["text"].tokens == 4096
    assert tokens["flux"]["context"].tokens == 512
    assert tokens["sd3"]["joint"].tokens == 4096 + 333
    assert tokens["wan"]["text"].tokens == 21 * 30 * 52
    assert tokens["dit"]["text"].tokens == 256
    clip = book(WAN).works(Workload(batch=2, images=5, image_size=256))
    assert clip["text"].tokens == 2 * 2 * 16 * 16


def test_modulation_runs_once_a_sample_whatever_the_size():
    small, large = (book(SD3).rows(Workload(image_size=side)) for side in (256, 1024))
    for one, other in zip(small, large, strict=True):
        if one.leaf.stream == "sequence":
            assert one.cost == other.cost
    assert any(row.leaf.stream == "sequence" and row.cost.required for row in small)


def test_nothing_is_cached_and_every_phase_does_the_same_work():
    for raw in (DIT, SD3, FLUX, WAN):
        ledger = book(raw)
        assert ledger.cache_per_token == ledger.cache_fixed == 0
        assert ledger.total(Workload("decode", 1, 1, 100)).required == ledger.total(Workload("prefill")).required
        assert ledger.total(Workload("train")).required == 3 * ledger.total(Workload("prefill")).required


def test_an_image_smaller_than_a_patch_is_refused():
    with pytest.raises(UsageError, match="16 pixels"):
        book(SD3).total(Workload(image_size=8))


@pytest.mark.parametrize(
    ("raw", "changes"),
    [
        (SD3, {"caption_projection_dim": 999}), (SD3, {"qk_norm": "nonsense"}), (SD3, {"num_layers": 0}),
        (SD3, {"sample_size": 1}), (SD3, {"sample_size": float("nan")}), (SD3, {"num_layers": 10**9}),
        (DIT, {"norm_type": "other"}), (DIT, {"activation_fn": "sine"}), (DIT, {"patch_size": -1}),
        (FLUX, {"attention_head_dim": "wide"}), (FLUX, {"num_single_layers": -3}), (FLUX, {"guidance_embeds": 7}),
        (WAN, {"patch_size": [1, 2]}), (WAN, {"patch_size": 2}), (WAN, {"image_dim": [3]}),
    ],
)  # fmt: skip
def test_hostile_values_are_named(raw, changes):
    with pytest.raises(BadConfig):
        load({**raw, **changes})


TINY = {"num_attention_heads": 2, "num_layers": 2}
VARIANTS = [
    ({**DIT, **TINY, "num_layers": 3}, {}),
    ({**DIT, **TINY, "norm_elementwise_affine": True, "attention_bias": False, "activation_fn": "geglu"}, {}),
    ({**SD3, **TINY, "caption_projection_dim": 128}, {}),
    ({**SD3, **TINY, "num_layers": 3, "caption_projection_dim": 128, "qk_norm": "rms_norm",
      "dual_attention_layers": [0, 1], "pos_embed_max_size": 384}, {}),
    ({**FLUX, **TINY, "num_single_layers": 3}, {}),
    ({**FLUX, **TINY, "num_single_layers": 0, "guidance_embeds": False, "out_channels": 32}, {}),
    ({"_class_name": "PixArtTransformer2DModel", **TINY, "cross_attention_dim": 144, "caption_channels": 64}, {}),
    ({"_class_name": "PixArtTransformer2DModel", **TINY, "cross_attention_dim": 144, "caption_channels": 64,
      "sample_size": 64, "attention_bias": False, "norm_elementwise_affine": True}, {}),
    ({"_class_name": "SanaTransformer2DModel", **TINY, "num_cross_attention_heads": 2, "cross_attention_head_dim": 32,
      "cross_attention_dim": 64}, {"side": 512, "shrink": 32}),
    ({"_class_name": "SanaTransformer2DModel", **TINY, "num_cross_attention_heads": 2, "cross_attention_head_dim": 32,
      "cross_attention_dim": 64, "guidance_embeds": True, "qk_norm": "rms_norm_across_heads", "attention_bias": True,
      "norm_elementwise_affine": True}, {"side": 512, "shrink": 32}),
    ({"_class_name": "HunyuanDiT2DModel", **TINY, "num_layers": 4, "attention_head_dim": 72, "in_channels": 4,
      "patch_size": 2, "hidden_size": 144, "pooled_projection_dim": 64, "cross_attention_dim": 32,
      "cross_attention_dim_t5": 64}, {}),
    ({"_class_name": "HunyuanDiT2DModel", **TINY, "num_layers": 4, "attention_head_dim": 72, "in_channels": 4,
      "patch_size": 2, "hidden_size": 144, "pooled_projection_dim": 64, "cross_attention_dim": 32, "text_len": 20,
      "cross_attention_dim_t5": 64, "use_style_cond_and_image_meta_size": False, "learn_sigma": False}, {}),
    ({"_class_name": "QwenImageTransformer2DModel", **TINY}, {}),
    ({"_class_name": "AuraFlowTransformer2DModel", "num_attention_heads": 1, "num_mmdit_layers": 2,
      "num_single_dit_layers": 2, "caption_projection_dim": 256}, {}),
    ({**WAN, **TINY, "ffn_dim": 300}, {"prompt": 512, "frames": 3}),
    ({**WAN, **TINY, "ffn_dim": 300, "image_dim": 48, "added_kv_proj_dim": 256}, {"prompt": 512, "frames": 3}),
    ({**WAN, **TINY, "ffn_dim": 300, "image_dim": 48, "added_kv_proj_dim": 256, "pos_embed_seq_len": 514},
     {"prompt": 512, "frames": 2}),
    ({**WAN, **TINY, "ffn_dim": 300, "cross_attn_norm": False, "in_channels": 36}, {"frames": 2}),
    ({**WAN, **TINY, "ffn_dim": 300, "in_channels": 48, "out_channels": 48}, {"shrink": 16, "frames": 2}),
    ({"_class_name": "HunyuanVideoTransformer3DModel", **TINY, "num_single_layers": 1, "num_refiner_layers": 1},
     {"frames": 3}),
    ({"_class_name": "HunyuanVideoTransformer3DModel", **TINY, "num_single_layers": 1, "guidance_embeds": False,
      "qk_norm": None, "image_condition_type": "latent_concat", "in_channels": 33}, {"frames": 2}),
    ({"_class_name": "CogVideoXTransformer3DModel", **TINY}, {"prompt": 226, "frames": 3}),
    ({"_class_name": "CogVideoXTransformer3DModel", **TINY, "use_rotary_positional_embeddings": True,
      "use_learned_positional_embeddings": True, "sample_height": 16, "sample_width": 16, "sample_frames": 9},
     {"prompt": 226, "frames": 3, "larger": 128}),
    ({"_class_name": "CogVideoXTransformer3DModel", **TINY, "use_rotary_positional_embeddings": True,
      "patch_size_t": 2, "ofs_embed_dim": 512, "patch_bias": False, "sample_frames": 81},
     {"prompt": 226, "frames": 4}),
    ({"_class_name": "LTXVideoTransformer3DModel", **TINY, "cross_attention_dim": 128},
     {"side": 256, "shrink": 32, "squeeze": 8, "frames": 3}),
    ({"_class_name": "LTXVideoTransformer3DModel", **TINY, "cross_attention_dim": 128, "attention_bias": False,
      "norm_elementwise_affine": True}, {"side": 256, "shrink": 32, "squeeze": 8, "frames": 2}),
]  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize(("raw", "how"), VARIANTS, ids=lambda value: value.get("_class_name", "") or None)
def test_tensors_and_flops_agree_with_diffusers(raw, how):
    from tests.oracle import compare, diffusers_framework

    ledger, model = book(raw), diffusers_framework.build(raw)
    assert compare.differences(compare.our_parameters(ledger), diffusers_framework.parameters(model)) == []
    assert {n: t.shape for n, t, _ in ledger.tensors() if t.buffer} == diffusers_framework.buffers(model)
    frames, shrink, squeeze = how.get("frames", 1), how.get("shrink", 8), how.get("squeeze", 4)
    shown = (frames - 1) * squeeze + 1 if frames > 1 else 0
    small, words = how.get("side", 128), how.get("prompt", 77)
    for side, prompt in ((small, words), (how.get("larger", 2 * small), how.get("prompt", 51))):
        latent = (frames, side // shrink, side // shrink)
        traced, by_op = diffusers_framework.flops(model, latent, prompt, batch=2)
        assert flops(ledger, side, prompt, shown, batch=2) == traced, (side, prompt, by_op)


@pytest.mark.parametrize("name", sorted(n for m in MODULES if m.startswith("diffusion") for n in MODULES[m]))
def test_every_key_of_the_constructor_is_read_or_without_influence(name):
    needed = {
        "SD3Transformer2DModel": {"caption_projection_dim": 1152},
        "HunyuanDiT2DModel": {"in_channels": 4, "patch_size": 2, "attention_head_dim": 72},
    }
    config = Config({**constructor_defaults()[name].values, **needed.get(name, {})}, name)
    model = family(name)(config)
    assert config.unread(ignorable) == []
    assert model.unknown == ()
    assert Ledger(model).total(Workload()).required > 0
