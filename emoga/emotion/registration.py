"""The expression offset that explains how edits moved the skin, and how strongly each picture plays it.

Every edit, read where the emotion's mesh projects, is compared with its captured picture, read where the frame's own
mesh projects: both show one person in one light, so the avatar's own faults do not enter. Hue moves with skin, light
and shade do not: both tell which units move, hue alone how far. Least squares over all pictures, from coarse pictures
to fine ones; points and pictures that disagree lose their weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from emoga.camera import Camera
from emoga.emotion.edits import EmotionEdits
from emoga.emotion.lifting import look, read
from emoga.emotion.performing import Frames
from emoga.emotion.surface import Surface
from emoga.images import from_uint8

STRONG = 0.75  # the quantile of the pictures' strengths that counts as the emotion at full weight
WEAKEST, STRONGEST = 0.2, 1.6  # strengths a picture that did not fail may have
LEVELS = ((48, 3), (96, 3), (192, 3))  # pixels of height, and steps on pictures of that size
BLUR, SURROUND = 0.8, 2.5  # pixels of a level: what is finer, and what is broader, is not compared
# Contrasts of logarithms below which there is only noise; linear light added to what is dark.
GAMMA = 2.2
FAINT, FAINT_HUE, DARK = 0.08, 0.05, 0.01
# Points and channels that err alike, of all pictures together: an editor's faults are much the same in each, and
# more pictures do not make them any smaller.
CLUSTER = 10.0
# Steps at the end that change strengths and the whole offset's size alone, by hue: priors shrink it, and so does
# brightness, as light and shade, folds and the line between lips stay in place while the skin moves below them.
AMPLIFYING = 4
LIPS = 0.3  # weight of points on lips: lines between them run where they touch, not where the skin is
NOISE = 0.5  # of one point in one edit, in units of the local contrast
SETTLED = 0.7  # millimetres: units that surely move this far or more are not held back any further
ALIKE = 1.5  # millimetres by which the two sides of a face may differ
STEP_MM = 4.0  # farthest a unit may go in one step
DAMPING = 0.02


@dataclass(frozen=True)
class Priors:
    """What offsets are expected to be: spread and sparsity of motion, millimetres and cost per millimetre."""

    spread: float = 6.0
    sparsity: float = 0.1


@dataclass(frozen=True, eq=False)
class Registered:
    """offset [E]; strengths [P], one where a picture plays it fully; trust [P] in 0..1 in whole pictures."""

    offset: torch.Tensor
    strengths: np.ndarray
    trust: np.ndarray


@dataclass(frozen=True)
class Task:
    """What is to be registered: P edits at pairs (view, row among the frames), on the points of a surface.

    motion_mm [E]: how far units move the face; bounds [E] each of the offset. given [P,H,W] or None: weights to
    use as they are instead of robust ones. strengths: find how strongly each picture plays the emotion. bias: for
    each of LEVELS the local contrast [N,3] that the editor adds to every point, whatever the emotion; or none.
    """

    surface: Surface
    frames: Frames
    cameras: Sequence[Camera]
    edits: EmotionEdits
    pairs: Sequence[tuple[int, int]]
    motion_mm: np.ndarray
    bounds: tuple[np.ndarray, np.ndarray]
    priors: Priors | None
    given: np.ndarray | None = None
    strengths: bool = True
    bias: Sequence[np.ndarray] = ()


def register(task: Task, start: Registered, levels: Sequence[tuple[int, int]] = LEVELS) -> Registered:
    """Fit offset and strengths from a start."""
    found = start
    before = task.frames.vertices(torch.zeros_like(start.offset))
    for rows, steps in levels:
        level = _Level(task, before, rows)
        for _ in range(steps):
            found = level.step(found)
    hue = _Level(task, before, levels[-1][0], brightness=0.0)
    for _ in range(AMPLIFYING):
        found = hue.step(found, solving=False)
    return found


def shared_bias(tasks: Sequence[Task], found: Sequence[Registered]) -> list[np.ndarray]:
    """What an editor adds to every face whatever the emotion, for each of LEVELS: local contrast [N,3] float32.

    What the emotions' own offsets leave unexplained in common; pulled to zero, as few emotions tell little.
    """
    biases = []
    for rows, _ in LEVELS:
        total, weight = 0.0, 1.0
        for task, one in zip(tasks, found, strict=True):
            before = task.frames.vertices(torch.zeros_like(one.offset))
            mean, seen = _Level(replace(task, bias=()), before, rows).left(one)
            share = np.minimum(seen, 1)[:, None]
            total, weight = total + share * mean, weight + share
        biases.append((total / weight).astype(np.float32))
    return biases


class _Level:
    """The pictures at one size, captured colours already read."""

    def __init__(self, task: Task, before: np.ndarray, rows: int, brightness: float = 1.0) -> None:
        """brightness: its weight beside hue."""
        self.task, self.before = task, before
        self.weights = np.float32([1, 1, brightness])
        edits = task.edits
        height, width = edits.masks.shape[1:]
        self.bias = task.bias[[size for size, _ in LEVELS].index(rows)] if len(task.bias) else np.float32(0)
        self.bias = self.bias * self.weights
        rows = min(rows, height)
        self.size = (max(8, round(width * rows / height)), rows)
        self.cameras = [task.cameras[view].resized(*self.size) for view, _ in task.pairs]
        self.edited = [self._shrunk(picture) for picture in edits.edited]
        self.captured, self.shares, self.places = [], [], []
        lips = task.surface.region == task.frames.puppet.head.region_names.index("lips")
        telling = np.where(lips, np.float32(LIPS), np.float32(1))
        for p, ((_, row), camera) in enumerate(zip(task.pairs, self.cameras, strict=True)):
            sight = look(task.surface, before[row], camera)
            self.captured.append(read(self._shrunk(edits.captured[p]), sight.pixels))
            allowed = read(cv2.resize(edits.masks[p], self.size, interpolation=cv2.INTER_AREA), sight.pixels)
            self.shares.append(sight.share * telling * (allowed > 0.02))
            self.places.append(sight.pixels / self.size - 0.5)

    def _shrunk(self, picture: np.ndarray) -> np.ndarray:
        """Local contrast [h,w,3] of a picture, of hue and of brightness: an editor's tints are gone, edges stay."""
        small = cv2.GaussianBlur(
            from_uint8(cv2.resize(picture, self.size, interpolation=cv2.INTER_AREA)), (0, 0), BLUR
        )
        red, green, blue = np.moveaxis(np.log(small**GAMMA + DARK), -1, 0)
        hue = _contrast(np.dstack([red - green, blue - green]), FAINT_HUE)
        bright = _contrast(np.dstack([red + green + blue]) / 3, FAINT)
        return self.weights * np.dstack([hue, bright])

    def step(self, found: Registered, solving: bool = True) -> Registered:
        """One Gauss-Newton step of the offset, then of the strengths; `solving` or not, its size may change."""
        task = self.task
        after = task.frames.vertices(found.offset)
        moves = task.frames.moves(task.surface, found.offset)
        units = np.flatnonzero(task.bounds[1] > task.bounds[0])
        slopes, residuals, shares = [], [], []
        for p, (_, row) in enumerate(task.pairs):
            posed = self.before[row] + np.float32(found.strengths[p]) * (after[row] - self.before[row])
            slope, residual, share = self._compare(p, posed, moves[row, units])
            slopes.append(slope)
            residuals.append(residual)
            shares.append(share)
        weights, trust = self._weights(residuals, shares, found)
        current = found.offset.double().numpy()
        solved = current.copy()
        if solving:
            solved[units] = self._solved(slopes, residuals, weights, found.strengths, current[units], units)
            reach = STEP_MM / task.motion_mm
            solved = current + np.clip(solved - current, -reach, reach)
        strengths = found.strengths
        if task.given is None and task.strengths:
            solved, strengths = self._play(slopes, residuals, weights, trust, found, current, solved, units)
        return Registered(torch.from_numpy(solved).float(), strengths, trust)

    def _solved(self, slopes, residuals, weights, strengths, current, units) -> np.ndarray:
        """The offset's units [U] that explain the residuals best, priors considered."""
        task = self.task
        normal, right = _normal(slopes, residuals, weights, strengths)
        sides = _sides(task.frames.puppet.head.expr_names, units)
        low, high = (bound[units] for bound in task.bounds)
        motion = task.motion_mm[units]
        return _bounded(normal, right + normal @ current, current, low, high, motion, task.priors, sides)

    def _compare(self, p: int, posed: np.ndarray, moves: np.ndarray):
        """How colours change with the units [N,3,U], what is left to explain [N,3], and shares [N]."""
        camera, picture = self.cameras[p], self.edited[p]
        sight = look(self.task.surface, posed, camera)
        depth = camera.project(self.task.surface.on_mesh(posed))[1]
        edited = read(picture, sight.pixels)
        dx, dy = (
            0.5 * (read(picture, sight.pixels + step) - read(picture, sight.pixels - step))
            for step in (np.float32([1, 0]), np.float32([0, 1]))
        )
        # As in two-sided alignment: the captured picture's slopes would do as well, their mean does best.
        shift = _projected(moves, sight.pixels, depth, camera)
        slope = dx[:, :, None] * shift[:, None, 0] + dy[:, :, None] * shift[:, None, 1]
        share = self.shares[p] * sight.share
        return slope, self.captured[p] + self.bias - edited, share

    def left(self, found: Registered) -> tuple[np.ndarray, np.ndarray]:
        """What the offset leaves unexplained, its mean [N,3] over pictures, and how often it was seen [N]."""
        after = self.task.frames.vertices(found.offset)
        total, seen = np.zeros((len(self.task.surface), 3)), np.zeros(len(self.task.surface))
        for p, (_, row) in enumerate(self.task.pairs):
            posed = self.before[row] + np.float32(found.strengths[p]) * (after[row] - self.before[row])
            sight = look(self.task.surface, posed, self.cameras[p])
            weight = self.shares[p] * sight.share * np.float32(found.trust[p])
            total += weight[:, None] * (read(self.edited[p], sight.pixels) - self.captured[p])
            seen += weight
        return total / np.maximum(seen, 1e-3)[:, None], seen

    def _weights(self, residuals, shares, found: Registered) -> tuple[list[np.ndarray], np.ndarray]:
        """Weights [N] per picture and trust [P]."""
        if self.task.given is not None:
            given = [
                share * read(cv2.resize(one, self.size, interpolation=cv2.INTER_AREA), self._at(place))
                for one, share, place in zip(self.task.given, shares, self.places, strict=True)
            ]
            return given, np.ones(len(shares))
        sizes = np.stack([np.linalg.norm(one, axis=1) for one in residuals])
        share = np.stack(shares)
        scale = max(1.5 * float(np.median(sizes[share > 0.1])), 0.1)
        weights = share / (1 + (sizes / (3 * scale)) ** 2) ** 2
        trust = picture_trust(sizes, share, scale, found.strengths)
        return list((weights * trust[:, None]).astype(np.float32)), trust

    def _at(self, place: np.ndarray) -> np.ndarray:
        return ((place + 0.5) * self.size).astype(np.float32)

    def _play(self, slopes, residuals, weights, trust, found, current, solved, units):
        """Each picture's strength, and the offset scaled such that strong pictures play it fully."""
        strengths = found.strengths.copy()
        change = (solved - current)[units].astype(np.float32)
        whole = solved[units].astype(np.float32)
        for p, (slope, residual, weight) in enumerate(zip(slopes, residuals, weights, strict=True)):
            direction = slope @ whole
            left = residual - strengths[p] * (slope @ change)
            own = weight / max(trust[p], 1e-3)
            top = (own[:, None] * direction * left).sum()
            size = (own[:, None] * direction**2).sum()
            # A picture's own strength is known less well than that of all: pulled towards the usual one.
            strengths[p] += top / max(size, 1e-9) * size / (size + DAMPING)
        strengths = np.clip(strengths, 0, STRONGEST)
        good = trust > 0.5
        strong = float(np.quantile(strengths[good], STRONG)) if good.sum() > 3 else 1.0
        if strong < WEAKEST:
            return solved, strengths
        return np.clip(solved * strong, *self.task.bounds), strengths / strong


