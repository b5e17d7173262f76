"""Encoder-decoders of text and speech, and speech encoders: exact counts, streams, agreement with the framework."""

import pytest

from flopsight.errors import BadConfig
from flopsight.workload import Workload
from tests.families.agreement import unread
from tests.oracle import compare

T5_BASE = {
    "model_type": "t5", "d_model": 768, "d_ff": 3072, "d_kv": 64, "num_layers": 12, "num_heads": 12,
    "vocab_size": 32128, "relative_attention_num_buckets": 32, "feed_forward_proj": "relu",
}  # fmt: skip
T5_XXL = {
    "model_type": "t5", "d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_layers": 24, "num_decoder_layers": 24,
    "num_heads": 64, "vocab_size": 32128, "relative_attention_num_buckets": 32, "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
}  # fmt: skip
BART_BASE = {
    "model_type": "bart", "architectures": ["BartModel"], "d_model": 768, "encoder_layers": 6, "decoder_layers": 6,
    "encoder_attention_heads": 12, "decoder_attention_heads": 12, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072,
    "vocab_size": 50265, "max_position_embeddings": 1024,
}  # fmt: skip
WHISPER_TINY = {
    "model_type": "whisper", "d_model": 384, "encoder_layers": 4, "decoder_layers": 4, "encoder_attention_heads": 6,
    "decoder_attention_heads": 6, "encoder_ffn_dim": 1536, "decoder_ffn_dim": 1536, "vocab_size": 51865,
    "num_mel_bins": 80, "max_source_positions": 1500, "max_target_positions": 448,
}  # fmt: skip
T5 = {
    "model_type": "t5", "d_model": 24, "num_heads": 3, "d_kv": 8, "d_ff": 40, "num_layers": 3, "vocab_size": 97,
    "relative_attention_num_buckets": 9,
}  # fmt: skip
BART = {
    "model_type": "bart", "d_model": 24, "encoder_attention_heads": 3, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 40, "decoder_ffn_dim": 56, "encoder_layers": 3, "decoder_layers": 2, "vocab_size": 97,
    "max_position_embeddings": 60, "decoder_start_token_id": 0, "pad_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
WHISPER = {
    **BART, "model_type": "whisper", "num_mel_bins": 5, "max_source_positions": 20, "max_target_positions": 30,
}  # fmt: skip
WAVE = {
    "model_type": "wav2vec2", "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40,
    "num_hidden_layers": 3, "vocab_size": 31, "conv_dim": [6, 8, 10], "conv_kernel": [10, 3, 2],
    "conv_stride": [5, 2, 2], "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
    "num_feat_extract_layers": 3, "classifier_proj_size": 9,
}  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "params", "kinds", "flops"),
    [
        (
            T5_BASE,
            222903552,
            {"embedding": 24674304, "attention": 84935424, "norm": 47616, "mlp": 113246208},
            {128: 58862862336, 1024: 572371501056},
        ),
        (
            T5_XXL,
            11135332352,
            {
                "embedding": 131596288,
                "attention": 4831842304,
                "norm": 499712,
                "mlp": 6039797760,
                "lm_head": 131596288,
            },
            {128: 2836154810368, 1024: 23771570241536},
        ),
        (
            BART_BASE,
            139420416,
            {"embedding": 40179456, "attention": 42522624, "norm": 49152, "mlp": 56669184},
            {128: 26273120256, 1024: 260919263232},
        ),
        (
            WHISPER_TINY,
            37760640,
            {"frontend": 535296, "embedding": 20664192, "attention": 7091712, "norm": 16896, "mlp": 9452544},
            {128: 48969449472, 448: 71082196992, 1024: 71082196992},
        ),
    ],
)
def test_released_models(raw, params, kinds, flops):
    ledger = compare.ours(raw)
    assert ledger.params == params
    assert ledger.by_kind == kinds
    assert {seq: compare.our_flops(ledger, seq) for seq in flops} == flops
    assert unread(raw) == []


@pytest.mark.parametrize("raw", [T5, {**T5, "model_type": "umt5"}, BART, {**BART, "model_type": "m2m_100"}, WHISPER])
def test_decoding_token_by_token_needs_what_the_decoder_needs_at_once(raw):
    ledger, seq, source = compare.ours(raw), 13, 11
    once = Workload("prefill", 2, seq, logits="all", encoder=source)
    works = ledger.works(once)
    rows = ledger.rows(once)
    decoder = sum(r.cost.required for r in rows if r.leaf.stream not in ("encoder", "frames"))
    steps = [ledger.total(Workload("decode", 2, 1, past, encoder=source)).required for past in range(seq)]
    assert sum(steps) == decoder
    assert works["encoder"].queries == source
    assert ledger.works(Workload("decode", 2, 1, 3))["encoder"].queries == 0


def test_cross_attention_reads_its_cache_in_decode_and_writes_it_in_prefill():
    ledger, source = compare.ours(WHISPER), 20
    per_token = 2 * 24
    first = ledger.total(Workload("prefill", 1, 5))
    step = ledger.total(Workload("decode", 1, 1, 5))
    assert first.cache_writes == 2 * per_token * (source + 5)
    assert step.cache_reads == 2 * per_token * (source + 5)
    assert step.cache_writes == 2 * per_token
    assert ledger.cache_elements(6) == 2 * per_token * (source + 6)


def test_an_odd_activation_is_refused():
    with pytest.raises(BadConfig, match="feed_forward_proj"):
        compare.ours({**T5, "feed_forward_proj": "doubly-gated-gelu"})


