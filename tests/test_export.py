"""Exports: every format against what it must mean, read back by code that is not ours where there is some."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from avatar_samples import sample_avatar, sample_motion
from plyfile import PlyData
from scipy.spatial.transform import Rotation

from emoga.avatar import Avatar, avatar_bytes
from emoga.avatar.posing import make_puppet
from emoga.avatar.rig import bind_pose, rows_from_world, rows_to_world, world_at_bind
from emoga.errors import InputError
from emoga.exporting import FORMATS, export, export_bytes
from emoga.exporting.flame import flame_param
from emoga.exporting.gaussianavatars import ga_local, point_cloud
from emoga.exporting.posed import Pose, posed_score, turn_sh
from emoga.exporting.splat import RECORD
from emoga.head import load_head
from emoga.motion import save_motion
from emoga.render import evaluate_sh

STANDARD = [
    "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *(f"f_rest_{i}" for i in range(9)),
    "opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
]  # fmt: skip


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return sample_avatar()


def read_3dgs(data: bytes) -> np.ndarray:
    ply = PlyData.read(io.BytesIO(data))
    assert [element.name for element in ply.elements] == ["vertex"]
    return ply["vertex"].data


def columns(vertices: np.ndarray, *names: str) -> np.ndarray:
    return np.stack([vertices[name] for name in names], 1)


def test_avatar_formats_write_what_saving_writes(avatar: Avatar, tmp_path: Path) -> None:
    for name in ("ply", "h5"):
        export(avatar, tmp_path / f"a.{name}")
        assert (tmp_path / f"a.{name}").read_bytes() == avatar_bytes(avatar, name)


def test_posed_ply_has_the_standard_properties_only_and_bind_values(avatar: Avatar) -> None:
    vertices = read_3dgs(export_bytes(avatar, "3dgs"))
    world = world_at_bind(avatar)
    assert list(vertices.dtype.names) == STANDARD
    assert (columns(vertices, "x", "y", "z") == world.means).all()
    assert (columns(vertices, "f_rest_0", "f_rest_3", "f_rest_6") == world.sh[:, 1]).all()


def test_posed_ply_holds_the_splats_of_the_frame(avatar: Avatar) -> None:
    vertices = read_3dgs(export_bytes(avatar, "3dgs", Pose(frame=4)))
    puppet = make_puppet(avatar)
    world = puppet.pose(posed_score(puppet, Pose(frame=4)).params).world
    assert np.abs(columns(vertices, "x", "y", "z") - world.means.numpy()).max() < 1e-6
    assert (
        np.abs(np.exp(columns(vertices, "scale_0", "scale_1", "scale_2")) - world.scales.numpy()).max() < 1e-6
    )
    opacities = 1 / (1 + np.exp(-vertices["opacity"].astype(np.float64)))
    assert np.abs(opacities - world.opacities.numpy()).max() < 2e-6
    # The head has turned by then.
    assert np.abs(world.means.numpy() - world_at_bind(avatar).means).max() > 0.01


def test_turned_colours_are_what_the_turned_head_shows() -> None:
    generator = torch.Generator().manual_seed(1)
    sh = torch.randn(7, 16, 3, generator=generator, dtype=torch.float64) * 0.1
    turn = torch.from_numpy(Rotation.random(7, rng=2).as_matrix())
    directions = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    for count in (1, 4, 9, 16):
        seen = evaluate_sh(sh[:, :count], (directions[:, None] @ turn)[:, 0])
        exported = evaluate_sh(turn_sh(sh[:, :count], turn), directions)
        assert torch.allclose(seen, exported, atol=1e-12)
        if count > 1:
            assert not torch.allclose(seen, evaluate_sh(sh[:, :count], directions), atol=1e-3)


def test_splat_records_decode_to_the_avatar(avatar: Avatar) -> None:
    data = export_bytes(avatar, "splat")
    assert len(data) == 32 * len(avatar.gaussians)
    records = np.frombuffer(data, RECORD)
    world = world_at_bind(avatar)
    order = np.array([np.flatnonzero((world.means == p).all(1))[0] for p in records["position"]])
    assert sorted(order) == list(range(len(order)))
    assert np.allclose(records["scale"], np.exp(world.log_scales[order]), rtol=1e-6)
    colour = np.clip(0.5 + 0.28209479177387814 * world.sh[order, 0], 0, 1) * 255
    assert np.abs(records["colour"][:, :3] - colour).max() <= 0.5001
    quats = (records["rotation"].astype(np.float64) - 128) / 128
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    assert (np.abs((quats * world.quats[order]).sum(1)) > 0.999).all()
    weight = records["scale"].prod(1) * records["colour"][:, 3]
    assert weight[:50].mean() > weight[-50:].mean()


@pytest.mark.parametrize("format", ["obj", "glb"])
def test_meshes_are_read_by_another_library(avatar: Avatar, format: str, tmp_path: Path) -> None:
    path = tmp_path / f"head.{format}"
    export(avatar, path, emotion="surprised")
    mesh = trimesh.load(path, force="mesh", process=False)
    puppet = make_puppet(avatar)
    expected = puppet.pose(posed_score(puppet, Pose(emotion="surprised")).params).vertices.numpy()
    assert len(mesh.faces) == len(puppet.head.faces)
    triangles = expected[puppet.head.faces.numpy()]
    order_free = np.sort(mesh.triangles.mean(1), axis=0), np.sort(triangles.mean(1), axis=0)
    assert np.abs(order_free[0] - order_free[1]).max() < 2e-6
    assert mesh.visual.uv is not None and mesh.visual.uv.min() >= -1e-6 and mesh.visual.uv.max() <= 1 + 1e-6


def test_an_emotion_changes_the_face_and_an_unknown_one_is_refused(avatar: Avatar) -> None:
    neutral, happy = (
        np.frombuffer(export_bytes(avatar, "splat", Pose(emotion=text)), RECORD)
        for text in ("neutral", "happy")
    )
    moved = np.abs(np.sort(neutral["position"], axis=0) - np.sort(happy["position"], axis=0)).max()
    assert 0.001 < moved < 0.05
    with pytest.raises(InputError, match=r"bored.*happy"):
        export_bytes(avatar, "splat", Pose(emotion="bored"))


def test_a_motion_file_poses_the_avatar(avatar: Avatar, tmp_path: Path) -> None:
    save_motion(sample_motion(load_head("open")), tmp_path / "m.h5")
    export(avatar, tmp_path / "a.splat", motion=tmp_path / "m.h5", frame=5)
    export(avatar, tmp_path / "b.splat", motion=tmp_path / "m.h5", frame=0)
    assert (tmp_path / "a.splat").read_bytes() != (tmp_path / "b.splat").read_bytes()
    with pytest.raises(InputError, match="frames 0 to 5"):
        export(avatar, tmp_path / "c.splat", motion=tmp_path / "m.h5", frame=6)


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("a.xyz", {}, "which format"),
        ("a.ply", {"format": "usdz"}, "unknown"),
        ("-", {}, "which format"),
        ("a.ply", {"frame": 3}, "drivable"),
        ("a.splat", {"frame": 6}, "frames 0 to 5"),
        ("folder", {"format": "gaussianavatars"}, "FLAME head"),
        ("-", {"format": "gaussianavatars"}, "stdout"),
    ],
)
def test_bad_requests_write_nothing(
    avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, options: dict, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        export(avatar, output, **options)
    assert list(tmp_path.iterdir()) == []


def test_every_format_has_a_word_about_it() -> None:
    assert all(FORMATS.values())


def test_gaussianavatars_layout(avatar: Avatar) -> None:
    """Their files from an avatar on any head; only the door asks for FLAME."""
    local = ga_local(avatar)
    vertices = read_3dgs(point_cloud(local))
    assert all(vertices.dtype[name] == np.float32 for name in vertices.dtype.names)
    assert sum(name.startswith("f_rest_") for name in vertices.dtype.names) == 45
    assert (vertices["binding_0"] >= 0).all()
    frames = bind_pose(dataclasses.replace(avatar, rig="ga"))
    where = rows_to_world(local, frames).means
    assert np.abs(where - world_at_bind(avatar).means).max() < 1e-6
    arrays = flame_param(avatar.motion.params, avatar.shape, avatar.static_offset, avatar.head_name)
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes["neck_pose"] == (6, 3) and shapes["eyes_pose"] == (6, 6)
    assert shapes["static_offset"] == (1, *avatar.static_offset.shape)
    assert shapes["dynamic_offset"] == (6, *avatar.static_offset.shape)


def test_ga_rig_is_written_as_it_is() -> None:
    avatar = sample_avatar(rig="ga")
    avatar.gaussians.binding[:5] = torch.arange(5)
    assert torch.equal(ga_local(avatar).means, avatar.gaussians.means)


def test_rows_survive_the_way_to_the_world_and_back(avatar: Avatar) -> None:
    frames = bind_pose(avatar)
    world = rows_to_world(avatar.gaussians, frames)
    back = rows_from_world(world, avatar.gaussians.binding, avatar.gaussians.labels, frames)
    assert (back.means - avatar.gaussians.means).abs().max() < 1e-4
