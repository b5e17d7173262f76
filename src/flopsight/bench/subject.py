"""The model that runs: from transformers where that is installed, else the plain reference; random weights."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Literal, Protocol

from flopsight.errors import BadConfig, MissingCapability, UsageError
from flopsight.stopwatch import TorchDevice
from flopsight.workload import Logits

Using = Literal["transformers", "reference"]
USING: Final[tuple[Using, ...]] = ("transformers", "reference")
TORCH_NAMES: Final = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_DROPPED: Final = ("auto_map", "quantization_config", "torch_dtype", "dtype", "_attn_implementation")
_STANDARD_DEVIATION: Final = 0.02
_PATTERN: Final = 2**20


class Subject(Protocol):
    """A decoder that can be asked for a step."""

    @property
    def module(self) -> Any:
        """The running module; its paths are the ledger's."""
        ...

    @property
    def using(self) -> str:
        """The implementation, in words."""
        ...

    @property
    def scored(self) -> Logits:
        """Positions whose logits it computes in prefill."""
        ...

    def prefill(self, ids: Any, room: int) -> tuple[Any, Any]:
        """Logits, and a cache with room for so many tokens."""
        ...

    def decode(self, ids: Any, cache: Any) -> Any:
        """Logits of one token behind a cache."""
        ...

    def fork(self, cache: Any, length: int) -> Any:
        """A cache as it was with `length` tokens, for another step."""
        ...

    def logits(self, ids: Any) -> Any:
        """Logits of all positions, for a loss."""
        ...


def subject(raw: Mapping[str, Any], name: str, dtype: str, device: TorchDevice, using: Using | None = None) -> Subject:
    """Build a model with random weights.

    using   an implementation; None takes transformers where it is installed and knows the model

    Raises MissingCapability where neither can build it, BadConfig where transformers rejects the config.
    """
    if using not in (None, *USING):
        raise UsageError(f"The implementation is one of {', '.join(USING)}; got {using!r}.")
    installed = importlib.util.find_spec("transformers") is not None
    if using == "transformers" and not installed:
        raise MissingCapability("transformers is not installed: pip install 'flopsight[torch,hf]'.")
    if using == "reference" or not installed:
        return _reference(raw, dtype, device)
    return _transformers(raw, name, dtype, device)


# ------------------------------------------------------------ our own


@dataclass(frozen=True, slots=True)
class Reference:
    """The plain decoder of `flopsight.bench.reference`."""

    module: Any
    using: str = "the plain reference decoder"
    scored: Logits = "last"

    def prefill(self, ids: Any, room: int) -> tuple[Any, Any]:
        """The cache has its room from the start."""
        from flopsight.bench.reference import Cache

        cache = Cache(room)
        return self.module(ids, cache, keep=1), cache

    def decode(self, ids: Any, cache: Any) -> Any:
        """One token."""
        return self.module(ids, cache, keep=1)

    def fork(self, cache: Any, length: int) -> Any:
        """The same room, the tokens behind forgotten."""
        cache.length = length
        return cache

    def logits(self, ids: Any) -> Any:
        """No cache."""
        return self.module(ids)


def _reference(raw: Mapping[str, Any], dtype: str, device: TorchDevice) -> Reference:
    from flopsight.bench.reference import decoder, shape_of

    shape = shape_of(raw)
    with _unset(device.torch), _made_in(device, dtype):
        module = decoder(shape)
    fill(module, device.torch)
    return Reference(module)


@contextmanager
def _unset(torch: Any) -> Iterator[None]:
    """Weights are not drawn twice: torch's own initializations do nothing meanwhile."""
    names = ("kaiming_uniform_", "uniform_", "normal_")
    kept = {name: getattr(torch.nn.init, name) for name in names}
    try:
        for name in names:
            setattr(torch.nn.init, name, _as_it_is)
        yield
    finally:
        for name, function in kept.items():
            setattr(torch.nn.init, name, function)


def _as_it_is(tensor: Any, *_: Any, **__: Any) -> Any:
    return tensor


