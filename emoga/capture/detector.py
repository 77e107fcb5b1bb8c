"""Landmarks from MediaPipe's FaceLandmarker, when the package and the user's model file are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emoga.assets import find_asset
from emoga.capture.landmarks import Landmarks
from emoga.capture.media import Pictures
from emoga.errors import InputError, MissingComponent
from emoga.progress import Reporter, silent, tracked

HOW = (
    "pass --landmarks FILE, or install `emoga[track]` and pass MediaPipe's model with "
    "--landmark-model face_landmarker.task or once with emoga assets add face_landmarker.task"
)


class NoFace(InputError):
    """No picture shows a face."""


def require_detector(model: str | Path) -> None:
    """Raise InputError without the model file, MissingComponent without a MediaPipe that has its tasks."""
    if not Path(model).is_file():
        raise InputError(f"{model}: no such file, expected MediaPipe's face_landmarker.task")
    try:
        from mediapipe.tasks.python import vision  # noqa: F401
    except ImportError as error:
        raise MissingComponent(
            f"landmark detection needs MediaPipe, which is not installed; {HOW}"
        ) from error


def detect_landmarks(
    pictures: list[Pictures],
    frames: np.ndarray,
    model: str | Path | None,
    report: Reporter = silent,
) -> Landmarks:
    """Detect mediapipe478 points in the frames [T] of every camera.

    model: MediaPipe's file, else the one that the user added.
    Raises MissingComponent without the package or the model file, NoFace when there is none.
    """
    supplied = find_asset("landmarker") if model is None else None
    model = supplied.location if supplied is not None else model
    if model is None:
        raise MissingComponent(f"{pictures[0].path}: has no landmarks; {HOW}")
    require_detector(model)
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions, vision

    points = np.zeros((len(pictures), len(frames), 478, 2), np.float32)
    valid = np.zeros(points.shape[:2], bool)
    mode = vision.RunningMode.VIDEO if len(frames) > 1 else vision.RunningMode.IMAGE
    for view, source in enumerate(pictures):
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(model)), running_mode=mode, num_faces=1
        )
        try:
            detector = vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{model}: MediaPipe cannot load it; expected face_landmarker.task") from error
        with detector:
            for index, frame in enumerate(tracked(frames, f"landmarks of {source.path.name}", report)):
                image = Image(image_format=ImageFormat.SRGB, data=source.picture(int(frame)))
                if mode == vision.RunningMode.VIDEO:
                    # Timestamps need only grow; the true frame rate changes nothing that is used here.
                    result = detector.detect_for_video(image, index * 40)
                else:
                    result = detector.detect(image)
                if result.face_landmarks:
                    found = result.face_landmarks[0]
                    points[view, index] = [(p.x * source.width, p.y * source.height) for p in found]
                    valid[view, index] = True
    if not valid.any():
        raise NoFace(f"{pictures[0].path}: no face was found in it; use pictures that show one face")
    return Landmarks(points, valid, "mediapipe478")
