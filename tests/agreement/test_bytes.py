"""Bytes of stored matrices: each reads its input, its weight once and its bias, and writes its output."""

import pytest

pytest.importorskip("transformers")

from flopsight.parts.linear import Linear
from tests.agreement.cases import CASES
from tests.agreement.running import run

NAMES = (
    "llama", "qwen2", "gemma2", "phi", "olmo2", "opt", "gpt_neox", "mixtral", "qwen3_moe", "deepseek_v3", "bert", "vit",
    "qwen2_vl",
)  # fmt: skip
VALUE = 4
"""Bytes of a value: the models run in fp32."""


def linears(result):
    """(line, (input elements, output elements, weight and bias elements)) of places that are one matrix alone."""
    alone = {}
    for line, leaf, _ in result.parts:
        alone.setdefault(line, set()).add(leaf)
    for line, leaf, _ in result.parts:
        work = result.works[leaf.stream]
        # a tied head's bias may be stored by another part (BERT)
        if len(alone[line]) == 1 and type(leaf.part) is Linear and work.tokens and not leaf.part.tied:
            held = leaf.part.inputs * leaf.part.outputs + leaf.part.outputs * leaf.part.bias
            yield line, (work.tokens * leaf.part.inputs, work.tokens * leaf.part.outputs, held)


@pytest.mark.oracle
@pytest.mark.parametrize("name", NAMES)
def test_a_matrix_is_read_once(name):
    result = run(CASES[name])
    expected = {}
    for line, (inputs, outputs, held) in linears(result):
        reads, writes = expected.get(line, (0, 0))
        expected[line] = reads + VALUE * (inputs + held), writes + VALUE * outputs
    counted = {}
    lines = {pair.path: pair.line for pair in result.pairs}
    for row in result.counted.rows:
        line = lines.get(row.module)
        if line in expected and row.engine == "matrix":
            reads, writes = counted.get(line, (0, 0))
            counted[line] = reads + row.amount.bytes.reads, writes + row.amount.bytes.writes
    assert len(expected) >= 3
    assert counted == expected
