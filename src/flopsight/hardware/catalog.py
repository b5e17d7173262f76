"""The catalogue: find a chip by its id, its driver's exact string, or a short name; never by a part of a string.

Chips come from three places, and an id or driver string that two of them claim is refused: the data files of this
package, plugins (entry points of the group `flopsight.hardware`), and files of the user.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, cast

from flopsight.errors import BadConfig, FlopsightError, FlopsightWarning, UnknownHardware, UsageError
from flopsight.facts import Unknown
from flopsight.hardware.chip import Chip, Node
from flopsight.hardware.compiled import DATA, lines
from flopsight.hardware.own import with_own
from flopsight.hardware.reading import read_toml
from flopsight.hardware.record import ChipRecord
from flopsight.hardware.user import read_files, user_files

Driver = Literal["torch", "nvidia_smi", "rocm", "jax", "tpu_type", "other"]
DRIVERS: Final = ("torch", "nvidia_smi", "rocm", "jax", "tpu_type", "other")
LARGEST_COUNT: Final = 10**6
_COUNT_LAST = re.compile(r"\s*(?::|\s[x×*])\s*(\d[\d_,]*)$", re.IGNORECASE)
_MIG = re.compile(r"\bMIG\s+\d+g\.\d+gb|\bMIG-[0-9a-f]{8}|\bMIG\s+\d+c\.\d+g", re.IGNORECASE)
_VENDOR_WORDS: Final = frozenset(
    [
        "nvidia",
        "amd",
        "google",
        "intel",
        "aws",
        "cerebras",
        "groq",
        "sambanova",
        "huawei",
        "apple",
        "tenstorrent",
        "qualcomm",
    ]
)
_FAMILY_WORDS: Final = frozenset(["tesla", "geforce", "instinct", "radeon", "cloud", "gpu", "accelerator"])


@cache
def builtin_chips() -> tuple[Chip, ...]:
    """The chips of this package's own data files."""
    return tuple(Chip(record) for record in lines("chips", ChipRecord))


def chips(extra_files: Iterable[str | Path] = ()) -> tuple[Chip, ...]:
    """Every chip: ours, those of plugins, those in the user's folder, those in `extra_files`.

    BadFile or BadConfig for a faulty or duplicate user file; a faulty plugin is one warning and is left out.
    """
    found = _ours_and_plugins()
    return _joined(found, read_files([*user_files(), *map(Path, extra_files)]))


def find(name: str, extra_files: Iterable[str | Path] = ()) -> Chip:
    """The one chip that `name` means: an id, an exact driver string, or a short name in any case.

    UnknownHardware if it means several (they are listed) or none (the nearest are listed).
    """
    text = _clean(name)
    extra = tuple(extra_files)
    # Plugins and the user's folder are opened only when our own files do not know the name.
    if not extra and (ours := _lookup(text, builtin_chips())):
        return with_own(ours)
    everything = chips(extra)
    chip = _lookup(text, everything)
    if chip is None:
        raise UnknownHardware(_nothing_like(text, everything))
    return with_own(chip)


def node(name: str, extra_files: Iterable[str | Path] = ()) -> Node:
    """Parse a count and a chip: "8xH100-SXM", "8 x h200", "h100-sxm:8", "v5litepod-16", or a chip alone (one).

    UnknownHardware as for `find`; UsageError for a count of 0 or above a million.
    """
    text = _clean(name)
    if tpu := _tpu_slice(text):
        return tpu
    count, rest = _count_and_name(text)
    if not 1 <= count <= LARGEST_COUNT:
        raise UsageError(f"Expected 1 to {LARGEST_COUNT} chips and read {count} in {text!r}.")
    return Node(count, find(rest, extra_files))


def match_driver(kind: Driver, string: str, extra_files: Iterable[str | Path] = ()) -> Chip | Unknown:
    """The chip whose driver of this kind reports exactly `string`, or why that cannot be said.

    A MIG slice, a string that several parts share and a string nobody has recorded are all Unknown: no chip is guessed.
    UsageError for a kind that does not exist.
    """
    if kind not in DRIVERS:
        raise UsageError(f"Expected a driver to be one of {', '.join(DRIVERS)} and read {kind!r}.")
    if _MIG.search(string):
        return Unknown(
            f"{string!r} is a MIG slice: its peak is that of its SMs only; pass the chip and count SMs yourself"
        )
    everything = chips(extra_files)
    if shared := [chip for chip in everything if string in chip.record.names.ambiguous]:
        return Unknown(_read_next(string, shared))
    matched = [chip for chip in everything if string in driver_names(chip, kind)]
    if len(matched) == 1:
        return with_own(matched[0])
    if matched:
        return Unknown(_read_next(string, matched))
    return Unknown(f"no chip of the catalogue reports {string!r} to {kind}; pass one by name or add a chip file")


