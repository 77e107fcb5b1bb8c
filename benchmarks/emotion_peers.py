"""Peers of the optimisation: a plain mean of the edits in UV, in colours or as changes of the avatar's render."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from emoga.camera import Camera, stack_cameras
from emoga.geometry import vertex_normals
from emoga.head import Head
from emoga.images import from_uint8, to_uint8
from emoga.optimize.surface_pictures import look_up
from emoga.render import rasterize_mesh

TEXELS = 512
HIDDEN = 0.003  # metres behind the nearest surface from which a texel is out of sight
ENOUGH = 0.05  # sum of cosines below which a texel counts as never seen
# Where a mesh cannot stand for what the camera sees: hair stands off it, eyes turn under their lids, cloth covers it.
BESIDE = (
    "scalp", "eyeballs", "irises", "lashes", "teeth", "tongue", "mouth_interior", "neck", "boundary", "shoulders",
)  # fmt: skip


@dataclass(frozen=True)
class Atlas:
    """Texels of a head that lie on it: row-major index [N], face [N] and bary [N,3] of each."""

    texel: np.ndarray
    face: np.ndarray
    bary: np.ndarray


def atlas_of(head: Head) -> Atlas:
    """The atlas of a head's UV layout, v upwards."""
    uv = head.uv.double()
    flat = torch.stack([uv[:, 0], 1 - uv[:, 1], torch.ones(len(uv), dtype=torch.float64)], 1)
    K = torch.diag(torch.tensor([TEXELS, TEXELS, 1.0], dtype=torch.float64))[None]
    seen = rasterize_mesh(flat, head.uv_faces, torch.eye(4, dtype=torch.float64)[None], K, TEXELS, TEXELS)
    covered = np.flatnonzero(seen.covered[0].numpy())
    return Atlas(
        covered, seen.face_index[0].numpy().reshape(-1)[covered], seen.bary[0].numpy().reshape(-1, 3)[covered]
    )


