"""The avatar in the frames and before the cameras of edited pictures, ready to be drawn and to be moved."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.avatar.avatar import Gaussians
from emoga.avatar.frames import TriangleFrames
from emoga.avatar.posing import MOTION, Puppet, make_puppet
from emoga.camera import Camera, stack_cameras
from emoga.editing.edited_pictures import EditedPictures
from emoga.errors import InputError
from emoga.head import HeadParams
from emoga.optimize.carry import Bindings, Carried, carry, sort_bindings
from emoga.render import Rendering, rasterize

EMPTY = 0.02  # alpha of the avatar below which a picture shows what is behind it
FEW = 50  # pixels that tell a backdrop


@dataclass(frozen=True, eq=False)
class PosedHead:
    """One frame: vertices [V,3], bones [B,3,4], and turn [V,3,3] from rest to world for small moves of the rest."""

    vertices: torch.Tensor
    bones: torch.Tensor
    turn: torch.Tensor


class Scene:
    """An avatar that P pictures show; `move` [V,3] metres of its rest is still to be found and may carry gradients."""

    def __init__(self, avatar: Avatar, motion: HeadParams, edited: EditedPictures) -> None:
        _check(edited, motion)
        self.avatar, self.edited = avatar, edited
        self.puppet: Puppet = make_puppet(avatar)
        self.bindings: Bindings = sort_bindings(avatar.gaussians.binding, len(self.puppet.head.faces))
        self.heads = {int(frame): self._posed(motion, int(frame)) for frame in np.unique(edited.frames)}
        self.backdrops = np.ones((len(edited.frames), 3), np.float32)
        with torch.no_grad():
            for p in range(len(self)):
                alpha = self.draw(self.puppet.gaussians, p).alpha[0, ..., 0].numpy()
                self.backdrops[p] = _backdrop(edited.originals[p], edited.masks[p], alpha)

    def __len__(self) -> int:
        return len(self.edited.frames)

    def camera(self, p: int) -> Camera:
        """The camera of picture p."""
        return self.edited.cameras[p]

    def frames(self, p: int, move: torch.Tensor | None = None) -> TriangleFrames:
        """The rig's frames in picture p, its rest moved by `move` [V,3]."""
        head = self.heads[int(self.edited.frames[p])]
        vertices = head.vertices
        if move is not None:
            vertices = vertices + (head.turn @ move[..., None])[..., 0]
        return self.puppet.rig.frames(vertices, head.bones)

    def carried(self, gaussians: Gaussians, p: int, move: torch.Tensor | None = None) -> Carried:
        """Gaussians in the world of picture p."""
        position = torch.from_numpy(self.camera(p).position.astype(np.float32))
        return carry(gaussians, self.bindings, self.frames(p, move), self.puppet.bind, position)

    def draw(
        self, gaussians: Gaussians, p: int, move: torch.Tensor | None = None, size: int = 0
    ) -> Rendering:
        """Picture p of other Gaussians that hang as the avatar's do; size: its height in pixels, 0 as it is."""
        camera = self.camera(p)
        if size:
            camera = camera.resized(max(8, round(camera.width * size / camera.height)), size)
        splats = self.carried(gaussians, p, move)
        viewmats, Ks = stack_cameras([camera])
        return rasterize(
            splats.means, splats.quats, splats.scales, splats.opacities, splats.colors[None], viewmats, Ks,
            camera.width, camera.height, background=torch.from_numpy(self.backdrops[p]),
        )  # fmt: skip

    def _posed(self, motion: HeadParams, frame: int) -> PosedHead:
        parts = [getattr(motion, name)[frame : frame + 1].float() for name in MOTION]
        identity, head = self.puppet.identity, self.puppet.head
        with torch.no_grad():
            vertices, bones = identity.pose(*parts)[0], identity.bones(*parts)[0]
            turn = torch.einsum("vb,bij->vij", head.skin_weights, bones[..., :3])
        return PosedHead(vertices, bones, turn)

    def moved(self, move: torch.Tensor) -> Avatar:
        """The avatar with its rest moved by [V,3]; Gaussians follow their triangles."""
        offset = move.detach().to(self.avatar.shape)
        if self.avatar.static_offset is not None:
            offset = self.avatar.static_offset + offset
        return replace(self.avatar, static_offset=offset)


def _backdrop(picture: np.ndarray, mask: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The colour [3] behind the avatar in a picture, white where hardly any of it shows."""
    empty = (alpha < EMPTY) & (mask < 0.5)
    if empty.sum() < FEW:
        empty = alpha < EMPTY
    if empty.sum() < FEW:
        return np.ones(3, np.float32)
    # Clothes below the avatar are another colour, but they are less than half of what is beside it.
    return np.median(picture[empty][: max(FEW, int(0.6 * empty.sum()))], axis=0).astype(np.float32)


def _check(edited: EditedPictures, motion: HeadParams) -> None:
    """Raises InputError when pictures, masks, cameras and frames do not fit together."""
    shape = edited.originals.shape
    if len(shape) != 4 or shape[-1] != 3 or 0 in shape:
        raise InputError(f"edited pictures: originals are {list(shape)}, not [N,H,W,3]")
    if edited.edited.shape != shape or edited.masks.shape != shape[:3]:
        raise InputError(
            f"edited pictures: {list(edited.edited.shape)} edited and {list(edited.masks.shape)} masks for "
            f"{list(shape)} originals; they must match"
        )
    if not len(edited.cameras) == len(edited.frames) == len(edited.views) == shape[0]:
        raise InputError(f"edited pictures: {shape[0]} pictures need as many cameras, frames and views")
    for camera in edited.cameras:
        if (camera.width, camera.height) != (shape[2], shape[1]):
            raise InputError(
                f"edited pictures: camera {camera.name} is {camera.width}x{camera.height}, the pictures "
                f"{shape[2]}x{shape[1]}"
            )
    if len(edited.frames) and not 0 <= edited.frames.min() <= edited.frames.max() < motion.frames:
        raise InputError(f"edited pictures: a frame lies beyond the {motion.frames} of the motion")
