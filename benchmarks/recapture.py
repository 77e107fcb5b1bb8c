"""What an avatar shows, or a film, as a capture of its own with a detector's landmarks, to be tracked like any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import emoga
from emoga.camera import Camera
from emoga.capture import Track, open_capture, save_landmarks, write_capture_index
from emoga.evaluation.emotion_play import Play
from emoga.geometry import vertex_normals
from emoga.head import Head
from emoga.images import write_png
from emoga.studio.detector import detected_landmarks, exact_landmarks, facing, smooth_normals
from emoga.studio.pseudo_edits import load_film

FOREHEAD, CHIN = 10, 152


@dataclass(frozen=True)
class Recapture:
    """Chosen `views` and `frames` of a track's cameras; one and the same detector looks at whatever they show."""

    head: Head
    cameras: list[Camera]
    views: tuple[int, ...]
    frames: tuple[int, ...]
    fps: float

    def track_played(self, playing: Play, folder: Path) -> Track:
        """The track of what an avatar shows; works in `folder`."""
        played = folder / "played"
        for view, frame, name in self._pictures():
            write_png(played / "images" / name, playing.picture((view, frame)))
            covered = np.where(playing.coverage((view, frame)), 255, 0).astype(np.uint8)
            for kind in ("masks", "head_masks"):
                write_png(played / kind / name, covered)
        self._finish(played, np.stack([playing.vertices(frame) for frame in self.frames]))
        return track_folder(played, folder / "played.track.h5")

    def write_film(self, film: Path, folder: Path) -> None:
        """The same pictures of a studio film."""
        filmed = open_capture(film)
        for view, frame, name in self._pictures():
            write_png(folder / "images" / name, filmed.image(view, frame))
            write_png(folder / "masks" / name, filmed.mask(view, frame))
            write_png(folder / "head_masks" / name, filmed.head_mask(view, frame))
        self._finish(folder, load_film(film, list(self.views[:1]), list(self.frames)).vertices)

    def _pictures(self) -> list[tuple[int, int, str]]:
        """View, frame and file name of every picture."""
        return [
            (view, frame, f"{self.cameras[view].name}/{index:06d}.png")
            for view in self.views
            for index, frame in enumerate(self.frames)
        ]

    def _finish(self, folder: Path, vertices: np.ndarray) -> None:
        """Landmarks of meshes [T,V,3] and the index."""
        cameras = [self.cameras[view] for view in self.views]
        _write_landmarks(self.head, vertices, cameras, self.fps, folder)
        write_capture_index(
            folder, cameras, len(self.frames), self.fps, {"source": "benchmarks/recapture.py"}
        )


def track_folder(folder: Path, output: Path) -> Track:
    """The track of a capture folder."""
    return emoga.track(folder, output, overlay=False, overwrite=True)


def _write_landmarks(
    head: Head, vertices: np.ndarray, cameras: list[Camera], fps: float, folder: Path
) -> None:
    embedding = head.landmarks["mediapipe478"]
    posed = torch.from_numpy(vertices).double()
    points, template = embedding.points(posed).numpy(), embedding.points(head.template.double()).numpy()
    normals = smooth_normals(embedding.points(vertex_normals(posed, head.faces)).numpy(), template)
    exact = exact_landmarks(points, cameras)
    cosines = np.stack([facing(points, normals, camera) for camera in cameras])
    heights = np.median(np.linalg.norm(exact[:, :, FOREHEAD] - exact[:, :, CHIN], axis=-1), axis=1)
    noisy = detected_landmarks(exact, cosines, template, float(heights.max()), seed=0)
    for camera, values in zip(cameras, noisy, strict=True):
        save_landmarks(
            folder / "landmarks" / f"{camera.name}.npz", values, np.ones(len(vertices), bool), camera.width,
            camera.height, fps, source="the mesh, detector-like noise", overwrite=True,
        )  # fmt: skip
