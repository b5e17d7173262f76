"""What counting and metering cost, as ratios of one step's processor time against the same step alone, in one run.

Steps of all variants take turns, so that a busy machine slows all alike; medians of many. `normal` is a Llama of 4
layers, 512 wide, over 2 x 256 tokens; `small ops` one of 12 layers, 64 wide, over 16 tokens, where every op costs its
launch.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import time

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, LlamaConfig

import flopsight.torch
from flopsight.meter import Meter

SIZES = {
    "normal": ({"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 4}, (2, 256), 10),
    "small ops": ({"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 12}, (1, 16), 60),
}


def step_of(values, shape, around=contextlib.nullcontext, metered=False):
    """A training step of its own model; `around` gives the context that it runs in."""
    torch.manual_seed(0)
    config = LlamaConfig(num_attention_heads=8, num_key_value_heads=4, vocab_size=1024, **values)
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config)
    optimizer = torch.optim.AdamW(model.parameters())
    meter = Meter(model, optimizer, on="h100-sxm", every=10, log=lambda values, step: None) if metered else None
    ids = torch.randint(0, 1024, shape)

    def step():
        with around():
            model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    step.model, step.optimizer, step.meter = model, optimizer, meter
    return step


def cost(name):
    """Ratios of the variants of one size."""
    values, shape, repeats = SIZES[name]
    steps = {
        "alone": step_of(values, shape),
        "metered": step_of(values, shape, metered=True),
        "flopsight.torch.counting every step": step_of(values, shape, flopsight.torch.counting),
        "FlopCounterMode every step": step_of(values, shape, lambda: FlopCounterMode(display=False)),
    }
    for step in steps.values():
        for _ in range(5):
            step()
    times = {variant: [] for variant in [*steps, "first counted step"]}
    for turn in range(repeats):
        for variant, step in steps.items():
            times[variant].append(_cpu(step))
        if turn % 5 == 0:
            times["first counted step"].append(_first(values, shape))
    alone = statistics.median(times["alone"])
    return [
        {"what": f"{variant}, {name}", "seconds": statistics.median(found), "baseline_seconds": alone}
        for variant, found in times.items()
        if variant != "alone"
    ]


def _first(values, shape):
    """The first step of a meter on a model that has run before."""
    step = step_of(values, shape)
    for _ in range(2):
        step()
    Meter(step.model, step.optimizer)
    return _cpu(step)


def _cpu(step):
    start = time.process_time()
    step()
    return time.process_time() - start


PROGRAM = """
import sys, time
sys.path.insert(0, {tools!r})
from bench_meter import SIZES, step_of
values, shape, _ = SIZES[sys.argv[1]]
step = step_of(values, shape)
for _ in range(10):
    step()
start = time.process_time()
for _ in range(int(sys.argv[2])):
    step()
print(time.process_time() - start)
"""


def run_cost(name, steps, repeats=4):
    """`flopsight run` around a program that knows nothing of it, against the program alone."""
    import pathlib

    code = PROGRAM.format(tools=str(pathlib.Path(__file__).parent))
    alone = [sys.executable, "-c", code, name, str(steps)]
    ours = [sys.executable, "-m", "flopsight", "run", "--quiet", "--", *alone]
    times = {"alone": [], "ours": []}
    for _ in range(repeats):
        for key, command in (("alone", alone), ("ours", ours)):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            times[key].append(float(done.stdout))
    seconds = {key: statistics.median(found) for key, found in times.items()}
    what = f"flopsight run, {steps} steps, {name}"
    return {"what": what, "seconds": seconds["ours"], "baseline_seconds": seconds["alone"]}


def rows():
    torch.set_num_threads(1)
    return [row for name in SIZES for row in cost(name)] + [run_cost("normal", 15), run_cost("small ops", 200)]


if __name__ == "__main__":
    found = rows()
    if "--json" in sys.argv:
        print(json.dumps(found))
    else:
        for row in found:
            print(f"{row['what']:55} {row['seconds'] / row['baseline_seconds']:7.3f} x")
