"""The machine that a command is asked about: a name of the catalogue, or "here"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from flopsight.errors import UnknownHardware
from flopsight.hardware import catalog
from flopsight.hardware.chip import Chip, Node
from flopsight.hardware.detect import Detection, here

HERE = "here"


def node(name: str, extra_files: Iterable[str | Path] = ()) -> Node:
    """The machine of this name, as `catalog.node` reads it; "here" is this machine.

    Here are its accelerators if it has any, else its processor, once its ceilings are saved. UnknownHardware where
    they match no chip, or several.
    """
    files = tuple(extra_files)
    if not isinstance(name, str) or name.strip().casefold() != HERE:
        return catalog.node(name, files)
    return chosen(here(extra_files=files))


def chosen(found: Sequence[Detection]) -> Node:
    """The accelerators of one kind among what drivers said, else the processor."""
    seen = [each for each in found if each.found]
    for kind in ("GPU", "JAX device"):
        if devices := [each for each in seen if each.what.startswith(kind)]:
            return _one_kind(devices)
    return _one_kind([each for each in seen if each.what == "CPU"])


def _one_kind(devices: Sequence[Detection]) -> Node:
    chips = [each.match for each in devices if isinstance(each.match, Chip)]
    ids = sorted({chip.id for chip in chips})
    if len(ids) > 1:
        raise UnknownHardware(f"This machine has several kinds of chips: {', '.join(ids)}. Name one of them.")
    if len(chips) < len(devices) or not chips:
        raise UnknownHardware(_why(devices))
    return Node(len(chips), chips[0])


def _why(devices: Sequence[Detection]) -> str:
    names = ", ".join(dict.fromkeys(str(each.read.get("name", each.what)) for each in devices)) or "nothing"
    return (
        f"Expected a chip of the catalogue here and found {names}, which is none. Measure it once with "
        "`flopsight ceiling --save`, or name a chip: `flopsight hardware list` shows all."
    )
