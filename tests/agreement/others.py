"""Encoders, encoder-decoders, models of images and sounds, and composites, with what each is called with."""

import torch

from tests.agreement.running import Case, tokens
from tests.families import test_bert as bert
from tests.families import test_composites as composites
from tests.families import test_gemma_composites as gemma
from tests.families import test_llama_composites as llama
from tests.families import test_t5 as seq2seq
from tests.families import test_vit as vit
from tests.oracle import seeing

ENCODERS = {
    kind: Case(bert.small(kind, architectures=[name + "ForMaskedLM"])) for kind, name in bert.CLASSES.items()
} | {
    f"{kind} classifier": Case(bert.small(kind, architectures=[name + "ForSequenceClassification"]))
    for kind, name in bert.CLASSES.items()
    if kind in ("bert", "roberta", "electra", "albert", "distilbert", "deberta-v2", "modernbert")
} | {
    "bert decoder": Case(bert.small("bert", is_decoder=True, architectures=["BertForMaskedLM"])),
    "albert groups": Case(
        bert.small(
            "albert", num_hidden_layers=5, num_hidden_groups=2, inner_group_num=2, architectures=["AlbertForMaskedLM"]
        )
    ),
    "deberta positions": Case(
        bert.small(
            "deberta", relative_attention=True, pos_att_type=["c2p", "p2c"], architectures=["DebertaForMaskedLM"]
        )
    ),
    "deberta-v2 positions": Case(
        bert.small(
            "deberta-v2", relative_attention=True, pos_att_type=["p2c"], position_buckets=4, share_att_key=True,
            norm_rel_ebd="layer_norm", conv_kernel_size=3, architectures=["DebertaV2ForMaskedLM"],
        )
    ),
    "modernbert-decoder": Case(
        {
            **bert.small("modernbert"), "model_type": "modernbert-decoder",
            "architectures": ["ModernBertDecoderForCausalLM"],
        }
    ),
    "eurobert": Case(
        {
            **bert.SMALL, "model_type": "eurobert", "num_attention_heads": 4, "num_key_value_heads": 2,
            "mask_token_id": 3, "architectures": ["EuroBertForMaskedLM"],
        }
    ),
}  # fmt: skip


def both_sides(source):
    def make(case, seq):
        ids = tokens(case, max(source, seq))["input_ids"]
        return {"input_ids": ids[:, :source], "decoder_input_ids": ids[:, :seq]}

    return make


def sound(case, seq):
    heard = torch.randn(case.batch, 5, 40)
    return {"input_features": heard, "decoder_input_ids": tokens(case, seq)["input_ids"]}


def wave(case, seq):
    return {"input_values": torch.randn(case.batch, (((seq - 1) * 2 + 2 - 1) * 2 + 3 - 1) * 5 + 10)}


HEADS = {"marian": "MarianMTModel"}
SEQ2SEQ = {
    kind: Case(
        {**seq2seq.BART, "model_type": kind, "architectures": [HEADS.get(kind, f"{name}ForConditionalGeneration")]},
        both_sides(11), {"encoder": 11},
    )
    for kind, name in seq2seq.NAMES.items()
} | {
    kind: Case(
        {**seq2seq.T5, "model_type": kind, "architectures": [f"{name}ForConditionalGeneration"]},
        both_sides(11), {"encoder": 11},
    )
    for kind, name in (("t5", "T5"), ("mt5", "MT5"), ("umt5", "UMT5"))
} | {
    "t5 gated": Case(
        {**seq2seq.T5, "feed_forward_proj": "gated-gelu", "architectures": ["T5ForConditionalGeneration"]},
        both_sides(11), {"encoder": 11},
    ),
    "t5 encoder": Case({**seq2seq.T5, "architectures": ["T5EncoderModel"]}),
    "whisper": Case({**seq2seq.WHISPER, "architectures": ["WhisperForConditionalGeneration"]}, sound),
} | {
    kind: Case({**seq2seq.WAVE, "model_type": kind, "architectures": [f"{name}ForCTC"]}, wave)
    for kind, name in (("wav2vec2", "Wav2Vec2"), ("hubert", "Hubert"))
}  # fmt: skip


