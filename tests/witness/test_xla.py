"""FLOPs of a TPU profile against the shapes of its op: 2 * 1024 * 1024 * 4096 for each product of matrices."""

import numpy as np

from flopsight import witness
from flopsight.readers import read
from tests.readers.places import kept


def test_flops_of_a_tpu():
    (one,) = witness.testimonies(read(kept("xplane/tpu_by_hand.xplane.pb.gz"))[0])
    assert (one.quantity, one.trust, one.formula) == ("flops", "approximate", "flops")
    product, reduce, own = 2 * 1024 * 1024 * 4096, 5 * 1024, 1000
    assert one.total == 2 * (2 * product + reduce + own) + 2 * reduce
    assert "compiler" in one.why
    assert one.share_known == 10 / 18


def test_flops_of_a_chrome_trace_are_those_of_the_program():
    (one,) = witness.testimonies(read(kept("chrome/tpu_by_hand.trace.json.gz"))[0])
    assert one.formula == "model_flops"
    assert one.total == 2 * 3 * 2 * 1024 * 1024 * 4096
    assert np.isnan(one.values).any()


def test_a_gpu_profile_has_none():
    assert witness.testimonies(read(kept("xplane/mi300x_jax_conv.xplane.pb.gz"))[0]) == ()
