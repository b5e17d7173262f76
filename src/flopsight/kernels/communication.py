"""Communication kernels by name: NCCL and RCCL, but also those of engines and of one-sided libraries.

Each pattern was taken from a trace or from the source of its library.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

LONGEST: Final = 4096
"""Characters of a name that are looked at."""


@dataclass(frozen=True, slots=True)
class Communication:
    """Which collective, of which library; `kind` is "unknown" where a generic kernel runs any."""

    kind: str
    library: str


LIBRARIES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), library)
    for pattern, library in (
        (r"ncclDevKernel_Generic|ncclKernel_Generic|rccl", "rccl"),
        (r"\bnccl|ncclDevKernel|ncclKernel|ncclSymkDevKernel|ncclSymDevKernel", "nccl"),
        (r"multimem_(?:all_reduce|one_shot|all_gather|reduce_scatter)|(?:one|two)_shot_all_reduce|two_shot_all_gather"
         r"|stream_write_value32|symm_mem.*barrier|multimem_one_shot", "symmetric memory"),
        (r"cross_device_reduce|qr_all_?reduce|quick_all_?reduce|allreduce_prototype_twoshot|reduce_scatter_cross_device"
         r"|allgather_lastdim|allgather_vec|ar_fusion_1stage|local_device_load_rmsnorm", "custom all-reduce"),
        (r"(?:tensorrt_llm|flashinfer|trtllm).*(?:all_?reduce|all_?gather|moe_?a2a|alltoall)"
         r"|(?:one|two)Shot_?AllReduce|lamport.*all_?reduce|allreduce_fusion_kernel|oneshotAllreduce|moefinalize.*allreduce",
         "trtllm"),
        (r"deep_ep::|\bep::(?:intranode|internode|internode_ll|legacy|elastic)", "deep_ep"),
        (r"nvshmem", "nvshmem"), (r"rocshmem", "rocshmem"), (r"mscclpp", "mscclpp"), (r"\bmori::|moriEp", "mori"),
        (r"pplx.*(?:dispatch|combine)|all_to_all::(?:dispatch|combine)", "pplx"),
        (r"oneccl|ccl_kernel|\bccl::", "oneccl"), (r"\bgloo", "gloo"), (r"hccl|hcom_", "hccl"),
        (r"userbuffers_fp16|userbuffers_fp8|kuserbuffers", "transformer engine"),
    )
)  # fmt: skip
GENERIC: Final = "Generic"
KINDS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (r"all_?reduce|cross_device_reduce|rmsnorm", "all_reduce"), (r"all_?gather", "all_gather"),
        (r"reduce_?scatter", "reduce_scatter"), (r"all_?to_?all|a2a|dispatch|combine|notify", "all_to_all"),
        (r"send_?recv|sendrecv|p2p", "send_recv"), (r"broad_?cast", "broadcast"), (r"barrier|sync", "barrier"),
        (r"reduce", "reduce"), (r"put|get|quiet", "send_recv"),
    )
)  # fmt: skip
FALSE: Final = re.compile(r"barrier_init|nccl_?check", re.IGNORECASE)


def communication_of(name: str, own: Sequence[str] = ()) -> Communication | None:
    """The collective that a kernel of this name does; None where it does none.

    own   patterns of the user's own kernels
    """
    return _of(name[:LONGEST], tuple(own))


@lru_cache(maxsize=65536)
def _of(name: str, own: tuple[str, ...]) -> Communication | None:
    if any(re.search(pattern, name) for pattern in own):
        return Communication(_kind(name), "own")
    library = next((library for pattern, library in LIBRARIES if pattern.search(name)), None)
    if library is None or FALSE.search(name):
        return None
    return Communication("unknown" if GENERIC in name else _kind(name), library)


def _kind(name: str) -> str:
    return next((kind for pattern, kind in KINDS if pattern.search(name)), "unknown")