def pixels(case, seq):
    return {"pixel_values": torch.randn(case.batch, 3, 32, 32)}


def with_text(case, seq):
    return {"input_ids": torch.randint(3, 60, (case.batch, min(seq, 11))), **pixels(case, seq)}


def words(case, seq):
    return {"input_ids": torch.randint(3, 60, (case.batch, min(seq, 11)))}


def image(kind, architecture, **more):
    return Case({**vit.IMAGE, "model_type": kind, "architectures": [architecture], **more}, pixels)


def pair(kind, architecture):
    seen = {k: v for k, v in vit.IMAGE.items() if k != "id2label"} | {"hidden_size": 36}
    raw = {
        "model_type": kind, "architectures": [architecture], "projection_dim": 13,
        "text_config": {**vit.TEXT, "projection_size": 36}, "vision_config": seen,
    }  # fmt: skip
    return Case(raw, with_text, seq=11)


def one_image(case, seq):
    return {"pixel_values": torch.randn(1, 3, 32, 32), "image_sizes": torch.tensor([[32, 32]])}


IMAGES = {
    "vit": image("vit", "ViTForImageClassification"),
    "deit": image("deit", "DeiTForImageClassification"),
    "ijepa": image("ijepa", "IJepaForImageClassification"),
    "dinov2": image("dinov2", "Dinov2ForImageClassification", use_swiglu_ffn=True),
    "dinov2_with_registers": image("dinov2_with_registers", "Dinov2WithRegistersModel", num_register_tokens=3),
    "dinov3_vit": image("dinov3_vit", "DINOv3ViTModel", num_register_tokens=4, key_bias=True),
    "beit": image("beit", "BeitModel", use_relative_position_bias=True),
    "clip_vision_model": image("clip_vision_model", "CLIPVisionModelWithProjection", projection_dim=9),
    "siglip_vision_model": image("siglip_vision_model", "SiglipVisionModel"),
    "pixtral": Case(
        {**vit.IMAGE, "model_type": "pixtral", "architectures": ["PixtralVisionModel"]}, one_image, batch=1
    ),
    "clip": pair("clip", "CLIPModel"),
    "siglip": pair("siglip", "SiglipModel"),
    "clip_text_model": Case(
        {**vit.TEXT, "model_type": "clip_text_model", "architectures": ["CLIPTextModelWithProjection"]}, words, seq=11
    ),
    "siglip_text_model": Case(
        {**vit.TEXT, "model_type": "siglip_text_model", "architectures": ["SiglipTextModel"], "projection_size": 9},
        words, seq=11,
    ),
}  # fmt: skip


def asked(raw, inputs, images, size=None, prepare=None, **more):
    """A composite and a prompt with pictures or clips of one sequence."""
    count = inputs["input_ids"].shape[1]
    return Case(
        raw, lambda case, seq: inputs, {"images": images, "image_size": size}, batch=1, seq=count, prepare=prepare,
        **more,
    )  # fmt: skip


def _mllama():
    ids = torch.tensor([[1] + [5] * 2 + [2] * 5])
    return {
        "input_ids": ids, "pixel_values": torch.ones(1, 2, 2, 3, 24, 24), "aspect_ratio_ids": torch.full((1, 2), 2),
        "aspect_ratio_mask": torch.ones(1, 2, 2).long(), "cross_attention_mask": torch.ones(1, 8, 2, 2).long(),
    }  # fmt: skip


def _gemma4():
    ids, row = seeing.prompt(4, 2), torch.arange(6)
    places = torch.stack(torch.meshgrid(row, row, indexing="xy"), -1).reshape(1, -1, 2).repeat(2, 1, 1)
    return {
        "input_ids": ids, "pixel_values": torch.rand(2, 36, 48), "image_position_ids": places,
        "mm_token_type_ids": (ids == 5).int(),
    }  # fmt: skip


