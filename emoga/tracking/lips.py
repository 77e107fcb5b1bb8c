"""Lips part as far as pictures show: the portrait's mouth is drawn at several openings, and the likeliest one kept.

A detector tells rims by what is beside them, and takes the pale inside of a lip for teeth. A portrait has seen this
mouth open and shut, and knows its lips, its teeth and the dark behind them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import lsq_linear

from emoga.camera import Camera
from emoga.capture import Track
from emoga.geometry import axis_angle_to_matrix
from emoga.head import HeadParams, Identity
from emoga.optimize.solving_openings import OpeningTerm
from emoga.optimize.solving_state import State
from emoga.optimize.training_pictures import Example
from emoga.progress import Stage, Step
from emoga.threads import in_order
from emoga.tracking.openings import of_lips
from emoga.tracking.portrait import Portrait
from emoga.tracking.settling import BATCH, pictures_of
from emoga.tracking.stages import Tracker

# By these lips meet and part while the chin, which landmarks place, stays; the jaw would take it along.
UNITS = (
    "mouthClose", "mouthShrugLower", "mouthShrugUpper", "mouthRollLower", "mouthRollUpper",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight",
)  # fmt: skip
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of how far lips are apart, that are looked at
WIDER = (0.0005, 0.001, 0.002)  # and metres beyond that
HALVINGS = 2  # times that openings between the likeliest one and its neighbours are looked at, too
INDEPENDENT = 60  # colours that say something of their own in the picture of a mouth
STRAY = 0.25  # of a colour, from where on an error counts no more
FAINT = 1e-3  # of a colour: nobody's portrait errs by less
AROUND = 0.15  # of the mouth's width, that is looked at beyond the lips
LEAST_PIXELS = 8
NEWTON_STEPS = 3
STIFFNESS = 3e-4  # metres of opening given up for a whole unit


def lips_as_shown(tracker: Tracker, track: Track, portrait: Portrait, state: State) -> State:
    """The state with the lips of every frame that shows a face as far apart as its picture and its landmarks say.

    track: what the state stands for, with masks. One camera only, and heads whose lips have units. Each frame goes by
    the portrait, which training frames have taught, and by itself.
    """
    if not tracker.head.has_units:
        return state
    view = tracker.clip.views[0]
    camera = tracker.focused(view, state)
    seen = np.flatnonzero(tracker.clip.landmarks.valid[view]).tolist()
    mouths = Mouths.of(tracker, state, seen)
    expr, done = state.params.expr.clone(), 0
    tracker.report(Stage("open and close lips", len(seen)))
    pictures = pictures_of(tracker, track, portrait)
    while batch := list(itertools.islice(pictures, BATCH)):
        closes = {}
        for frame, example in batch:
            at = seen.index(frame)
            window = mouths.windows[at]
            if min(window[2:] - window[:2]) >= LEAST_PIXELS:
                closes[at] = Close.of(window, camera, example, portrait)
        for at, found in _likeliest(mouths, closes).items():
            expr[seen[at]] = found
        done += len(batch)
        tracker.report(Step(done))
    return replace(state, params=replace(state.params, expr=expr))


def _likeliest(mouths: Mouths, closes: Mapping[int, Close]) -> dict[int, torch.Tensor]:
    """Of frames, by their numbers, the expression [E] whose picture and landmarks are likeliest."""
    seen: dict[int, dict[float, tuple[float, torch.Tensor]]] = {at: {} for at in closes}

    def look(wanted: dict[int, list[float]]) -> None:
        pairs = [(at, opening) for at, openings in wanted.items() for opening in openings]
        if not pairs:
            return
        rows, openings = (np.array(part) for part in zip(*pairs, strict=True))
        params = mouths.opened(rows, openings)
        doubts = mouths.doubts(rows, params)
        each = ((closes[at], params.select([n])) for n, (at, _) in enumerate(pairs))
        for n, error in enumerate(in_order(each, lambda one: one[0].error(one[1]))):
            at, opening = pairs[n]
            seen[at][opening] = INDEPENDENT * np.log(error) + doubts[n], params.expr[n]

    look({at: _openings(float(mouths.openings[at])) for at in closes})
    for _ in range(HALVINGS):
        look({at: _between(list(seen[at]), _best(seen[at])) for at in closes})
    return {at: seen[at][_best(seen[at])][1] for at in closes}


def _openings(now: float) -> list[float]:
    """Openings to look at of lips that are `now` metres apart."""
    return sorted({*(share * max(now, 0.0) for share in SHARES), *(now + more for more in WIDER)})


def _best(costs: Mapping[float, tuple[float, torch.Tensor]]) -> float:
    return min(costs, key=lambda opening: costs[opening][0])


def _between(openings: list[float], best: float) -> list[float]:
    """What lies half way from the best opening to its neighbours."""
    order = sorted(openings)
    at = order.index(best)
    return [(best + other) / 2 for other in order[max(at - 1, 0) : at + 2] if other != best]


@dataclass(frozen=True)
class Close:
    """One frame's picture of the mouth: target [h,w,3], weight [h,w,1], and the portrait through a camera on it."""

    portrait: Portrait
    camera: Camera
    target: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, window: np.ndarray, camera: Camera, example: Example, portrait: Portrait) -> Close:
        """What of an example lies in a window [4] (x, y, x, y) of pixels."""
        left, top, right, bottom = (int(edge) for edge in window)
        K = camera.K.copy()
        K[:2, 2] -= left, top
        near = replace(camera, K=K, width=right - left, height=bottom - top)
        inside = slice(top, bottom), slice(left, right)
        target, weight = example.target[inside].numpy(), example.weight[(*inside, None)].numpy()
        return cls(portrait, near, target.copy(), weight.copy())  # not to keep the whole picture

    def error(self, params: HeadParams) -> float:
        """RMS error of a colour with the head so posed, large ones cut."""
        params = replace(params, static_offset=None).to(dtype=torch.float32)
        error = np.minimum(np.abs(self.portrait.picture(params, 0, self.camera) - self.target), STRAY)
        mean = (self.weight * error**2).sum(dtype=np.float64) / max(3 * self.weight.sum(), 1e-9)
        return float(np.sqrt(mean + FAINT**2))


