"""Communication by name: every library, and names that only look like it."""

import pytest

from flopsight.errors import UsageError
from flopsight.kernels import Communication, communication_of, kind_of
from flopsight.kernels.communication import COLLECTIVES
from flopsight.kernels.names import collectives as tables
from flopsight.readers import read
from flopsight.trace.columns import KERNEL
from tests.kernels.real_names import collectives, kinds
from tests.readers.places import beside


@pytest.mark.parametrize(("kind", "library", "name"), collectives(), ids=lambda text: text[:60])
def test_a_name_says_what_is_communicated(kind, library, name):
    found = communication_of(name)
    assert found == (None if kind == "none" else Communication(kind, library))
    assert (kind_of(name) == "communication") == (kind != "none")


@pytest.mark.parametrize(("_", "name"), kinds(), ids=lambda text: text[:60])
def test_kernels_that_compute_do_not_communicate(_, name):
    assert communication_of(name) is None


# number of kernels as counted by whoever published the files: names with nccl or rccl in them
@pytest.mark.parametrize(
    ("sample", "count"),
    [
        ("a100_ddp_2rank_nccl_meta_rank0.json.gz", 21),
        ("v100_ddp_2rank_rank1_large.json.gz", 2020),
        ("mi300x_resnet_ddp_act_ckpt_rank0.json.gz", 17),
        ("h100_qwen1.5-0.5b_prefill.json.gz", 0),
    ],
)
def test_collectives_of_the_samples(sample, count):
    (trace,) = read(beside(f"kineto/{sample}"))
    names = trace.kernels.name[trace.kernels.kind == KERNEL]
    assert sum(communication_of(trace.names[n]) is not None for n in names) == count


def test_a_users_own_pattern_comes_first():
    assert communication_of("my_ring_step_all_gather_v7") is None
    found = communication_of("my_ring_step_all_gather_v7", own=["^my_ring"])
    assert found == Communication("all_gather", "own")
    assert communication_of("ncclDevKernel_SendRecv", own=["^nccl"]).library == "own"


def test_a_users_pattern_that_is_none_is_refused():
    with pytest.raises(UsageError, match="regular expression"):
        communication_of("x", own=["("])


def test_tables_name_collectives_that_exist():
    assert {kind for kind, _ in tables.COLLECTIVES} <= set(COLLECTIVES)
