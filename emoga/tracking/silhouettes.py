"""Foreground and head masks of every tracked picture: given, by a flat backdrop, or by GrabCut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from emoga.camera import Camera, stack_cameras
from emoga.head import Head
from emoga.images import to_uint8
from emoga.optimize.masks import Backdrop, backdrop_alpha, find_backdrop, grabcut_alpha
from emoga.optimize.masks_head import head_alpha
from emoga.progress import Reporter, Stage, Step
from emoga.render import rasterize_mesh
from emoga.threads import in_order, threads_for_pictures
from emoga.tracking.inputs import Clip

Masks = tuple[np.ndarray, np.ndarray]  # foreground and head

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
        # Pictures are read in order, by one thread; what is made of them is nobody else's business.
        seen = (
            _Seen(
                clip.image(view, frame),
                vertices[frame],
                clip.mask(view, frame),
                clip.given_head_mask(view, frame),
            )
            for frame in range(count)
        )

        def made(one: _Seen, camera: Camera = camera, backdrop: Backdrop | None = backdrop) -> Masks:
            return one.masks(head, camera, backdrop)

        for frame, (mask, head_mask) in enumerate(in_order(seen, made, threads_for_pictures(width, height))):
            masks[view, frame], heads[view, frame] = mask, head_mask
            report(Step(view * count + frame + 1))
    return masks, heads


@dataclass(frozen=True)
class _Seen:
    """A picture [H,W,3], the head's vertices [V,3] in it, and masks [H,W] that are given."""

    picture: np.ndarray
    vertices: torch.Tensor
    mask: np.ndarray | None
    head_mask: np.ndarray | None

    def masks(self, head: Head, camera: Camera, backdrop: Backdrop | None) -> Masks:
        """Foreground and head alpha, uint8 [H,W]."""
        regions = visible_regions(head, self.vertices, camera)
        mask = self.mask if self.mask is not None else _foreground(self.picture, backdrop, regions >= 0)
        if self.head_mask is not None:
            return mask, self.head_mask
        return mask, head_alpha(mask, self.picture, regions, head.region_names)


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


def _foreground(picture: np.ndarray, backdrop: Backdrop | None, mesh: np.ndarray) -> np.ndarray:
    if backdrop is not None:
        return to_uint8(backdrop_alpha(picture, backdrop))
    return to_uint8(grabcut_alpha(picture, mesh))
