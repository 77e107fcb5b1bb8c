"""Whether an emotion leaves the person: the shape tracked in the avatar's emotion pictures beside the truth's."""

from __future__ import annotations

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


def write_played(
    playing: Play, head: Head, cameras: list[Camera], views: tuple[int, ...], frames: tuple[int, ...], fps: float,
    folder: Path,
) -> None:  # fmt: skip
    """What `playing` shows in some views and frames as a capture folder, with landmarks as a detector gives them."""
    chosen = [cameras[view] for view in views]
    for view, camera in zip(views, chosen, strict=True):
        for index, frame in enumerate(frames):
            image, covered = playing.picture((view, frame)), playing.coverage((view, frame))
            name = f"{camera.name}/{index:06d}.png"
            write_png(folder / "images" / name, image)
            for kind in ("masks", "head_masks"):
                write_png(folder / kind / name, np.where(covered, 255, 0).astype(np.uint8))
    _write_landmarks(playing, head, chosen, frames, fps, folder)
    write_capture_index(folder, chosen, len(frames), fps, {"source": "benchmarks/emotion_truth.py"})


def tracked_again(
    playing: Play, head: Head, truth: Path, cameras: list[Camera], views: tuple[int, ...], frames: tuple[int, ...],
    folder: Path,
) -> dict[str, float]:  # fmt: skip
    """`shape_difference` between tracking an avatar's emotion pictures and tracking the film `truth` of them."""
    write_played(playing, head, cameras, views, frames, open_capture(truth).fps, folder / "played")
    played = track_folder(folder / "played", folder / "played.track.h5")
    return shape_difference(head, played, track_folder(truth, folder / "truth.track.h5"))


def _write_landmarks(
    playing: Play, head: Head, cameras: list[Camera], frames: tuple[int, ...], fps: float, folder: Path
) -> None:
    embedding = head.landmarks["mediapipe478"]
    posed = torch.from_numpy(np.stack([playing.vertices(frame) for frame in frames]))
    points, template = embedding.points(posed).numpy(), embedding.points(head.template.double()).numpy()
    normals = smooth_normals(embedding.points(vertex_normals(posed, head.faces)).numpy(), template)
    exact = exact_landmarks(points, cameras)
    cosines = np.stack([facing(points, normals, camera) for camera in cameras])
    heights = np.median(np.linalg.norm(exact[:, :, FOREHEAD] - exact[:, :, CHIN], axis=-1), axis=1)
    noisy = detected_landmarks(exact, cosines, template, float(heights.max()), seed=0)
    for camera, values in zip(cameras, noisy, strict=True):
        save_landmarks(
            folder / "landmarks" / f"{camera.name}.npz", values, np.ones(len(frames), bool), camera.width,
            camera.height, fps, source="the avatar's mesh, detector-like noise", overwrite=True,
        )  # fmt: skip
