"""All cases by name, and what comes out of each."""

from dataclasses import dataclass
from functools import lru_cache

from flopsight.counted import Flops
from tests.agreement.causes import Reader
from tests.agreement.forms import BY_CAUSE
from tests.agreement.others import OTHERS
from tests.agreement.phases import DECODED, TRAINED
from tests.agreement.running import run
from tests.agreement.texts import TEXTS

CASES = TEXTS | OTHERS | DECODED | TRAINED
LISTED = {name: frozenset(cause for cause, names in BY_CAUSE.items() if name in names) for name in CASES}

BODY = "transformers has only its body, which runs inside its composite"
ABSENT = {
    **dict.fromkeys(
        (
            "glm4v_moe_text", "glm4v_text", "glm_ocr_text", "qwen2_5_vl_text", "qwen2_vl_text", "qwen3_vl_moe_text",
            "qwen3_vl_text", "step3p5",
        ),
        BODY,
    ),
    "gemma3n": "its towers need timm; its text is compared",
    **dict.fromkeys(
        ("siglip2", "siglip2_text_model", "siglip2_vision_model"),
        "its pictures are packed; only its tensors are compared",
    ),
}  # fmt: skip
"""Families of ours that transformers has and that are not run: why."""


@dataclass(frozen=True)
class Checked:
    """A case: its differences (counted - ledger, by line), those that its causes explain, and the totals."""

    family: str
    attention: str
    uncounted: tuple
    full: dict
    required: dict
    explained_full: dict
    explained_required: dict
    causes: frozenset
    places: int
    counted: Flops
    ledger: Flops


@lru_cache(None)
def checked(name):
    case = CASES[name]
    result = run(case)
    rules = Reader(case, result).read()
    ledger = [sum(int(getattr(p.ledger, column)) for p in result.pairs) for column in ("required", "full", "executed")]
    return Checked(
        case.raw["model_type"], result.attention, result.counted.uncounted, result.off("full"), result.off("required"),
        _sum(rules, 0), _sum(rules, 1), frozenset(rules), len(result.pairs), result.counted.flops,
        Flops(*ledger),
    )  # fmt: skip


def _sum(rules, column):
    found = {}
    for by in rules.values():
        for line, amounts in by.items():
            found[line] = found.get(line, 0) + amounts[column]
    return {line: n for line, n in found.items() if n}
