"""Every bundled config against exact counts of the framework's own modules and traced FLOPs.

`tests/data/truth.json` holds, per model, what transformers 5.23.0 or diffusers 0.42.1 instantiate on the meta device
and what FlopCounterMode traces there (eager attention, top-k experts, all logits, whole square), or a hand formula
where no class exists ("oracle" says which).
"""

import json
import pathlib
from collections import Counter

import pytest

from flopsight import count
from flopsight.models.ledger import ledger
from flopsight.models.load import load
from flopsight.workload import Workload

TRUTH = json.loads((pathlib.Path(__file__).parent.parent / "data" / "truth.json").read_text())

# where the oracle's breakdown follows the name of a tensor instead of its use: {name: (moves, reason)}; a move is
# (kind we give, kind the oracle gives, parameters), and undoing the moves must give the oracle's breakdown exactly
BREAKDOWN_FAULTS = {
    "gemma-3n-e4b": (
        [
            ("other", "embedding", 3 * 2048 * 2048),
            ("other", "mlp", 3 * 2048 * 2048),
            ("other", "mixer", 35 * (2048 + 4 * 4)),
            ("other", "router", 35 * 4 * 2048),
            ("norm", "router", 35 * 2048),
        ],
        "alternating updates are one thing; their names hold unembed, up_proj (in altup_projections), router, correct",
    ),
    "modernbert-base": ([("lm_head", "other", 50368)], "decoder.bias is the bias of the head"),
    "nemotron-3-ultra-550b-a55b": (
        [("experts", "mixer", 1610612736)],
        "the latent projections around the experts live in a module called mixer",
    ),
    "rwkv-4-169m": ([("norm", "mixer", 1536)], "pre_ln is a LayerNorm"),
    "zamba2-7b": ([("norm", "mixer", 46592)], "norms of the shared blocks"),
}
# the oracle's trace, minus what it runs too much of: {name: (formula of tokens, reason)}
FLOPS_FAULTS = {
    "llama-4-scout": (
        lambda tokens: 15 * 6 * tokens * 5120 * 8192 * 48,
        "transformers runs all 16 experts on every token; 15 of them are not required",
    ),
}


@pytest.mark.parametrize("name", [n for n, t in TRUTH.items() if t["total"] is not None])
def test_parameters_are_exact(name):
    assert ledger(load(name)).params == TRUTH[name]["total"]


def test_no_bundled_model_needs_the_framework():
    assert {load(name).confidence for name in TRUTH} == {"formula"}


@pytest.mark.parametrize("name", TRUTH)
def test_nothing_in_a_real_config_is_left_unread(name):
    assert [line for line in load(name).unknown if "was not understood" in line] == []


@pytest.mark.parametrize("name", [n for n, t in TRUTH.items() if "breakdown" in t])
def test_the_breakdown_is_exact(name):
    ours = Counter(ledger(load(name)).by_kind)
    for mine, theirs, moved in BREAKDOWN_FAULTS.get(name, ([], ""))[0]:
        ours[mine] -= moved
        ours[theirs] += moved
    assert {kind: n for kind, n in ours.items() if n} == TRUTH[name]["breakdown"]


@pytest.mark.parametrize("name", [n for n, t in TRUTH.items() if "active" in t])
def test_active_parameters_under_three_conventions(name):
    truth, params = TRUTH[name], count(name).params
    assert params.active == truth["active"]
    assert params.active_excl_input_embedding == truth["active_excl_input_embedding"]
    assert params.active_excl_all_embeddings == truth["active_excl_all_embeddings"]


@pytest.mark.parametrize("name", [n for n, t in TRUTH.items() if t.get("flops")])
def test_flops_over_the_whole_square_are_those_traced(name):
    book = ledger(load(name))
    extra = FLOPS_FAULTS.get(name, (lambda tokens: 0, ""))[0]
    counted = {
        s: book.total(Workload("prefill", 1, int(s), logits="all")).full + extra(int(s)) for s in TRUTH[name]["flops"]
    }
    assert counted == TRUTH[name]["flops"]
