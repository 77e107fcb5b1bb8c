"""The PLY reader against an independent writer, and against files that lie."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plyfile import PlyData, PlyElement

from emoga.avatar.ply_records import format_ply, parse_ply
from emoga.errors import InputError

RECORDS = np.array(
    [(1.5, -7, 255), (np.float32(1e-40), 2**31 - 1, 0)], [("x", "<f4"), ("binding", "<i4"), ("label", "u1")]
)


def header(*lines: str) -> bytes:
    return "\n".join(["ply", "format binary_little_endian 1.0", *lines, "end_header\n"]).encode()


def test_what_plyfile_writes_is_read_alike() -> None:
    stream = io.BytesIO()
    PlyData([PlyElement.describe(RECORDS, "vertex")], byte_order="<").write(stream)
    assert parse_ply(stream.getvalue(), "t")["vertex"].tobytes() == RECORDS.tobytes()


def test_what_we_write_is_read_alike_by_plyfile() -> None:
    second = np.frombuffer(b"\x00\xff\n", [("byte", "u1")])
    data = PlyData.read(io.BytesIO(format_ply({"vertex": RECORDS, "emoga": second}, ("hello",))))
    assert data["vertex"].data.astype(RECORDS.dtype).tobytes() == RECORDS.tobytes()
    assert bytes(data["emoga"]["byte"]) == b"\x00\xff\n"
    assert data.comments == ["hello"]


def test_carriage_returns_in_the_header_do_not_shift_the_body() -> None:
    data = format_ply({"vertex": RECORDS})
    split = data.index(b"end_header\n") + 11
    windows = data[:split].replace(b"\n", b"\r\n") + data[split:]
    assert parse_ply(windows, "t")["vertex"].tobytes() == RECORDS.tobytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a PLY"),
        (b"plyx", "not a PLY"),
        (b"ply\nformat binary_little_endian 1.0\n", "does not end"),
        (b"ply\n" + b"comment x\n" * 10_000 + b"end_header\n", "does not end"),
        (header("element vertex 1000000000000", "property float x") + b"abcd", "only 4 bytes follow"),
        (header("element vertex 999999999999999999", "property double x"), "truncated"),
        (header("element vertex 9999999999999999999999", "property float x"), "not understood"),
        (header("element vertex -1", "property float x"), "not understood"),
        (header("element vertex 1", "property list uchar int i") + b"\0", "list properties"),
        (header("element vertex 1", "property quad x") + b"\0", "not understood"),
        (header("property float x"), "not understood"),
        (header("element vertex 1"), "no, repeated"),
        (header("element vertex 1", "property float x", "property float x") + bytes(8), "repeated"),
        (header("element a 0", "property float x", "element a 0", "property float x"), "repeats"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n", "ascii"),
        (b"ply\nelement vertex 1\nproperty float x\nend_header\n\0\0\0\0", "unknown"),
        ("ply\ncomment é\nend_header\n".encode("latin1"), "plain text"),
    ],
)
def test_damage_is_named(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_ply(data, "file.ply")
    assert str(caught.value).startswith("file.ply: ")
    assert "\n" not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_files_are_read_or_refused_never_crash(data: st.DataObject) -> None:
    image = bytearray(format_ply({"vertex": RECORDS}))
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(image) - 1))
        image[position : position + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
        if not image:
            break
    try:
        elements = parse_ply(bytes(image), "t")
    except InputError:
        return
    # Views into the file: never more memory than the file has.
    assert sum(records.nbytes for records in elements.values()) <= len(image)
