"""Models of images, and of images with texts: exact counts, and agreement with the framework."""

import pytest

from flopsight.errors import BadConfig
from flopsight.models.blocks import vision
from flopsight.models.config import Config
from flopsight.models.ledger import Ledger
from flopsight.models.tree import STREAMS, Model
from flopsight.workload import Workload
from tests.families.agreement import unread
from tests.oracle import compare

VIT_BASE = {
    "model_type": "vit", "architectures": ["ViTModel"], "hidden_size": 768, "intermediate_size": 3072,
    "num_attention_heads": 12, "num_hidden_layers": 12, "image_size": 224, "patch_size": 16, "num_channels": 3,
    "qkv_bias": True,
}  # fmt: skip
CLIP_LARGE = {
    "model_type": "clip",
    "projection_dim": 768,
    "text_config": {
        "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12,
        "vocab_size": 49408, "max_position_embeddings": 77,
    },
    "vision_config": {
        "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24,
        "image_size": 224, "patch_size": 14,
    },
}  # fmt: skip
SO400M = {
    "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16,
}  # fmt: skip
SIGLIP = {
    "model_type": "siglip",
    "text_config": {**SO400M, "vocab_size": 32000, "max_position_embeddings": 64},
    "vision_config": {**SO400M, "image_size": 384, "patch_size": 14},
}
SMALL = {"hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40, "num_hidden_layers": 3}
IMAGE = {**SMALL, "image_size": 32, "patch_size": 8, "id2label": {str(i): "x" for i in range(7)}}
TEXT = {**SMALL, "vocab_size": 97, "max_position_embeddings": 11, "bos_token_id": 0, "eos_token_id": 2}


@pytest.mark.parametrize(
    ("raw", "params", "kinds", "flops"),
    [
        (
            VIT_BASE,
            86389248,
            {"embedding": 742656, "attention": 28348416, "norm": 38400, "mlp": 56669184, "pooler": 590592},
            35127300096,
        ),
        (
            CLIP_LARGE,
            427616513,
            {
                "other": 1376257,
                "embedding": 38004480,
                "attention": 28348416,
                "norm": 38400,
                "mlp": 56669184,
                "vision": 303179776,
            },
            175325222400,
        ),
        (
            SIGLIP,
            877960498,
            {
                "other": 1328258,
                "embedding": 36937728,
                "norm": 126720,
                "attention": 143451648,
                "mlp": 267890544,
                "vision": 428225600,
            },
            723475733760,
        ),
    ],
)
def test_released_models(raw, params, kinds, flops):
    ledger = compare.ours(raw)
    assert ledger.params == params
    assert ledger.by_kind == kinds
    assert compare.our_flops(ledger, 128) == compare.our_flops(ledger, 1024) == flops
    assert unread(raw) == []


def test_the_workload_can_change_the_size_of_the_image():
    ledger = compare.ours({**IMAGE, "model_type": "vit"})
    tokens = [ledger.works(Workload(image_size=side))["text"].queries for side in (None, 64, 70)]
    assert tokens == [17, 65, 65]


@pytest.mark.parametrize(
    ("value", "patches"),
    [(32, 16), ([32], 16), ([24, 40], 15), ({"height": 24, "width": 40}, 15), ("32", 16), (32.0, 16)],
)
def test_sizes_are_written_in_many_ways(value, patches):
    seen = vision.picture(Config({"image_size": value, "patch_size": 8}, "vit"))
    assert seen.patches() == patches


@pytest.mark.parametrize("value", [0, -3, True, "big", [], [1, 2, 3], float("nan"), None, {"height": 8}, 2**40, 7])
def test_sizes_that_cannot_be_are_refused(value):
    with pytest.raises(BadConfig, match="image_size"):
        compare.ours({**IMAGE, "model_type": "vit", "image_size": value})


def test_a_tower_beside_text_runs_once_an_image_and_not_in_decode():
    node, seen = vision.clip_tower(Config(IMAGE, "clip_vision_model"))
    ledger = Ledger(Model("", "test", node, streams={**STREAMS, **seen.streams()}))
    one, three = (ledger.total(Workload("prefill", 2, 9, images=n)).full for n in (1, 3))
    assert three == 3 * one
    assert ledger.total(Workload("prefill", 2, 9)).full == 0
    assert ledger.total(Workload("decode", 2, 1, 9, images=3)).full == 0
    assert set(ledger.by_kind) == {"vision"}


def check(raw, inputs, seqs=(7, 13)):
    pytest.importorskip("torch")
    from tests.oracle import framework

    ledger, model = compare.ours(raw), framework.build(raw)
    assert compare.differences(compare.our_parameters(ledger), framework.parameters(model)) == []
    for seq in seqs:
        traced, by_op = framework.flops(model, seq, 2, **inputs(2, seq))
        assert compare.our_flops(ledger, seq, 2) == traced, by_op


def pixels(high=32, wide=32):
    import torch

    return lambda batch, seq: {"pixel_values": torch.zeros(batch, 3, high, wide, device="meta")}


def with_text(batch, seq):
    import torch

    return {"input_ids": torch.zeros(batch, min(seq, 11), dtype=torch.long, device="meta"), **pixels()(batch, seq)}


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("model_type", "architecture", "changes"),
    [
        ("vit", "ViTModel", {"qkv_bias": False, "pooler_output_size": 10}),
        ("vit", "ViTForImageClassification", {}),
        ("deit", "DeiTModel", {}),
        ("deit", "DeiTForImageClassification", {}),
        ("deit", "DeiTForImageClassificationWithTeacher", {}),
        ("ijepa", "IJepaModel", {}),
        ("ijepa", "IJepaForImageClassification", {}),
        ("dinov2", "Dinov2Model", {"use_mask_token": False}),
        ("dinov2", "Dinov2ForImageClassification", {"use_swiglu_ffn": True, "mlp_ratio": 3, "qkv_bias": False}),
        ("dinov2_with_registers", "Dinov2WithRegistersModel", {"num_register_tokens": 3}),
        ("dinov2_with_registers", "Dinov2WithRegistersForImageClassification", {}),
        ("dinov3_vit", "DINOv3ViTModel", {"num_register_tokens": 4, "key_bias": True}),
        ("dinov3_vit", "DINOv3ViTModel", {"use_gated_mlp": True, "mlp_bias": False, "proj_bias": False}),
        ("beit", "BeitModel", {"use_relative_position_bias": True}),
        ("beit", "BeitModel", {"use_mean_pooling": False, "use_mask_token": True}),
        ("beit", "BeitForImageClassification", {"use_shared_relative_position_bias": True}),
        ("beit", "BeitModel", {"use_absolute_position_embeddings": True, "layer_scale_init_value": 0.0}),
        ("clip_vision_model", "CLIPVisionModel", {}),
        ("clip_vision_model", "CLIPVisionModelWithProjection", {"projection_dim": 9}),
        ("siglip_vision_model", "SiglipVisionModel", {}),
        ("siglip_vision_model", "SiglipVisionModel", {"vision_use_head": False}),
    ],
)
def test_image_models_agree(model_type, architecture, changes):
    check({**IMAGE, "model_type": model_type, "architectures": [architecture], **changes}, pixels())


