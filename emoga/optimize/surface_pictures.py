"""Pictures as seen from the surface: where a surface point was a frame ago, and what each view shows of it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from emoga.camera import Camera
from emoga.images import from_uint8
from emoga.triangles import rasterize_faces

HIDDEN = 0.004  # metres behind what a picture shows from which a point counts as hidden
FACING = 0.35  # cosine between normal and line of sight below which a view shows too little of a point


def surface_motion(
    before: np.ndarray, after: np.ndarray, faces: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """Where the picture of mesh `before` [V,3] shows what each pixel of that of `after` [V,3] shows.

    Returns pixels [H,W,2] float32 (x, y; centres at +0.5) and known [H,W] bool: false where the point was hidden
    before. Beside the mesh, where hair is, the motion of the mesh's rim goes on.
    """
    face, bary = _seen(after, faces, camera)[:2]
    covered = face >= 0
    corners, weights = faces[face[covered]], bary[covered]
    earlier = np.einsum("pk,pkd->pd", weights, before[corners])
    at, depth = camera.project(earlier)
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    grid = np.stack([x, y], -1).astype(np.float32)
    displacement = np.zeros_like(grid)
    displacement[covered] = at - grid[covered]
    known = np.ones(face.shape, bool)
    known[covered] = _in_sight(at, depth, before, faces, camera)
    if covered.any():
        displacement = np.where(covered[..., None], displacement, spread_outward(displacement, covered))
    return grid + displacement, known


def spread_outward(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values [H,W,2] with those of the nearest known pixel where none is known, then softened."""
    _, label = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros((label.max() + 1, 2), np.float32)
    table[label[known]] = values[known]
    return cv2.GaussianBlur(table[label], (0, 0), 2.0)


def look_up(picture: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Bilinear values of a picture [H,W] or [H,W,D] at pixels [...,2] (centres at +0.5), float32 [...,D].

    8-bit pictures are taken as 0..1.
    """
    values = from_uint8(picture) if picture.dtype == np.uint8 else picture.astype(np.float32)
    at = (np.asarray(pixels) - 0.5).astype(np.float32)
    flat = at.reshape(-1, 1, 2) if at.ndim != 3 else at
    found = cv2.remap(values, flat[..., 0], flat[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(*at.shape[:-1], *picture.shape[2:])


def lift(
    pictures: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    vertices: np.ndarray,
    normals: np.ndarray,
    faces: np.ndarray,
    cameras: Sequence[Camera],
) -> tuple[np.ndarray, np.ndarray]:
    """What each of C pictures [H,W,3] shows of every vertex [V,3]: values [C,V,3] and seen [C,V] bool.

    normals [V,3]: outward, unit. A vertex is seen where it is in sight, faces the camera and lies in the
    mask [H,W] of bool; values of unseen ones mean nothing.
    """
    values = np.zeros((len(cameras), len(vertices), 3), np.float32)
    seen = np.zeros(values.shape[:2], bool)
    for view, camera in enumerate(cameras):
        at, depth = camera.project(vertices)
        towards = camera.position - vertices
        towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
        facing = (towards * normals).sum(-1) > FACING
        seen[view] = facing & _in_sight(at, depth, vertices, faces, camera)
        seen[view] &= look_up(masks[view].astype(np.float32), at) > 0.999
        values[view] = look_up(pictures[view], at)
    return values, seen


def _in_sight(
    at: np.ndarray, depth: np.ndarray, vertices: np.ndarray, faces: np.ndarray, camera: Camera
) -> np.ndarray:
    """Which points, at pixels [P,2] and depth [P] metres, lie in the picture and not behind the mesh; bool [P]."""
    shown = _seen(vertices, faces, camera)[2]
    x, y = np.floor(at).astype(np.int64).T
    inside = (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height) & (depth > 0)
    nearest = shown[y.clip(0, camera.height - 1), x.clip(0, camera.width - 1)]
    return inside & ((nearest == 0) | (depth < nearest + HIDDEN))


def _seen(
    vertices: np.ndarray, faces: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Face [H,W] (-1: none), bary [H,W,3] and depth [H,W] metres (0: none) of a mesh in a picture."""
    points = vertices @ camera.w2c[:3, :3].T + camera.w2c[:3, 3]
    return rasterize_faces(points, faces, camera.K, camera.width, camera.height)