def driver_names(chip: Chip, kind: Driver) -> tuple[str, ...]:
    """The exact strings a chip is known by to one driver. ROCm tools also say what PyTorch says."""
    names = chip.record.names
    if kind == "rocm":
        return names.rocm + names.torch
    return cast("tuple[str, ...]", getattr(names, kind))


def all_driver_names(chip: Chip) -> frozenset[str]:
    """Every exact string the chip is known by to any driver."""
    return frozenset(string for kind in DRIVERS for string in driver_names(chip, kind))


def _clean(name: str) -> str:
    if not isinstance(name, str) or not name.strip() or len(name) > 200:
        raise UsageError(f"Expected the name of a chip, such as 'h100-sxm' or '8xh200', and read {str(name)[:60]!r}.")
    return name.strip()


def _lookup(text: str, among: Sequence[Chip]) -> Chip | None:
    """Id, then exact driver string, then short name, then words; UnknownHardware if it means several."""
    by_id = {chip.id: chip for chip in among}
    if text.casefold() in by_id:
        return by_id[text.casefold()]
    if _MIG.search(text):
        raise UnknownHardware(f"{text!r} is a MIG slice, whose peak is that of its SMs only; name the whole chip.")
    key = "-".join(_words(text))
    shared = [c for c in among if any(text == s or key == "-".join(_words(s)) for s in c.record.names.ambiguous)]
    if shared:
        raise UnknownHardware(_read_next(text, _candidates(key, among) or shared) + ".")
    exact = [chip for chip in among if text in all_driver_names(chip)]
    if len(exact) == 1:
        return exact[0]
    if not key:
        return None
    if key in _names_table()["short"]:
        return by_id.get(_names_table()["short"][key])
    return _only(text, _candidates(key, among))


def _candidates(key: str, among: Sequence[Chip]) -> list[Chip]:
    """Chips whose id or name starts with the first word of the key and holds the other words in order."""
    asked = key.split("-")
    named = [chip for chip in among if key in ("-".join(_words(chip.id)), "-".join(_words(chip.name)))]
    return named or [c for c in among if _holds(_words(c.id), asked) or _holds(_words(c.name), asked)]


def _holds(words: list[str], asked: list[str]) -> bool:
    """Whether `asked` begins `words` and continues in order; "sxm" stands for "sxm5", never "a4" for "a40"."""
    if not words or words[0] != asked[0]:
        return False
    rest = iter(words[1:])
    return all(
        any(word == want or (want.isalpha() and word.rstrip("0123456789") == want) for word in rest)
        for want in asked[1:]
    )


def _only(text: str, candidates: list[Chip]) -> Chip | None:
    if len(candidates) > 1:
        listed = ", ".join(chip.id for chip in candidates)
        raise UnknownHardware(f"{text!r} could be {listed}; they differ in what matters here: pass one of them.")
    return candidates[0] if candidates else None


def _words(text: str) -> list[str]:
    """Lower-case words without the vendor and family words that people leave out: "NVIDIA Tesla T4" -> ["t4"]."""
    words = [word for word in re.split(r"[^a-z0-9]+", text.casefold()) if word]
    while len(words) > 1 and words[0] in _VENDOR_WORDS | _FAMILY_WORDS:
        words = words[1:]
    return words


def _read_next(string: str, shared: Sequence[Chip]) -> str:
    """The sentence for a string that several parts report: which, and what tells them apart."""
    hint = next((chip.record.names.tell_apart for chip in shared if chip.record.names.tell_apart), "")
    apart = f"; read next: {hint}" if hint else ""
    return f"{string!r} could be {', '.join(chip.id for chip in shared)}{apart}: pass one by name"


def _nothing_like(text: str, among: Sequence[Chip]) -> str:
    pool = {"-".join(_words(chip.id)): chip.id for chip in among}
    near = difflib.get_close_matches("-".join(_words(text)), pool, n=4, cutoff=0.6)
    hint = f"Did you mean {', '.join(pool[key] for key in near)}?" if near else "`flopsight hardware list` shows all."
    return (
        f"Expected a chip of the catalogue and read {text!r}. {hint} A chip of your own goes in with --hardware-file."
    )


