"""Dense alignment: a place on the head looks in every picture as it looks in the training pictures.

What is compared is fine detail only (each picture less its own blur), so light and exposure may change. What a
point should look like is the mean over training pictures that see the head from about the same side.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from emoga.geometry import axis_angle_to_matrix
from emoga.head import Head
from emoga.optimize.solving import solve
from emoga.optimize.solving_photometric import Crops, PhotometricTerm
from emoga.optimize.solving_points import SurfacePoints
from emoga.optimize.solving_state import State
from emoga.optimize.solving_warp import spread_out
from emoga.progress import Stage, Step
from emoga.tracking.crops import make_crops, sampled, shown
from emoga.tracking.outline import Outline
from emoga.tracking.stages import Tracker, training_first

SKIN = ("face", "forehead", "brows", "cheeks", "nose", "jaw", "lips")
WHOLE = (*SKIN, "scalp", "ears")
POINTS = 2000
LEVELS = ((3.0, 12.0), (1.5, 6.0))  # blur and detail in crop pixels, coarse to fine
DETAIL_SPREAD = 0.02  # how far the same place strays in two pictures
SHARED_DETAIL = 0.4  # neighbouring points err together: each counts as this share of an independent one
SAME_SIDE = 15.0  # degrees between views of the head within which it looks alike
OTHER_SIDES = 1e-3
SHADED = ("brow", "eye")  # units that move skin whose shade moves as the head turns
LIPS_REACH = 0.01  # metres
LIDS = ("eyeBlinkLeft", "eyeBlinkRight")
LID_MOTION = 1e-3  # metres by which a blink moves skin that then looks like nothing it looked like before


@dataclass(frozen=True)
class Glimpses:
    """Details of T frames: crops of them, and how well [C,T,N] these show each point."""

    crops: Crops
    share: torch.Tensor


@dataclass(frozen=True)
class Pictured:
    """What pictures show of N points at one level, cut out around heads where they were when first asked for.

    From pass to pass they hardly move.
    """

    tracker: Tracker
    points: SurfacePoints
    level: tuple[float, float]
    made: dict[tuple[int, ...], Glimpses] = field(default_factory=dict)

    def of(self, state: State, frames: list[int]) -> Glimpses:
        """Glimpses of `frames`, whose params `state` holds."""
        if tuple(frames) not in self.made:
            crops = make_crops(self.tracker, self.points, state, frames, *self.level)
            share, _ = shown(self.tracker, self.points, state, crops)
            self.made[tuple(frames)] = Glimpses(crops, share)
        return self.made[tuple(frames)]


@dataclass(frozen=True)
class Sights:
    """How S pictures show N points: details [S,N,3], weights [S,N], sides [S,3] they see the head from."""

    details: torch.Tensor
    weights: torch.Tensor
    sides: torch.Tensor
    pictures: torch.Tensor

    def expected(self, sides: torch.Tensor, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Details [...,N,3] to be expected in `pictures` [...] seen from `sides` [...,3], and which are known.

        A picture says nothing about itself.
        """
        angle = torch.rad2deg(torch.acos((sides @ self.sides.T).clamp(-1, 1)))
        say = torch.exp(-0.5 * (angle / SAME_SIDE) ** 2) + OTHER_SIDES
        say = say.masked_fill(pictures[..., None] == self.pictures, 0)
        total = say @ self.weights
        flat = (self.weights[..., None] * self.details).flatten(1)
        mean = (say @ flat).unflatten(-1, self.details.shape[1:]) / total.clamp_min(1e-12)[..., None]
        return mean, (total > 0.1 * OTHER_SIDES).to(mean)


def spread_points(
    head: Head, regions: tuple[str, ...], count: int, among: torch.Tensor | None = None
) -> SurfacePoints:
    """Vertices spread evenly over some regions, as far as they are `among` some [V]."""
    allowed = torch.stack([head.regions[name] for name in regions if name in head.regions]).any(0)
    allowed = allowed if among is None else allowed & among
    chosen = spread_out(head.template.double(), allowed, count)
    return SurfacePoints(head, chosen[:, None], torch.ones(len(chosen), 1))


def around_lips(head: Head) -> torch.Tensor:
    """bool [V]: lips and the skin that moves with them."""
    none = torch.zeros(len(head.template), dtype=torch.bool)
    lips = head.template[head.regions.get("lips", none)]
    if len(lips) == 0:
        return none
    return torch.cdist(head.template, lips).amin(1) < LIPS_REACH


