"""Writes XSpace files: planes as plain tuples and dicts, encoded by hand."""

import struct


def varint(value):
    value &= 2**64 - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes((*found, value))


def number(field, value):
    return varint(field << 3) + varint(value)


def counted(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def stat(names, name, value):
    """A text that begins with "=" is stored as a reference to another name, as XLA does for repeated ones."""
    head = number(1, names.setdefault(name, len(names) + 1))
    if isinstance(value, float):
        return head + varint(2 << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return head + (number(4, value) if value < 0 else number(3, value))
    if value.startswith("="):
        return head + number(7, names.setdefault(value[1:], len(names) + 1))
    return head + counted(5, value)


def event(names, kinds, name, offset, duration, **stats):
    """Times in picoseconds; `name` is that of the kind."""
    body = number(1, kinds.setdefault(name, len(kinds) + 1)) + number(2, offset) + number(3, duration)
    return body + b"".join(counted(4, stat(names, key, value)) for key, value in stats.items())


def plane(name, lines, stats=None, kinds=None, id=0):
    """One plane.

    lines  {name: (id, timestamp ns, [(kind, offset ps, duration ps, stats), ...])}
    kinds  {kind: (shown, stats)}
    """
    names, numbers, said = {}, {}, kinds or {}
    body = number(1, id) + counted(2, name)
    for line, (line_id, timestamp, events) in lines.items():
        inner = number(1, line_id) + counted(2, line) + number(3, timestamp)
        inner += b"".join(counted(4, event(names, numbers, k, a, b, **more)) for k, a, b, more in events)
        body += counted(3, inner)
    for kind, key in numbers.items():
        shown, more = said.get(kind, ("", {}))
        meta = number(1, key) + counted(2, kind) + (counted(4, shown) if shown else b"")
        meta += b"".join(counted(5, stat(names, k, v)) for k, v in more.items())
        body += counted(4, number(1, key) + counted(2, meta))
    own = b"".join(counted(6, stat(names, key, value)) for key, value in (stats or {}).items())
    for text, key in names.items():
        body += counted(5, number(1, key) + counted(2, number(1, key) + counted(2, text)))
    return body + own


def space(*planes, hosts=(), errors=()):
    return (
        b"".join(counted(1, one) for one in planes)
        + b"".join(counted(2, one) for one in errors)
        + b"".join(counted(4, one) for one in hosts)
    )
