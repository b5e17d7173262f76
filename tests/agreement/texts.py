"""Decoders of text: every tiny config that the family tests compare tensor by tensor."""

from tests.agreement.running import Case
from tests.families import test_dense_decoders as dense
from tests.families import test_gemma_composites as gemma
from tests.families import test_gpt_classics as classics
from tests.families import test_recurrent as recurrent
from tests.families import test_routed as routed


def numbered(raws):
    """name: config, the second of a family "llama 2"."""
    found = {}
    for raw in raws:
        kind, n = raw["model_type"], 1
        while (name := kind if n == 1 else f"{kind} {n}") in found:
            n += 1
        found[name] = raw
    return found


def listed(table):
    return numbered([raw | {"model_type": kind} for kind, raws in table.items() for raw in raws])


DENSE = numbered(dense.VARIANTS)
CLASSICS = numbered(classics.VARIANTS)
ROUTED = listed(routed.TRACED | routed.RUN | {"llama4_text": routed.LLAMA4, "longcat_flash": [routed.LONGCAT]})
RECURRENT = {f"{raw['model_type']}: {name}": raw for name, raw in recurrent.FRAMEWORK.items()}
GEMMAS = {f"gemma {name}": raw for name, raw in gemma.TEXTS.items()}
del RECURRENT["xlstm: xlstm fused"]  # its forward fails in transformers 5.23


def bar_zero_experts(model):
    """Tokens choose only experts that work."""
    for name, buffer in model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            buffer[8:] = -1e9


TEXTS = {name: Case(raw) for name, raw in (DENSE | CLASSICS | ROUTED | RECURRENT | GEMMAS).items()}
TEXTS["longcat_flash"] = Case(ROUTED["longcat_flash"], prepare=bar_zero_experts)
GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": 61, "n_positions": 40}
TEXTS |= {
    "gpt2": Case({**GPT2, "model_type": "gpt2"}),
    "gpt2 wide": Case({**GPT2, "model_type": "gpt2", "n_inner": 37}),
    "gpt-sw3": Case({**GPT2, "model_type": "gpt-sw3"}),
}
