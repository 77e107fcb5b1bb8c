"""How the head's rest must move so that its renders agree with edited pictures: shape basis plus a smooth offset,
and what the words lead one to expect.

Pictures are compared through the renderer, from small ones to large ones, so that outlines count as much as what lies
within them. Colours that the pictures agree on are given, for hue must not be explained by motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from scipy.spatial import cKDTree

from emoga.avatar.avatar import Gaussians
from emoga.editing.refit_scene import Scene
from emoga.editing.subject import template_vertices
from emoga.head import Head
from emoga.progress import Reporter, Step, silent

# Of each round: pixels of height, and millimetres of a step at first.
ROUNDS = (((64, 0.5), (128, 0.35)), ((192, 0.2),))
BATCH = 4  # pictures of a step
KNOTS, REACH = 90, 0.035  # of the smooth offset, and metres over which one spreads
SHAPE_SPREAD, KNOT_SPREAD = (
    1.5,
    1.5,
)  # millimetres that a component of the basis, and a knot, are expected to move
EXPECTED_SPREAD = 2.0  # times an expected move, that it may well be more or less
PRIOR = 1e-5  # weight of the squares of both beside a picture's loss
HUBER = 0.06  # sRGB 0..1 beyond which an error counts linearly
# Below this height of the template nothing moves: there the avatar meets its clothes, which stay.
COLLAR, COLLAR_FADE = -0.150, 0.05
REPORT_EVERY = 10


@dataclass(frozen=True, eq=False)
class MoveBasis:
    """Columns [C,V,3], metres per millimetre of their coefficient; begin [V,3] metres: the move where all are zero."""

    columns: torch.Tensor
    spread: torch.Tensor
    begin: torch.Tensor

    @classmethod
    def of(cls, head: Head, expected: torch.Tensor | None = None) -> MoveBasis:
        """The head's shape components, smooth bumps about knots spread over it, and an `expected` move [V,3]."""
        template = template_vertices(head)
        shape = head.shape_basis.double().numpy()
        shape = shape - shape[:, head.regions["eyeballs"].numpy()].mean(1, keepdims=True)
        face = head.regions["face"].numpy()
        size = np.sqrt((shape[:, face] ** 2).sum(-1).mean(-1))[:, None, None] * 1e3
        bumps = _bumps(template, _knots(template))
        axes = np.einsum("kv,ij->kivj", bumps, np.eye(3)).reshape(-1, *template.shape) * 1e-3
        calm = np.clip((template[:, 1:2] - COLLAR) / COLLAR_FADE, 0, 1)
        columns = np.concatenate([shape / size, axes]) * calm
        # Components of a basis that move little are as large as people are different.
        spread = np.concatenate([np.minimum(SHAPE_SPREAD * size[:, 0, 0], 2 * SHAPE_SPREAD),
                                 np.full(len(axes), KNOT_SPREAD)])  # fmt: skip
        if expected is not None:
            far = 1e3 * float((expected[head.regions["face"]] ** 2).sum(-1).mean().sqrt())
            columns = np.concatenate([columns, expected[None].double().numpy() / max(far, 0.1)])
            spread = np.append(spread, EXPECTED_SPREAD * max(far, 0.1))
        columns, spread = (torch.from_numpy(part).float() for part in (columns, spread))
        return cls(columns, spread, torch.zeros_like(columns[0]))

    def about(self, move: torch.Tensor) -> MoveBasis:
        """The same columns about another move [V,3]."""
        return replace(self, begin=move)

    def move(self, coefficients: torch.Tensor) -> torch.Tensor:
        """[V,3] metres of coefficients [C] in millimetres."""
        return self.begin + torch.tensordot(coefficients, self.columns, 1)


def find_move(
    scene: Scene,
    gaussians: Gaussians,
    basis: MoveBasis,
    start: torch.Tensor,
    trust: np.ndarray,
    steps: int,
    levels: Sequence[tuple[int, float]] = ROUNDS[0],
    seed: int = 0,
    report: Reporter = silent,
) -> torch.Tensor:
    """Coefficients [C] in millimetres, from a start; gaussians: with the colours the edits are taken to have."""
    coefficients = start.clone().requires_grad_(True)
    height = scene.edited.edited.shape[1]
    done = 0
    for number, (size, rate) in enumerate(levels):
        rows = min(size, height)
        targets = _targets(scene, rows)
        optimiser = torch.optim.Adam([coefficients], rate, betas=(0.9, 0.98))
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = rate * (1 - 0.9 * step / steps)
            optimiser.zero_grad()
            move = basis.move(coefficients)
            total = 0.0
            for p in _batch(len(scene), step, seed + number):
                image = scene.draw(gaussians, p, move, rows).image[0]
                apart = torch.nn.functional.huber_loss(image, targets[p], reduction="none", delta=HUBER)
                total = total + float(trust[p]) / HUBER * apart.mean() / BATCH
            total = total + PRIOR * ((coefficients / basis.spread) ** 2).sum()
            total.backward()
            optimiser.step()
            done += 1
            if done % REPORT_EVERY == 0:
                report(Step(done, {"loss": float(total.detach())}))
    return coefficients.detach()


@torch.no_grad()
def _targets(scene: Scene, rows: int) -> list[torch.Tensor]:
    """The edits [h,w,3] at one size, each without what the avatar's own render of the original is off by."""
    found = []
    for p in range(len(scene)):
        drawn = scene.draw(scene.puppet.gaussians, p, size=rows).image[0]
        size = (drawn.shape[1], drawn.shape[0])
        change = scene.edited.edited[p] - scene.edited.originals[p]
        found.append(drawn + torch.from_numpy(cv2.resize(change, size, interpolation=cv2.INTER_AREA)))
    return found


def _batch(count: int, step: int, seed: int) -> list[int]:
    """Pictures of a step, each once before any comes again."""
    chosen = []
    for at in range(step * BATCH, (step + 1) * BATCH):
        turn, place = divmod(at, count)
        chosen.append(int(np.random.default_rng([seed, turn]).permutation(count)[place]))
    return chosen


def _knots(template: np.ndarray) -> np.ndarray:
    """Places [K,3] far from one another on the upper part of the template."""
    points = template[template[:, 1] > COLLAR]
    chosen = [0]
    distance = np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < KNOTS:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return points[chosen]


def _bumps(template: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """[K,V]: how much each vertex goes with each knot, 1 in its middle."""
    near = cKDTree(knots).sparse_distance_matrix(cKDTree(template), 3 * REACH, output_type="coo_matrix")
    bumps = np.zeros((len(knots), len(template)))
    bumps[near.row, near.col] = np.exp(-0.5 * (near.data / REACH) ** 2)
    return bumps
