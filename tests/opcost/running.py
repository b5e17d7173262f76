"""Programs run under the profiler: beside the counter, and beside the tensors that every op was really given."""

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._python_dispatch import TorchDispatchMode

import flopsight.torch
from flopsight.opcost import cost
from flopsight.readers import read
from flopsight.trace.columns import OP
from flopsight.trace.nesting import parents

MARK = "##seen "
COLUMNS = ("required", "full_square", "executed")


def exported(path, program):
    """The trace of one run."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as p:
        program()
    p.export_chrome_trace(str(path))
    (trace,) = read(path)
    return trace


def innermost(trace):
    """(name, cost) of every op that does matrix work and holds no other such op."""
    host = trace.host
    costs = {}
    for row in range(len(host)):
        if host.kind[row] != OP or host.signature[row] < 0:
            continue
        found = cost(trace.names[host.name[row]], trace.signatures[host.signature[row]])
        if found is not None and found.flops.executed:
            costs[row] = found
    around = parents(host.start, host.end, host.thread)
    holders = set()
    for row in costs:
        up = int(around[row])
        while up >= 0:
            holders.add(up)
            up = int(around[up])
    return [(trace.names[host.name[row]], one) for row, one in costs.items() if row not in holders]


def sums(pairs):
    """{op: (required, whole squares, executed)}"""
    found = defaultdict(lambda: [0, 0, 0])
    for op, flops in pairs:
        for at, column in enumerate(COLUMNS):
            found[op][at] += getattr(flops, column)
    return {op: tuple(amounts) for op, amounts in found.items()}


def both(path, program):
    """FLOPs by op from the trace and from the counter, of one and the same run; and the counter."""
    program()  # what is done once (caches, buffers) is not part of it
    with flopsight.torch.counting() as counter:
        trace = exported(path, program)
    recorded = sums((name.replace("::", "."), one.flops) for name, one in innermost(trace))
    counted = sums(
        (".".join(op.split(".")[:2]), amount.flops) for op, amount in counter.by_op().items() if amount.flops.executed
    )
    return recorded, counted, counter


@dataclass
class Seen:
    """An op as it ran: bytes of the distinct elements it was given, and of what it returned."""

    op: str
    given: list
    made: list


class Watch(TorchDispatchMode):
    """Notes every op's real tensors, and puts a mark around it in the trace."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = [distinct(t) for t in flat((args, kwargs or {}))]
        with record_function(MARK + str(len(self.seen))):
            out = func(*args, **(kwargs or {}))
        self.seen.append(Seen(func._schema.name, given, [t.numel() * t.element_size() for t in flat(out)]))
        return out


def distinct(tensor):
    """Bytes of the different elements that a tensor shows, found by looking at where each lies."""
    size = tensor.element_size()
    reach = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True)) + 1 if tensor.numel() else 0
    places = range(reach)
    seen = {0}
    for n, step in zip(tensor.shape, tensor.stride(), strict=True):
        seen = {place + i * step for place in seen for i in range(n)}
    assert all(place in places for place in seen)
    return len(seen) * size


def flat(values):
    """The tensors in nested arguments."""
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, dict):
        values = list(values.values())
    return [t for v in values for t in flat(v)] if isinstance(values, (list, tuple)) else []


def watched(path, program):
    """[(Seen, the cost of the same op as the trace records it)]"""
    watch = Watch()

    def run():
        with watch:
            program()

    trace = exported(path, run)
    host = trace.host
    around = parents(host.start, host.end, host.thread)
    pairs = {}
    for row in range(len(host)):
        up = int(around[row])
        if host.kind[row] != OP or up < 0 or not trace.names[host.name[up]].startswith(MARK):
            continue
        number = int(trace.names[host.name[up]].removeprefix(MARK))
        name = trace.names[host.name[row]]
        if name == watch.seen[number].op and host.signature[row] >= 0:
            pairs.setdefault(number, (watch.seen[number], cost(name, trace.signatures[host.signature[row]])))
    return list(pairs.values())
