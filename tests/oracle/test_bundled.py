"""Every bundled config that transformers loads: names and shapes agree tensor by tensor, buffers too."""

import pytest

from flopsight.models.config import class_defaults
from flopsight.models.ledger import ledger
from flopsight.models.load import bundled, load
from tests.fuzz.configs import raw_config
from tests.oracle import compare, framework

# faults of the oracle, each with the tensors that may differ and the reason
FAULTS = {
    "t5-v1_1-xxl": ({"lm_head.weight"}, "transformers ties the head of T5 v1.1, which its checkpoints do not"),
    "longcat-flash": (
        {f"model.layers.{i}.mlp.experts.gate_up_proj" for i in range(28)},
        "transformers gives the zero experts gate and up matrices that nothing multiplies",
    ),
}
# what this machine's transformers cannot build
CANNOT = {"gemma-3n-e4b": "its vision tower needs timm"}


def loads(name):
    raw = raw_config(name)
    kind = raw.get("model_type", "")
    known = {"kimi_k2": "deepseek_v3"}.get(kind, kind)
    return known in class_defaults() and "auto_map" not in raw and not raw.get("paper_only")


NAMES = [name for name in bundled() if loads(name)]


@pytest.mark.oracle
@pytest.mark.parametrize("name", NAMES)
def test_tensor_by_tensor(name):
    if name in CANNOT:
        pytest.skip(CANNOT[name])
    book, model = ledger(load(name)), framework.build(raw_config(name))
    lines = compare.differences(compare.our_parameters(book), framework.parameters(model))
    allowed = FAULTS.get(name, (set(), ""))[0]
    assert [line for line in lines if not any(fault in line for fault in allowed)] == []
    buffers = {n: t.shape for n, t, _ in book.tensors() if t.buffer}
    assert buffers == framework.buffers(model)


def test_the_oracle_covers_most_of_the_bundle():
    assert len(NAMES) >= 120
