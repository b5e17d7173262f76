"""Count a model of any size without its memory: shapes only, with the values of ids, positions and masks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException as DataDependent
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensor, FakeTensorMode
from torch.utils._pytree import tree_leaves, tree_map

from flopsight.counted import Counted
from flopsight.errors import UsageError
from flopsight.torch.counting import watching
from flopsight.torch.mode import CountingMode
from flopsight.torch.passes import Passes
from flopsight.torch.values import LARGEST, Values


def count_abstract(
    model: torch.nn.Module | Callable[[], torch.nn.Module], *args: Any, backward: bool = False, **kwargs: Any
) -> Counted:
    """What `model(*args, **kwargs)` would do, without computing it: a model of 400 GB is counted in seconds.

        config = LlamaConfig(...)
        count_abstract(lambda: AutoModelForCausalLM.from_config(config), torch.zeros(1, 8192, dtype=torch.long))

    model     a module (on any device, "meta" too), or a function that builds one, which is then built without memory
    args, kwargs   of the call; ids, positions and masks with their values, whatever else by shape only
    backward  whether the gradients are counted too, of the `loss` that the model returns or of the sum of its outputs

    The same formulas as in `counting`. Experts are routed by values that nobody computed: a grouped product takes all
    rows, as it does with every routing; code that loops over the experts that were chosen cannot be followed.
    Raises UsageError where the program asks for a value that is not there.
    """
    fake, values = FakeTensorMode(allow_non_fake_inputs=True), Values()
    try:
        with fake, _unsuspecting():
            module = model if isinstance(model, torch.nn.Module) else model()
            given = tree_map(lambda value: _shape(values, value), (args, kwargs))
            mode = CountingMode(Passes(module))
            mode.real = values.real
            with _weightless(module, values), values, watching(mode):
                out = module(*given[0], **given[1])
                if backward:
                    _scalar(out).backward()
    except (DataDependent, DynamicOutputShapeException) as error:
        raise UsageError(
            f"The program looks at a value that an abstract run does not have ({error}). Pass masks and positions with "
            "their values; take an implementation that does not loop over chosen experts "
            "(experts_implementation='grouped_mm')."
        ) from error
    return mode.counted()


def _shape(values: Values, value: Any) -> Any:
    """An abstract tensor for an input; its values are kept where it has any."""
    if not isinstance(value, torch.Tensor) or isinstance(value, FakeTensor):
        return value
    abstract = _empty(value).requires_grad_(value.requires_grad)
    if value.device.type == "cpu" and not value.is_floating_point() and value.numel() <= LARGEST:
        values.learn(abstract, value)
    return abstract


def _empty(tensor: torch.Tensor) -> torch.Tensor:
    """The same shape without memory; meta tensors become CPU ones, whose kernels are known."""
    device = "cpu" if tensor.is_meta else tensor.device
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)


@contextmanager
def _weightless(module: torch.nn.Module, values: Values) -> Iterator[None]:
    """Abstract tensors in the place of parameters and buffers."""
    made: dict[int, Any] = {}
    places = [(part, part._parameters) for part in module.modules()] + [(p, p._buffers) for p in module.modules()]
    before = [(place, dict(place)) for _, place in places]
    gradients = [(p, p.grad) for p in module.parameters()]
    for _, place in places:
        for name, tensor in place.items():
            if tensor is not None and not isinstance(tensor, FakeTensor):
                made.setdefault(id(tensor), _weight(tensor, values))
                place[name] = made[id(tensor)]
    try:
        yield
    finally:
        for place, tensors in before:
            place.update(tensors)
        for parameter, gradient in gradients:
            parameter.grad = gradient


def _weight(tensor: torch.Tensor, values: Values) -> torch.Tensor:
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(_empty(tensor), requires_grad=tensor.requires_grad)
    abstract = _empty(tensor)
    if tensor.device.type == "cpu" and tensor.numel() <= LARGEST:
        values.learn(abstract, tensor)  # masks are buffers too
    return abstract


@contextmanager
def _unsuspecting() -> Iterator[None]:
    """Keep transformers from taking other paths for tensors without values: here these that matter have theirs."""
    if "transformers" not in sys.modules:
        yield
        return
    from transformers.utils import import_utils

    with mock.patch.object(import_utils, "is_fake_tensor", return_value=False):
        yield


def _scalar(out: Any) -> torch.Tensor:
    """The loss that a model returns, or the sum of its floating outputs."""
    loss = out.get("loss") if isinstance(out, dict) else None
    if loss is not None:
        return loss
    floats = [value for value in tree_leaves(out) if isinstance(value, torch.Tensor) and value.requires_grad]
    if not floats:
        raise UsageError("A backward pass needs an output that depends on a parameter; the model returned none.")
    return torch.stack([value.sum().float() for value in floats]).sum()
