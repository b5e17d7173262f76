"""A model config that is read key by key, with every value checked and every key that nobody read remembered.

Values come from the file, else from the defaults that the family's own config class declares (`data/defaults.json`);
what was taken from a default is remembered too. Aliases (`n_embd` for `hidden_size`) are data of the same file.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any, TypeAlias

import msgspec

from flopsight.errors import BadConfig

Whole: TypeAlias = int
"""Inside Config, `int` is a method."""

LARGEST = 2**40
MOST_LAYERS = 10_000
_MISSING: Any = object()


class ClassDefaults(msgspec.Struct, frozen=True):
    """What one config class declares: values of absent keys, other names of keys, types of sub-configs."""

    values: dict[str, Any] = {}
    aliases: dict[str, str] = {}
    subs: dict[str, str] = {}


class _Table(msgspec.Struct):
    source: str
    models: dict[str, ClassDefaults]


@lru_cache(1)
def class_defaults() -> dict[str, ClassDefaults]:
    """The declared defaults of every known model_type."""
    data = (files("flopsight.models") / "data" / "defaults.json").read_bytes()
    return msgspec.json.decode(data, type=_Table).models


@lru_cache(1)
def constructor_defaults() -> dict[str, ClassDefaults]:
    """The constructor defaults of every diffusers transformer, by class name; read only when such a class is met."""
    data = (files("flopsight.models") / "data" / "diffusers_defaults.json").read_bytes()
    return msgspec.json.decode(data, type=_Table).models


def defaults_of(model_type: str) -> ClassDefaults:
    """What is declared for a model_type, or for the class a diffusers config names; nothing for unknown ones."""
    found = class_defaults().get(model_type)
    # class names are in camel case, model types never
    if found is None and model_type != model_type.lower():
        found = constructor_defaults().get(model_type)
    return found or ClassDefaults()


class Config:
    """One level of a model config.

    Read with `int`, `number`, `flag`, `word`, `list`, `sub`; each takes the canonical key and, if need be, older
    names of it. A value of the wrong type, not finite, zero or negative where it may not be, or absurdly large
    raises BadConfig naming the file, the key and the value.
    """

    def __init__(
        self, raw: Mapping[str, Any], model_type: str = "", where: str = "config", *, parent: str = ""
    ) -> None:
        self.raw = raw
        self.model_type = model_type
        self.where = where
        self.parent = parent
        known = defaults_of(model_type)
        self._defaults = known.values
        self._aliases = known.aliases
        self._subs = known.subs
        self.read: set[str] = set()
        self.assumed: dict[str, Any] = {}
        self.children: dict[str, Config] = {}

    # ------------------------------------------------------------ finding a value

    def _names(self, names: tuple[str, ...]) -> builtins.list[str]:
        found = []
        for name in names:
            found += [name] if name not in self._aliases else [name, self._aliases[name]]
        return found

    def get(self, *names: str, default: Any = _MISSING) -> Any:
        """The raw value of the first name present, else the class default, else `default`."""
        candidates = self._names(names)
        self.read.update(candidates)
        for name in candidates:
            if name in self.raw:
                return self.raw[name]
        for name in candidates:
            if name in self._defaults:
                self.assumed[name] = self._defaults[name]
                return self._defaults[name]
        if default is _MISSING:
            raise BadConfig(
                f"{self.path(names[0])} is needed for a {self.model_type or 'model'} and is missing from {self.where}."
            )
        return default

    def has(self, *names: str) -> bool:
        """Whether the file itself holds one of these keys with a value other than null."""
        candidates = self._names(names)
        self.read.update(candidates)
        return any(self.raw.get(name) is not None for name in candidates)

    def ignore(self, *names: str) -> None:
        """Declare keys as understood and without influence on any count."""
        self.read.update(names)

    def path(self, key: str) -> str:
        """The key as a dotted path."""
        return f"{self.parent}.{key}" if self.parent else key

    def fail(self, key: str, value: Any, wanted: str) -> BadConfig:
        """The error for a value that cannot be used."""
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return BadConfig(f"{self.path(key)} should be {wanted}; {self.where} says {shown}. Correct the config.")

    # ------------------------------------------------------------ typed reading

    def int(self, *names: str, default: Any = _MISSING, least: Whole = 1, most: Whole = LARGEST) -> Whole:
        """A whole number from `least` to `most`; whole floats and strings of digits are accepted."""
        return self._whole(names[0], self.get(*names, default=default), least, most)

    def maybe(self, *names: str, least: Whole = 1, most: Whole = LARGEST) -> Whole | None:
        """A whole number, or None where the key is absent or null."""
        value = self.get(*names, default=None)
        return None if value is None else self._whole(names[0], value, least, most)

    def layers(self, *names: str) -> Whole:
        """A number of layers: at least one, at most 10,000."""
        return self.int(*(names or ("num_hidden_layers",)), most=MOST_LAYERS)

    def _whole(self, key: str, value: Any, least: Whole, most: Whole) -> Whole:
        number = _as_whole(value)
        if number is None or not least <= number <= most:
            raise self.fail(key, value, f"a whole number from {least} to {most:,}")
        return number

    def number(self, *names: str, default: Any = _MISSING) -> float:
        """A finite number above zero."""
        value = self.get(*names, default=default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise self.fail(names[0], value, "a finite number above zero")
        return float(value)

    def flag(self, *names: str, default: bool | None = None) -> bool:
        """True or false; null and absence mean `default`."""
        value = self.get(*names, default=default)
        value = default if value is None else value
        if isinstance(value, bool):
            return value
        if isinstance(value, int) and value in (0, 1):
            return bool(value)
        raise self.fail(names[0], value, "true or false")

    def word(self, *names: str, default: Any = _MISSING) -> str:
        """A string."""
        value = self.get(*names, default=default)
        if not isinstance(value, str):
            raise self.fail(names[0], value, "a string")
        return value

    def list(self, *names: str, most: Whole = MOST_LAYERS) -> builtins.list[Any] | None:
        """A list, or None where the key is absent or null."""
        value = self.get(*names, default=None)
        if value is None:
            return None
        if not isinstance(value, builtins.list) or len(value) > most:
            raise self.fail(names[0], value, f"a list of at most {most:,} values")
        return value

    def ints(self, *names: str, least: Whole = 0) -> tuple[Whole, ...] | None:
        """A list of whole numbers, or None."""
        values = self.list(*names)
        return None if values is None else tuple(self._whole(names[0], v, least, LARGEST) for v in values)

    def words(self, *names: str, count: Whole | None = None) -> tuple[str, ...] | None:
        """A list of strings, of length `count` if given, or None."""
        values = self.list(*names)
        if values is None:
            return None
        if not all(isinstance(v, str) for v in values) or (count is not None and len(values) != count):
            raise self.fail(
                names[0], values, "a list of strings" + (f", one for each of {count} layers" if count else "")
            )
        return tuple(values)

    def sub(self, name: str, model_type: str = "") -> Config:
        """A nested config; absent or null gives the class defaults of its type."""
        value = self.get(name, default={}) or {}
        if not isinstance(value, dict):
            raise self.fail(name, value, "an object")
        if name not in self.children:
            kind = value.get("model_type")
            # a nested config often names its parent's type, which says nothing about itself
            declared = kind if isinstance(kind, str) and kind != self.model_type else ""
            inner = model_type or declared or self._subs.get(name, "")
            self.children[name] = Config(value, inner, self.where, parent=self.path(name))
        return self.children[name]

    # ------------------------------------------------------------ what is common to almost all

    def heads(self, width: Whole, *names: str) -> Whole:
        """The number of heads, which must divide the width unless the head width is given."""
        heads = self.int(*(names or ("num_attention_heads",)))
        if width % heads and self.get("head_dim", default=None) is None:
            raise self.fail(
                (names or ("num_attention_heads",))[0], heads, f"a divisor of the width {width:,} (or head_dim given)"
            )
        return heads

    def head_dim(self, width: Whole, heads: Whole) -> Whole:
        """`head_dim`, else width / heads."""
        return self.maybe("head_dim") or width // heads

    def kv_heads(self, heads: Whole, *names: str) -> Whole:
        """Key-value heads: absent or null means one for each head; must divide the heads."""
        kv = self.maybe(*(names or ("num_key_value_heads",))) or heads
        if heads % kv:
            raise self.fail((names or ("num_key_value_heads",))[0], kv, f"a divisor of the {heads} heads")
        return kv

    def tied(self) -> bool:
        """Whether the output head is the input embedding; the family's default where the file is silent."""
        value = self.get("tie_word_embeddings", default=True)
        return True if value is None else self.flag("tie_word_embeddings", default=True)

    # ------------------------------------------------------------ what was not read

    def unread(self, ignorable: Callable[[str, Any], bool]) -> builtins.list[str]:
        """Dotted paths of keys that nothing read and that could bear a dimension."""
        found = [self.path(k) for k, v in self.raw.items() if k not in self.read and not ignorable(k, v)]
        for child in self.children.values():
            found += child.unread(ignorable)
        return found

    def defaults_used(self) -> dict[str, Any]:
        """Dotted paths and values of what was taken from the family's class because the file is silent."""
        found = {self.path(k): v for k, v in self.assumed.items()}
        for child in self.children.values():
            found |= child.defaults_used()
        return found


def _as_whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return None
