"""Write models/data/diffusers_defaults.json: what each diffusers transformer assumes where its config.json is silent.

Run with the pinned diffusers of the dev extra: python tools/make_diffusers_defaults.py
"""

import importlib
import inspect
import json
import logging
import math
import pathlib
import pkgutil
import warnings

import diffusers
from diffusers.configuration_utils import ConfigMixin
from diffusers.models import transformers as package

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

DROP = ("dropout", "_eps", "epsilon", "attn_implementation", "theta")


def classes():
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for name, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ == module.__name__ and issubclass(cls, ConfigMixin):
                yield name, cls


def plain(value):
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, list):
        return [plain(v) for v in value]
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise TypeError


def signature(cls):
    found = {}
    for name, parameter in inspect.signature(cls.__init__).parameters.items():
        if parameter.default is inspect.Parameter.empty or name == "eps" or any(word in name for word in DROP):
            continue
        try:
            found[name] = plain(parameter.default)
        except TypeError:
            continue
    return found


def main():
    table = {name: {"values": signature(cls)} for name, cls in classes()}
    out = pathlib.Path(__file__).parent.parent / "src/flopsight/models/data/diffusers_defaults.json"
    body = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, sort_keys=True)}" for k, v in sorted(table.items()))
    out.write_text(
        f'{{"source": "diffusers {diffusers.__version__} constructor defaults",\n"models": {{\n{body}\n}}}}\n'
    )
    print(len(table), "classes,", out.stat().st_size, "bytes")


main()
