"""HDF5 files that emoga writes, and reads as hostile until checked."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from emoga.errors import InputError
from emoga.files import require_file

FORMAT_VERSION = 1
MAX_ELEMENTS = 2**31
MAX_OBJECTS = 20_000
MAX_DEPTH = 16
MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_BYTES = 16 * 2**20


def new_hdf5(path: Path | BinaryIO, kind: str) -> h5py.File:
    """An HDF5 file to write, on disk or in a buffer, stamped with kind and format version, free of times."""
    file = h5py.File(path, "w", track_order=False, libver=("v110", "v110"))
    write_text(file, "emoga_kind", kind)
    file.attrs["emoga_format"] = FORMAT_VERSION
    return file


@contextmanager
def open_hdf5(path: str | Path, kind: str) -> Iterator[h5py.File]:
    """Open one of our HDF5 files for reading after checking what it claims to be.

    Raises InputError for anything that is not an emoga file of `kind`, including damage found while reading.
    """
    path = require_file(path, f"an emoga {kind} file")
    try:
        file = h5py.File(path, "r")
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: not a readable HDF5 file; expected an emoga {kind} file") from error
    with _checked_hdf5(file, path, kind) as checked:
        yield checked


@contextmanager
def open_hdf5_image(image: bytes, path: str | Path, kind: str) -> Iterator[h5py.File]:
    """Like `open_hdf5` for the bytes of such a file that lie inside another file, `path`."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fapl_core(1 << 16, False)
    try:
        access.set_file_image(image)
        # The name only labels messages, and HDF5 refuses an image under the name of an existing file.
        name = os.fsencode(f"{path}#{kind}")
        file = h5py.File(h5py.h5f.open(name, h5py.h5f.ACC_RDONLY, access))
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: its embedded emoga {kind} data is not readable HDF5") from error
    with _checked_hdf5(file, path, kind) as checked:
        yield checked


@contextmanager
def _checked_hdf5(file: h5py.File, path: str | Path, kind: str) -> Iterator[h5py.File]:
    try:
        with file:
            found = kind_of(file)
            if found != kind:
                described = f"an emoga {found[:40]} file" if found else "not an emoga file"
                raise InputError(f"{path}: is {described}, expected an emoga {kind} file")
            _audit(file, path)
            version = file.attrs.get("emoga_format")
            if not isinstance(version, (int, np.integer)) or int(version) != FORMAT_VERSION:
                raise InputError(f"{path}: format {version!r:.40} is not known here; update emoga")
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: damaged emoga {kind} file ({_first_line(error)})") from error