@dataclass(frozen=True)
class Mouths:
    """The mouths of T frames: what parts K pairs of facing points of their lips, and what landmarks say of that.

    ways [T,3]: unit vectors in the world along which the jaw parts lips; rest [T,K]: metres between pairs along them
    with the face at rest, gaps [T,K] beyond that; slopes [T,K,U] of gaps by UNITS; profile [T,K]: how much each pair
    opens of a mean opening. windows [T,4]: the pixels around (x, y, x, y).
    """

    tracker: Tracker
    identity: Identity
    params: HeadParams
    term: OpeningTerm
    pairs: torch.Tensor
    ways: torch.Tensor
    rest: torch.Tensor
    gaps: np.ndarray
    slopes: np.ndarray
    profile: np.ndarray
    windows: np.ndarray

    @classmethod
    def of(cls, tracker: Tracker, state: State, frames: list[int]) -> Mouths:
        """Those of some frames of a state."""
        part = replace(state, params=state.params.select(frames))
        params, identity, gaps = part.params, tracker.identity(state), tracker.gaps
        pairs = of_lips(tracker.clip.landmarks.scheme)
        vectors, columns = gaps.jacobian(identity, params)
        by_unit = columns[:, pairs][..., gaps.layout.expr]

        def slopes(*names: str) -> torch.Tensor:
            return by_unit[..., [gaps.layout.units.index(tracker.head.unit(name)) for name in names]]

        by_jaw = slopes("jawOpen")[..., 0]
        ways = torch.nn.functional.normalize(by_jaw.mean(1), dim=-1)
        at_rest = replace(params, expr=torch.zeros_like(params.expr), jaw=torch.zeros_like(params.jaw))
        rest = _along(gaps.place(identity, at_rest)[:, pairs], ways)
        profile = _along(by_jaw, ways)
        return cls(
            tracker, identity, params, tracker.evidence(part, frames)[1], pairs, ways, rest,
            (_along(vectors[:, pairs], ways) - rest).numpy(),
            torch.einsum("tkcu,tc->tku", slopes(*UNITS), ways).numpy(),
            (profile / profile.mean(1, keepdim=True)).numpy(), _windows(tracker, part),
        )  # fmt: skip

    @property
    def openings(self) -> np.ndarray:
        """Metres [T] by which lips are apart, beyond those of a face at rest."""
        return self.gaps.mean(1)

    def opened(self, rows: np.ndarray, openings: np.ndarray) -> HeadParams:
        """The frames rows [M] with lips a mean openings [M] in metres apart, by the least change of UNITS within their
        limits.
        """
        params, gaps, now = self.params.select(torch.from_numpy(rows)), self.gaps[rows], self.openings[rows]
        closer = ((openings >= 0) & (openings < now))[:, None]
        share = (openings / np.where(now > 0, now, 1))[:, None]
        wanted = np.where(closer, gaps * share, gaps + (openings - now)[:, None] * self.profile[rows])
        head = self.tracker.head
        columns, (low, high) = [head.unit(name) for name in UNITS], head.expr_limits
        expr = params.expr.clone()
        before = expr[:, columns].numpy()
        for _ in range(NEWTON_STEPS):
            # Lips that meet, and units that close them, do not answer in proportion.
            missing = wanted - self._gaps(rows, replace(params, expr=expr))
            old = expr[:, columns].numpy()
            # The solver wants room on both sides.
            lowest, highest = np.minimum(low - old, -1e-9), np.maximum(high - old, 1e-9)
            for n, row in enumerate(rows):
                system = np.concatenate([self.slopes[row], STIFFNESS * np.eye(len(columns))])
                target = np.concatenate([missing[n], STIFFNESS * (before[n] - old[n])])
                step = lsq_linear(system, target, (lowest[n], highest[n]), method="bvls").x
                expr[n, columns] = torch.from_numpy(np.clip(old[n] + step, low, high))
        return replace(params, expr=expr)

    def doubts(self, rows: np.ndarray, params: HeadParams) -> np.ndarray:
        """What landmarks say against the openings of the frames rows [M], posed by params: pairs err together, and
        count as one.
        """
        places = self.tracker.gaps.place(self.identity, params)
        turns = axis_angle_to_matrix(params.rotation)
        costs = self.term.costs(places, turns, torch.from_numpy(rows))
        return costs[..., self.pairs].mean((0, 2)).numpy()

    def _gaps(self, rows: np.ndarray, params: HeadParams) -> np.ndarray:
        vectors = self.tracker.gaps.place(self.identity, params)[:, self.pairs]
        at = torch.from_numpy(rows)
        return (_along(vectors, self.ways[at]) - self.rest[at]).numpy()


def _along(vectors: torch.Tensor, ways: torch.Tensor) -> torch.Tensor:
    """Lengths [T,K] of vectors [T,K,3] along ways [T,3]."""
    return torch.einsum("tkc,tc->tk", vectors, ways)


def _windows(tracker: Tracker, state: State) -> np.ndarray:
    """Pixels [T,4] around the lips of a state's frames: first column and row, and those after the last."""
    camera = tracker.focused(tracker.clip.views[0], state)
    lips = torch.unique(tracker.head.faces[tracker.head.faces_of(("lips",))])
    at, _ = camera.project(tracker.posed(state)[:, lips].numpy())
    low, high = at.min(1), at.max(1)
    pad = AROUND * (high - low).max(1, keepdims=True)
    size = [camera.width, camera.height]
    return np.concatenate(
        [np.clip(np.floor(low - pad), 0, size), np.clip(np.ceil(high + pad), 0, size)], 1
    ).astype(int)
