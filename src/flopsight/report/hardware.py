"""The answers of `hardware`: the list of the catalogue, one entry of it, and what this machine has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from flopsight.hardware.chip import Chip, Node
from flopsight.report.hardware_rows import ChipEntry, ChipRow, CpuRow, DeviceRow, LinkRow, Value
from flopsight.report.value import Result

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult


class Hardware(Result, kw_only=True):
    """What the three answers share: a sentence first, the next command last."""

    command: str = "hardware"
    next: str = ""

    def headline(self) -> str:
        """The answer in a sentence."""
        raise NotImplementedError

    def body(self) -> Iterator[RenderableType]:
        """What is drawn between the sentence and the next command."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.headline()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The answer, the tables, the sources, the next command."""
        from rich.text import Text

        yield Text(self.headline())
        yield from self.body()
        if self.next:
            yield Text(f"Next: {self.next}")


class HardwareList(Hardware, kw_only=True, tag_field="answer", tag="list"):
    """Chips, links or processor families; the lists that were not asked for are empty."""

    listed: str
    """chips, links or cpus."""
    dtype: str
    """The number format of the peaks of the chips."""
    chips: list[ChipRow] = msgspec.field(default_factory=list)
    links: list[LinkRow] = msgspec.field(default_factory=list)
    cpus: list[CpuRow] = msgspec.field(default_factory=list)

    def headline(self) -> str:
        """How many, and what their numbers mean."""
        if self.listed == "links":
            return f"{len(self.links)} links; rates are of one direction."
        if self.listed == "cpus":
            return f"{len(self.cpus)} processor families; rates are of one core with its best instruction set."
        return f"{len(self.chips)} chips; peaks are dense {self.dtype} matrix rates of one unit, from the data sheet."

    def body(self) -> Iterator[RenderableType]:
        """The table and what its marks mean."""
        from flopsight.report import draw_hardware as drawn

        if self.listed == "links":
            yield drawn.links(self.links)
        elif self.listed == "cpus":
            yield drawn.cpus(self.cpus)
        else:
            yield drawn.chips(self.chips, self.dtype)
        yield drawn.text(drawn.LEGEND)


class HardwareEntry(Hardware, kw_only=True, tag_field="answer", tag="show"):
    """One entry: a chip and how many of it, a link, or a processor family; the other two are null."""

    count: int = 1
    chip: ChipEntry | None = None
    memory_bytes: Value | None = None
    """Of all `count` chips together."""
    link: LinkRow | None = None
    cpu: CpuRow | None = None

    def headline(self) -> str:
        """What it is and its leading rate."""
        from flopsight.report import draw_hardware as drawn

        if self.link:
            both = f"{drawn.cell(self.link.one_way)} one way, {drawn.cell(self.link.both_ways)} both ways"
            return f"{self.link.name}: {both}, {self.link.record.scope}."
        if self.cpu:
            rate = drawn.cell(self.cpu.flop_per_cycle["fp32"], plain=True)
            return f"{self.cpu.name}: {rate} fp32 FLOP per cycle and core."
        return drawn.answer(self._node())

    def body(self) -> Iterator[RenderableType]:
        """The page of the chip, or the fields of the record."""
        from flopsight.report import draw_hardware as drawn

        if self.link:
            yield drawn.text(f"Latency: {drawn.cell(self.link.latency)}")
            yield drawn.fields(self.link)
        elif self.cpu:
            yield drawn.fields(self.cpu)
        else:
            yield from drawn.chip_page(self._node().chip)

    def _node(self) -> Node:
        """The chip as the catalogue reads it, from the record that the answer carries."""
        assert self.chip is not None
        return Node(self.count, Chip(self.chip.record, self.chip.origin))


class HardwareHere(Hardware, kw_only=True, tag_field="answer", tag="here"):
    """What every driver of this machine says, and the entries that match exactly."""

    devices: list[DeviceRow]

    def headline(self) -> str:
        """How many devices match."""
        known = sum(device.match.id is not UNSET for device in self.devices)
        return f"{known} of {sum(bool(device.read) for device in self.devices)} devices here match the catalogue."

    def body(self) -> Iterator[RenderableType]:
        """Each device in its own words."""
        from flopsight.report import draw_hardware as drawn

        yield from map(drawn.text, drawn.device_lines(self.devices))


HardwareResult = HardwareList | HardwareEntry | HardwareHere
