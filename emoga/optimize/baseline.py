"""How well held-out frames can be guessed without an avatar: one that does no better has learnt nothing."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from emoga.capture import HeldOut, Track
from emoga.head import load_head
from emoga.images import to_uint8
from emoga.optimize.metrics import binary_mask, masked_psnr
from emoga.optimize.regions import visible_faces
from emoga.optimize.surface_pictures import spread_outward

MOST_PICTURES = 48


def baseline_psnr(track: Track, held_out: HeldOut) -> float:
    """PSNR in dB of the best of `baselines`; NaN when there is nothing to guess."""
    return max(baselines(track, held_out).values(), default=float("nan"))


def baselines(track: Track, held_out: HeldOut) -> dict[str, float]:
    """PSNR in the head mask, over held-out frames in training views, of three guesses.

    "mean": the mean training frame; "nearest": the training frame whose head is nearest in the picture;
    "warped": that frame carried along by the tracked mesh.
    """
    tested = held_out.tested_frames
    if not tested or track.head_masks is None:
        return {}
    views = held_out.training_views(len(track.cameras))
    frames = held_out.training_frames(track.frame_count)
    head = load_head(track.head_name)
    with torch.no_grad():
        vertices = head.vertices(track.params)
    scores: dict[str, list[float]] = {"mean": [], "nearest": [], "warped": []}
    step = max(1, len(views) * len(tested) // MOST_PICTURES)
    for view in views:
        camera = track.cameras[view]
        mean = to_uint8(np.mean([track.image(view, frame) for frame in frames], axis=0))
        projected = camera.project(vertices.double().numpy())[0]
        for frame in tested[view % step :: step] if step <= len(tested) else tested[:1]:
            truth, mask = track.picture(view, frame), binary_mask(track.head_masks[view, frame])
            distance = np.linalg.norm(projected[frames] - projected[frame], axis=-1).mean(1)
            near = frames[int(distance.argmin())]
            nearest = track.picture(view, near)
            flow = mesh_flow(
                visible_faces(head, vertices[frame], camera),
                projected[frame],
                projected[near],
                head.faces.numpy(),
            )
            warped = _sample(nearest, flow)
            for name, guess in (("mean", mean), ("nearest", nearest), ("warped", warped)):
                scores[name].append(masked_psnr(guess, truth, mask))
    return {name: float(np.nanmean(values)) for name, values in scores.items()}


def mesh_flow(face_index: np.ndarray, there: np.ndarray, here: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Where to look in a picture showing vertices at `here` [V,2] to draw them at `there` [V,2], [H,W,2].

    face_index [H,W] says what is seen `there`; around the mesh the displacement of its rim spreads outward.
    """
    height, width = face_index.shape
    covered = face_index >= 0
    displacement = np.zeros((height, width, 2), np.float32)
    if covered.any():
        corners = faces[face_index[covered]]
        displacement[covered] = (here[corners] - there[corners]).mean(1)
        displacement = spread_outward(displacement, covered)
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    return grid + displacement


def _sample(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    return cv2.remap(picture, flow, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