@pytest.mark.parametrize("value", [0, -1, float("nan"), "many", 2**62, [], True])
@pytest.mark.parametrize("raw", [T5, BART, WHISPER, WAVE])
def test_hostile_values_are_refused(raw, value):
    for key in ("d_model", "num_heads", "encoder_layers", "vocab_size", "conv_dim", "conv_kernel", "num_mel_bins"):
        if key in raw and raw["model_type"] != "wav2vec2":
            with pytest.raises(BadConfig):
                compare.ours({**raw, key: value})
        elif key in raw and key != "vocab_size":
            with pytest.raises(BadConfig):
                compare.ours({**raw, key: [value]})


def ids(batch, seq):
    import torch

    return torch.zeros(batch, seq, dtype=torch.long, device="meta")


def check(raw, inputs, seqs=(7, 13), **more):
    pytest.importorskip("torch")
    from tests.oracle import framework

    ledger, model = compare.ours(raw), framework.build(raw)
    assert compare.differences(compare.our_parameters(ledger), framework.parameters(model)) == []
    assert {n: t.shape for n, t, _ in ledger.tensors() if t.buffer} == framework.buffers(model)
    for seq in seqs:
        traced, by_op = framework.flops(model, seq, 2, **inputs(2, seq))
        assert compare.our_flops(ledger, seq, 2, **more) == traced, by_op


def both_sides(source):
    return lambda batch, seq: {"input_ids": ids(batch, source or seq), "decoder_input_ids": ids(batch, seq)}


@pytest.mark.oracle
@pytest.mark.parametrize("changes", [{}, {"feed_forward_proj": "gated-gelu", "num_decoder_layers": 2}])
@pytest.mark.parametrize("head", ["ForConditionalGeneration", "Model", "EncoderModel", "ForTokenClassification"])
@pytest.mark.parametrize(("model_type", "name"), [("t5", "T5"), ("mt5", "MT5"), ("umt5", "UMT5")])
def test_t5_agrees(model_type, name, head, changes):
    raw = {**T5, "model_type": model_type, "architectures": [name + head], **changes}
    if head in ("EncoderModel", "ForTokenClassification"):
        check(raw, lambda batch, seq: {"input_ids": ids(batch, seq)})
    else:
        check(raw, both_sides(None))
        check(raw, both_sides(11), encoder=11)


def test_an_untied_t5_keeps_its_own_head():
    # transformers 5.23 ties every T5; the checkpoints of T5 1.1, Flan-T5 and mT5 hold a head of their own
    tied, apart = (compare.ours({**T5, "tie_word_embeddings": t}).params for t in (True, False))
    assert apart - tied == 97 * 24


NAMES = {
    "bart": "Bart", "plbart": "PLBart", "mbart": "MBart", "pegasus": "Pegasus", "marian": "Marian",
    "m2m_100": "M2M100", "blenderbot": "Blenderbot", "blenderbot-small": "BlenderbotSmall",
}  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("model_type", NAMES)
def test_bart_and_relatives_agree(model_type, tied):
    head = "MTModel" if model_type == "marian" else "ForConditionalGeneration"
    for end in ("Model", head):
        raw = {**BART, "model_type": model_type, "architectures": [NAMES[model_type] + end]}
        check({**raw, "tie_word_embeddings": tied}, both_sides(11), encoder=11)


@pytest.mark.oracle
def test_marian_with_two_vocabularies_agrees():
    raw = {**BART, "model_type": "marian", "architectures": ["MarianMTModel"]}
    check({**raw, "share_encoder_decoder_embeddings": False, "decoder_vocab_size": 91}, both_sides(11), encoder=11)


@pytest.mark.oracle
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("head", ["ForConditionalGeneration", "Model"])
def test_whisper_agrees(head, tied):
    torch = pytest.importorskip("torch")
    raw = {**WHISPER, "architectures": ["Whisper" + head], "tie_word_embeddings": tied}

    def inputs(batch, seq):
        sound = torch.zeros(batch, 5, 40, device="meta")
        return {"input_features": sound, "decoder_input_ids": ids(batch, seq)}

    check(raw, inputs)


@pytest.mark.oracle
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True, "mask_time_prob": 0.0},
        {"num_conv_pos_embeddings": 7, "use_weighted_layer_sum": True, "feat_proj_layer_norm": False},
        {"add_adapter": True, "output_hidden_size": 20, "num_adapter_layers": 2},
        {"do_stable_layer_norm": True, "adapter_attn_dim": 5},
    ],
)
@pytest.mark.parametrize("head", ["Model", "ForCTC", "ForSequenceClassification"])
@pytest.mark.parametrize(("model_type", "name"), [("wav2vec2", "Wav2Vec2"), ("hubert", "Hubert")])
def test_encoders_of_waves_agree(model_type, name, head, changes):
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from tests.oracle import framework

    adapted = "add_adapter" in changes or "adapter_attn_dim" in changes
    if adapted and (model_type == "hubert" or head == "ForSequenceClassification"):
        pytest.skip("the class has no adapters")
    raw = {**WAVE, "model_type": model_type, "architectures": [name + head], **changes}
    ledger, model = compare.ours(raw), framework.build(raw)
    assert compare.differences(compare.our_parameters(ledger), framework.parameters(model)) == []
    for seq in (7, 12):
        samples = (((seq - 1) * 2 + 2 - 1) * 2 + 3 - 1) * 5 + 10
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(torch.zeros(2, samples, device="meta"))
        assert compare.our_flops(ledger, seq, 2) == counter.get_total_flops()