def _count_and_name(text: str) -> tuple[int, str]:
    """Cut "8 x NAME", "NAME:8" or "NAME x 8" into count and name; a name that starts with digits stays whole."""
    first = re.match(r"(\d[\d_,]*)\s*[x×*]\s*(?=[a-z0-9])", text, re.IGNORECASE)
    if first:
        return _whole(first.group(1), text), text[first.end() :]
    last = _COUNT_LAST.search(text)
    if last:
        return _whole(last.group(1), text), text[: last.start()].strip()
    return 1, text


def _whole(digits: str, text: str) -> int:
    plain = digits.replace(",", "").replace("_", "")
    if len(plain) > 12:
        raise UsageError(f"Expected 1 to {LARGEST_COUNT} chips and read {text[:60]!r}.")
    return int(plain)


def _tpu_slice(text: str) -> Node | None:
    """Cloud TPU accelerator types count chips or cores in their last number: v5litepod-16, v4-8."""
    kind, _, number = text.casefold().removeprefix("tpu-").rpartition("-")
    entry = _names_table()["tpu_slices"].get(kind)
    if entry is None or not re.fullmatch(r"\d{1,6}", number):
        return None
    count, left = divmod(int(number), entry["per_chip"])
    if left or not count:
        raise UsageError(
            f"{text!r} counts TensorCores, {entry['per_chip']} on a chip, and so must be a multiple of it."
        )
    return Node(count, find(entry["chip"]))


@cache
def _names_table() -> dict[str, Any]:
    return read_toml(DATA / "names.toml")


def short_names() -> dict[str, str]:
    """The documented short names and the ids they stand for."""
    return dict(_names_table()["short"])


@cache
def _ours_and_plugins() -> tuple[Chip, ...]:
    """Our chips and those of plugins; each plugin that gives something else is one warning."""
    from flopsight.plugins import plugins  # reading entry points costs more than reading the catalogue

    found = builtin_chips()
    for name, given in plugins("flopsight.hardware"):
        try:
            found = _joined(found, _from_plugin(name, given))
        except BadConfig:
            raise
        except Exception as error:  # noqa: BLE001 - a stranger's function may raise anything
            said = str(error) if isinstance(error, FlopsightError) else f"{type(error).__name__}: {error}"
            warnings.warn(f"The hardware plugin {name!r} is left out: {said}", FlopsightWarning, stacklevel=2)
    return found


def _from_plugin(name: str, given: object) -> list[Chip]:
    """What an entry point may be: a chip file or folder, chips, or a function that returns one of these."""
    value = given() if callable(given) else given
    if isinstance(value, (str, Path)):
        path = Path(value)
        files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
        return [Chip(chip.record, origin=f"plugin {name}") for chip in read_files(files)]
    given_chips: list[object] = list(value) if isinstance(value, Iterable) else [value]
    return [_of_plugin(name, chip) for chip in given_chips]


def _of_plugin(name: str, chip: object) -> Chip:
    if not isinstance(chip, Chip):
        raise UsageError(f"it gave {type(chip).__name__}, where a chip file, a folder or chips are expected.")
    return Chip(chip.record, origin=f"plugin {name}")


def _joined(known: Sequence[Chip], added: Iterable[Chip]) -> tuple[Chip, ...]:
    """Put chips together; BadConfig if one claims an id or a driver string that another has."""
    result = list(known)
    ids = {chip.id: chip for chip in known}
    strings = {string: chip for chip in known for string in all_driver_names(chip)}
    for chip in added:
        if chip.id in ids:
            raise BadConfig(f"{chip.origin}: the id {chip.id!r} is taken by {ids[chip.id].origin}; choose another id.")
        for string in all_driver_names(chip):
            if string in strings and string not in chip.record.names.ambiguous:
                other = strings[string]
                raise BadConfig(
                    f"{chip.origin}: names: {string!r} is what {other.id} ({other.origin}) reports; "
                    "list it under names.ambiguous if both do, or leave it out."
                )
        result.append(chip)
        ids[chip.id] = chip
        strings |= dict.fromkeys(all_driver_names(chip), chip)
    return tuple(result)
