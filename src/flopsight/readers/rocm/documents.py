"""rocprofv3's JSON: one object for each process, kernels by the numbers of their symbols."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from flopsight.errors import BadFile
from flopsight.readers.limits import Limits
from flopsight.readers.limits import whole as contents
from flopsight.readers.reader import Head
from flopsight.readers.rocm.rows import Dispatch, Rows, blocks, times, whole
from flopsight.trace import Device, Trace
from flopsight.trace.columns import COPY

OWN: Final = b'"rocprofiler-sdk-tool"'


@dataclass(frozen=True, slots=True)
class Documents:
    """rocprofv3 --output-format json."""

    name: str = "rocprofv3-json"
    title: str = "rocprofv3 JSON"

    def recognises(self, head: Head) -> bool:
        """By its only key."""
        return OWN in head.text[:4096]

    def read(self, path: Path, limits: Limits) -> Trace:
        """All dispatches, copies and counters."""
        try:
            raw = msgspec.json.decode(contents(path, limits, 4 << 30))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise BadFile(f"{path} is no complete JSON ({error}); let rocprofv3 finish writing it.") from error
        found = Rows()
        tools = raw.get("rocprofiler-sdk-tool") if isinstance(raw, dict) else None
        for tool in tools if isinstance(tools, list) else [tools]:
            if isinstance(tool, dict):
                _tool(found, tool)
        return found.trace(path, "rocprofv3")


def _tool(found: Rows, tool: dict[str, Any]) -> None:
    names = _names(tool)
    for agent in _listed(tool, "agents"):
        _agent(found, agent)
    for record in _listed(tool, "buffer_records", "kernel_dispatch"):
        _kernel(found, record, names)
    for record in _listed(tool, "buffer_records", "memory_copy"):
        start, end = times(record.get("start_timestamp"), record.get("end_timestamp"))
        found.add(Dispatch("copy", start, end, _handle(record.get("dst_agent_id")), kind=COPY,
                           correlation=_internal(record), bytes=whole(record.get("bytes"))))  # fmt: skip
    counters = {_handle(c.get("id")): str(c.get("name", "")) for c in _listed(tool, "counters")}
    for record in _listed(tool, "callback_records", "counter_collection"):
        _counters(found, record, names, counters)


def _kernel(found: Rows, record: dict[str, Any], names: dict[int, str]) -> int:
    info = record.get("dispatch_info")
    info = info if isinstance(info, dict) else {}
    start, end = times(record.get("start_timestamp"), record.get("end_timestamp"))
    group, items = _three(info.get("workgroup_size")), _three(info.get("grid_size"))
    return found.add(
        Dispatch(names.get(whole(info.get("kernel_id")), "unnamed"), start, end, _handle(info.get("agent_id")),
                 whole(_handle(info.get("queue_id"))), correlation=_internal(record), grid=blocks(items, group),
                 block=group),
        ("dispatch", info.get("dispatch_id")) if info.get("dispatch_id") is not None else None,
    )  # fmt: skip


def _counters(found: Rows, record: dict[str, Any], names: dict[int, str], counters: dict[str, str]) -> None:
    data = record.get("dispatch_data")
    at = _kernel(found, data if isinstance(data, dict) else record, names)
    for one in _listed(record, "records"):
        value = one.get("value", one.get("counter_value"))
        name = counters.get(_handle(one.get("counter_id")), "")
        if name and isinstance(value, (int, float)) and not isinstance(value, bool):
            found.count(name, at, float(value))
        else:
            found.lost["counters without a number"] += 1


def _names(tool: dict[str, Any]) -> dict[int, str]:
    return {
        whole(s.get("kernel_id")): str(s.get("formatted_kernel_name") or s.get("kernel_name") or "unnamed")
        for s in _listed(tool, "kernel_symbols")
    }


def _agent(found: Rows, agent: dict[str, Any]) -> None:
    if agent.get("type") not in (2, "GPU"):
        return
    key = _handle(agent.get("id"))
    units = whole(agent.get("cu_count"))
    gfx, name = str(agent.get("name") or ""), str(agent.get("product_name") or "")
    number = whole(agent.get("logical_node_id"), 0)
    found.devices[key] = Device(number, name, "amd", units if units > 0 else None, None, gfx, {"gfx": gfx})


def _listed(source: Any, *keys: str) -> list[dict[str, Any]]:
    for key in keys:
        source = source.get(key) if isinstance(source, dict) else None
    return [one for one in source if isinstance(one, dict)] if isinstance(source, list) else []


def _handle(value: Any) -> str:
    return str(value.get("handle")) if isinstance(value, dict) else str(value)


def _internal(record: dict[str, Any]) -> int:
    value = record.get("correlation_id")
    return whole(value.get("internal")) if isinstance(value, dict) else whole(value)


def _three(value: Any) -> tuple[int, int, int]:
    if not isinstance(value, dict):
        return -1, -1, -1
    return whole(value.get("x")), whole(value.get("y")), whole(value.get("z"))


READER: Final = Documents()
