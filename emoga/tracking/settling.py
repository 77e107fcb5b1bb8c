"""Rigid pose of every frame by its whole picture: the head is where its portrait, drawn there, fits that best.

Points on the mesh say where skin is. Hair, ears and outlines lie off it, and are most of what shows a small turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture import Track
from emoga.geometry import axis_angle_to_matrix
from emoga.head import HeadParams
from emoga.optimize.solving_state import State
from emoga.optimize.training_pictures import Example, TrainingPictures
from emoga.progress import Stage, Step, silent
from emoga.threads import in_order, threads_for_pictures
from emoga.tracking.portrait import Portrait
from emoga.tracking.stages import Tracker

ROUNDS = 3
BATCH = 64  # frames in memory
# Radians and metres: moved by this, the portrait shows what changes.
NUDGE = np.array([2e-3] * 3 + [2e-4] * 3)
STRAY = 0.06  # of a colour, from where on a pixel loses its say: lips, lids, highlights, a hand
RIDGE = 1e-3  # of the mean curvature: what hardly shows hardly moves
COUNTED = 0.5  # of a pixel's weight
RIM = 8  # pixels of backdrop around the head that count


def settle(tracker: Tracker, track: Track, portrait: Portrait, state: State) -> State:
    """The state with the rotation and translation of every frame that shows a face set by the whole picture.

    track: what the state stands for, with masks. One camera only. Frames depend on the portrait and hardly on each
    other, training frames not at all on held-out ones.
    """
    camera = tracker.focused(tracker.clip.views[0], state)
    rotation, translation = state.params.rotation.clone(), state.params.translation.clone()
    tracker.report(Stage("settle the head", int(tracker.clip.landmarks.valid[tracker.clip.views[0]].sum())))

    def settled(shown: tuple[int, Example]) -> tuple[int, torch.Tensor]:
        frame, example = shown
        return frame, torch.from_numpy(_settled(portrait, state.params.select([frame]), camera, example))

    # Each draws its head a dozen times: a thread to itself wastes nothing on waiting for others.
    threads = threads_for_pictures(camera.width, camera.height)
    found = in_order(pictures_of(tracker, track, portrait), settled, threads)
    for done, (frame, moved) in enumerate(found, start=1):
        rotation[frame] += moved[:3]
        translation[frame] += moved[3:]
        tracker.report(Step(done))
    return replace(state, params=replace(state.params, rotation=rotation, translation=translation))


def pictures_of(tracker: Tracker, track: Track, portrait: Portrait) -> Iterator[tuple[int, Example]]:
    """Frames that show a face, training ones first, with their pictures over the portrait's backdrop."""
    view = tracker.clip.views[0]
    seen = np.flatnonzero(tracker.clip.landmarks.valid[view])
    held = np.isin(seen, tracker.clip.held_out.frames)
    for part in (seen[~held].tolist(), seen[held].tolist()):
        for start in range(0, len(part), BATCH):
            batch = part[start : start + BATCH]
            pictures = TrainingPictures(track, [view], batch, silent, halves=False)
            for frame in batch:
                yield frame, pictures.example(view, frame, head_only=True, backdrop=portrait.backdrop)


def _settled(portrait: Portrait, params: HeadParams, camera: Camera, example: Example) -> np.ndarray:
    """By how much [6], radians and metres, to turn and move the head of `params` (length 1): Gauss-Newton
    with the slopes of where it starts, for it starts near.
    """
    around = cv2.dilate(example.alpha.numpy(), np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8))
    counted = (example.weight.numpy() > COUNTED) & (around > 0)
    target = example.target.numpy()[counted].ravel()

    with torch.no_grad():
        posed = portrait.posed(replace(params, static_offset=None).to(dtype=torch.float32), 0)
    rotation, translation = params.rotation[0], params.translation[0]
    turned = axis_angle_to_matrix(rotation)

    @torch.no_grad()
    def drawn(moved: np.ndarray) -> np.ndarray:
        # A camera that moves shows what a head that moves the other way would, which had to be posed anew.
        shift = np.eye(4)
        turn = axis_angle_to_matrix(rotation + torch.from_numpy(moved[:3])) @ turned.T
        shift[:3, :3] = turn.numpy()
        shift[:3, 3] = (translation - turn @ translation).numpy() + moved[3:]
        there = replace(camera, w2c=camera.w2c @ shift)
        return portrait.seen(posed, there).image[0].numpy()[counted].ravel()

    moved = np.zeros(6)
    now = drawn(moved)
    change = np.stack([drawn(nudge) - now for nudge in np.diag(NUDGE)])
    for _ in range(ROUNDS):
        error = target - now
        weighed = change / (1 + (error / STRAY) ** 2)
        curvature = (weighed @ change.T).astype(np.float64)
        ridge = RIDGE * np.trace(curvature) / 6 + 1e-12
        step = np.linalg.solve(curvature + ridge * np.eye(6), (weighed @ error).astype(np.float64))
        there = drawn(moved + step * NUDGE)
        if _strays(target - there) >= _strays(error):
            break
        moved, now = moved + step * NUDGE, there
    return moved


def _strays(error: np.ndarray) -> float:
    """Robust cost of errors [P]."""
    return float(np.log1p((error / STRAY) ** 2).sum(dtype=np.float64))
