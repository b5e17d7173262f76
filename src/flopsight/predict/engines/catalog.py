"""Every engine by name."""

from __future__ import annotations

import difflib
from functools import cache
from typing import Final

from flopsight.errors import UsageError
from flopsight.predict.engines.engine import Engine
from flopsight.predict.engines.generation import generation_engines
from flopsight.predict.kernels.roofline import coefficients

NONE: Final = Engine("none", host=0.0, mixed=True, fraction=1.0, spread=0.25, source="kernels back to back")
_DEFAULTS: Final = {
    "none": NONE,
    "vllm": Engine("vllm", host=1e-3, per_sequence=2e-6, per_layer=15e-6, request=20e-3),
    "sglang": Engine("sglang", host=0.8e-3, per_sequence=2e-6, per_layer=15e-6, request=20e-3),
    "trtllm": Engine("trtllm", host=0.6e-3, per_sequence=2e-6, per_layer=12e-6, request=15e-3),
}


def engine(name: str) -> Engine:
    """The engine of this name, calibrated where measurements stand behind it; UsageError with the nearest names."""
    key = name.strip().lower().replace("-", "").replace("_", "").replace("tensorrt", "trt")
    if key not in engines():
        near = difflib.get_close_matches(key, engines(), n=3)
        raise UsageError(f"No engine is called {name[:40]!r}. " + (f"Did you mean {', '.join(near)}? " if near else "")
                         + f"Known are {', '.join(engines())}.")  # fmt: skip
    return engines()[key]


@cache
def engines() -> dict[str, Engine]:
    """Every engine; `predict/data/engines.json` replaces what was assumed."""
    fitted = coefficients("engines").get("engines", {})
    found = {**_DEFAULTS, **generation_engines()}
    for name, values in fitted.items():
        found[name] = Engine(name, **values)
    return found
