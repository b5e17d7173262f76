"""Programs run once under the profiler and the counter; and every op beside the tensors it was really given."""

from collections import defaultdict
from dataclasses import dataclass, field

import torch
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._python_dispatch import TorchDispatchMode

import flopsight.torch
from flopsight.opcost import cost
from flopsight.readers import read
from flopsight.trace.columns import OP
from flopsight.trace.nesting import parents

MARK = "##seen "


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


@dataclass
class Sums:
    """FLOPs by op: required, whole squares, executed."""

    by_op: dict = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))

    def add(self, op, flops):
        for at, value in enumerate((flops.required, flops.full_square, flops.executed)):
            self.by_op[op.replace("::", ".")][at] += value


def both(path, program):
    """FLOPs by op from the trace and from the counter, of one and the same run."""
    program()  # what is done once (caches, buffers) is not part of it
    with flopsight.torch.counting() as counter:
        trace = exported(path, program)
    recorded, counted = Sums(), Sums()
    for name, one in innermost(trace):
        recorded.add(name, one.flops)
    for op, amount in counter.by_op().items():
        if amount.flops.executed:
            counted.add(op.removesuffix(".default"), amount.flops)
    return dict(recorded.by_op), dict(counted.by_op), counter


@dataclass
class Seen:
    """An op as it ran: bytes of the tensors it was given and of those it returned."""

    op: str
    given: list
    made: list


class Watch(TorchDispatchMode):
    """Notes every op's real tensors, and puts a mark around it in the trace."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = [t.numel() * t.element_size() for t in flat((args, kwargs or {}))]
        with record_function(MARK + str(len(self.seen))):
            out = func(*args, **(kwargs or {}))
        made = [t.numel() * t.element_size() for t in flat(out)]
        self.seen.append(Seen(func._schema.name, given, made))
        return out


def flat(values):
    """The tensors in nested arguments."""
    if isinstance(values, torch.Tensor):
        return [values]
    if isinstance(values, dict):
        values = values.values()
    return [t for v in values for t in flat(v)] if isinstance(values, (list, tuple, type({}.values()))) else []


def watched(path, program):
    """[(Seen, cost of the same op as the trace records it)]"""
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
