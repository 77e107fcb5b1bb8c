"""What a track looks like: the mesh over the pictures, and its quality over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture import Track
from emoga.files import atomic_output
from emoga.head import Head
from emoga.images import to_uint8
from emoga.optimize.regions import visible_faces
from emoga.progress import Reporter, tracked
from emoga.threads import in_order, threads_for_pictures
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
    """A track's picture, mesh shaded over it, and landmarks, side by side: uint8 [H,3W,3]. vertices [V,3]."""
    camera = track.cameras[view]
    paint = _paint(head, vertices.double(), camera)
    index = visible_faces(head, vertices, camera)
    mixed = cv2.addWeighted(picture, 1 - opacity, paint.take(index, 0, mode="wrap"), opacity, 0)
    mixed = cv2.copyTo(mixed, (index >= 0).view(np.uint8), picture.copy())
    return np.concatenate([picture, mixed, _points(track, head, view, frame, vertices, picture)], 1)


def _paint(head: Head, vertices: torch.Tensor, camera: Camera) -> np.ndarray:
    """What colour each triangle is drawn in, uint8 [F,3]: the brighter the more it faces the camera."""
    corners = vertices[head.faces]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    light = (torch.nn.functional.normalize(normals, dim=1) @ torch.from_numpy(camera.w2c[2, :3])).abs()
    tints = np.array([TINTS.get(name, (0.75, 0.8, 0.75)) for name in head.region_names])
    return to_uint8((0.25 + 0.75 * light.numpy()[:, None]) * tints[head.face_regions.numpy()])


def _points(
    track: Track, head: Head, view: int, frame: int, vertices: torch.Tensor, picture: np.ndarray
) -> np.ndarray:
    """Detected landmarks in red and the model's in green."""
    canvas = picture.copy()
    if track.landmarks is None:
        return canvas
    model = head.landmarks[track.landmarks.scheme].points(vertices.double()).numpy()
    found = track.landmarks.points[view, frame]
    sets = [(track.cameras[view].project(model)[0], (0, 255, 0))]
    if track.landmarks.valid[view, frame]:
        sets.insert(0, (found, (255, 0, 0)))
    for points, color in sets:
        # Lines without length are dots; eight extra bits place them between pixels.
        dots = ((points - 0.5) * 256).astype(np.int32)[:, None].repeat(2, 1)
        cv2.polylines(canvas, list(dots), False, color, 2, cv2.LINE_AA, 8)
    return canvas


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
        pictures = ((frame, track.picture(view, frame)) for frame in frames)
        for drawn in in_order(pictures, sheet, threads_for_pictures(camera.width, camera.height)):
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