@contextmanager
def _made_in(device: TorchDevice, dtype: str) -> Iterator[None]:
    """Parameters are made in the number format on the device, without a copy in fp32."""
    torch, before = device.torch, device.torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, TORCH_NAMES[dtype]))
    try:
        with torch.device(device.device):
            yield
    finally:
        torch.set_default_dtype(before)


def fill(module: Any, torch: Any) -> None:
    """Normal numbers of deviation 0.02 in matrices (a pattern repeated), ones in norms, zeros in biases."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
                continue
            pattern = (torch.randn(_PATTERN, device=parameter.device) * _STANDARD_DEVIATION).to(parameter.dtype)
            flat = parameter.view(-1)
            for start in range(0, flat.numel(), _PATTERN):
                part = flat[start : start + _PATTERN]
                part.copy_(pattern[: part.numel()])


# ------------------------------------------------------------ transformers


@dataclass(frozen=True, slots=True)
class Transformers:
    """A causal language model of transformers; `cache` names the option that takes its cache."""

    module: Any
    using: str
    scored: Logits
    cache: str

    def _last(self) -> dict[str, int]:
        return {"logits_to_keep": 1} if self.scored == "last" else {}

    def prefill(self, ids: Any, room: int) -> tuple[Any, Any]:
        """The cache grows as it is used."""
        out = self.module(input_ids=ids, use_cache=True, **self._last())
        return out.logits, getattr(out, self.cache)

    def decode(self, ids: Any, cache: Any) -> Any:
        """One token."""
        return self.module(input_ids=ids, use_cache=True, **{self.cache: cache}, **self._last()).logits

    def fork(self, cache: Any, length: int) -> Any:
        """A copy: a step writes into the cache."""
        return copy.deepcopy(cache)

    def logits(self, ids: Any) -> Any:
        """No cache, all positions."""
        return self.module(input_ids=ids, use_cache=False).logits


def _transformers(raw: Mapping[str, Any], name: str, dtype: str, device: TorchDevice) -> Transformers:
    transformers = import_module("transformers")
    config = _config(transformers, raw, name)
    with _quiet(), _uninitialized(), device.torch.device(device.device):
        try:
            module = transformers.AutoModelForCausalLM.from_config(
                config, dtype=getattr(device.torch, TORCH_NAMES[dtype])
            )
        except (ValueError, TypeError, KeyError, ImportError, RuntimeError) as error:
            raise BadConfig(
                f"{name}: transformers {transformers.__version__} could not build it ({_first(error)}). Check the "
                "config, or pass --using reference for a Llama or a GPT-2."
            ) from error
    module.tie_weights()  # left out with the initialization
    fill(module, device.torch)
    taken = inspect.signature(module.forward).parameters
    cache = next((key for key in ("past_key_values", "cache_params") if key in taken), "past_key_values")
    return Transformers(
        module, f"transformers {transformers.__version__}", "last" if "logits_to_keep" in taken else "all", cache
    )


def _config(transformers: Any, raw: Mapping[str, Any], name: str) -> Any:
    auto = import_module("transformers.models.auto.modeling_auto")
    kept = {key: value for key, value in raw.items() if key not in _DROPPED}
    if raw.get("model_type") not in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise MissingCapability(
            f"transformers {transformers.__version__} has no causal language model of type {raw.get('model_type')!r}, "
            f"so {name} cannot be run; `flopsight predict {name}` needs none."
        )
    try:
        with _quiet():
            return _without_dropout(transformers.AutoConfig.for_model(**kept))
    except Exception as error:
        raise BadConfig(
            f"{name}: transformers rejects this config ({_first(error)}). Check its values against the family's "
            "documentation."
        ) from error


def _without_dropout(config: Any) -> Any:
    """As large models train; with it attention leaves its fused kernel."""
    for key, value in config.to_dict().items():
        if isinstance(value, float) and ("dropout" in key or key.endswith("_pdrop")):
            setattr(config, key, 0.0)
    return config


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}"


@contextmanager
def _uninitialized() -> Iterator[None]:
    """Weights are left unset where this version of transformers can; `fill` sets them."""
    try:
        skip = import_module("transformers.initialization").no_init_weights
    except (ImportError, AttributeError):
        yield
        return
    with skip():
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    log = logging.getLogger("transformers")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
