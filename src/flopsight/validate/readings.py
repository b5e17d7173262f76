"""What a row says of how it counted, as names of our conventions.

A rule is a pattern over the row's own words, tried in order; the first that fits decides. Words that name no count give
Unknown: then only numbers that need none, such as TFLOP/s over a peak, can be checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flopsight.facts import Unknown
from flopsight.validate.rows import Row


@dataclass(frozen=True, slots=True)
class Reading:
    """How a row counted.

    model      conventions its model FLOPs may follow; with several, the one that reproduces the print is taken and
               the row says so
    hardware   convention of its hardware FLOPs (HFU)
    stated     N is the parameter count the row prints, since the formula is one in N
    further    multi-token-prediction layers are counted
    per_sequence   the source prints its FLOPs a sequence, which are used instead of a count of ours
    """

    model: tuple[str, ...] = ()
    hardware: str = ""
    stated: bool = False
    further: bool = False
    per_sequence: bool = False


def _checkpointed(row: Row) -> bool:
    return bool(row.workload.get("activation_checkpointing"))


def _foundry(row: Row) -> Reading:
    hardware = "llm-foundry-hfu" if _checkpointed(row) else "llm-foundry"
    return Reading(("llm-foundry",), hardware, stated=True)


def _korthikanti(row: Row) -> Reading:
    selective = "selective" in str(row.workload.get("activation_recompute", ""))
    return Reading(("korthikanti",), "korthikanti-selective" if selective else "")


def release(group: str) -> tuple[int, int] | None:
    """Year and month of a release in a group's name: "megatron-bridge/26.04.01/pretrain" -> (26, 4)."""
    found = re.search(r"\b(\d\d)\.(\d\d)\b", group)
    return (int(found[1]), int(found[2])) if found else None


def _bridge(row: Row) -> Reading:
    """Megatron-Bridge: gpt-oss is counted differently before 26.06, LoRA differently from the rest."""
    further = "without mtp" not in row.notes.lower() and "w/o mtp" not in row.notes.lower()
    if str(row.workload.get("task", "")).lower() == "lora":
        return Reading(("megatron-bridge-lora",))
    old = (release(row.group) or (99, 0)) < (26, 6)
    return Reading(("megatron-bridge-2025" if old else "megatron-bridge",), further=further)


def _recipes(row: Row) -> Reading:
    """DGX Cloud recipes: full or halved attention by model; the text and the numbers do not always agree."""
    full, halved = "veomni", "megatron-bridge"
    return Reading((full, halved), per_sequence=True, further=True)


def _fixed(reading: Reading) -> Callable[[Row], Reading]:
    return lambda row: reading


RULES: Final[tuple[tuple[str, Callable[[Row], Reading]], ...]] = (
    (r"llm-?foundry", _foundry),
    (r"model_flops_per_sequence", _recipes),
    (r"Megatron-Bridge", _bridge),
    (r"8\s*\*\s*T\s*\*\s*P\s*/\s*\(n\s*\*\s*X\)", _fixed(Reading(hardware="narayanan"))),
    (r"Narayanan|96\s*\*?\s*B\s*\*?\s*s\s*\*?\s*l", _fixed(Reading(hardware="narayanan"))),
    (r"4\*2 coefficient", _fixed(Reading(hardware="narayanan"))),
    (r"Korthikanti|72\s*\*?\s*B\s*\*?\s*s\s*\*?\s*L", _korthikanti),
    (r"whole-run", _fixed(Reading(("6n-active",), stated=True))),
    (r"PaLM Appendix B|tokens/s \* \(6N", _fixed(Reading(("palm",), stated=True))),
    (r"seqlen\s*\*\s*params \+ 12", _fixed(Reading(("palm",), stated=True))),
    (r"torchtitan.*(ALL params|April 2024)", _fixed(Reading(("torchtitan-2024",), stated=True))),
    (r"params minus input embedding|^torchtitan", _fixed(Reading(("torchtitan",), stated=True))),
    (r"MaxText before July 2025", _fixed(Reading(("maxtext-2024",)))),
    (r"MaxText after July 2025", _fixed(Reading(("maxtext",)))),
    (r"MaxText", _fixed(Reading(("maxtext-2024", "maxtext")))),
    (r"picotron", _fixed(Reading(("picotron",)))),
    (r"not published.*full attention", _fixed(Reading(("torchtitan",)))),
)


def reading_of(row: Row) -> Reading | Unknown:
    """The reading of a row's convention, or Unknown where its words name none."""
    for pattern, make in RULES:
        if re.search(pattern, row.convention):
            return make(row)
    shown = row.convention[:90] or "nothing"
    return Unknown(f"no convention of ours is named by its words ({shown!r})")