class UVMean:
    """A texture [TEXELS,TEXELS,3], filled picture by picture with what is seen of the surface."""

    def __init__(self, head: Head) -> None:
        self._head, self._faces, self._atlas = head, head.faces.numpy(), atlas_of(head)
        self._total = np.zeros((len(self._atlas.texel), 3))
        self._weight = np.zeros(len(self._atlas.texel))
        names = [head.region_names.index(name) for name in BESIDE if name in head.region_names]
        self._on_skin = ~np.isin(head.face_regions.numpy(), names)

    def add(self, picture: np.ndarray, vertices: np.ndarray, camera: Camera) -> None:
        """Take in a float picture [H,W,3] of the mesh in vertices [V,3], by cosine, where in sight."""
        corners = self._faces[self._atlas.face]
        bary = self._atlas.bary[..., None]
        places = (vertices[corners] * bary).sum(1)
        normals = vertex_normals(torch.from_numpy(vertices), self._head.faces).numpy()
        normals = (normals[corners] * bary).sum(1)
        towards = camera.position - places
        lengths = np.linalg.norm(normals, axis=1) * np.linalg.norm(towards, axis=1)
        cosine = (normals * towards).sum(1) / np.maximum(lengths, 1e-12)
        at, depth = camera.project(places)
        nearest = _seen(self._head, vertices, camera).depth[0].numpy()
        x, y = np.floor(at).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height)
        shown = nearest[y.clip(0, camera.height - 1), x.clip(0, camera.width - 1)]
        weight = np.where(inside & (depth < shown + HIDDEN), cosine.clip(0), 0)
        self._total += weight[:, None] * _sampled(picture, at)
        self._weight += weight

    def texture(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean [TEXELS,TEXELS,3] and known [TEXELS,TEXELS] float 0 or 1."""
        mean, known = np.zeros((TEXELS * TEXELS, 3), np.float32), np.zeros(TEXELS * TEXELS, np.float32)
        enough = self._weight > ENOUGH
        known[self._atlas.texel[enough]] = 1
        mean[self._atlas.texel[enough]] = self._total[enough] / self._weight[enough, None]
        return mean.reshape(TEXELS, TEXELS, 3), known.reshape(TEXELS, TEXELS)

    def seen(self, vertices: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
        """What a camera sees of the texture on a mesh [V,3]: values [H,W,3] and soft coverage [H,W] in 0..1."""
        mean, known = self.texture()
        fragments = _seen(self._head, vertices, camera)
        face, bary = fragments.face_index[0].numpy(), fragments.bary[0].numpy()
        corners = self._head.uv.numpy()[self._head.uv_faces.numpy()[np.maximum(face, 0)]]
        uv = (corners * bary[..., None]).sum(-2)
        pixels = np.stack([uv[..., 0], 1 - uv[..., 1]], -1) * TEXELS
        on_skin = (face >= 0) & self._on_skin[np.maximum(face, 0)]
        share = look_up(known, pixels)
        values = look_up(mean, pixels) / np.maximum(share, 1e-3)[..., None]
        # The mesh's rim is a pixel off here and there: the avatar's own render takes over softly.
        inner = cv2.erode((on_skin & (share > 0.5)).astype(np.uint8), np.ones((3, 3), np.uint8))
        return values, cv2.GaussianBlur(inner.astype(np.float32), (0, 0), 1.0)


def uv_mean_pictures(
    head: Head,
    edits: np.ndarray,
    posed: Sequence[np.ndarray],
    cameras: Sequence[Camera],
    drawn: np.ndarray,
    wanted: Sequence[np.ndarray],
    wanted_cameras: Sequence[Camera],
) -> np.ndarray:
    """uint8 pictures [Q,H,W,3]: the mean texture of edits [P,H,W,3] on a mesh, over the avatar's renders `drawn`.

    posed: vertices [V,3] of each edit; wanted: those of each picture to make. drawn uint8 [Q,H,W,3].
    """
    mean = UVMean(head)
    for edit, vertices, camera in zip(edits, posed, cameras, strict=True):
        mean.add(from_uint8(edit), vertices, camera)
    out = []
    for base, vertices, camera in zip(drawn, wanted, wanted_cameras, strict=True):
        values, share = mean.seen(vertices, camera)
        out.append(to_uint8(from_uint8(base) * (1 - share[..., None]) + values * share[..., None]))
    return np.stack(out)


def uv_change_pictures(
    head: Head,
    edits: np.ndarray,
    renders: np.ndarray,
    posed: Sequence[np.ndarray],
    cameras: Sequence[Camera],
    drawn: np.ndarray,
    wanted: Sequence[np.ndarray],
    wanted_cameras: Sequence[Camera],
) -> np.ndarray:
    """As `uv_mean_pictures`, of what the edits differ by from the avatar's `renders` of them, added to `drawn`."""
    mean = UVMean(head)
    for edit, render, vertices, camera in zip(edits, renders, posed, cameras, strict=True):
        mean.add(from_uint8(edit) - from_uint8(render), vertices, camera)
    out = []
    for base, vertices, camera in zip(drawn, wanted, wanted_cameras, strict=True):
        values, share = mean.seen(vertices, camera)
        out.append(to_uint8(from_uint8(base) + values * share[..., None]))
    return np.stack(out)


def _sampled(picture: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Colours [N,3] at any number of pixels [N,2]; a list of more than 32,767 is too long for OpenCV."""
    rows = -(-len(at) // TEXELS)
    padded = np.zeros((rows * TEXELS, 2), at.dtype)
    padded[: len(at)] = at
    return look_up(picture, padded.reshape(rows, TEXELS, 2)).reshape(-1, 3)[: len(at)]


def _seen(head: Head, vertices: np.ndarray, camera: Camera):
    viewmats, Ks = stack_cameras([camera], dtype=torch.float64)
    return rasterize_mesh(
        torch.from_numpy(vertices),
        head.faces,
        viewmats,
        Ks,
        camera.width,
        camera.height,
        cull_backfaces=False,
    )
