"""NumPy archives from anywhere: sizes are checked before anything is unpacked, pickles are refused."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from emoga.errors import InputError
from emoga.files import require_file

MAX_BYTES = 4 * 2**30
MAX_ELEMENTS = 2**31


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
                if info.file_size > MAX_BYTES or info.file_size > 2000 * max(info.compress_size, 1024):
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