def _sounds(tokens, name):
    inputs = {"input_ids": seeing.prompt(tokens, 2), "input_features": torch.ones(2, 10, 32)}
    if name == "qwen2_audio":
        inputs |= {
            "feature_attention_mask": torch.ones(2, 32).long(),
            "attention_mask": torch.ones_like(inputs["input_ids"]),
        }
    return inputs


def _grids(name):
    inputs = seeing.patches(6, 2)
    if name in ("kimi_k25", "minimax_m3_vl"):
        del inputs["mm_token_type_ids"]
    if name == "kimi_k25":
        inputs["pixel_values"] = torch.zeros(72, 3, 4, 4)
    return inputs


def _sized(count, name):
    inputs = {"input_ids": seeing.prompt(count, 2), "pixel_values": seeing.pixels(24, 2)}
    if name in composites.BOTH_WAYS:  # their processor says what is prompt
        inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
    return inputs


ANY_SIZE = composites.NATIVE | {"kimi_k25": composites.KIMI, "minimax_m3_vl": composites.MINIMAX}
COMPOSITES = (
    {name: asked(raw, _grids(name), 2, 24) for name, raw in ANY_SIZE.items()}
    | {name: asked(raw, _sized(n, name), 2) for name, (raw, n) in composites.SIZED.items()}
    | {
        name: asked(raw, {"input_ids": seeing.prompt(n, 2), "pixel_values": seeing.pixels(24, 2)[None]}, 2)
        for name, (raw, n) in composites.TILED.items()
    }
    | {
        name: asked(
            raw,
            {
                "input_ids": seeing.prompt(n), "pixel_values": seeing.pixels(side),
                "image_sizes": torch.tensor([[side, side]]),
            },
            1, side,
        )
        for name, (raw, side, n) in composites.PIXTRAL.items()
    }
    | {name: asked(raw, _sounds(n, name), 2) for name, (raw, n) in composites.HEARING.items()}
    | {
        "mllama": asked(composites.MLLAMA, _mllama(), 2),
        "gemma4": asked(composites.GEMMA4_SEEING, _gemma4(), 2, 24),
        "step3p7": asked(
            llama.STEP, {"input_ids": seeing.prompt(4, 2), "pixel_values": seeing.pixels(28, 2)}, 2, 28
        ),
        "deepseek_vl": asked(
            llama.DEEPSEEK, {"input_ids": seeing.prompt(36, 2), "pixel_values": seeing.pixels(24, 2)}, 2
        ),
        "mllama_text_model": Case(llama.MLLAMA_TEXT, architecture="MllamaForCausalLM"),
        "gemma3 text": Case(gemma.GEMMA3),
    }
)  # fmt: skip
MIXED = {
    **composites.TURNED, **composites.HYBRID, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12,
    "shared_expert_intermediate_size": 14,
}  # fmt: skip


def frames(case, seq):
    return {"input_features": torch.randn(case.batch, 10, 32)}


COMPOSITES |= {
    "qwen3_5_moe": asked(
        composites.native(
            "qwen3_5_moe", composites.QWEN3, MIXED, architectures=["Qwen3_5MoeForConditionalGeneration"]
        ),
        seeing.patches(6, 2), 2, 24,
    ),
    "shieldgemma2 text": Case(gemma.WHOLE["shield"]),
    "llava_next text": Case(composites.sized("llava_next", "llama", "clip_vision_model")),
    "llava_next_video text": Case(composites.sized("llava_next_video", "llama", "clip_vision_model")),
    "llava_onevision text": Case(composites.sized("llava_onevision", "qwen2", "siglip_vision_model")),
} | {name: Case(raw, frames, seq=1) for name, raw in llama.ENCODERS.items()}  # fmt: skip
OTHERS = ENCODERS | SEQ2SEQ | IMAGES | COMPOSITES
