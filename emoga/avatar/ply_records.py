"""Reading PLY files nobody vouches for, and writing ours: elements of scalar properties, no more.

A PLY file is a text header that names elements and their properties, then the records of each element:

    ply
    format binary_little_endian 1.0
    element vertex 2
    property float x
    end_header
    <2 x 4 bytes>

Every count is checked against the bytes that are there before any memory is taken. List properties, text and
big-endian bodies are refused.
"""

from __future__ import annotations

import numpy as np

from emoga.errors import InputError

TYPES = {
    "char": "<i1", "uchar": "<u1", "short": "<i2", "ushort": "<u2", "int": "<i4", "uint": "<u4",
    "float": "<f4", "double": "<f8", "int8": "<i1", "uint8": "<u1", "int16": "<i2", "uint16": "<u2",
    "int32": "<i4", "uint32": "<u4", "float32": "<f4", "float64": "<f8",
}  # fmt: skip
NAMES = {"i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint", "f4": "float",
         "f8": "double"}  # fmt: skip
MAX_HEADER = 64 * 1024
MAX_ELEMENTS, MAX_PROPERTIES = 16, 512


def parse_ply(data: bytes, source: str) -> dict[str, np.ndarray]:
    """Elements of a binary little-endian PLY as structured arrays, views into `data`, by name.

    Raises InputError beginning with `source` for anything else.
    """
    layout, position = _parse_header(data, source)
    elements: dict[str, np.ndarray] = {}
    for name, count, dtype in layout:
        needed, left = count * dtype.itemsize, len(data) - position
        if needed > left:
            raise InputError(
                f"{source}: claims {count} {name} records ({needed} bytes) but only {left} bytes follow; "
                "it is truncated or damaged"
            )
        elements[name] = np.frombuffer(data, dtype, count, position)
        position += needed
    return elements


def format_ply(elements: dict[str, np.ndarray], comments: tuple[str, ...] = ()) -> bytes:
    """The bytes of a binary little-endian PLY holding structured arrays as elements, in order."""
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {text}" for text in comments)]
    for name, records in elements.items():
        lines.append(f"element {name} {len(records)}")
        for field, (dtype, *_) in records.dtype.fields.items():
            lines.append(f"property {NAMES[dtype.str[1:]]} {field}")
    header = ("\n".join(lines) + "\n").encode("ascii") + b"end_header\n"
    return b"".join([header, *(records.tobytes() for records in elements.values())])


def _parse_header(data: bytes, source: str) -> tuple[list[tuple[str, int, np.dtype]], int]:
    """Element names, counts and record types, and where the records begin."""
    head = bytes(data[:MAX_HEADER])
    if not head.startswith((b"ply\n", b"ply\r\n")):
        raise InputError(f"{source}: is not a PLY file")
    closing = b"\nend_header" + head[3 : head.index(b"\n") + 1]
    end = head.find(closing)
    if end < 0:
        raise InputError(f"{source}: its PLY header does not end within {MAX_HEADER} bytes")
    try:
        lines = head[:end].decode("ascii").split("\n")[1:]
    except UnicodeDecodeError:
        raise InputError(f"{source}: its PLY header is not plain text") from None
    layout: list[tuple[str, int, list[tuple[str, str]]]] = []
    encoding = ""
    for line in lines:
        words = line.split()
        match words:
            case [] | ["comment", *_] | ["obj_info", *_]:
                continue
            case ["format", encoding, _]:
                continue
            case ["element", name, count] if count.isdigit() and len(count) < 19:
                layout.append((name, int(count), []))
            case ["property", "list", *_]:
                raise InputError(f"{source}: has list properties, which splat files do not; it may be a mesh")
            case ["property", kind, name] if kind in TYPES and layout:
                layout[-1][2].append((name, TYPES[kind]))
            case _:
                raise InputError(f"{source}: PLY header line {line[:60]!r} is not understood")
    if encoding != "binary_little_endian":
        raise InputError(f"{source}: is {encoding[:40] or 'unknown'} PLY; save it as binary_little_endian")
    return _checked_layout(layout, source), end + len(closing)


def _checked_layout(
    layout: list[tuple[str, int, list[tuple[str, str]]]], source: str
) -> list[tuple[str, int, np.dtype]]:
    names = [name for name, _, _ in layout]
    if len(layout) > MAX_ELEMENTS or len(set(names)) != len(names):
        raise InputError(f"{source}: its PLY header repeats an element or names too many")
    checked = []
    for name, count, properties in layout:
        fields = [field for field, _ in properties]
        if not fields or len(fields) > MAX_PROPERTIES or len(set(fields)) != len(fields):
            raise InputError(f"{source}: element {name[:40]!r} has no, repeated or too many properties")
        checked.append((name, count, np.dtype(properties)))
    return checked
