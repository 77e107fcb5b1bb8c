"""The rig: Gaussians in the local frames of a head's triangles and bones, to the world and back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from emoga.avatar.avatar import Avatar, Gaussians
from emoga.avatar.frames import (
    Patches,
    TriangleFrames,
    bind_frames,
    face_patches,
    ga_frames,
    smooth_frames,
)
from emoga.avatar.light import Light, Shading
from emoga.errors import InputError
from emoga.geometry import matrix_to_quat, quat_conjugate, quat_multiply
from emoga.head import BONES, Head, Identity, load_head

RIGS = ("smooth", "ga")
# Bind vertices are rounded to about a micrometre: a library that sums in another order on another machine
# then still arrives at the same bits.
BIND_GRID = 2.0**-20
# Size k, in metres, of the frames of bones: what is bound to a bone has its local values in centimetres.
BONE_SIZE = 0.01


@dataclass(frozen=True)
class WorldGaussians:
    """Posed Gaussians, activated.

    means [...,N,3] metres, quats [...,N,4] wxyz unit, scales [...,N,3] metres, opacities [...,N] in 0..1.
    """

    means: torch.Tensor
    quats: torch.Tensor
    scales: torch.Tensor
    opacities: torch.Tensor


@dataclass(frozen=True)
class WorldRows:
    """What a 3DGS file stores of N Gaussians at the bind pose: NumPy float32, stored encodings."""

    means: np.ndarray
    quats: np.ndarray
    log_scales: np.ndarray
    logit_opacities: np.ndarray
    sh: np.ndarray


@dataclass(frozen=True, eq=False)
class Rig:
    """How the triangles of one head model carry Gaussians. `patches` is None for the "ga" rig.

    shading: what a light that stands still does to one person's triangles.
    """

    name: str
    faces: torch.Tensor
    patches: Patches | None
    shading: Shading | None = None

    @property
    def normal(self) -> int:
        """Which axis of a triangle's frame points outwards."""
        return 1 if self.patches is None else 2

    def frames(self, vertices: torch.Tensor, bones: torch.Tensor | None = None) -> TriangleFrames:
        """Frames of posed vertices [...,V,3]; world transforms of bones [...,B,3,4] become further rows."""
        if self.patches is None:
            frames = ga_frames(vertices, self.faces.to(vertices.device))
        else:
            frames = smooth_frames(vertices, self.patches)
        if self.shading is not None:
            normals = frames.rotation[..., self.normal].detach()
            frames = replace(frames, shade=self.shading.to(normals.device, normals.dtype).of(normals))
        return frames if bones is None else with_bones(frames, bones)

    def lit(self, light: Light | None, bind: TriangleFrames) -> Rig:
        """The rig under a light, for a person whose frames at the bind pose, triangles first, are `bind`."""
        if light is None:
            return self
        normals = bind.rotation[: len(self.faces), :, self.normal]
        return replace(self, shading=light.shading(normals))


def rig_of(head: Head, name: str = "smooth") -> Rig:
    """The rig of a head model, made once. Raises InputError for an unknown rig."""
    if name not in RIGS:
        raise InputError(f"unknown rig {name!r}; known: {', '.join(RIGS)}")
    key = (head.name, head.checksum, name)
    if key not in _made:
        _made[key] = _make_rig(head, name)
    return _made[key]


_made: dict[tuple[str, str, str], Rig] = {}


def _make_rig(head: Head, name: str) -> Rig:
    faces = head.faces.cpu()
    if name == "ga":
        return Rig(name, faces, None)
    fading = head.regions["eyelids"].cpu().numpy()[faces.numpy()].all(1)
    return Rig(name, faces, face_patches(head.template.double().cpu().numpy(), faces.numpy(), fading))


def binding_rows(binding: torch.Tensor, triangles: int) -> torch.Tensor:
    """Row of each Gaussian among frames: its triangle, or for binding -1 - b bone b, after all triangles."""
    return torch.where(binding >= 0, binding, triangles - 1 - binding)


