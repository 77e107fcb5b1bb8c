"""Whether an emotion leaves the person: the shape tracked in the avatar's emotion pictures beside the truth's."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import emoga
from emoga.camera import Camera
from emoga.capture import Track, open_capture, save_landmarks, write_capture_index
from emoga.evaluation.emotion_play import Play
from emoga.geometry import similarity_align, vertex_normals
from emoga.head import Head
from emoga.images import write_png
from emoga.studio.detector import detected_landmarks, exact_landmarks, facing, smooth_normals
from emoga.studio.pseudo_edits import load_film

FOREHEAD, CHIN = 10, 152


def shape_difference(head: Head, one: Track, other: Track) -> dict[str, float]:
    """Mean distance in mm of the face's resting vertices of two tracks, as they are and after alignment."""
    face = head.regions["face"]
    a, b = (
        head.identify(track.params.shape, track.params.static_offset).rest.double()[face]
        for track in (one, other)
    )
    scale, turn, shift = similarity_align(a, b)
    aligned = scale * a @ turn.T + shift
    return {
        "identity_mm": float((aligned - b).norm(dim=-1).mean() * 1e3),
        "identity_unaligned_mm": float((a - b).norm(dim=-1).mean() * 1e3),
    }


def track_folder(folder: Path, output: Path) -> Track:
    """The track of a capture folder."""
    return emoga.track(folder, output, overlay=False, overwrite=True)


@dataclass(frozen=True)
class Retracking:
    """What is tracked anew of one person: pictures of `views` and `frames` of `cameras`, as a detector sees them.

    neutral: the film without emotion, whole. still: the avatar without emotion in the same views and frames.
    """

    head: Head
    cameras: list[Camera]
    views: tuple[int, ...]
    frames: tuple[int, ...]
    neutral: Path
    still: Play

    def compare(self, playing: Play, truth: Path) -> dict[str, float]:
        """`shape_difference` between tracking an avatar's emotion pictures and tracking the film `truth` of them.

        identity_same_person_mm: between the film and the same person's film without emotion, which is what an
        emotion alone does to a tracked shape.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            true = track_folder(truth, folder / "truth.track.h5")
            difference = shape_difference(self.head, self._played(playing, folder), true)
        same = shape_difference(self.head, self._neutral_tracks[0], true)
        return {**difference, "identity_same_person_mm": same["identity_mm"]}

    def floor(self) -> dict[str, float]:
        """identity_without_emotion_mm: the avatar that has learnt nothing, against its film without emotion."""
        film, still = self._neutral_tracks
        return {"identity_without_emotion_mm": shape_difference(self.head, still, film)["identity_mm"]}

    @functools.cached_property
    def _neutral_tracks(self) -> tuple[Track, Track]:
        """Tracks of the film and of the avatar, both without emotion."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self._copy_neutral(folder / "film")
            film = track_folder(folder / "film", folder / "film.track.h5")
            return film, self._played(self.still, folder)

    def _played(self, playing: Play, folder: Path) -> Track:
        """The track of what `playing` shows, with landmarks as a detector gives them."""
        played = folder / "played"
        for view, frame, name in self._pictures():
            write_png(played / "images" / name, playing.picture((view, frame)))
            covered = np.where(playing.coverage((view, frame)), 255, 0).astype(np.uint8)
            for kind in ("masks", "head_masks"):
                write_png(played / kind / name, covered)
        self._finish(played, np.stack([playing.vertices(frame) for frame in self.frames]))
        return track_folder(played, folder / "played.track.h5")

    def _copy_neutral(self, folder: Path) -> None:
        film = open_capture(self.neutral)
        for view, frame, name in self._pictures():
            write_png(folder / "images" / name, film.image(view, frame))
            write_png(folder / "masks" / name, film.mask(view, frame))
            write_png(folder / "head_masks" / name, film.head_mask(view, frame))
        self._finish(folder, load_film(self.neutral, list(self.views[:1]), list(self.frames)).vertices)

    def _pictures(self) -> list[tuple[int, int, str]]:
        """View, frame and file name of every picture."""
        return [
            (view, frame, f"{self.cameras[view].name}/{index:06d}.png")
            for view in self.views
            for index, frame in enumerate(self.frames)
        ]

    def _finish(self, folder: Path, vertices: np.ndarray) -> None:
        """Landmarks of meshes [T,V,3], of one and the same detector for every film, and the index."""
        cameras, fps = [self.cameras[view] for view in self.views], open_capture(self.neutral).fps
        _write_landmarks(self.head, vertices, cameras, fps, folder)
        write_capture_index(folder, cameras, len(self.frames), fps, {"source": "benchmarks/emotion_truth.py"})


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
