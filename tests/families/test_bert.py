"""Encoders of text: exact counts of released models, and agreement with the framework."""

import warnings

import pytest

from flopsight.errors import BadConfig
from flopsight.workload import Workload
from tests.families.agreement import unread
from tests.oracle import compare

SMALL = {
    "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40, "num_hidden_layers": 3, "vocab_size": 97,
    "max_position_embeddings": 60, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "id2label": {"0": "a", "1": "b", "2": "c"},
}  # fmt: skip
BERT_BASE = {
    "model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 768, "intermediate_size": 3072,
    "num_attention_heads": 12, "num_hidden_layers": 12, "max_position_embeddings": 512, "vocab_size": 30522,
}  # fmt: skip
MINILM = {
    "model_type": "bert", "architectures": ["BertModel"], "hidden_size": 384, "intermediate_size": 1536,
    "num_hidden_layers": 6, "num_attention_heads": 12, "vocab_size": 30522,
}  # fmt: skip
ALBERT_LARGE = {
    "model_type": "albert", "architectures": ["AlbertForMaskedLM"], "hidden_size": 1024, "intermediate_size": 4096,
    "num_hidden_layers": 24, "num_attention_heads": 16,
}  # fmt: skip


def full(raw, seq, batch=1):
    return compare.our_flops(compare.ours(raw), seq, batch)


@pytest.mark.parametrize(
    ("raw", "params", "kinds", "flops"),
    [
        (
            BERT_BASE,
            109514298,
            {"embedding": 23835648, "norm": 38400, "attention": 28348416, "mlp": 56669184, "lm_head": 622650},
            28499116032,
        ),
        (
            MINILM,
            22713216,
            {"embedding": 11917824, "norm": 9984, "attention": 3548160, "mlp": 7089408, "pooler": 147840},
            2869198848,
        ),
        (
            ALBERT_LARGE,
            16795824,
            {"embedding": 4037888, "norm": 4352, "attention": 4198400, "mlp": 8393728, "lm_head": 161456},
            79970172928,
        ),
        (
            {"model_type": "modernbert"},
            149655232,
            {"embedding": 38682624, "norm": 34560, "attention": 51904512, "mlp": 58392576, "lm_head": 640960},
            39397097472,
        ),
    ],
)
def test_released_models(raw, params, kinds, flops):
    ledger = compare.ours(raw)
    assert ledger.params == params
    assert ledger.by_kind == kinds
    assert full(raw, 128) == flops


@pytest.mark.parametrize(
    ("changes", "published"),
    [
        # the counts of the model cards, which are those of the class with a pooler
        ({"model_type": "bert", "architectures": ["BertModel"]}, 109482240),
        (
            {
                "model_type": "roberta", "architectures": ["RobertaModel"], "vocab_size": 50265, "type_vocab_size": 1,
                "max_position_embeddings": 514,
            },
            124645632,
        ),
        ({"model_type": "distilbert", "architectures": ["DistilBertModel"]}, 66362880),
    ],
)  # fmt: skip
def test_bodies_of_well_known_models(changes, published):
    assert compare.ours(changes).params == published


def test_an_encoder_keeps_no_cache_and_sees_both_ways():
    ledger = compare.ours(BERT_BASE)
    assert ledger.cache_elements(512) == 0
    cost = ledger.total(Workload("prefill", 3, 77))
    assert cost.required == cost.full


def test_local_layers_see_half_the_window_on_each_side():
    raw = {
        "model_type": "modernbert", **SMALL, "num_attention_heads": 2, "local_attention": 6, "num_hidden_layers": 1,
        "layer_types": ["sliding_attention"],
    }  # fmt: skip
    ledger, seq, reach = compare.ours(raw), 19, 3
    cost = ledger.total(Workload("prefill", 1, seq))
    pairs = sum(1 for q in range(seq) for k in range(seq) if abs(q - k) <= reach)
    assert cost.full - cost.required == 4 * 24 * (seq * seq - pairs)


def test_albert_stores_once_what_it_runs_many_times():
    few, many = ({"model_type": "albert", **SMALL, "num_hidden_layers": n} for n in (1, 7))
    assert compare.ours(few).params == compare.ours(many).params
    first = compare.ours({**few, "architectures": ["AlbertModel"]})
    last = compare.ours({**many, "architectures": ["AlbertModel"]})
    layer = (full(many, 9) - full(few, 9)) // 6
    assert layer == 9 * 2 * (4 * 24 * 24 + 2 * 24 * 40) + 4 * 9 * 9 * 24
    assert first.params == last.params


@pytest.mark.parametrize("key", ["hidden_size", "num_attention_heads", "vocab_size", "num_hidden_layers"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "many", 2**62, [], True])
@pytest.mark.parametrize("model_type", ["bert", "electra", "albert", "modernbert", "deberta-v2", "nomic_bert", "mpnet"])
def test_hostile_values_are_refused(model_type, key, value):
    with pytest.raises(BadConfig):
        compare.ours({"model_type": model_type, **SMALL, key: value})


def test_heads_must_divide_the_width():
    with pytest.raises(BadConfig, match="num_attention_heads"):
        compare.ours({"model_type": "bert", **SMALL, "num_attention_heads": 5})


@pytest.mark.parametrize("raw", [BERT_BASE, MINILM, ALBERT_LARGE, {"model_type": "deberta-v2", **SMALL}])
def test_every_key_that_matters_is_read(raw):
    assert unread({**raw, "type_vocab_size": 2}) == []


def test_an_unknown_head_is_said():
    ledger = compare.ours({"model_type": "bert", **SMALL, "architectures": ["BertForTelepathy"]})
    assert "Telepathy" in ledger.model.unknown[0]


