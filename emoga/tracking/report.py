"""What a track's report says beyond landmark errors: jitter, lips that should be closed, and what nobody saw."""

from __future__ import annotations

import numpy as np
import torch

from emoga.camera import Camera, stack_cameras
from emoga.capture import Landmarks, Track
from emoga.errors import QualityError
from emoga.geometry import vertex_normals
from emoga.head import Head
from emoga.optimize.solving_landmarks import project
from emoga.optimize.solving_points import landmark_points
from emoga.render import rasterize_mesh
from emoga.tracking.quality import FACES_CAMERA

INNER_LIPS = {"mediapipe478": (13, 14), "ibug68": (62, 66)}  # middle of the upper and of the lower lip's rim
CLOSED = 0.01  # share of the face's height below which the detector's lips count as closed
STEADY = ("forehead", "nose", "scalp")  # regions that move with the skull alone
LOOKED_AT = 24  # pictures in which visibility is found out
HIDDEN = 0.003  # metres behind the surface at which a vertex counts as occluded
UNSEEN_SHARE = 0.05  # of a region's vertices, below which nothing is said
UNLISTED = ("teeth", "tongue", "mouth_interior", "boundary", "eyeballs", "lashes")


def jitter(cameras: list[Camera], head: Head, vertices: torch.Tensor) -> np.ndarray:
    """How the skull shakes [C,T] in pixels: mean second difference of its points over time, NaN at both ends.

    vertices [T,V,3]. Of a head that moves smoothly it is near zero.
    """
    steady = torch.stack([head.regions[name] for name in STEADY if name in head.regions]).any(0)
    viewmats, Ks = stack_cameras(cameras, dtype=torch.float64)
    pixels = project(vertices[:, steady].double(), viewmats, Ks, 0.0)[0].numpy()
    result = np.full(pixels.shape[:2], np.nan)
    if pixels.shape[1] > 2:
        second = pixels[:, 2:] - 2 * pixels[:, 1:-1] + pixels[:, :-2]
        result[:, 1:-1] = np.linalg.norm(second, axis=-1).mean(-1)
    return result


def closed_mouth_error(track: Track, head: Head, vertices: torch.Tensor, face_height: float) -> np.ndarray:
    """How far [C,T] our lips stand open, as a share of the face's height, where the detector's are closed.

    NaN in all other frames. vertices [T,V,3]; face_height in pixels.
    """
    marks: Landmarks = track.landmarks
    pair = list(INNER_LIPS[marks.scheme])
    points = landmark_points(head, marks.scheme).on_mesh(vertices)[:, pair]
    viewmats, Ks = stack_cameras(track.cameras, dtype=torch.float64)
    ours = project(points.double(), viewmats, Ks, 0.0)[0].numpy()
    gap, theirs = (
        np.linalg.norm(p[..., 1, :] - p[..., 0, :], axis=-1) for p in (ours, marks.points[:, :, pair])
    )
    closed = marks.valid & (theirs < CLOSED * face_height)
    return np.where(closed, gap / face_height, np.nan)


def never_seen(track: Track, head: Head, vertices: torch.Tensor) -> dict[str, float]:
    """Share of each region that no training picture shows, of the regions of which a part is missing.

    vertices [T,V,3]. Of long clips pictures spread over time are looked at.
    """
    views = track.held_out.training_views(len(track.cameras))
    frames = track.held_out.training_frames(track.frame_count)
    chosen = {frames[round(i)] for i in np.linspace(0, len(frames) - 1, max(1, LOOKED_AT // len(views)))}
    seen = torch.zeros(vertices.shape[1], dtype=torch.bool)
    for view in views:
        for frame in sorted(chosen):
            seen |= _shown(track.cameras[view], head, vertices[frame].double())
    shares = {
        name: float((~seen[region]).double().mean())
        for name, region in head.regions.items()
        if name not in UNLISTED and region.any()
    }
    return {name: round(share, 3) for name, share in sorted(shares.items()) if share > UNSEEN_SHARE}


def _shown(camera: Camera, head: Head, vertices: torch.Tensor) -> torch.Tensor:
    """Which vertices [V] face the camera, lie in its picture, and have nothing before them."""
    viewmats, Ks = stack_cameras([camera], dtype=torch.float64)
    pixels = project(vertices[None], viewmats, Ks, 0.0)[0][0, 0]
    towards = torch.nn.functional.normalize(torch.from_numpy(camera.position) - vertices, dim=-1)
    facing = (towards * vertex_normals(vertices, head.faces)).sum(-1) > FACES_CAMERA
    column, row = pixels.floor().long().unbind(-1)
    inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    column, row = column.clamp(0, camera.width - 1), row.clamp(0, camera.height - 1)
    before = rasterize_mesh(vertices, head.faces, viewmats, Ks, camera.width, camera.height).depth[0][
        row, column
    ]
    depth = vertices @ viewmats[0, 2, :3] + viewmats[0, 2, 3]
    return inside & facing & ((before == 0) | (depth < before + HIDDEN))


def summary(quality: dict[str, np.ndarray], unseen: dict[str, float]) -> dict[str, object]:
    """The report in a few figures; what was not measured is None."""
    confidence = quality["confidence"]
    return {
        "confidence": round(float(confidence.mean()), 4),
        "frames_without_face": int((confidence == 0).sum()),
        "photometric": _mean(quality["photometric"]),
        "jitter_px": _mean(quality["jitter_px"]),
        "closed_mouth_error": _mean(quality.get("closed_mouth_error")),
        "never_seen": unseen,
    }


def _mean(values: np.ndarray | None) -> float | None:
    return None if values is None or np.isnan(values).all() else round(float(np.nanmean(values)), 5)


def require_confidence(confidence: float, bound: float, name: str) -> None:
    """Raise QualityError when the mean confidence of a track stays below a bound, both from 0 to 1."""
    if not confidence >= bound:
        raise QualityError(f"{name}: mean confidence is {confidence:.3f}, below --fail-below {bound:g}")