def _audit(file: h5py.File, path: str | Path) -> None:
    """Walk the whole file before anything of it is used, and refuse what our writers never make.

    That is: links into other files or of no use, storage outside the file, filters beyond gzip and shuffle,
    chunks far larger than their data, trees that are too deep or too wide, and values of variable length:
    they lie in the global heap, in which a damaged file sends the library round in circles.
    """
    waiting: list[tuple[h5py.Group, int]] = [(file, 0)]
    seen = 0
    while waiting:
        group, depth = waiting.pop()
        _audit_attributes(group, path)
        for name in group:
            seen += 1
            if seen > MAX_OBJECTS or depth > MAX_DEPTH:
                raise InputError(f"{path}: holds more objects than any emoga file; refused")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise InputError(f"{path}: {name[:80]!r} links elsewhere, which is refused")
            item = group[name]
            if isinstance(item, h5py.Group):
                waiting.append((item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                _audit_attributes(item, path)
                _audit_storage(item, f"{path}: {item.name}")
            else:
                raise InputError(f"{path}: {name[:80]!r} is neither group nor data; refused")


def _audit_attributes(item: h5py.Group | h5py.Dataset, path: str | Path) -> None:
    if len(item.attrs) > MAX_ATTRIBUTES:
        raise InputError(f"{path}: {item.name} has more attributes than any emoga file; refused")
    for name in item.attrs:
        if not _is_plain(item.attrs.get_id(name)):
            raise InputError(f"{path}: {item.name}@{name[:80]} is of a type emoga does not write; refused")


def _is_plain(attribute: h5py.h5a.AttrID) -> bool:
    """Whether an attribute is one number or one text of fixed length, of bearable size."""
    kind = attribute.get_type()
    if attribute.shape != () or attribute.get_storage_size() > MAX_ATTRIBUTE_BYTES:
        return False
    if isinstance(kind, h5py.h5t.TypeStringID):
        return not kind.is_variable_str()
    # An h5py truth value is an enumeration of two numbers.
    return isinstance(kind, (h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeEnumID))


def _audit_storage(item: h5py.Dataset, where: str) -> None:
    if item.dtype.kind not in "fiub":
        raise InputError(f"{where}: has type {item.dtype}, which emoga does not write; refused")
    plist = item.id.get_create_plist()
    filters = {plist.get_filter(index)[0] for index in range(plist.get_nfilters())}
    if not filters <= {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE}:
        raise InputError(f"{where}: is packed in a way emoga does not write; refused")
    if item.external or item.is_virtual:
        raise InputError(f"{where}: refers to other files, which is refused")
    claimed = (item.size or 0) * item.dtype.itemsize
    if item.chunks is not None:
        chunk = math.prod(item.chunks) * item.dtype.itemsize
        if chunk > 2 * claimed + 2**20:
            raise InputError(f"{where}: has chunks of {chunk} bytes for {claimed} bytes of data; refused")
    # A few stored bytes that claim to be gigabytes are an attack, not data.
    if claimed > 64 * 2**20 and claimed > 2000 * max(item.id.get_storage_size(), 1):
        raise InputError(f"{where}: claims {claimed} bytes but stores almost none")


def read_array(
    group: h5py.Group,
    name: str,
    shape: tuple[int | None, ...] | None = None,
    kind: str = "f",
    finite: bool = True,
    max_elements: int = MAX_ELEMENTS,
) -> np.ndarray:
    """Read one dataset after checking class, shape, size and storage; `None` in `shape` matches any length.

    kind: NumPy dtype kinds allowed, such as "f" or "iu". Raises InputError naming file and dataset.
    """
    where = f"{group.file.filename}: {group.name.rstrip('/')}/{name}"
    item = group.get(name)
    if not isinstance(item, h5py.Dataset):
        raise InputError(f"{where}: missing; the file is damaged or was made by something else")
    if item.dtype.kind not in kind:
        raise InputError(f"{where}: has type {item.dtype}, which does not belong there")
    if shape is not None:
        fits = len(shape) == item.ndim and all(
            w is None or w == g for w, g in zip(shape, item.shape, strict=True)
        )
        if not fits:
            wanted = "x".join("?" if w is None else str(w) for w in shape)
            raise InputError(f"{where}: shape {item.shape} where {wanted} is expected")
    if item.size is None or item.size > max_elements:
        raise InputError(f"{where}: claims {item.size} elements, more than the {max_elements} allowed")
    array = np.asarray(item[()])
    if finite and array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{where}: contains NaN or infinite values")
    return array


def write_array(group: h5py.Group, name: str, array: Any) -> None:
    """Store an array compressed and chunked when it is large enough to gain from it."""
    array = np.asarray(array)
    if array.size < 256:
        group.create_dataset(name, data=array, track_times=False)
    else:
        group.create_dataset(
            name, data=array, compression="gzip", compression_opts=4, shuffle=True, track_times=False
        )


def write_text(group: h5py.Group, name: str, text: str) -> None:
    """Store a text attribute, in UTF-8 of fixed length."""
    group.attrs.create(name, np.bytes_(text.encode()))


def kind_of(file: h5py.File) -> str:
    """What an HDF5 file says it is, "" when no emoga wrote it."""
    if "emoga_kind" not in file.attrs or not _is_plain(file.attrs.get_id("emoga_kind")):
        return ""
    kind = file.attrs["emoga_kind"]
    return kind.decode("utf-8", errors="replace") if isinstance(kind, bytes) else ""


def read_text(
    group: h5py.Group, name: str, default: str | None = None, limit: int = MAX_ATTRIBUTE_BYTES
) -> str:
    """A text attribute, checked for type and length."""
    value = group.attrs.get(name, default)
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if not isinstance(value, str) or len(value) > limit:
        raise InputError(f"{group.file.filename}: {group.name}@{name} is missing or not text")
    return value


def read_json(group: h5py.Group, name: str) -> dict[str, Any]:
    """A JSON object stored as an attribute."""
    try:
        value = json.loads(read_text(group, name, "{}"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{group.file.filename}: {name} is not valid JSON") from error
    if not isinstance(value, dict):
        raise InputError(f"{group.file.filename}: {name} is not a JSON object")
    return value


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
