"""One function a counter: FLOPs of a model on its inputs, as that tool reports them through its own public call.

Tools that report multiply-adds are multiplied by two here, so that what is left is what they count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from tests.counter.zoo import forward, step
from torch import nn

Inputs = tuple[torch.Tensor, ...]
Counter = Callable[[nn.Module, Inputs], int | float]
MAC = 2


@dataclass(frozen=True)
class Peer:
    """A tool.

    name      the heading of its column
    package   the distribution whose version is printed
    forward   FLOPs of a pass without gradients, where it can say so
    training  FLOPs of a pass forward and backward, where it can say so
    macs      it reports multiply-adds
    required  it is compared with required FLOPs, not with full squares
    """

    name: str
    package: str
    forward: Counter | None = None
    training: Counter | None = None
    macs: bool = False
    required: bool = False


def flopsight_full(model: nn.Module, inputs: Inputs) -> int:
    import flopsight.torch

    with flopsight.torch.counting(model) as c:
        forward(model, inputs)
    return c.flops.full_square


def flopsight_required(model: nn.Module, inputs: Inputs) -> int:
    import flopsight.torch

    with flopsight.torch.counting(model) as c:
        forward(model, inputs)
    return c.flops.required


def flopsight_full_training(model: nn.Module, inputs: Inputs) -> int:
    import flopsight.torch

    with flopsight.torch.counting(model) as c:
        step(model, inputs)
    return c.flops.full_square


def flopsight_required_training(model: nn.Module, inputs: Inputs) -> int:
    import flopsight.torch

    with flopsight.torch.counting(model) as c:
        step(model, inputs)
    return c.flops.required


def flop_counter_mode(model: nn.Module, inputs: Inputs) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as mode:
        forward(model, inputs)
    return mode.get_total_flops()


def flop_counter_mode_training(model: nn.Module, inputs: Inputs) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as mode:
        step(model, inputs)
    return mode.get_total_flops()


def thrice_flop_counter_mode(model: nn.Module, inputs: Inputs) -> int:
    return 3 * flop_counter_mode(model.eval(), inputs)


def profiler(model: nn.Module, inputs: Inputs) -> int:
    return _profiled(lambda: forward(model, inputs))


def profiler_training(model: nn.Module, inputs: Inputs) -> int:
    return _profiled(lambda: step(model, inputs))


def _profiled(run: Callable[[], None]) -> int:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], with_flops=True) as seen:
        run()
    return sum(event.flops for event in seen.key_averages())


def fvcore(model: nn.Module, inputs: Inputs) -> int:
    from fvcore.nn import FlopCountAnalysis

    with torch.no_grad():
        analysis = FlopCountAnalysis(model, inputs)
        return MAC * analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()


def deepspeed(model: nn.Module, inputs: Inputs) -> int:
    from deepspeed.profiling.flops_profiler import get_model_profile

    with torch.no_grad():
        return get_model_profile(model, args=list(inputs), print_profile=False, as_string=False, warm_up=0)[0]


def calflops(model: nn.Module, inputs: Inputs) -> int:
    return _calflops(model, inputs, training=False)


def calflops_training(model: nn.Module, inputs: Inputs) -> int:
    return _calflops(model, inputs, training=True)


def _calflops(model: nn.Module, inputs: Inputs, *, training: bool) -> int:
    from calflops import calculate_flops

    with torch.no_grad():
        return calculate_flops(
            model, args=list(inputs), print_results=False, output_as_string=False, include_backPropagation=training
        )[0]


class _Keyed(nn.Module):
    """ptflops feeds models that take more than one input by name."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        return self.model(*inputs.values())


def ptflops_modules(model: nn.Module, inputs: Inputs) -> int:
    return _ptflops(model, inputs, "pytorch")


def ptflops_aten(model: nn.Module, inputs: Inputs) -> int:
    return _ptflops(model, inputs, "aten")


def _ptflops(model: nn.Module, inputs: Inputs, backend: str) -> int:
    from ptflops import get_model_complexity_info

    with torch.no_grad():
        found = get_model_complexity_info(
            _Keyed(model), (1,), print_per_layer_stat=False, as_strings=False, backend=backend,
            input_constructor=lambda _: {f"input{n}": value for n, value in enumerate(inputs)},
        )[0]  # fmt: skip
    return MAC * found


def thop(model: nn.Module, inputs: Inputs) -> float:
    from thop import profile

    return MAC * profile(model, inputs=inputs, verbose=False)[0]


def torchinfo(model: nn.Module, inputs: Inputs) -> int:
    from torchinfo import summary

    return MAC * summary(model, input_data=inputs, verbose=0).total_mult_adds


def torchprofile(model: nn.Module, inputs: Inputs) -> int:
    from torchprofile import profile_macs

    with torch.no_grad():
        return MAC * profile_macs(model, inputs)


def trainer_total_flos(model: nn.Module, inputs: Inputs) -> int:
    """What the Hugging Face Trainer adds to `total_flos` each step: its own method, without the rest of it."""
    from types import SimpleNamespace

    from transformers import Trainer

    inner = getattr(model, "model", model)
    main = getattr(inner, "main_input_name", "input_ids")
    return Trainer.floating_point_ops(SimpleNamespace(model=inner), {main: inputs[0]})


PEERS = (
    Peer("flopsight", "flopsight", flopsight_full, flopsight_full_training),
    Peer("flopsight required", "flopsight", flopsight_required, flopsight_required_training, required=True),
    Peer("FlopCounterMode", "torch", flop_counter_mode, flop_counter_mode_training),
    Peer("3 x FlopCounterMode", "torch", None, thrice_flop_counter_mode),
    Peer("torch.profiler", "torch", profiler, profiler_training),
    Peer("fvcore", "fvcore", fvcore, macs=True),
    Peer("DeepSpeed", "deepspeed", deepspeed),
    Peer("calflops", "calflops", calflops, calflops_training),
    Peer("ptflops modules", "ptflops", ptflops_modules, macs=True),
    Peer("ptflops aten", "ptflops", ptflops_aten, macs=True),
    Peer("thop", "thop", thop, macs=True),
    Peer("torchinfo", "torchinfo", torchinfo, macs=True),
    Peer("torchprofile", "torchprofile", torchprofile, macs=True),
    Peer("Trainer total_flos", "transformers", None, trainer_total_flos),
)
