"""Saving and loading avatars: the suffix chooses the format written, the content the format read."""

from __future__ import annotations

import sys
from pathlib import Path

from emoga.avatar.avatar import Avatar
from emoga.avatar.checks import check_avatar
from emoga.avatar.hdf5 import avatar_image, read_avatar
from emoga.avatar.ply import parse_avatar_ply, parse_splat_ply, ply_image
from emoga.errors import InputError
from emoga.files import check_output, require_file, write_bytes
from emoga.hdf5 import open_hdf5, open_hdf5_image

HDF5_SUFFIXES = (".h5", ".hdf5")
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_BYTES = 16 * 2**30
WHAT = "an emoga avatar (.ply or .h5)"


def save_avatar(avatar: Avatar, path: str | Path, overwrite: bool = False) -> None:
    """Write an avatar atomically, as PLY or HDF5 by the suffix of `path`.

    Raises InputError for another suffix or an existing file without `overwrite`.
    """
    write_bytes(path, avatar_bytes(avatar, format_of(path)), overwrite)


def avatar_bytes(avatar: Avatar, file_format: str) -> bytes:
    """The bytes of `avatar.ply` ("ply") or `avatar.h5` ("h5")."""
    return ply_image(avatar) if file_format == "ply" else avatar_image(avatar)


def format_of(path: str | Path) -> str:
    """ "ply" or "h5" by suffix. Raises InputError for any other."""
    suffix = Path(path).suffix.lower()
    if suffix == ".ply":
        return "ply"
    if suffix in HDF5_SUFFIXES:
        return "h5"
    raise InputError(f"{path}: avatars are written as .ply or .h5; choose one of these suffixes")


def check_avatar_output(path: str | Path, overwrite: bool = False) -> None:
    """Refuse, before any work starts, an avatar file that would overwrite or cannot be written."""
    check_output(path, overwrite)
    format_of(path)


def load_avatar(path: str | Path, like: Avatar | str | Path | None = None) -> Avatar:
    """Read an avatar from a PLY or HDF5 file, or from stdin with "-".

    like: the avatar that a PLY without its second element came from. Raises InputError for anything else,
    for damage, and for avatars made with a head model that is not here.
    """
    original = load_avatar(like) if isinstance(like, (str, Path)) else like
    if str(path) == "-":
        return _from_bytes(sys.stdin.buffer.read(MAX_BYTES), "stdin", original)
    path = require_file(path, WHAT)
    if is_hdf5(path):
        with open_hdf5(path, "avatar") as file:
            return _checked(read_avatar(file), str(path))
    return _from_bytes(_read(path), str(path), original)


def inspect_avatar(path: str | Path) -> tuple[int, Avatar | None]:
    """How many splats a file shows, and the avatar stored in it; no head model is needed or checked.

    The avatar is None for a PLY that carries splats but no rig. Raises InputError for anything else.
    """
    path = require_file(path, WHAT)
    if is_hdf5(path):
        with open_hdf5(path, "avatar") as file:
            avatar = read_avatar(file)
        return len(avatar.gaussians), avatar
    return parse_splat_ply(_read(path), str(path))


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 files do."""
    with open(path, "rb") as stream:
        return stream.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES} bytes; refused")
    return path.read_bytes()


def _from_bytes(data: bytes, source: str, like: Avatar | None) -> Avatar:
    if data.startswith(HDF5_SIGNATURE):
        with open_hdf5_image(data, source, "avatar") as file:
            return _checked(read_avatar(file), source)
    if data.startswith(b"ply"):
        return parse_avatar_ply(data, source, like)
    raise InputError(f"{source}: is neither PLY nor HDF5; expected {WHAT}")


def _checked(avatar: Avatar, source: str) -> Avatar:
    check_avatar(avatar, source)
    return avatar