def _contrast(values: np.ndarray, faint: float) -> np.ndarray:
    """Values [h,w,D] without what is broad, beside how much they vary around."""
    detail = values - cv2.GaussianBlur(values, (0, 0), SURROUND).reshape(values.shape)
    energy = cv2.GaussianBlur((detail * detail).mean(-1), (0, 0), SURROUND)
    return detail / np.sqrt(energy + faint**2)[..., None]


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


def _projected(moves: np.ndarray, pixels: np.ndarray, depth: np.ndarray, camera: Camera) -> np.ndarray:
    """Pixels [N,2,U] by which moves [U,N,3] in the world shift points at `pixels` [N,2]."""
    turn = camera.w2c[:3, :3].astype(np.float32)
    local = np.ascontiguousarray((moves.reshape(-1, 3) @ turn.T).reshape(moves.shape).transpose(1, 2, 0))
    inverse = (1 / depth).astype(np.float32)[:, None]
    x = (pixels[:, :1] - camera.K[0, 2]).astype(np.float32)
    y = (pixels[:, 1:] - camera.K[1, 2]).astype(np.float32)
    fx, fy = np.float32(camera.K[0, 0]), np.float32(camera.K[1, 1])
    return np.stack(
        [(fx * local[:, 0] - x * local[:, 2]) * inverse, (fy * local[:, 1] - y * local[:, 2]) * inverse], 1
    )


