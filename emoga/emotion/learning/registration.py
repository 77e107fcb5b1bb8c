"""The expression offsets that explain how edits moved the skin, how strongly each picture plays its emotion, and what
face the editor has in mind.

Every edit, read where the emotion's mesh projects, is compared with its captured picture, read where the frame's own
mesh projects: both show one person in one light, so the avatar's own faults do not enter. Hue moves with skin, light
and shade do so less, and both are compared. Least squares over all pictures of all emotions, from coarse pictures to
fine ones; points and pictures that disagree lose their weight.

What an editor does to every face is found along with the offsets: a smooth change of shape, and contrasts that stay on
the skin. Neither grows with the strength at which a picture plays its emotion, nor differs between emotions.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from emoga.emotion.learning.bounded import Meant, bounded, sides
from emoga.emotion.learning.normal_equations import Joined, Sums, joined, normal_equations
from emoga.emotion.learning.performing import axes_at, carried
from emoga.emotion.learning.pyramid import Compared, Level
from emoga.emotion.learning.stranger import Strangeness
from emoga.emotion.learning.task import Registered, Task
from emoga.progress import Reporter, Step, silent

STRONG = 0.9  # the quantile of the pictures' strengths that counts as the emotion at full weight
WEAKEST, STRONGEST = 0.2, 1.6  # strengths a picture that did not fail may have
LEVELS = ((48, 3), (96, 3), (192, 5), (256, 4))  # pixels of height, and steps on pictures of that size
NOISE = 0.5  # of one point in one edit, in units of the local contrast
# Points and channels that err alike: in all pictures together, and in one picture another way than in the others.
CLUSTER, OWN_CLUSTER = 40.0, 4.0
STEP_MM = 4.0  # farthest a unit may go in one step
STEPS = sum(steps for _, steps in LEVELS)
VARIED = 0.2  # by which strengths of pictures differ


@dataclass(eq=False)
class Registration:
    """All emotions of one person: tasks, what is found of each, and the editor's face, coefficients [F] of strangeness.

    unwinding: whether the editor's face is looked for; habit [E]: an expression that this face always wears.
    """

    tasks: Sequence[Task]
    found: list[Registered]
    strangeness: Strangeness
    face: np.ndarray
    unwinding: bool = True
    before: list[np.ndarray] = field(default_factory=list)
    habit: torch.Tensor = field(init=False)

    @staticmethod
    def begin(tasks: Sequence[Task], rest: np.ndarray, unwinding: bool) -> Registration:
        """Nothing is known yet; rest [V,3] is the person's mesh at rest."""
        strangeness = Strangeness.on(tasks[0].surface, rest)
        found = [Registered.nothing(len(task.motion_mm), len(task.pairs)) for task in tasks]
        return Registration(tasks, found, strangeness, np.zeros(strangeness.count), unwinding)

    def __post_init__(self) -> None:
        self.habit = torch.zeros_like(self.found[0].offset)
        self.before = [
            task.frames.vertices(torch.zeros_like(one.offset))
            for task, one in zip(self.tasks, self.found, strict=True)
        ]

    def run(self, levels: Sequence[tuple[int, int]] = LEVELS, report: Reporter = silent) -> None:
        """Fit everything from what is known; every step of every level is reported."""
        done = 0
        for rows, steps in levels:
            level = [Level(task, before, rows) for task, before in zip(self.tasks, self.before, strict=True)]
            for _ in range(steps):
                self._step(level)
                done += 1
                report(Step(done))

    def shape(self) -> np.ndarray:
        """The editor's change of shape [V,3] at rest, metres."""
        shape = self.strangeness.vertices @ self.face
        if not self.habit.any():
            return shape
        identity = self.tasks[0].frames.puppet.identity
        still, worn = identity.pose(torch.stack([torch.zeros_like(self.habit), self.habit]))
        return shape + (worn - still).numpy()

    def _step(self, levels: Sequence[Level]) -> None:
        """One Gauss-Newton step of offsets and face, then of the strengths."""
        parts = [_Part(self, level, e) for e, level in enumerate(levels)]
        offsets, face = _solve(self, parts)
        for e, (part, new) in enumerate(zip(parts, offsets, strict=True)):
            one, task = self.found[e], self.tasks[e]
            current = one.offset.double().numpy()
            solved, reach = current.copy(), STEP_MM / task.motion_mm
            solved[part.units] = new
            solved, strengths = current + np.clip(solved - current, -reach, reach), one.strengths
            if task.given is None and task.strengths:
                solved, strengths = part.play(current, solved, face - self.face)
            self.found[e] = Registered(torch.from_numpy(solved).float(), strengths, part.trust)
        self.face = face


