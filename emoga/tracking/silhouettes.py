"""Foreground and head masks of every tracked picture: given, by a flat backdrop, or by GrabCut."""

from __future__ import annotations

import numpy as np
import torch

from emoga.camera import Camera, stack_cameras
from emoga.head import Head
from emoga.images import to_uint8
from emoga.optimize.masks import Backdrop, backdrop_alpha, find_backdrop, grabcut_alpha
from emoga.optimize.masks_head import head_alpha
from emoga.progress import Reporter, Stage, Step
from emoga.render import rasterize_mesh
from emoga.tracking.inputs import Clip

SAMPLES = 5  # pictures per view that decide about the backdrop


def make_masks(
    clip: Clip, head: Head, cameras: list[Camera], vertices: torch.Tensor, report: Reporter
) -> tuple[np.ndarray, np.ndarray]:
    """Foreground and head alpha, uint8 [C,T,H,W], for the posed head vertices [T,V,3]."""
    count, width, height = len(clip.frames), cameras[0].width, cameras[0].height
    masks = np.zeros((len(cameras), count, height, width), np.uint8)
    heads = np.zeros_like(masks)
    report(Stage("masks", len(cameras) * count))
    for view, camera in enumerate(cameras):
        backdrop = _backdrop(clip, view)
        for frame in range(count):
            regions = visible_regions(head, vertices[frame], camera)
            picture = clip.image(view, frame)
            masks[view, frame] = _foreground(clip, view, frame, picture, backdrop, regions >= 0)
            given = clip.given_head_mask(view, frame)
            heads[view, frame] = (
                head_alpha(masks[view, frame], picture, regions, head.region_names)
                if given is None
                else given
            )
            report(Step(view * count + frame + 1))
    return masks, heads


def visible_regions(head: Head, vertices: torch.Tensor, camera: Camera) -> np.ndarray:
    """The head region each pixel sees, int [H,W], an index into head.region_names or -1."""
    viewmats, Ks = stack_cameras([camera], dtype=torch.float64)
    index = (
        rasterize_mesh(vertices.double(), head.faces, viewmats, Ks, camera.width, camera.height)
        .face_index[0]
        .numpy()
    )
    regions = head.face_regions.numpy().astype(np.int64)
    return np.where(index >= 0, regions[index], -1)


def _backdrop(clip: Clip, view: int) -> Backdrop | None:
    if clip.mask(view, 0) is not None:
        return None
    chosen = np.unique(np.linspace(0, len(clip.frames) - 1, SAMPLES).round().astype(int))
    return find_backdrop([clip.image(view, int(frame)) for frame in chosen])


def _foreground(
    clip: Clip, view: int, frame: int, picture: np.ndarray, backdrop: Backdrop | None, mesh: np.ndarray
) -> np.ndarray:
    given = clip.mask(view, frame)
    if given is not None:
        return given
    if backdrop is not None:
        return to_uint8(backdrop_alpha(picture, backdrop))
    return to_uint8(grabcut_alpha(picture, mesh))
