"""All conventions, ours first; strangers' come from the entry-point group `flopsight.conventions`."""

from __future__ import annotations

import difflib
from functools import lru_cache

from flopsight.conventions import (
    exact,
    flop_counter_mode,
    hf_trainer,
    korthikanti,
    levanter,
    litgpt,
    llama_factory,
    llm_foundry,
    llm_foundry_hfu,
    maxtext,
    megatron,
    megatron_bridge,
    megatron_bridge_2025,
    nanochat,
    nanogpt,
    narayanan,
    olmo,
    palm,
    picotron,
    recomputed,
    six_n,
    six_n_active,
    torchtitan,
    torchtitan_2024,
    veomni,
    verl,
    vllm,
)
from flopsight.conventions.convention import Convention
from flopsight.errors import UsageError
from flopsight.plugins import plugins

BUILT_IN: tuple[Convention, ...] = (
    exact.CONVENTION, recomputed.CONVENTION, palm.CONVENTION, six_n.CONVENTION, nanogpt.CONVENTION,
    nanochat.CONVENTION, megatron.CONVENTION, megatron_bridge.CONVENTION, maxtext.CONVENTION, maxtext.OLD,
    torchtitan.CONVENTION, llm_foundry.CONVENTION, litgpt.CONVENTION, hf_trainer.CONVENTION, verl.CONVENTION,
    olmo.CONVENTION, levanter.CONVENTION, veomni.CONVENTION, llama_factory.CONVENTION, picotron.CONVENTION,
    flop_counter_mode.CONVENTION, flop_counter_mode.BLIND, vllm.CONVENTION, korthikanti.CONVENTION,
    korthikanti.SELECTIVE, narayanan.CONVENTION, llm_foundry_hfu.CONVENTION, torchtitan_2024.CONVENTION,
    six_n_active.CONVENTION, megatron_bridge_2025.CONVENTION, megatron_bridge_2025.LORA,
)  # fmt: skip


@lru_cache(1)
def conventions() -> dict[str, Convention]:
    """Every convention by name."""
    found = {one.name: one for one in BUILT_IN}
    for name, one in plugins("flopsight.conventions"):
        if name in found:
            raise UsageError(f"A plugin wants to replace the convention {name!r}; give it another name.")
        if isinstance(one, Convention):
            found[name] = one
    return found


def convention(name: str) -> Convention:
    """One convention by name; UsageError with the nearest names if there is none."""
    found = conventions()
    if name not in found:
        near = difflib.get_close_matches(name.lower(), found, 3, 0.6) or list(found)
        raise UsageError(f"No convention is called {name!r}. Known near it: {', '.join(near)}.")
    return found[name]
