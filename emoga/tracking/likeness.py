"""Pose of every frame against a portrait: the head is where its portrait, drawn there, looks most like the picture.

Landmarks and the detail of skin place the face; hair, ears and outline, most of what a picture shows of a head,
lie off the mesh and say the rest. Training and held-out frames are aligned alike, to what training frames taught.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture import Track
from emoga.head import Head
from emoga.optimize.solving import solve
from emoga.optimize.solving_photometric import Crops, PhotometricTerm
from emoga.optimize.solving_points import SurfacePoints
from emoga.optimize.solving_state import State
from emoga.progress import Stage, Step
from emoga.tracking.alignment import away_from_lids
from emoga.tracking.crops import make_crops, sampled, sampled_from, shown
from emoga.tracking.portrait import Portrait, learn_portrait
from emoga.tracking.settling import settle
from emoga.tracking.stages import Tracker, training_first

# All that moves with the skull, and the face; the neck's foot does not.
REGIONS = (
    "face", "forehead", "brows", "cheeks", "nose", "jaw", "lips", "scalp", "ears",
    "eyelids", "eyeballs", "irises", "lashes",
)  # fmt: skip
POINTS = 6000
FACING = (0.15, 0.4)
CROP, BLUR = 320, 1.0  # side and blur in crop pixels
COLOR_SPREAD = 0.02  # how far a colour strays from the portrait's even where training pictures agree with it
SHARED_COLOR = 0.4  # neighbouring points err together: each counts as this share of an independent one
LANDMARK_SHARE = 0.3  # of their usual say: their own errors would move the head from where it is seen
LEAST_SIGHTINGS = 1.0  # in full, of the frames looked at
TRUST_EVERY = 3
ROUNDS = 5
LEAST_FRAMES = 8  # training frames, below which a portrait would know little that is not in each of them


def portrait_for(tracker: Tracker, track: Track) -> Portrait | None:
    """What the training frames of `track`, with masks and one camera, teach; nothing of too few, or at no effort."""
    steps = tracker.effort.portrait_steps
    if steps == 0 or len(tracker.clip.training_faces) < LEAST_FRAMES:
        return None
    return learn_portrait(track, tracker.head, steps, tracker.report)


def align_to_portrait(tracker: Tracker, track: Track, portrait: Portrait, state: State) -> State:
    """Align every frame's pose and gaze, expression kept, to a portrait learnt from the training frames of `track`.

    track: what the state stands for, with masks. One camera only.
    """
    points = points_by_area(tracker.head, REGIONS, POINTS)
    look = Look(tracker, points, portrait, tracker.focused(tracker.clip.views[0], state))
    look.learn(state)
    tracker.report(Stage("align to its looks", 2))
    solved = 0

    def step(part: State, frames: list[int], fixed: torch.Tensor | None) -> State:
        nonlocal solved
        marks = tracker.term(part, frames)
        marks.weights = marks.weights * LANDMARK_SHARE
        problem = tracker.problem(frames, [marks, look.term(part, frames)], shape=False, focal=False)
        problem.fixed, problem.solve_expression = fixed, False
        part = solve(problem, part, ROUNDS)[0]
        solved += 1
        tracker.report(Step(solved))
        return part

    return settle(tracker, track, portrait, training_first(tracker, state, step))


def points_by_area(head: Head, regions: tuple[str, ...], count: int) -> SurfacePoints:
    """Points spread over the triangles of some regions by area; always the same."""
    allowed = head.faces_of(regions).numpy()
    corners = head.template.double().numpy()[head.faces.numpy()]
    sides = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.cumsum(np.linalg.norm(np.cross(*sides), axis=1) * allowed)
    face = np.searchsorted(area, (np.arange(count) + 0.5) / count * area[-1], side="right")
    u, v = np.random.default_rng(0).random((2, count))
    fold = u + v > 1
    u, v = np.where(fold, 1 - u, u), np.where(fold, 1 - v, v)
    return SurfacePoints(
        head, head.faces[torch.from_numpy(face)], torch.from_numpy(np.stack([1 - u - v, u, v], 1))
    )


@dataclass
class Look:
    """Compares pictures with the portrait at N points of the head.

    trust [N], in 1/value²: how far the portrait is to be believed about each point, 0 where nobody saw it.
    facing [N,3]: the points' normals while it was learnt, whose light its colours hold.
    """

    tracker: Tracker
    points: SurfacePoints
    portrait: Portrait
    camera: Camera
    trust: torch.Tensor = field(init=False)
    facing: torch.Tensor | None = None

    def term(self, state: State, frames: list[int]) -> PhotometricTerm:
        """Evidence for `frames`, whose params `state` holds."""
        viewmats, Ks = self.tracker.seen_cameras()
        crops, share, expected, _ = self._seen(state, frames)
        share = share * away_from_lids(self.tracker.head, self.points, state.params.expr)
        return PhotometricTerm(self.points, viewmats, Ks, crops, expected, share * self.trust * SHARED_COLOR)

    def learn(self, state: State) -> None:
        """Compare the portrait with training frames: which points to trust, and which way they face."""
        frames = self.tracker.clip.training_faces[::TRUST_EVERY]
        part = replace(state, params=state.params.select(frames))
        crops, share, expected, normals = self._seen(part, frames)
        error = (expected - sampled(self.tracker, self.points, part, crops)).square().sum(-1)
        sightings = share.sum((0, 1))
        variance = (error * share).sum((0, 1)) / sightings.clamp_min(1e-6)
        self.trust = (sightings > LEAST_SIGHTINGS) / (variance + COLOR_SPREAD**2)
        self.facing = torch.nn.functional.normalize(normals.mean(0), dim=-1)

    def _seen(
        self, state: State, frames: list[int]
    ) -> tuple[Crops, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Crops of the pictures, how well they show the points [1,T,N], the colours to expect there [1,T,N,3] and
        the points' normals [T,N,3].
        """
        tracker, points = self.tracker, self.points
        crops = make_crops(tracker, points, state, frames, BLUR, size=CROP)
        share, normals = shown(tracker, points, state, crops, FACING)
        params = replace(state.params, static_offset=None).to(dtype=torch.float32)

        def draw(t: int) -> np.ndarray:
            return self.portrait.picture(params, t, self.camera)

        colors = sampled_from(draw, tracker, points, state, crops, BLUR)
        if self.facing is not None:
            colors = colors * self.portrait.light.ratio(self.facing.expand_as(normals), normals).to(colors)
        return crops, share, colors, normals