class _Part:
    """One emotion's pictures compared under what is known."""

    def __init__(self, registration: Registration, level: Level, e: int) -> None:
        task, found, before = registration.tasks[e], registration.found[e], registration.before[e]
        self.task, self.found, self.points = task, found, registration.strangeness.points
        self.units = np.flatnonzero(task.bounds[1] > task.bounds[0])
        after, turns = task.frames.vertices(found.offset), task.frames.turns(found.offset)
        strange = carried(turns, registration.shape())
        axes = axes_at(task.surface, turns)
        self.moves = task.frames.moves(task.surface, found.offset, axes)[..., self.units]  # [T,N,3,U]
        self.compared: list[Compared] = []
        for p, (_, row) in enumerate(task.pairs):
            posed = before[row] + np.float32(found.strengths[p]) * (after[row] - before[row]) + strange[row]
            self.compared.append(level.compare(p, posed, axes[row].astype(np.float32)))
        self.weights, self.trust = self._weights(level)

    def sums(self) -> Joined:
        """All pictures together."""
        sums = [Sums.nothing(len(self.task.surface)) for _ in self.moves]
        for p, one in enumerate(self.compared):
            weights = np.float32(self.trust[p]) * self.weights[p]
            sums[self.task.pairs[p][1]].add(one, weights, self.found.strengths[p])
        return joined(sums, self.moves)

    def play(
        self, current: np.ndarray, solved: np.ndarray, face: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each picture's strength, and the offset scaled such that strong pictures play it fully.

        current, solved [E]: the offset before and after this step; face [F]: how the editor's has changed.
        """
        old = self.found.strengths
        change, whole = (
            (self.moves @ part[self.units].astype(np.float32)) for part in (solved - current, solved)
        )
        shift = self.points @ face.astype(np.float32)
        top, size = np.zeros(len(old)), np.zeros(len(old))
        for p, one in enumerate(self.compared):
            at = self.task.pairs[p][1], one.rows
            moved = np.float32(old[p]) * change[at] + shift[one.rows]
            left = one.left - (one.slopes @ moved[..., None])[..., 0]
            direction = (one.slopes @ whole[at][..., None])[..., 0]
            own = self.weights[p][:, None] / (NOISE**2 * OWN_CLUSTER)
            top[p], size[p] = (own * direction * left).sum(), (own * direction**2).sum()
        strengths = np.clip(self._likely(old + top / np.maximum(size, 1e-9), size), 0, STRONGEST)
        good = self.trust > 0.5
        strong = float(np.quantile(strengths[good], STRONG)) if good.sum() > 3 else 1.0
        if strong < WEAKEST:
            return solved, strengths
        return np.clip(solved * strong, *self.task.bounds), strengths / strong

    def _likely(self, told: np.ndarray, sure: np.ndarray) -> np.ndarray:
        """Strengths [P] from what pictures tell of their own, as sure as 1/variance, and from what is usual.

        A picture that is far off the usual, and sure of it, is believed: it may not have been edited at all.
        """
        good = self.trust > 0.5
        usual = float(np.median(told[good])) if good.any() else 1.0
        far = np.maximum(np.abs(told - usual) / np.sqrt(VARIED**2 + 1 / np.maximum(sure, 1e-9)), 1)
        prior = 1 / (VARIED * far) ** 2
        return (sure * told + prior * usual) / (sure + prior)

    def _weights(self, level: Level) -> tuple[list[np.ndarray], np.ndarray]:
        """Weights [n] of the points of each picture, and trust [P] in whole pictures, which does not enter them."""
        compared = self.compared
        if self.task.given is not None:
            given = [one.share * level.given(p)[one.rows] for p, one in enumerate(compared)]
            return [one.astype(np.float32) for one in given], np.ones(len(compared))
        sizes, shares = np.zeros((2, len(compared), len(self.task.surface)), np.float32)
        for p, one in enumerate(compared):
            sizes[p, one.rows], shares[p, one.rows] = np.linalg.norm(one.left, axis=1), one.share
        scale = max(1.5 * float(np.median(sizes[shares > 0.1])), 0.1)
        weights = shares / (1 + (sizes / (3 * scale)) ** 2) ** 2
        trust = picture_trust(sizes, shares, scale, self.found.strengths)
        return [weights[p, one.rows] for p, one in enumerate(compared)], trust


def _solve(registration: Registration, parts: Sequence[_Part]) -> tuple[list[np.ndarray], np.ndarray]:
    """Offsets' units [U] of each emotion and the editor's face [F] that explain everything best, with priors."""
    tasks, starts = registration.tasks, np.cumsum([0, *(len(part.units) for part in parts)])
    normal, right = normal_equations(
        [part.sums() for part in parts], registration.strangeness.points, NOISE**2 * CLUSTER
    )
    offsets = [
        one.offset.double().numpy()[part.units] for one, part in zip(registration.found, parts, strict=True)
    ]
    current = np.concatenate([*offsets, registration.face])
    right += _product(normal, current)
    cut, face = int(starts[-1]), registration.face
    reduced, wanted = normal[:cut, :cut], right[:cut]
    if registration.unwinding:
        # The face that goes with any offsets is known: with it put in, there is only to be solved for them.
        shaped = torch.from_numpy(normal[cut:, cut:] + np.eye(len(normal) - cut))
        known = torch.from_numpy(np.concatenate([normal[cut:, :cut], right[cut:, None]], 1))
        inside = torch.linalg.solve(shaped, known).numpy()
        both = _product(normal[:cut, cut:], inside)
        reduced, wanted = reduced - both[:, :-1], wanted - both[:, -1]
    bounds = [
        np.concatenate([task.bounds[end][part.units] for task, part in zip(tasks, parts, strict=True)])
        for end in (0, 1)
    ]
    motion = np.concatenate([task.motion_mm[part.units] for task, part in zip(tasks, parts, strict=True)])
    names = tasks[0].frames.puppet.head.expr_names
    alike = [
        (int(at) + a, int(at) + b)
        for at, part in zip(starts[:-1], parts, strict=True)
        for a, b in sides(names, part.units)
    ]
    meant = Meant.of(
        [
            np.zeros(len(part.units)) if task.meant is None else task.meant[part.units]
            for task, part in zip(tasks, parts, strict=True)
        ]
    )
    solved = bounded(
        0.5 * (reduced + reduced.T), wanted, current[:cut], *bounds, motion, tasks[0].priors, alike,
        meant,
    )  # fmt: skip
    if registration.unwinding:
        face = inside[:, -1] - _product(inside[:, :-1], solved)
    return [solved[a:b] for a, b in itertools.pairwise(starts)], face


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b by torch, which the caller keeps on one thread: sums do not depend on the number of threads."""
    return (torch.from_numpy(np.ascontiguousarray(a)) @ torch.from_numpy(np.ascontiguousarray(b))).numpy()


def picture_trust(sizes: np.ndarray, shares: np.ndarray, scale: float, strengths: np.ndarray) -> np.ndarray:
    """Trust [P] in whole pictures from residuals' sizes [P,N] with shares [P,N], and from their strengths.

    A timid picture keeps its weight down to a floor; one below it is unedited, however well it fits.
    """
    capped = np.minimum(sizes, 2.5 * scale) ** 2
    error = np.sqrt((shares * capped).sum(1) / np.maximum(shares.sum(1), 1e-6))
    usual = np.median(error)
    spread = max(1.48 * float(np.median(np.abs(error - usual))), 0.2 * usual)
    calm = 1 / (1 + (np.maximum(error - usual, 0) / (3 * max(spread, 1e-6))) ** 2) ** 2
    return calm * np.clip((strengths - WEAKEST) / 0.2, 0, 1)
