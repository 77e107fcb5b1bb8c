"""A capture folder small enough for tests: the mannequin filmed by two cameras."""

from __future__ import annotations

from pathlib import Path

from filmed import SIZE, film
from mannequin import make_mannequin

from emoga.capture import save_landmarks, save_track, write_capture_index
from emoga.images import write_png


def write_small_capture(folder: Path, views: int = 2, frames: int = 4) -> Path:
    """Pictures, masks, landmarks and the true track of `frames` frames from `views` cameras."""
    track = film(make_mannequin(), folder, views, frames)
    for view, camera in enumerate(track.cameras):
        for kind in ("masks", "head_masks"):
            for frame in range(frames):
                write_png(folder / kind / camera.name / f"{frame:06d}.png", track.masks[view, frame])
        points, valid = track.landmarks.points[view], track.landmarks.valid[view]
        save_landmarks(folder / "landmarks" / f"{camera.name}.npz", points, valid, SIZE, SIZE, track.fps)
    write_capture_index(folder, track.cameras, frames, track.fps, {"performer": "mannequin"})
    save_track(track, folder / "truth.track.h5")
    return folder