@pytest.mark.oracle
def test_oblong_images_agree():
    raw = {**IMAGE, "model_type": "vit", "architectures": ["ViTModel"], "image_size": [24, 40]}
    check(raw, pixels(24, 40))


@pytest.mark.oracle
def test_one_image_of_pixtral_agrees():
    # a batch goes through the framework as one long sequence under a mask of blocks, so one image is compared
    torch = pytest.importorskip("torch")
    from tests.oracle import framework

    raw = {**IMAGE, "model_type": "pixtral", "architectures": ["PixtralVisionModel"]}
    ledger, model = compare.ours(raw), framework.build(raw)
    assert compare.differences(compare.our_parameters(ledger), framework.parameters(model)) == []
    traced, _ = framework.flops(model, 1, 1, **pixels()(1, 1), image_sizes=torch.tensor([[32, 32]]))
    assert compare.our_flops(ledger, 1) == traced


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("model_type", "architecture"), [("clip", "CLIPModel"), ("siglip", "SiglipModel")]
)  # fmt: skip
def test_two_towers_agree(model_type, architecture):
    images = {k: v for k, v in IMAGE.items() if k != "id2label"} | {"hidden_size": 36}
    raw = {
        "model_type": model_type, "architectures": [architecture], "projection_dim": 13,
        "text_config": {**TEXT, "projection_size": 36}, "vision_config": images,
    }  # fmt: skip
    check(raw, with_text)


@pytest.mark.oracle
def test_siglip_2_has_the_frameworks_tensors():
    pytest.importorskip("torch")
    from tests.oracle import framework

    raw = {
        "model_type": "siglip2", "architectures": ["Siglip2Model"], "text_config": {**TEXT, "projection_size": 36},
        "vision_config": {**SMALL, "hidden_size": 36, "num_patches": 16, "patch_size": 8},
    }  # fmt: skip
    ledger, model = compare.ours(raw), framework.build(raw)
    assert compare.differences(compare.our_parameters(ledger), framework.parameters(model)) == []


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("model_type", "architecture"),
    [
        ("clip_text_model", "CLIPTextModel"),
        ("clip_text_model", "CLIPTextModelWithProjection"),
        ("siglip_text_model", "SiglipTextModel"),
    ],
)
def test_text_towers_agree(model_type, architecture):
    import torch

    raw = {**TEXT, "model_type": model_type, "architectures": [architecture], "projection_dim": 9}
    check(raw, lambda b, s: {"input_ids": torch.zeros(b, min(s, 11), dtype=torch.long, device="meta")})


@pytest.mark.oracle
@pytest.mark.parametrize(("model_type", "name"), [("clip", "CLIP"), ("siglip", "Siglip")])
def test_image_classifiers_of_pairs_agree(model_type, name):
    raw = {
        "model_type": model_type, "architectures": [name + "ForImageClassification"], "vision_config": IMAGE,
        "id2label": IMAGE["id2label"],
    }  # fmt: skip
    check(raw, pixels())