def _normal(slopes, residuals, weights, strengths) -> tuple[np.ndarray, np.ndarray]:
    """Normal matrix [U,U] and right side [U] over all pictures."""
    count = slopes[0].shape[-1]
    normal, right = np.zeros((count, count)), np.zeros(count)
    for slope, residual, weight, strength in zip(slopes, residuals, weights, strengths, strict=True):
        # By torch, which the caller keeps on one thread: a library's own threads would get in each other's way.
        flat = torch.from_numpy(np.ascontiguousarray(slope).reshape(-1, count)) * float(strength)
        weighted = (flat * torch.from_numpy(np.repeat(weight, 3).astype(np.float32))[:, None]).T
        normal += (weighted @ flat).numpy()
        right += (weighted @ torch.from_numpy(residual.reshape(-1).astype(np.float32))).numpy()
    variance = NOISE**2 * CLUSTER * len(slopes)
    return normal / variance, right / variance


def _sides(names: Sequence[str], units: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of places among `units` that are left and right of one thing."""
    place = {names[unit]: at for at, unit in enumerate(units.tolist())}
    return [
        (at, place[f"{name[:-4]}Right"])
        for name, at in place.items()
        if name.endswith("Left") and f"{name[:-4]}Right" in place
    ]


def _bounded(normal, right, start, low, high, motion, priors: Priors | None, sides) -> np.ndarray:
    """Least of x^T H x / 2 - g x + cost of x's motion in mm, within bounds, by coordinate descent.

    The cost of a millimetre fades for what surely moves: what is not there is held at zero, the rest not shrunk.
    """
    hessian = normal + np.eye(len(right)) * (1e-5 * np.trace(normal) / len(right) + 1e-9)
    x = np.clip(start, low, high)
    if priors is None:
        return _descend(hessian, right, np.zeros(len(right)), x, low, high)
    hessian = hessian + np.diag((motion / priors.spread) ** 2)
    for a, b in sides:
        pair = np.zeros(len(right))
        pair[a], pair[b] = motion[a], -motion[b]
        hessian += np.outer(pair, pair) / ALIKE**2
    for _ in range(3):
        cost = priors.sparsity * motion * SETTLED / (SETTLED + np.abs(x) * motion)
        x = _descend(hessian, right, cost, x, low, high)
    return x


def _descend(hessian, right, cost, start, low, high) -> np.ndarray:
    x = start.copy()
    slope = hessian @ x
    for _ in range(300):
        largest = 0.0
        for i in range(len(x)):
            pull = right[i] - slope[i] + hessian[i, i] * x[i]
            free = np.sign(pull) * max(abs(pull) - cost[i], 0) / hessian[i, i]
            new = min(max(free, low[i]), high[i])
            if new != x[i]:
                slope += hessian[:, i] * (new - x[i])
                largest = max(largest, abs(new - x[i]))
                x[i] = new
        if largest < 1e-5:
            break
    return x
