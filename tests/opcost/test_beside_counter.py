"""The FLOPs of a trace's recorded shapes are those that the counter saw in the same run, op by op."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402
from torch.nn.functional import scaled_dot_product_attention as sdpa  # noqa: E402

from tests.opcost.running import both  # noqa: E402

pytestmark = pytest.mark.oracle
LLAMA = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 128,
}  # fmt: skip
NAMES = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
GPT2 = {"n_embd": 48, "n_layer": 2, "n_head": 4, "vocab_size": 128, "loss_type": "ForCausalLM", **NAMES}
BERT = {
    "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 80, "vocab_size": 128,
}  # fmt: skip


def trained(model, **more):
    """A forward and backward pass over two sequences."""
    ids = torch.randint(0, 128, (2, 12))
    return lambda: model(input_ids=ids, labels=ids, **more).loss.backward()


def causal(config, impl):
    return trained(transformers.AutoModelForCausalLM.from_config(config, attn_implementation=impl))


def test_llama(tmp_path):
    recorded, counted, counter = both(tmp_path / "t.json", causal(transformers.LlamaConfig(**LLAMA), "sdpa"))
    assert recorded == counted
    assert "aten._scaled_dot_product_flash_attention_for_cpu_backward" in recorded
    assert not counter.uncounted


@pytest.mark.parametrize(
    "program",
    [
        lambda: causal(transformers.LlamaConfig(**LLAMA), "eager"),
        lambda: causal(transformers.GPT2Config(**GPT2), "sdpa"),
        lambda: causal(transformers.GPT2Config(**GPT2), "eager"),
        lambda: trained(
            transformers.BertForMaskedLM(transformers.BertConfig(**BERT)),
            attention_mask=torch.tensor([[1] * 8 + [0] * 4, [1] * 12]),
        ),
    ],
    ids=["llama", "gpt2 with dropout", "gpt2", "bert"],
)
def test_attention_written_as_products(program, tmp_path):
    """A mask added to scores lowers what is required of their products; in a trace it is a tensor like any other."""
    recorded, counted, _ = both(tmp_path / "t.json", program())
    assert {op: three[1:] for op, three in recorded.items()} == {op: three[1:] for op, three in counted.items()}
    for op in recorded.keys() - {"aten.bmm"}:
        assert recorded[op] == counted[op]
    assert recorded["aten.bmm"][0] == recorded["aten.bmm"][1] > counted["aten.bmm"][0]


def test_attention_causal_masked_and_with_few_key_heads(tmp_path):
    q, few, k = (torch.randn(2, heads, length, 16, requires_grad=True) for heads, length in ((4, 8), (2, 12), (4, 12)))
    flash = {
        "aten._scaled_dot_product_flash_attention_for_cpu",
        "aten._scaled_dot_product_flash_attention_for_cpu_backward",
    }

    def flags():
        sdpa(q, few, few, is_causal=True, enable_gqa=True).sum().backward()
        sdpa(q, k, k).sum().backward()
        sdpa(q, k, k, dropout_p=0.1, is_causal=True).sum().backward()  # by products

    recorded, counted, _ = both(tmp_path / "flags.json", flags)
    assert {op: recorded[op] for op in flash} == {op: counted[op] for op in flash}
    assert recorded["aten.bmm"][1:] == counted["aten.bmm"][1:]
    band = torch.ones(8, 12, dtype=torch.bool).tril()
    recorded, counted, _ = both(tmp_path / "mask.json", lambda: sdpa(q, k, k, attn_mask=band).sum().backward())
    for op in flash:
        assert recorded[op][1:] == counted[op][1:]
        assert recorded[op][0] == recorded[op][1] > counted[op][0]


def test_mixture_of_experts(tmp_path):
    """On processors a grouped product runs one product for each expert, whose rows a trace then does show."""
    config = transformers.MixtralConfig(**LLAMA, num_local_experts=4, num_experts_per_tok=2)
    model = transformers.MixtralForCausalLM(config).to(torch.bfloat16)
    model.set_experts_implementation("grouped_mm")
    recorded, counted, _ = both(tmp_path / "t.json", trained(model))
    grouped = counted.pop("aten._grouped_mm")
    assert grouped[2] > 0
    recorded["aten.mm"] = tuple(a - b for a, b in zip(recorded["aten.mm"], grouped, strict=True))
    assert recorded == counted


FORWARD = {"aten.convolution", "aten._convolution", "aten.mkldnn_convolution", "aten.slow_conv3d_forward",
           "aten.slow_conv_transpose3d", "aten.slow_conv_transpose2d", "aten._slow_conv2d_forward"}  # fmt: skip


def joined(by_op):
    """Whatever kernel a convolution ran as."""
    found = {op: three for op, three in by_op.items() if op not in FORWARD}
    found["forward"] = tuple(map(sum, zip(*(three for op, three in by_op.items() if op in FORWARD), strict=True)))
    return found


def test_convolutions_grouped_dilated_and_transposed(tmp_path):
    plane = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, groups=4, dilation=2, padding="same"), nn.GroupNorm(4, 16),
        nn.ConvTranspose2d(16, 12, 3, stride=2, groups=2, output_padding=1, padding=1), nn.MaxPool2d(2),
        nn.Conv2d(12, 12, 3, groups=12), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 5),
    )  # fmt: skip
    line = nn.Sequential(nn.Conv1d(4, 6, 5, padding=2), nn.ConvTranspose1d(6, 4, 4, stride=3))
    space = nn.Sequential(nn.Conv3d(2, 4, 3, stride=(1, 2, 1)), nn.ConvTranspose3d(4, 2, 2, dilation=2))
    inputs = torch.randn(2, 3, 17, 19), torch.randn(2, 4, 30), torch.randn(1, 2, 5, 7, 6)

    def run():
        for net, x in zip((plane, line, space), inputs, strict=True):
            net(x).sum().backward()

    recorded, counted, counter = both(tmp_path / "t.json", run)
    assert not counter.uncounted
    assert joined(recorded) == joined(counted)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("training", [True, False])
def test_recurrent_layers(kind, training, tmp_path):
    """Step by step on processors; in one kernel of a GPU only the tokens of packed sequences are seen."""
    net, x = kind(12, 16, 2, bidirectional=True), torch.randn(5, 3, 12, requires_grad=True)

    def run():
        if training:
            net(x)[0].sum().backward()
        else:
            with torch.no_grad():
                net(x)

    recorded, counted, counter = both(tmp_path / "t.json", run)
    assert not counter.uncounted
    assert recorded == counted
    assert sum(three[2] for three in recorded.values()) > 0
