"""Loaded by Python at start-up under `flopsight run` and `flopsight profile`: waits for torch, then lets them look.

Nothing heavy is imported here, since every Python that the command starts comes by. The environment's own
sitecustomize, which ours hides, is loaded first.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))


def _load_the_hidden_one() -> None:
    """Import the sitecustomize that would have been found without us."""
    import importlib.util

    ours = sys.modules[__name__]
    sys.path[:] = [p for p in sys.path if os.path.abspath(p or os.curdir) != HERE]
    del sys.modules[__name__]
    try:
        spec = importlib.util.find_spec(__name__)
        if spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            sys.modules[__name__] = module
            spec.loader.exec_module(module)
    finally:
        sys.modules.setdefault(__name__, ours)


class _Then:
    """A loader that runs another one and then calls back."""

    def __init__(self, loader: Any, callback: Callable[[ModuleType], None]) -> None:
        self._loader, self._callback = loader, callback

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._callback(module)


class _AfterImport:
    """Finds one module as others would, and calls back once it has been imported."""

    def __init__(self, name: str, callback: Callable[[ModuleType], None]) -> None:
        self._name, self._callback = name, callback

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        import importlib.util

        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Then(spec.loader, self._callback)  # type: ignore[assignment]
        return spec


STARTS = {"FLOPSIGHT_RUN": "flopsight.meter.run.start", "FLOPSIGHT_PROFILE": "flopsight.profile.start"}


def _start(module: ModuleType) -> None:
    """Torch's modules exist now; flopsight takes over, and whatever goes wrong is said once and stops nothing."""
    from importlib import import_module

    for variable, start in STARTS.items():
        if os.environ.get(variable):
            try:
                import_module(start).start(module)
            except Exception as error:  # noqa: BLE001 - the program goes on
                print(f"flopsight: not started: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201


if any(os.environ.get(variable) for variable in STARTS):
    sys.meta_path.insert(0, _AfterImport("torch.nn.modules.module", _start))
_load_the_hidden_one()
