"""Every flag writer by the engine or framework it writes for."""

from __future__ import annotations

from typing import Final

from flopsight.search.flags import megatron, sglang, torchtitan, trtllm, vllm
from flopsight.search.flags.launch import ServingWriter, TrainingWriter

SERVING: Final[dict[str, ServingWriter]] = {"vllm": vllm, "sglang": sglang, "trtllm": trtllm}
TRAINING: Final[dict[str, TrainingWriter]] = {"megatron": megatron, "torchtitan": torchtitan}


def serving_engine(name: str) -> ServingWriter | None:
    """The writer of an engine; None for engines that are only predicted."""
    return SERVING.get(name)
