"""Avatars in files: exact round trips, edits by other programs, damage."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from avatar_samples import sample_avatar
from plyfile import PlyData, PlyElement

from emoga.avatar import Avatar, avatar_bytes, load_avatar, save_avatar
from emoga.avatar.ply_records import parse_ply
from emoga.avatar.rig import bind_pose, rows_to_world
from emoga.errors import InputError

LOCAL = ("means", "quats", "log_scales")


def assert_same(a: object, b: object, path: str = "avatar") -> None:
    """Equal in every bit, through records, dictionaries and tensors."""
    if dataclasses.is_dataclass(a):
        for item in dataclasses.fields(a):
            assert_same(getattr(a, item.name), getattr(b, item.name), f"{path}.{item.name}")
    elif isinstance(a, dict):
        assert list(a) == list(b), path
        for key in a:
            assert_same(a[key], b[key], f"{path}[{key}]")
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and a.shape == b.shape, path
        assert a.numpy().tobytes() == b.numpy().tobytes(), path
    else:
        assert a == b, path


@pytest.mark.parametrize("suffix", ["ply", "h5"])
@pytest.mark.parametrize("sh_degree", [0, 1, 3])
@pytest.mark.parametrize("rig", ["smooth", "ga"])
def test_what_is_saved_is_loaded_to_the_bit(tmp_path: Path, suffix: str, sh_degree: int, rig: str) -> None:
    avatar = sample_avatar(sh_degree=sh_degree, rig=rig)
    path = tmp_path / f"a.{suffix}"
    save_avatar(avatar, path)
    assert_same(load_avatar(path), avatar)


def test_a_bare_avatar_survives_too(tmp_path: Path) -> None:
    avatar = dataclasses.replace(sample_avatar(motion=False), static_offset=None, emotions={}, provenance={})
    for name in ("a.ply", "a.h5"):
        save_avatar(avatar, tmp_path / name)
        assert_same(load_avatar(tmp_path / name), avatar)


def test_ply_to_h5_to_ply_gives_the_same_bytes(tmp_path: Path) -> None:
    first, middle, last = (tmp_path / name for name in ("1.ply", "2.h5", "3.ply"))
    save_avatar(sample_avatar(), first)
    save_avatar(load_avatar(first), middle)
    save_avatar(load_avatar(middle), last)
    assert first.read_bytes() == last.read_bytes()


def test_the_vertices_are_standard_3dgs_at_the_bind_pose() -> None:
    avatar = sample_avatar(sh_degree=2)
    vertices = PlyData.read(io.BytesIO(avatar_bytes(avatar, "ply")))["vertex"]
    world = rows_to_world(avatar.gaussians, bind_pose(avatar))
    names = [item.name for item in vertices.properties]
    rest = [f"f_rest_{i}" for i in range(24)]
    assert names == [
        "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *rest, "opacity",
        "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3", "binding", "row", "label",
    ]  # fmt: skip
    assert (vertices["y"] == world.means[:, 1]).all()
    assert (vertices["rot_3"] == world.quats[:, 3]).all()
    # All red coefficients beyond the first come before all green ones.
    assert (vertices["f_rest_1"] == world.sh[:, 2, 0]).all()
    assert (vertices["f_rest_8"] == world.sh[:, 1, 1]).all()
    assert (vertices["f_rest_23"] == world.sh[:, 8, 2]).all()


def edited_ply(avatar: Avatar, keep: np.ndarray, second_element: bool = True, drop: tuple = ()) -> tuple:
    """What another program might make of avatar.ply: elements, and the vertices kept."""
    data = PlyData.read(io.BytesIO(avatar_bytes(avatar, "ply")))
    vertices = data["vertex"].data[keep].copy()
    names = [name for name in vertices.dtype.names if name not in drop]
    kept = np.empty(len(vertices), [(name, vertices.dtype[name]) for name in names])
    for name in names:
        kept[name] = vertices[name]
    elements = [PlyElement.describe(kept, "vertex")] + ([data["emoga"]] if second_element else [])
    return elements, kept


def written(elements: list, path: Path) -> Path:
    PlyData(elements, byte_order="<").write(str(path))
    return path


def test_deleted_reordered_and_recoloured_splats_stay_so(tmp_path: Path) -> None:
    avatar = sample_avatar()
    keep = np.random.default_rng(0).permutation(500)[:250]
    elements, vertices = edited_ply(avatar, keep)
    vertices["f_dc_0"][:40] = 1.25
    vertices["f_rest_5"][:40] = -0.5
    vertices["opacity"][:40] = 3.0
    loaded = load_avatar(written(elements, tmp_path / "edited.ply")).gaussians
    original = avatar.gaussians.select(torch.from_numpy(keep))
    for name in (*LOCAL, "binding", "labels"):
        assert_same(getattr(loaded, name), getattr(original, name), name)
    assert_same(loaded.sh[40:], original.sh[40:])
    assert (loaded.sh[:40, 0, 0] == 1.25).all() and (loaded.sh[:40, 3, 1] == -0.5).all()
    assert (loaded.logit_opacities[:40] == 3.0).all()
    assert_same(loaded.logit_opacities[40:], original.logit_opacities[40:])


def test_moved_splats_are_carried_back_through_the_rig(tmp_path: Path) -> None:
    avatar = sample_avatar()
    elements, vertices = edited_ply(avatar, np.arange(500))
    vertices["x"][100:110] += 0.01
    vertices["scale_1"][200] += 0.5
    loaded = load_avatar(written(elements, tmp_path / "moved.ply"))
    untouched = np.delete(np.arange(500), [*range(100, 110), 200])
    for name in LOCAL:
        assert_same(getattr(loaded.gaussians, name)[untouched], getattr(avatar.gaussians, name)[untouched])
    world = rows_to_world(loaded.gaussians, bind_pose(loaded))
    assert np.abs(world.means[:, 0] - vertices["x"]).max() < 1e-7
    assert np.abs(world.log_scales[:, 1] - vertices["scale_1"]).max() < 1e-5


@pytest.mark.parametrize("drop", [(), ("binding", "row", "label")])
def test_a_file_without_second_element_loads_like_its_original(tmp_path: Path, drop: tuple) -> None:
    avatar = sample_avatar()
    keep = np.arange(499, 0, -2)
    path = written(edited_ply(avatar, keep, second_element=False, drop=drop)[0], tmp_path / "bare.ply")
    with pytest.raises(InputError, match="--like"):
        load_avatar(path)
    save_avatar(avatar, tmp_path / "original.h5")
    for like in (avatar, tmp_path / "original.h5"):
        assert_same(load_avatar(path, like).gaussians, avatar.gaussians.select(torch.from_numpy(keep)))


def test_whole_numbers_stored_as_floats_are_understood(tmp_path: Path) -> None:
    avatar = sample_avatar()
    elements, vertices = edited_ply(avatar, np.arange(500))
    as_float = vertices.astype([(name, "<f4") for name in vertices.dtype.names])
    elements[0] = PlyElement.describe(as_float, "vertex")
    assert_same(load_avatar(written(elements, tmp_path / "f.ply")), avatar)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("x", np.nan, "NaN"),
        ("scale_0", np.inf, "infinite"),
        ("y", 1e30, "far away"),
        ("scale_2", -200, "far away"),
        ("row", 500, "another avatar"),
        ("row", -1, "another avatar"),
        ("binding", 10**9, "bound to triangle"),
        ("binding", -6, "bone"),
    ],
)
def test_impossible_vertices_are_refused(tmp_path: Path, column: str, value: float, message: str) -> None:
    elements, vertices = edited_ply(sample_avatar(), np.arange(500))
    vertices[column][7] = value
    with pytest.raises(InputError, match=message) as caught:
        load_avatar(written(elements, tmp_path / "bad.ply"))
    assert str(caught.value).startswith(str(tmp_path / "bad.ply"))


def test_infinite_opacity_means_opaque(tmp_path: Path) -> None:
    elements, vertices = edited_ply(sample_avatar(), np.arange(500))
    vertices["opacity"][3] = np.inf
    loaded = load_avatar(written(elements, tmp_path / "opaque.ply"))
    assert loaded.gaussians.logit_opacities[3].sigmoid() == 1


@pytest.mark.parametrize("suffix", ["ply", "h5"])
def test_another_head_version_is_refused(tmp_path: Path, suffix: str) -> None:
    avatar = dataclasses.replace(sample_avatar(), head_checksum="0" * 64)
    path = tmp_path / f"a.{suffix}"
    if suffix == "h5":
        save_avatar(avatar, path)
    else:
        elements = edited_ply(sample_avatar(), np.arange(500))[0]
        image = np.frombuffer(avatar_bytes(avatar, "h5"), [("byte", "u1")])
        written([elements[0], PlyElement.describe(image, "emoga")], path)
    with pytest.raises(InputError, match="version") as caught:
        load_avatar(path)
    assert str(path) in str(caught.value)


def _set(name: str, value: object):
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("gaussians/means", np.zeros((499, 3), np.float32)), "shape"),
        (_set("gaussians/quats", np.zeros((500, 4), np.float32)), "length zero"),
        (_set("appearance/sh", np.full((500, 1, 3), np.nan, np.float32)), "NaN"),
        (_set("appearance/sh", np.zeros((500, 2, 3), np.float32)), "SH coefficients"),
        (_set("binding", np.zeros(500, np.float32)), "type"),
        (_set("binding", np.full(500, 10**8)), "bound to triangle"),
        (_set("binding", np.zeros(0, np.int32)), "no Gaussians"),
        (_set("neutral/expr", np.zeros(3, np.float32)), "offset"),
        (_set("light/logarithm", np.zeros((9, 3), np.float32)), "shape"),
        (_set("light/logarithm", np.full((8, 3), 1e6, np.float32)), "light"),
        (_set("light/turn", np.full(3, np.nan, np.float32)), "NaN"),
        (lambda file: file["light"].__delitem__("turn"), "turn"),
        (_set("light", np.zeros(3, np.float32)), "lacks the group"),
        (_set("head/shape", np.zeros(3, np.float32)), "shape"),
        (_set("head/static_offset", np.zeros((7, 3), np.float32)), "static_offset"),
        (lambda file: file["head"].attrs.modify("rig", "magic"), "rig"),
        (lambda file: file.__delitem__("neutral"), "neutral"),
        (lambda file: file.attrs.modify("emoga_kind", "track"), "is an emoga track file"),
        (lambda file: file.attrs.modify("emoga_format", 99), "update emoga"),
        (lambda file: file.__setitem__("gaussians/x", h5py.ExternalLink("/etc/passwd", "/")), "links"),
        (lambda file: file.__setitem__("soft", h5py.SoftLink("/binding")), "links"),
        (lambda file: file.__setitem__("gaussians/loop", file["gaussians"]), "more objects"),
        (lambda file: file.create_dataset("huge", (2**40,), "u1", chunks=(2**16,)), "stores almost none"),
        (lambda file: file.create_dataset("e", (9,), "f4", external=[("/etc/passwd", 0, 36)]), "other files"),
        (lambda file: file.create_dataset("z", (9,), "f4", chunks=(9,), compression="lzf"), "packed"),
    ],
)
def test_damaged_hdf5_is_refused_in_one_line(tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "a.h5"
    save_avatar(sample_avatar(), path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=message) as caught:
        load_avatar(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_other_files_are_not_avatars(tmp_path: Path) -> None:
    for name, data in (("a.ply", b"hello"), ("b.h5", b"\x89HDF\r\n\x1a\n"), ("c.ply", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError):
            load_avatar(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        load_avatar(tmp_path / "none.ply")
    with pytest.raises(InputError, match="folder"):
        load_avatar(tmp_path)


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    path.write_bytes(b"precious")
    with pytest.raises(InputError, match="--overwrite"):
        save_avatar(sample_avatar(), path)
    assert path.read_bytes() == b"precious"
    save_avatar(sample_avatar(), path, overwrite=True)
    assert parse_ply(path.read_bytes(), "a")["vertex"].size == 500
    with pytest.raises(InputError, match="suffix"):
        save_avatar(sample_avatar(), tmp_path / "a.obj")
