"""Files: outputs that are never half there, inputs that must be there, and the folder of the cache."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from emoga.errors import EnvironmentFailure, InputError


def cache_dir() -> Path:
    """Folder for what can be made again: compiled kernels, studio captures. `EMOGA_CACHE` moves it."""
    return Path(os.environ.get("EMOGA_CACHE") or platformdirs.user_cache_dir("emoga"))


def data_dir() -> Path:
    """Folder for what the user supplied: head models, networks, weights. `EMOGA_ASSETS` moves it."""
    return Path(os.environ.get("EMOGA_ASSETS") or platformdirs.user_data_dir("emoga"))


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
    _check_parents(path)
    return path


def check_output_folder(path: str | Path, overwrite: bool = False) -> Path:
    """Like `check_output`, for verbs whose output is a folder."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file, the output must be a folder; choose another name")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise InputError(f"{path}: the folder is not empty; pass --overwrite to write into it")
    _check_parents(path)
    return path


def _check_parents(path: Path) -> None:
    for parent in path.parents:
        if parent.is_dir():
            break
        if parent.exists():
            raise InputError(f"{path}: {parent} is a file, not a folder; choose another output")


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
