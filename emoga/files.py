"""Files: atomic outputs that are never half there, checked inputs that are hostile until read."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import struct
import sys
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
import platformdirs

from emoga.errors import EnvironmentFailure, InputError

FORMAT_VERSION = 1
MAX_ELEMENTS = 2**31
MAX_HDF5_OBJECTS = 20_000
MAX_HDF5_DEPTH = 16
MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_BYTES = 16 * 2**20


def cache_dir() -> Path:
    """Folder for what can be made again: compiled kernels, studio captures. `EMOGA_CACHE` moves it."""
    return Path(os.environ.get("EMOGA_CACHE") or platformdirs.user_cache_dir("emoga"))


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_output(path: str | Path, overwrite: bool = False) -> Path:
    """Refuse, before any work starts, an output that would overwrite or cannot be written."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, the output must be a file; name a file in it")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; pass --overwrite to replace it")
    for parent in path.parents:
        if parent.is_dir():
            break
        if parent.exists():
            raise InputError(f"{path}: {parent} is a file, not a folder; choose another output")
    return path


def check_output_folder(path: str | Path, overwrite: bool = False) -> Path:
    """Like `check_output`, for verbs whose output is a folder."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file, the output must be a folder; choose another name")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise InputError(f"{path}: the folder is not empty; pass --overwrite to write into it")
    for parent in path.parents:
        if parent.is_dir():
            break
        if parent.exists():
            raise InputError(f"{path}: {parent} is a file, not a folder; choose another output")
    return path


@contextmanager
def translate_os_errors(path: str | Path) -> Iterator[None]:
    """Turn a full or read-only disk into one clear line."""
    try:
        yield
    except OSError as error:
        # h5py reports a full disk as an OSError without errno whose text carries the number.
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "errno = 28" in str(error)
        if error.errno == errno.EFBIG:
            raise EnvironmentFailure(f"{path}: larger than files may be here; raise the limit") from error
        if full:
            raise EnvironmentFailure(f"{path}: no space left on the disk; free some and run again") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise EnvironmentFailure(
                f"{path}: cannot be written ({error.strerror}); check the rights"
            ) from error
        raise


@contextmanager
def atomic_output(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary sibling of `path` to write to and rename it into place on success.

    At no moment is there a half-written `path`; on failure nothing is left behind.
    """
    path = check_output(path, overwrite)
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}.", suffix=f".partial{path.suffix}", dir=path.parent
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with open(temporary, "rb+") as stream:
                os.fsync(stream.fileno())
            _apply_umask(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Like `atomic_output` for a folder that appears whole or not at all."""
    path = check_output_folder(path, overwrite)
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                old = path.with_name(f".{path.name}.old")
                os.replace(path, old)
                os.replace(temporary, path)
                shutil.rmtree(old)
            else:
                os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: str | Path, data: bytes, overwrite: bool = False) -> None:
    """Write a whole file atomically; `-` writes to stdout."""
    if str(path) == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with atomic_output(path, overwrite) as temporary:
        temporary.write_bytes(data)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _apply_umask(path: Path) -> None:
    path.chmod(0o666 & ~_umask())


def require_file(path: str | Path, what: str) -> Path:
    """The path of an existing regular file, else InputError naming it and what it should be."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected {what}")
    if not path.exists():
        raise InputError(f"{path}: no such file, expected {what}")
    return path


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
            if seen > MAX_HDF5_OBJECTS or depth > MAX_HDF5_DEPTH:
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


MAX_NPZ_BYTES = 4 * 2**30


def read_npz(
    path: str | Path,
    required: tuple[str, ...],
    optional: tuple[str, ...] = (),
    what: str = "a NumPy archive (.npz)",
    max_elements: int = MAX_ELEMENTS,
) -> dict[str, np.ndarray]:
    """Named arrays of an .npz archive, their sizes checked before anything is unpacked; never pickles.

    Raises InputError for anything else, for missing arrays, and for archives that claim more than they hold.
    """
    path = require_file(path, what)
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.file_size > MAX_NPZ_BYTES or info.file_size > 2000 * max(info.compress_size, 1024):
                    raise InputError(
                        f"{path}: entry {info.filename!r} claims {info.file_size} bytes; refused"
                    )
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in required if name not in archive.files]
            if missing:
                raise InputError(f"{path}: lacks {', '.join(missing)}; expected {what}")
            names = [*required, *(name for name in optional if name in archive.files)]
            return {name: _checked_npy(path, archive, name, max_elements) for name in names}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError, NotImplementedError) as error:
        raise InputError(f"{path}: not readable as {what} (no pickles)") from error
    except (MemoryError, OverflowError, TypeError, RuntimeError, AttributeError, IndexError) as error:
        raise InputError(f"{path}: damaged; expected {what}") from error
    except (zipfile.LargeZipFile, zlib.error, struct.error, SyntaxError, tokenize.TokenError) as error:
        raise InputError(f"{path}: damaged; expected {what}") from error


def _checked_npy(path: Path, archive: np.lib.npyio.NpzFile, name: str, max_elements: int) -> np.ndarray:
    """Read an array only after its header's shape agrees with the bytes that are there."""
    with archive.zip.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in reader:
            raise InputError(f"{path}: {name} uses an unknown .npy version")
        shape, _, dtype = reader[version](stream)
    stored = archive.zip.getinfo(f"{name}.npy").file_size
    if dtype.hasobject or any(n < 0 for n in shape):
        raise InputError(f"{path}: {name} holds Python objects, which are refused")
    elements = 1
    for length in shape:
        elements *= int(length)
    if elements * dtype.itemsize > stored or elements > max_elements:
        raise InputError(f"{path}: {name} claims shape {shape}, more than the file holds")
    return archive[name]
