"""The layout of GaussianAvatars: point_cloud.ply with local values, and flame_param.npz beside it.

Their splats live in the "ga" frames of FLAME triangles, so only avatars on a FLAME head can be written.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.spatial
import torch

from emoga.avatar import Avatar, Gaussians
from emoga.avatar.frames import TriangleFrames
from emoga.avatar.ply import splat_records
from emoga.avatar.ply_records import format_ply
from emoga.avatar.rig import WorldRows, bind_pose, rows_from_world, rows_to_world
from emoga.errors import InputError
from emoga.exporting.flame import flame_param
from emoga.head import load_head

THEIR_SH_COUNT = 16


def write_gaussianavatars(avatar: Avatar, folder: Path) -> None:
    """Write point_cloud.ply and flame_param.npz into `folder`.

    Raises InputError for heads that are not FLAME and for avatars without a training motion.
    """
    if not avatar.head_name.startswith("flame"):
        raise InputError(
            f"GaussianAvatars files need a FLAME head, this avatar has the {avatar.head_name!r} head; "
            "export 3dgs, splat or glb instead, or track with --head flame2020 or flame2023 and fit that"
        )
    if avatar.motion is None:
        raise InputError("GaussianAvatars files carry the training motion, which this avatar lacks")
    (folder / "point_cloud.ply").write_bytes(point_cloud(ga_local(avatar)))
    with open(folder / "flame_param.npz", "wb") as stream:
        np.savez_compressed(
            stream, **flame_param(avatar.motion.params, avatar.shape, avatar.static_offset, avatar.head_name)
        )


def point_cloud(local: Gaussians) -> bytes:
    """Local Gaussians, all bound to triangles, as their PLY: floats only, SH padded to degree 3."""
    sh = np.zeros((len(local), THEIR_SH_COUNT, 3), np.float32)
    sh[:, : local.sh.shape[1]] = local.sh.numpy()
    values = (local.means, local.quats, local.log_scales, local.logit_opacities)
    rows = WorldRows(*(value.numpy() for value in values), sh)
    binding = local.binding.numpy().astype("<f4")
    return format_ply({"vertex": splat_records(rows, {"binding_0": binding})})


def ga_local(avatar: Avatar) -> Gaussians:
    """The avatar's Gaussians in the frames of GaussianAvatars, at the same places in the bind pose.

    What rides on bones goes to the nearest triangle, since their files know triangles only.
    """
    gaussians = avatar.gaussians.detach().to("cpu")
    if avatar.rig == "ga" and bool((gaussians.binding >= 0).all()):
        return gaussians
    world = rows_to_world(gaussians, bind_pose(avatar))
    frames = bind_pose(replace(avatar, rig="ga"))
    binding = _triangles(gaussians.binding, world, frames, len(load_head(avatar.head_name).faces))
    return rows_from_world(world, binding, gaussians.labels, frames)


def _triangles(
    binding: torch.Tensor, world: WorldRows, frames: TriangleFrames, face_count: int
) -> torch.Tensor:
    """Bindings [N] with bones replaced by the nearest triangle."""
    on_bone = (binding < 0).numpy()
    if not on_bone.any():
        return binding
    _, nearest = scipy.spatial.cKDTree(frames.origin[:face_count].numpy()).query(world.means[on_bone])
    result = binding.clone()
    result[torch.from_numpy(on_bone)] = torch.from_numpy(np.asarray(nearest, np.int64))
    return result
