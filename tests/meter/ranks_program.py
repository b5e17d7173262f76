"""Run by two processes: a small model under each kind of parallelism, metered; the first rank prints all reports."""

import json
import os
import sys
import warnings

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from flopsight.meter import Meter

WIDTH, INNER, BATCH, STEPS = 16, 64, 8, 6


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, INNER, bias=False), nn.Linear(INNER, WIDTH, bias=False)

    def forward(self, x):
        return self.down(torch.relu(self.up(x)))


def loop(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    meter = Meter(model, optimizer, on="h100-sxm", every=2, log=lambda values, step: None)
    for _ in range(STEPS):
        model(torch.ones(BATCH, WIDTH, dtype=torch.bfloat16)).sum().backward()
        optimizer.step()
    return meter


def data_parallel():
    return loop(nn.parallel.DistributedDataParallel(Mlp().bfloat16()))


def fully_sharded():
    model = Mlp().bfloat16()
    fully_shard(model.up)
    return loop(fully_shard(model))


def tensor_parallel():
    mesh = init_device_mesh("cpu", (2,))
    return loop(parallelize_module(Mlp().bfloat16(), mesh, {"up": ColwiseParallel(), "down": RowwiseParallel()}))


def pipelined():
    rank = dist.get_rank()
    stage_module = Mlp().bfloat16()
    stage = PipelineStage(stage_module, rank, 2, torch.device("cpu"))
    schedule = ScheduleGPipe(stage, n_microbatches=4, loss_fn=lambda out, target: (out - target).sum())
    optimizer = torch.optim.SGD(stage_module.parameters(), lr=0.1)
    meter = Meter(stage_module, optimizer, on="h100-sxm", every=2, log=lambda values, step: None)
    x = torch.ones(BATCH, WIDTH, dtype=torch.bfloat16)
    for _ in range(STEPS):
        schedule.step(*(() if rank else (x,)), **({"target": x} if rank else {}))
        optimizer.step()
    return meter


def main():
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    found = {}
    for case in (data_parallel, fully_sharded, tensor_parallel, pipelined):
        meter = case()
        meter.report()
        dist.barrier()
        r = meter.report()
        own = [None, None]
        dist.all_gather_object(own, {"flops": r.flops, "failed": meter.failed, "mfu": r.mfu})
        found[case.__name__] = {
            "own": own,
            "ranks": r.ranks,
            "world": r.world,
            "all": r.global_flops,
            "mfu": r.global_mfu,
        }
    if dist.get_rank() == 0:
        json.dump(found, sys.stdout)
    dist.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)  # on a busy machine threads of gloo outlive the group, and abort the interpreter's end


if __name__ == "__main__":
    main()
