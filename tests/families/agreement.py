"""What the tests of families share: our tree beside the framework's, and what must hold without any framework."""

from flopsight.models.ignorable import ignorable
from flopsight.workload import Workload
from tests.oracle import compare


def agrees(raw, seqs=(5, 16, 33), architecture=None):
    """Same tensors, same buffers, same FLOPs of the whole score square at every length."""
    from tests.oracle import framework

    ledger, model = compare.ours(raw), framework.build(raw, architecture)
    assert compare.differences(compare.our_parameters(ledger), framework.parameters(model)) == []
    assert {n: t.shape for n, t, _ in ledger.tensors() if t.buffer} == framework.buffers(model)
    for seq in seqs:
        traced, by_op = framework.flops(model, seq)
        assert compare.our_flops(ledger, seq) == traced, (seq, by_op)
    assert ledger.model.unknown == ()


def steps_add_up(raw, seq=19):
    """Prefill of a sequence needs what decoding it token by token needs."""
    ledger = compare.ours(raw)
    whole = ledger.total(Workload("prefill", 2, seq, logits="all")).required
    single = [ledger.total(Workload("decode", 2, 1, past)).required for past in range(seq)]
    assert sum(single) == whole


def unread(raw):
    """Keys of a config that bear a dimension and that its family did not look at."""
    from flopsight.models.config import Config
    from flopsight.models.families import family

    config = Config(raw, raw["model_type"], "test")
    family(raw["model_type"])(config)
    return config.unread(ignorable)