def to_world(gaussians: Gaussians, frames: TriangleFrames) -> WorldGaussians:
    """Carry N Gaussians by frames [...,F]: x = k R x_l + T, q = q(R) q_l, s = k s_l, opacity by the fade."""
    rows = _rows(gaussians.binding, frames)
    size = frames.size[..., rows, None]
    rotation = frames.rotation[..., rows, :, :]
    means = size * (rotation @ gaussians.means[..., None])[..., 0] + frames.origin[..., rows, :]
    local = torch.nn.functional.normalize(gaussians.quats, dim=-1)
    quats = quat_multiply(matrix_to_quat(frames.rotation)[..., rows, :], local)
    scales = size * gaussians.log_scales.exp()
    return WorldGaussians(means, quats, scales, gaussians.logit_opacities.sigmoid() * frames.fade[..., rows])


def to_local(world: WorldGaussians, frames: TriangleFrames, like: Gaussians) -> Gaussians:
    """The inverse of `to_world` for one pose: Gaussians with binding, labels, colours and latents of `like`.

    What has faded away entirely cannot come back; opacities are clamped to (1e-7, 1 - 1e-7).
    """
    rows = _rows(like.binding, frames)
    size, rotation = frames.size[rows, None], frames.rotation[rows]
    offset = (world.means - frames.origin[rows])[:, None, :]
    means = (offset @ rotation)[:, 0, :] / size
    quats = quat_multiply(quat_conjugate(matrix_to_quat(rotation)), world.quats)
    opacities = (world.opacities / frames.fade[rows].clamp_min(1e-7)).clamp(1e-7, 1 - 1e-7)
    return Gaussians(
        means, quats, (world.scales / size).log(), opacities.logit(), like.sh, like.binding, like.labels,
        like.latents,
    )  # fmt: skip


def turn_since_bind(frames: TriangleFrames, bind: TriangleFrames, binding: torch.Tensor) -> torch.Tensor:
    """Rotations [...,N,3,3] from the bind pose to the posed head, for each Gaussian's triangle or bone.

    A world direction times this matrix on its right is the direction in which stored SH are evaluated.
    """
    rows = _rows(binding, frames)
    turn = frames.rotation @ bind.rotation.to(frames.rotation).transpose(-1, -2)
    return turn[..., rows, :, :]


def avatar_head(avatar: Avatar) -> Head:
    """The head model an avatar was made with. Raises InputError when it is another version."""
    head = load_head(avatar.head_name)
    if head.checksum != avatar.head_checksum:
        raise InputError(
            f"the avatar was made with head {avatar.head_name} {avatar.head_version} "
            f"({avatar.head_checksum[:12]}), here is {head.version} ({head.checksum[:12]}); "
            "mixing versions would distort it"
        )
    return head


def avatar_identity(avatar: Avatar, head: Head | None = None) -> Identity:
    """The avatar's person, ready to be posed."""
    return (head or avatar_head(avatar)).identify(avatar.shape, avatar.static_offset)


def bind_pose(avatar: Avatar, head: Head | None = None) -> TriangleFrames:
    """Float64 frames of the avatar's bind pose, triangles and bones: the same bits on every machine."""
    head = head or avatar_head(avatar)
    offset = None if avatar.static_offset is None else avatar.static_offset.double().cpu()
    identity = head.identify(avatar.shape.double().cpu(), offset)
    expr = head.bind_expr().double().cpu()[None]
    jaw = head.bind_jaw().double().cpu()[None]
    vertices, bones = identity.pose(expr, jaw=jaw)[0], identity.bones(expr, jaw=jaw)[0]
    vertices, bones = (np.round(array.numpy() / BIND_GRID) * BIND_GRID for array in (vertices, bones))
    rig = rig_of(head, avatar.rig)
    return with_bones(bind_frames(vertices, rig.patches, rig.faces.numpy()), torch.from_numpy(bones))


def world_at_bind(avatar: Avatar, head: Head | None = None) -> WorldRows:
    """What a 3DGS file stores of the avatar: computed in float64 in a fixed order, rounded once."""
    return rows_to_world(avatar.gaussians, bind_pose(avatar, head))


