"""Write models/data/defaults.json: what each transformers config class assumes where a config.json is silent.

Run with the pinned transformers of the dev extra: python tools/make_defaults.py
"""

import dataclasses
import json
import logging
import math
import pathlib
import warnings

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

SKIP = {
    "transformers_version", "architectures", "return_dict", "output_hidden_states", "output_attentions", "dtype",
    "chunk_size_feed_forward", "id2label", "label2id", "problem_type", "_name_or_path", "model_type",
    "use_cache", "initializer_range", "layer_norm_eps", "rms_norm_eps", "layer_norm_epsilon", "norm_eps",
    "rope_parameters", "rope_theta", "rope_scaling", "initializer_factor", "init_std", "torch_dtype", "tf_legacy_loss",
    "is_decoder", "add_cross_attention_", "attribute_map",
}  # fmt: skip
DROP = ("token_id", "dropout", "_prob", "pdrop", "_eps", "epsilon", "loss", "_std", "jitter", "aux_coef", "init_")


def declared(cls):
    """Defaults as written in the class, before __post_init__ derives values from one another."""
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            yield field.name, field.default
        elif field.default_factory is not dataclasses.MISSING:
            yield field.name, field.default_factory()


def clean(cls):
    out = {}
    for key, value in declared(cls):
        if isinstance(value, tuple):
            value = list(value)
        if key in SKIP or any(word in key for word in DROP) or isinstance(value, dict):
            continue
        if any(isinstance(v, float) and not math.isfinite(v) for v in (value if isinstance(value, list) else [value])):
            continue
        if isinstance(value, str | int | float | bool | list) or value is None:
            out[key] = value
    return out


def subs(config):
    out = {}
    for key, cls in (getattr(config, "sub_configs", None) or {}).items():
        sub = getattr(config, key, None)
        if sub is None:
            try:
                sub = cls()
            except Exception:
                continue
        if not isinstance(sub, dict):
            out[key] = getattr(sub, "model_type", "")
    return out


def main():
    table = {}
    for model_type in CONFIG_MAPPING:
        try:
            cls = CONFIG_MAPPING[model_type]
            config = cls()
        except Exception as error:
            print("skip", model_type, type(error).__name__, str(error)[:80])
            continue
        entry = {"values": clean(cls)}
        if cls.attribute_map:
            entry["aliases"] = dict(cls.attribute_map)
        if subs(config):
            entry["subs"] = subs(config)
        table[model_type] = entry
    out = pathlib.Path(__file__).parent.parent / "src/flopsight/models/data/defaults.json"
    body = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, sort_keys=True)}" for k, v in sorted(table.items()))
    out.write_text(
        f'{{"source": "transformers {transformers.__version__} class defaults",\n"models": {{\n{body}\n}}}}\n'
    )
    print(len(table), "model types,", out.stat().st_size, "bytes")


main()
