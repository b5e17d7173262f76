"""Tiny models on the CPU, so that pictures and sounds can pass through them: what they trace, in FLOPs.

On meta the places of pictures in a text cannot be read, so weights of zero take the place of none.
"""

import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.oracle import compare, framework


def on_cpu(raw, architecture=None):
    model = framework.build(raw, architecture).to_empty(device="cpu")
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.requires_grad_(False).zero_()
    return model


def traced(module, **inputs):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(**inputs)
    return counter.get_total_flops()


def agrees(raw, inputs, images, size=None, extra=0, architecture=None):
    """Same tensors and buffers, and the FLOPs of one prompt with its pictures; `extra` is what only the trace has."""
    ledger, model = compare.ours(raw), framework.build(raw, architecture)
    assert compare.differences(compare.our_parameters(ledger), framework.parameters(model)) == []
    assert {n: t.shape for n, t, _ in ledger.tensors() if t.buffer} == framework.buffers(model)
    mine = compare.our_flops(ledger, inputs["input_ids"].shape[1], images=images, image_size=size)
    assert mine + extra == traced(on_cpu(raw, architecture), **inputs)
    return ledger


def prompt(tokens, images=1, marker=5):
    """A prompt with `tokens` places for each picture."""
    return torch.tensor([[1] + [marker] * (tokens * images) + [2] * 3])


def pixels(side, images=1):
    return torch.ones(images, 3, side, side)


def patches(grid, images=1, values=96, merge=2):
    """Inputs of towers that take flattened patches of pictures of any size."""
    ids = torch.tensor([[1] + ([7] + [5] * (grid * grid // merge**2) + [8]) * images + [2] * 3])
    return {
        "input_ids": ids,
        "pixel_values": torch.zeros(images * grid * grid, values),
        "image_grid_thw": torch.tensor([[1, grid, grid]] * images),
        "mm_token_type_ids": (ids == 5).int(),
    }