def by_landmarks_alone(head: Head) -> list[int]:
    """Units that detail would take shade for: those of brows and lids, and all that have no meaning of their own."""
    return [i for i, name in enumerate(head.expr_names) if not head.has_units or name.startswith(SHADED)]


def align(
    tracker: Tracker,
    state: State,
    regions: tuple[str, ...],
    name: str,
    passes: int,
    outline: Outline | None = None,
) -> State:
    """Motion of all frames by landmarks and the detail of some regions, whose mesh should lie where they are.

    passes: per level, 0 to leave the state as it is; with each the mean that pictures are aligned to gets
    sharper. outline: what the masks say about skull and ears, which then counts as well.

    The form stays as it is: what landmarks say about it is truer than what detail, which moves with light and
    along outlines, would make of it. For the same reason brows and lids stay where landmarks put them, shade
    passing for their motion, and lips, which show other parts of themselves as they roll and part, say nothing.
    """
    if passes == 0:
        return state
    points = spread_points(tracker.head, regions, POINTS, ~around_lips(tracker.head))
    tracker.report(Stage(name, len(LEVELS) * passes))
    for coarseness, level in enumerate(LEVELS):
        pictures = Pictured(tracker, points, level)
        for number in range(passes):
            state = _aligned(pictures, state, outline)
            tracker.report(Step(coarseness * passes + number + 1))
    return state


def _aligned(pictures: Pictured, state: State, outline: Outline | None) -> State:
    tracker = pictures.tracker
    known = tracker.clip.training_faces
    sights = _sights(pictures, replace(state, params=state.params.select(known)), known)

    def step(part: State, frames: list[int], fixed: torch.Tensor | None) -> State:
        detail = _term(pictures, part, frames, sights)
        terms = [*tracker.evidence(part, frames), detail]
        if outline is not None:
            terms.append(outline.term(tracker, part, frames))
        problem = tracker.problem(frames, terms, shape=False, focal=False)
        problem.fixed, problem.held_units = fixed, by_landmarks_alone(tracker.head)
        return solve(problem, part, tracker.effort.alignment_rounds)[0]

    return training_first(tracker, state, step)


def _sights(pictures: Pictured, state: State, frames: list[int]) -> Sights:
    """How `frames`, whose params `state` holds, show the points."""
    tracker, seen = pictures.tracker, pictures.of(state, frames)
    details = sampled(tracker, pictures.points, state, seen.crops)
    return Sights(
        details.flatten(0, 1), seen.share.flatten(0, 1), _sides(tracker, state).flatten(0, 1),
        _names(tracker, frames).flatten(),
    )  # fmt: skip


def _sides(tracker: Tracker, state: State) -> torch.Tensor:
    """Directions [C,T,3] from the head to the cameras, as the head sees them."""
    turn = axis_angle_to_matrix(state.params.rotation)
    towards = tracker.positions[:, None] - state.params.translation
    return (torch.nn.functional.normalize(towards, dim=-1)[..., None, :] @ turn)[..., 0, :]


def _names(tracker: Tracker, frames: list[int]) -> torch.Tensor:
    """One number [C,T] per picture."""
    views = torch.arange(len(tracker.clip.views))
    return views[:, None] * len(tracker.clip.frames) + torch.tensor(frames)


def away_from_lids(head: Head, points: SurfacePoints, expr: torch.Tensor) -> torch.Tensor:
    """How far [T,N] the lids of expressions [T,E] leave each point alone, 0 to 1.

    Skin that folds into a crease or covers the eye is no longer what other pictures lead to expect; expecting
    it all the same would hold the lids open.
    """
    units = [i for i, name in enumerate(head.expr_names) if name in LIDS]
    moved = points.on_mesh(head.expr_basis[units]).norm(dim=-1)
    return torch.exp(-((expr[:, units] @ moved / LID_MOTION) ** 2))


def _term(pictures: Pictured, state: State, frames: list[int], sights: Sights) -> PhotometricTerm:
    """Evidence of the details for `frames`, whose params `state` holds."""
    tracker, points, seen = pictures.tracker, pictures.points, pictures.of(state, frames)
    viewmats, Ks = tracker.seen_cameras()
    weights = seen.share * away_from_lids(tracker.head, points, state.params.expr)
    expected, known = sights.expected(_sides(tracker, state), _names(tracker, frames))
    return PhotometricTerm(
        points, viewmats, Ks, seen.crops, expected, weights * known * SHARED_DETAIL / DETAIL_SPREAD**2
    )
