"""What a track looks like: the mesh over the pictures, and its quality over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from emoga.camera import stack_cameras
from emoga.capture import Track
from emoga.files import atomic_output
from emoga.geometry import vertex_normals
from emoga.head import Head
from emoga.images import from_uint8, to_uint8
from emoga.progress import Reporter, tracked
from emoga.render import rasterize_mesh
from emoga.threads import in_order
from emoga.video import VideoWriter

# The open head's regions in colours that tell lids, lips and irises from skin.
TINTS = {
    "eyelids": (0.2, 0.9, 1.0), "lips": (1.0, 0.35, 0.45), "eyeballs": (1, 1, 1), "irises": (0.1, 0.2, 1.0),
    "teeth": (1, 1, 0.8), "brows": (1.0, 0.8, 0.2),
}  # fmt: skip
MAX_SIDE = 720


def draw_overlay(
    track: Track,
    head: Head,
    view: int,
    frame: int,
    picture: np.ndarray,
    vertices: torch.Tensor,
    opacity: float = 0.5,
) -> np.ndarray:
    """A track's picture, mesh shaded over it, and landmarks, side by side: float32 [H,3W,3]. vertices [V,3]."""
    camera = track.cameras[view]
    viewmats, Ks = stack_cameras([camera], dtype=torch.float64)
    vertices = vertices.double()
    fragments = rasterize_mesh(vertices, head.faces, viewmats, Ks, camera.width, camera.height)
    index, bary = fragments.face_index[0].numpy().ravel(), fragments.bary[0].numpy().reshape(-1, 3)
    covered = np.flatnonzero(index >= 0)
    index, bary = index[covered], bary[covered]
    towards = (vertex_normals(vertices, head.faces) @ viewmats[0, 2, :3]).numpy()[head.faces.numpy()]
    light = np.abs(np.einsum("ij,ij->i", bary, towards[index])).astype(np.float32)[:, None]
    shaded = (0.25 + 0.75 * light) * _tints(head)[head.face_regions.numpy()[index]]
    mixed = picture.reshape(-1, 3).copy()
    mixed[covered] = (1 - opacity) * mixed[covered] + opacity * shaded
    drawn = _points(track, head, view, frame, vertices, picture)
    return np.concatenate([picture, mixed.reshape(picture.shape), drawn], 1)


def _tints(head: Head) -> np.ndarray:
    return np.array([TINTS.get(name, (0.75, 0.8, 0.75)) for name in head.region_names], np.float32)


def _points(
    track: Track, head: Head, view: int, frame: int, vertices: torch.Tensor, picture: np.ndarray
) -> np.ndarray:
    """Detected landmarks in red and the model's in green."""
    canvas = np.ascontiguousarray(to_uint8(picture))
    if track.landmarks is None:
        return from_uint8(canvas)
    model = head.landmarks[track.landmarks.scheme].points(vertices).numpy()
    found = track.landmarks.points[view, frame]
    sets = [(track.cameras[view].project(model)[0], (0, 255, 0))]
    if track.landmarks.valid[view, frame]:
        sets.insert(0, (found, (255, 0, 0)))
    for points, color in sets:
        for x, y in points:
            # Eight extra bits place the dots between pixels.
            centre = (int((x - 0.5) * 256), int((y - 0.5) * 256))
            cv2.circle(canvas, centre, 200, color, -1, cv2.LINE_AA, 8)
    return from_uint8(canvas)


def write_overlay(
    track: Track, head: Head, vertices: torch.Tensor, path: Path, overwrite: bool, report: Reporter
) -> None:
    """Write the overlay video of the middle view; vertices [T,V,3]."""
    view = len(track.cameras) // 2
    camera = track.cameras[view]
    scale = min(1.0, MAX_SIDE / max(camera.width, camera.height))
    width, height = round(camera.width * scale), round(camera.height * scale)
    fps = track.fps or 25.0
    with VideoWriter(path, fps, 3 * width, height, overwrite=overwrite, crf=20) as writer:

        def sheet(shown: tuple[int, np.ndarray]) -> Any:
            frame, picture = shown
            drawn = draw_overlay(track, head, view, frame, picture, vertices[frame])
            if scale < 1:
                drawn = cv2.resize(drawn, (3 * width, height), interpolation=cv2.INTER_AREA)
            return writer.prepare(drawn)

        frames = tracked(range(track.frame_count), "overlay", report)
        for drawn in in_order(((frame, track.image(view, frame)) for frame in frames), sheet):
            writer.write_prepared(drawn)


def write_quality_plot(track: Track, path: Path, overwrite: bool) -> None:
    """Plot the figures of track.quality over the frames."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = sorted(track.quality)
    figure = Figure(figsize=(9, 2.2 * max(len(names), 1)), layout="constrained")
    FigureCanvasAgg(figure)
    for row, name in enumerate(names):
        axis = figure.add_subplot(len(names), 1, row + 1)
        for line in np.atleast_2d(track.quality[name]):
            axis.plot(line, linewidth=0.9)
        axis.set_ylabel(name.replace("_", " "))
        for held in track.held_out.frames:
            axis.axvspan(held - 0.5, held + 0.5, color="0.9", linewidth=0)
        axis.set_xlim(-0.5, track.frame_count - 0.5)
    if names:
        axis.set_xlabel("frame (grey: held out)")
    with atomic_output(path, overwrite) as temporary:
        figure.savefig(temporary, dpi=110)