def rows_to_world(gaussians: Gaussians, frames: TriangleFrames) -> WorldRows:
    """`to_world` for files: float64, elementwise, in a fixed order; encodings as stored, quaternions unit."""
    size, rotation, turn, origin = _frame_arrays(gaussians.binding, frames)
    means, quats, log_scales = (
        _float64(part) for part in (gaussians.means, gaussians.quats, gaussians.log_scales)
    )
    moved = origin + size[:, None] * _apply(rotation, means)
    return WorldRows(
        moved.astype(np.float32),
        _normalised(_hamilton(turn, _normalised(quats))).astype(np.float32),
        (log_scales + np.log(size)[:, None]).astype(np.float32),
        gaussians.logit_opacities.detach().cpu().numpy().astype(np.float32),
        gaussians.sh.detach().cpu().numpy().astype(np.float32),
    )


def rows_from_world(
    world: WorldRows, binding: torch.Tensor, labels: torch.Tensor, frames: TriangleFrames
) -> Gaussians:
    """The inverse of `rows_to_world`, for splats that another program changed; float32 results."""
    size, rotation, turn, origin = _frame_arrays(binding, frames)
    means = _apply(np.swapaxes(rotation, 1, 2), world.means.astype(np.float64) - origin) / size[:, None]
    quats = _hamilton(turn * [1, -1, -1, -1], _normalised(world.quats.astype(np.float64)))
    log_scales = world.log_scales.astype(np.float64) - np.log(size)[:, None]
    return Gaussians(
        *(torch.from_numpy(part.astype(np.float32)) for part in (means, quats, log_scales)),
        torch.from_numpy(world.logit_opacities.astype(np.float32)),
        torch.from_numpy(world.sh.astype(np.float32)),
        binding,
        labels,
    )


def _rows(binding: torch.Tensor, frames: TriangleFrames) -> torch.Tensor:
    """Bone rows come last, so a binding of -1 - b counts from the end once the number of bones is known."""
    if bool((binding >= 0).all()):
        return binding
    return binding_rows(binding, frames.size.shape[-1] - len(BONES))


def bone_frames(bones: torch.Tensor) -> TriangleFrames:
    """Frames [...,B] of bones by their world transforms [...,B,3,4]."""
    ones = bones.new_ones(bones.shape[:-2])
    return TriangleFrames(bones[..., 3], bones[..., :3], BONE_SIZE * ones, ones)


def with_bones(frames: TriangleFrames, bones: torch.Tensor) -> TriangleFrames:
    """Frames [...,F] and, as further rows, those of bones with world transforms [...,B,3,4]; no light shades these."""
    further = bone_frames(bones.to(frames.origin))
    shade = None
    if frames.shade is not None:
        shade = torch.cat([frames.shade, torch.ones_like(further.origin)], -2)
    return TriangleFrames(
        torch.cat([frames.origin, further.origin], -2),
        torch.cat([frames.rotation, further.rotation], -3),
        torch.cat([frames.size, further.size], -1),
        torch.cat([frames.fade, further.fade], -1),
        shade,
    )


def _frame_arrays(binding: torch.Tensor, frames: TriangleFrames) -> tuple[np.ndarray, ...]:
    rows = _rows(binding.cpu(), frames).numpy()
    turn = matrix_to_quat(frames.rotation).numpy()[rows]
    return frames.size.numpy()[rows], frames.rotation.numpy()[rows], turn, frames.origin.numpy()[rows]


def _float64(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float64)


def _apply(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    x, y, z = vectors[:, 0], vectors[:, 1], vectors[:, 2]
    return np.stack(
        [matrices[:, row, 0] * x + matrices[:, row, 1] * y + matrices[:, row, 2] * z for row in range(3)], 1
    )


def _hamilton(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    aw, ax, ay, az = a.T
    bw, bx, by, bz = b.T
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        1,
    )


def _normalised(quats: np.ndarray) -> np.ndarray:
    w, x, y, z = quats.T
    return quats / np.sqrt(w * w + x * x + y * y + z * z + 1e-30)[:, None]
