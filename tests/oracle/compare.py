"""Our tree beside the framework's modules, tensor by tensor."""

from flopsight.models.config import Config
from flopsight.models.families import family
from flopsight.models.ledger import Ledger
from flopsight.workload import Workload


def ours(raw):
    config = Config(raw, raw["model_type"], "test")
    return Ledger(family(raw["model_type"])(config))


def our_parameters(ledger):
    return {name: tensor.shape for name, tensor, _ in ledger.tensors() if not tensor.buffer}


def differences(mine, theirs):
    """Readable lines for every tensor that only one side has or that has another shape."""
    lines = [f"only ours   {n} {s}" for n, s in mine.items() if n not in theirs]
    lines += [f"only theirs {n} {s}" for n, s in theirs.items() if n not in mine]
    lines += [f"shape {n} ours {mine[n]} theirs {theirs[n]}" for n in mine if n in theirs and mine[n] != theirs[n]]
    return lines


def our_flops(ledger, seq, batch=1, **more):
    return ledger.total(Workload("prefill", batch, seq, logits="all", **more)).full