CLASSES = {
    "bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "camembert": "Camembert", "ernie": "Ernie",
    "data2vec-text": "Data2VecText", "xlm-roberta-xl": "XLMRobertaXL", "electra": "Electra", "mpnet": "MPNet",
    "roberta-prelayernorm": "RobertaPreLayerNorm", "albert": "Albert", "modernbert": "ModernBert",
    "nomic_bert": "NomicBert", "jina_embeddings_v3": "JinaEmbeddingsV3", "distilbert": "DistilBert",
    "deberta": "Deberta", "deberta-v2": "DebertaV2", "megatron-bert": "MegatronBert", "rembert": "RemBert",
}  # fmt: skip
ON_CPU = ("deberta", "deberta-v2", "megatron-bert", "rembert")
"""Their attention reads a value of a tensor, which meta tensors do not have."""


def small(model_type, **changes):
    dims = dict(SMALL)
    if model_type in ("modernbert", "nomic_bert", "jina_embeddings_v3"):
        dims |= {"num_attention_heads": 2, "local_attention": 6, "cls_token_id": 0, "sep_token_id": 1}
    if model_type == "distilbert":
        dims |= {"dim": 24, "n_heads": 3, "n_layers": 3, "hidden_dim": 40}
        dims = {k: v for k, v in dims.items() if k not in ("hidden_size", "num_attention_heads", "num_hidden_layers")}
    if model_type == "electra":
        dims["embedding_size"] = 10
    return {"model_type": model_type, **dims, **changes}


def check(raw, seqs=(7, 13)):
    torch = pytest.importorskip("torch")
    from tests.oracle import framework

    cpu = raw["model_type"] in ON_CPU
    ledger, model = compare.ours(raw), real(raw) if cpu else framework.build(raw)
    assert compare.differences(compare.our_parameters(ledger), framework.parameters(model)) == []
    for seq in seqs:
        ids = {"input_ids": torch.full((2, seq), 3)} if cpu else {}
        traced, by_op = framework.flops(model, seq, 2, **ids)
        assert compare.our_flops(ledger, seq, 2) == traced, by_op


def real(raw):
    import transformers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = transformers.AutoConfig.for_model(**raw)
        config._attn_implementation = "eager"
        return getattr(transformers, raw["architectures"][0])(config).eval().requires_grad_(False)


@pytest.mark.oracle
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("model_type", CLASSES)
def test_masked_language_models_agree(model_type, tied):
    check(small(model_type, architectures=[CLASSES[model_type] + "ForMaskedLM"], tie_word_embeddings=tied))


@pytest.mark.oracle
@pytest.mark.parametrize("head", ["Model", "ForSequenceClassification", "ForTokenClassification", "ForPreTraining"])
@pytest.mark.parametrize("model_type", CLASSES)
def test_other_heads_agree(model_type, head):
    transformers = pytest.importorskip("transformers")
    name = CLASSES[model_type] + ("TextModel" if (model_type, head) == ("data2vec-text", "Model") else head)
    if not hasattr(transformers, name) or (model_type == "jina_embeddings_v3" and head != "Model"):
        pytest.skip("the family has no such class")
    if head == "ForPreTraining" and model_type in ("megatron-bert",):
        pytest.skip("needs labels on a real device")
    check(small(model_type, architectures=[name]))


@pytest.mark.oracle
@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "albert", "num_hidden_layers": 5, "num_hidden_groups": 2, "inner_group_num": 2},
        {
            "model_type": "modernbert", "attention_bias": True, "mlp_bias": True, "norm_bias": True,
            "classifier_bias": True,
        },
        {"model_type": "modernbert", "decoder_bias": False, "global_attn_every_n_layers": 2},
        {"model_type": "bert", "is_decoder": True},
        {"model_type": "ernie", "use_task_id": True},
        {"model_type": "deberta", "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
        {"model_type": "deberta", "relative_attention": True, "pos_att_type": "p2c|c2p", "max_relative_positions": 5},
        {"model_type": "deberta", "position_biased_input": False, "type_vocab_size": 2, "embedding_size": 10},
        {
            "model_type": "deberta-v2", "relative_attention": True, "pos_att_type": ["p2c"], "position_buckets": 4,
            "share_att_key": True, "norm_rel_ebd": "layer_norm", "conv_kernel_size": 3,
        },
        {"model_type": "deberta-v2", "relative_attention": True, "pos_att_type": ["c2p"], "position_buckets": 4},
        {"model_type": "deberta-v2", "legacy": False},
    ],
)  # fmt: skip
def test_options_agree(changes):
    model_type = changes["model_type"]
    check(small(**{"architectures": [CLASSES[model_type] + "ForMaskedLM"], **changes}))


@pytest.mark.oracle
def test_the_decoder_of_modernbert_agrees():
    raw = {**small("modernbert"), "model_type": "modernbert-decoder", "architectures": ["ModernBertDecoderForCausalLM"]}
    check(raw)
    ledger = compare.ours(raw)
    whole = ledger.total(Workload("prefill", 2, 19, logits="all")).required
    assert whole == sum(ledger.total(Workload("decode", 2, 1, past)).required for past in range(19))


@pytest.mark.oracle
@pytest.mark.parametrize("changes", [{}, {"attention_bias": True, "mlp_bias": True, "head_dim": 10}])
@pytest.mark.parametrize("head", ["Model", "ForMaskedLM"])
def test_eurobert_agrees(head, changes):
    dims = {**SMALL, "num_attention_heads": 4, "num_key_value_heads": 2, "mask_token_id": 3}
    check({"model_type": "eurobert", **dims, "architectures": ["EuroBert" + head], **changes})
