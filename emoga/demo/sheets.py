"""Contact sheets of the demo: all emotions, and a driver beside the avatar."""

from __future__ import annotations

import numpy as np
import torch

from emoga.avatar import Avatar
from emoga.avatar.emotions import EmotionCurve
from emoga.avatar.score import person_of, write_score
from emoga.camera import Camera, stack_cameras
from emoga.geometry import vertex_normals
from emoga.head import Head, load_head
from emoga.images import contact_sheet, to_uint8
from emoga.motion import Motion
from emoga.motion.driving import Person
from emoga.optimize.picture import AvatarRenderer
from emoga.reenactment import portrait_camera, still_pictures
from emoga.render import interpolate, rasterize_mesh

CELL = 220
CLAY = np.array([0.78, 0.70, 0.64])
SUN = torch.nn.functional.normalize(torch.tensor([0.3, 0.5, 0.8]), dim=0)


def emotion_sheet(avatar: Avatar, emotions: list[str], side: int) -> np.ndarray:
    """All emotions as stills, from the front and from 40 degrees to the side."""
    pictures = still_pictures(avatar, emotions, [0, 40], side)
    return contact_sheet(pictures, emotions * 2, columns=len(emotions), cell=CELL)


def driving_sheet(avatar: Avatar, motion: Motion, side: int, count: int = 8) -> np.ndarray:
    """The driver's mesh above what the avatar makes of it, in frames spread over the motion."""
    head = load_head(avatar.head_name)
    score = write_score(
        avatar, head, motion, EmotionCurve(), calibrate=True, pose="relative", pose_reference="mean"
    )
    frames = np.linspace(0, motion.frame_count - 1, count).round().astype(int)
    driver = Person(motion.params.shape, torch.zeros(len(head.expr_names)), None, motion)
    above = portrait_camera(head, driver, side, side)
    below = portrait_camera(head, person_of(avatar), side, side)
    vertices = head.vertices(motion.params.select(torch.from_numpy(frames)))
    renderer = AvatarRenderer(avatar)
    pictures = [clay_picture(head, posed, above) for posed in vertices]
    pictures += [renderer.picture(score.params, int(frame), below) for frame in frames]
    labels = [f"driver {frame}" for frame in frames] + [f"avatar {frame}" for frame in frames]
    return contact_sheet(pictures, labels, columns=count, cell=CELL)


@torch.no_grad()
def clay_picture(head: Head, vertices: torch.Tensor, camera: Camera) -> np.ndarray:
    """uint8 [H,W,3] of a posed mesh [V,3] in one matt colour on white."""
    viewmats, Ks = stack_cameras([camera])
    fragments = rasterize_mesh(vertices, head.faces, viewmats, Ks, camera.width, camera.height)
    normals = interpolate(fragments, vertex_normals(vertices, head.faces))[0]
    light = (0.45 + 0.55 * (normals @ SUN).clamp_min(0)).numpy()[..., None]
    return to_uint8(np.where(fragments.covered[0].numpy()[..., None], CLAY * light, 1.0))
