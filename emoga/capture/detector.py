"""Landmarks of a clip's frames: by emoga's own detector, or by MediaPipe with the user's model file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from emoga.assets import find_asset
from emoga.capture.landmarks import Landmarks
from emoga.capture.media import Pictures
from emoga.errors import InputError, MissingComponent
from emoga.progress import Reporter, silent, tracked

OWN = "emoga's own face detector"


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
            "MediaPipe, which --landmark-model needs, is not installed; install `emoga[track]`, or leave the option "
            "out for emoga's own detector"
        ) from error


def detect_landmarks(
    pictures: list[Pictures],
    frames: np.ndarray,
    model: str | Path | None,
    report: Reporter = silent,
) -> Landmarks:
    """Detect mediapipe478 points in the frames [T] of every camera.

    model: MediaPipe's file, else the one that the user added where MediaPipe is installed, else emoga's own
    detector looks. Frames without a face are not valid. Raises NoFace when there is none in any,
    MissingComponent or InputError when MediaPipe or the model that is named cannot be used.
    """
    if model is None and importlib.util.find_spec("mediapipe") is not None:
        supplied = find_asset("landmarker")
        model = supplied.location if supplied is not None else None
    found = _own(pictures, frames, report) if model is None else _mediapipe(pictures, frames, model, report)
    if not found.valid.any():
        raise NoFace(f"{pictures[0].path}: no face was found in it; use pictures that show one face")
    return found


def _own(pictures: list[Pictures], frames: np.ndarray, report: Reporter) -> Landmarks:
    from emoga.capture.face_detector import FaceDetector
    from emoga.capture.face_network import own_networks

    points = np.zeros((len(pictures), len(frames), 478, 2), np.float32)
    spread = np.zeros(points.shape[:3], np.float32)
    valid = np.zeros(points.shape[:2], bool)
    detector = FaceDetector(own_networks())
    for view, source in enumerate(pictures):
        asked = tracked(frames, f"landmarks of {source.path.name}", report)
        sightings = detector.follow(source.picture(int(frame)) for frame in asked)
        for index, sighting in enumerate(sightings):
            if sighting is not None:
                points[view, index], spread[view, index] = sighting.points, sighting.spread
                valid[view, index] = True
    return Landmarks(points, valid, "mediapipe478", spread, OWN)


def _mediapipe(
    pictures: list[Pictures], frames: np.ndarray, model: str | Path, report: Reporter
) -> Landmarks:
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
    return Landmarks(points, valid, "mediapipe478", source=f"MediaPipe ({Path(model).name})")
