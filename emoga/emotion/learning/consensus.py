"""What the edits of all views and frames agree on: how the skin's colour changed, picture by picture put right.

    change_p(x) = s_p tau(x) + (a_p + b_p u + c_p v) captured_p(x) + error

tau is the consensus at full strength, s_p how strongly picture p plays it, and the bracket the picture's own drift,
smooth over the picture (u, v in -0.5 … 0.5) and different for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROUNDS = 6
STILL_RIDGE = 1e-3
SCALE_FLOOR = 0.008  # sRGB 0..1: colours never agree better
WORST = (
    2.5  # scales of error beyond which a point counts no more against its picture: it may be right elsewhere
)
SPREAD = 0.25  # of the usual error, by which pictures that did not fail may differ at least


@dataclass(frozen=True, eq=False)
class Lifted:
    """P pictures on N points: captured and edited colours [P,N,3] sRGB 0..1, places [P,N,2] in the picture
    (-0.5 … 0.5), shares [P,N] of how well both saw a point, strengths [P]."""

    captured: np.ndarray
    edited: np.ndarray
    places: np.ndarray
    shares: np.ndarray
    strengths: np.ndarray


@dataclass(frozen=True)
class Consensus:
    """change [N,3] at full strength and its evidence [N] (how many whole sightings); base [N,3] captured colours.

    drifts [P,3,3]: (a, b, c) per channel; weights [P,N]; trust [P]: what is left of each picture as a whole.
    """

    change: np.ndarray
    evidence: np.ndarray
    base: np.ndarray
    drifts: np.ndarray
    weights: np.ndarray
    trust: np.ndarray


def agree(
    lifted: Lifted, pictures: np.ndarray, *, drift: bool = True, given: np.ndarray | None = None
) -> Consensus:
    """Robust consensus; pictures [P]: weights known so far. given [P,N]: weights as they are, nothing robust."""
    change_seen = lifted.edited - lifted.captured
    strengths = np.maximum(lifted.strengths, 0.0)[:, None].astype(np.float32)
    weights = lifted.shares * pictures[:, None].astype(np.float32) if given is None else lifted.shares * given
    drifts = np.zeros((len(pictures), 3, 3), np.float32)
    trust = pictures.copy()
    rounds = ROUNDS if given is None or drift else 1
    for _ in range(rounds):
        drifted = _drifted(lifted, drifts)
        change = _mean(change_seen - drifted, weights, strengths)
        left = change_seen - strengths[..., None] * change
        if drift:
            drifts = _fit_drifts(lifted, left, weights, trust if given is None else np.ones(len(pictures)))
            drifted = _drifted(lifted, drifts)
        if given is None:
            size = np.linalg.norm(left - drifted, axis=-1)
            weights, trust = _robust(size, lifted.shares, pictures)
    change = _mean(change_seen - drifted, weights, strengths) if rounds > 1 else change
    evidence = (weights * strengths**2).sum(0)
    total = np.maximum(weights.sum(0), 1e-6)
    base = np.einsum("pn,pnd->nd", weights, lifted.captured) / total[:, None]
    seen = lifted.shares.sum(0)
    plain = np.einsum("pn,pnd->nd", lifted.shares, lifted.captured) / np.maximum(seen, 1e-6)[:, None]
    base = np.where((total > 0.05)[:, None], base, plain)
    return Consensus(change, evidence, base, drifts, weights, trust)


def _mean(change: np.ndarray, weights: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Least squares of change [P,N,3] = s tau with weights [P,N]."""
    top = np.einsum("pn,pnd->nd", weights * strengths, change)
    return top / np.maximum((weights * strengths**2).sum(0), 1e-3)[:, None]


def _robust(size: np.ndarray, shares: np.ndarray, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [P,N] from how far each picture is off at each point [P,N], and trust [P] in whole pictures."""
    seen = (shares > 0.1) & (pictures[:, None] > 0.3)
    scale = max(1.5 * float(np.median(size[seen])) if seen.any() else 0.0, SCALE_FLOOR)
    capped = np.minimum(size, WORST * scale) ** 2
    error = np.sqrt((shares * capped).sum(1) / np.maximum(shares.sum(1), 1e-6))
    good = pictures > 0.3
    usual = np.median(error[good]) if good.any() else np.median(error)
    spread = max(1.48 * float(np.median(np.abs(error[good] - usual))) if good.any() else 0.0, SPREAD * usual)
    trust = pictures / (1 + (np.maximum(error - usual, 0) / (3 * max(spread, 1e-6))) ** 2) ** 2
    weights = shares / (1 + (size / (2 * scale)) ** 2) ** 2 * trust[:, None]
    return weights.astype(np.float32), trust


def _drifted(lifted: Lifted, drifts: np.ndarray) -> np.ndarray:
    gain = drifts[:, None, :, 0] + np.einsum("pnk,pdk->pnd", lifted.places, drifts[:, :, 1:])
    return gain * lifted.captured


def _fit_drifts(lifted: Lifted, left: np.ndarray, weights: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Drifts [P,3,3] of what is left [P,N,3]; their mean over pictures belongs to the consensus."""
    basis = np.concatenate([np.ones((*lifted.places.shape[:2], 1), np.float32), lifted.places], -1)
    drifts = np.zeros((len(left), 3, 3), np.float32)
    for p in range(len(left)):
        # A failed picture must not drag its drift out of all bounds: shares alone, once it is distrusted.
        weight = weights[p] if weights[p].sum() > 1e-2 * lifted.shares[p].sum() else lifted.shares[p]
        for channel in range(3):
            columns = basis[p] * lifted.captured[p, :, channel : channel + 1]
            weighted = columns * weight[:, None]
            normal = weighted.T @ columns
            normal += np.eye(3) * (STILL_RIDGE * np.trace(normal) + 1e-9)
            drifts[p, channel] = np.linalg.solve(normal, weighted.T @ left[p, :, channel])
    mean = np.einsum("p,pdk->dk", trust, drifts) / max(trust.sum(), 1e-6)
    return drifts - mean.astype(np.float32)


def lift_all(
    captured: Sequence[np.ndarray], edited: Sequence[np.ndarray], places: Sequence[np.ndarray],
    shares: Sequence[np.ndarray], strengths: np.ndarray,
) -> Lifted:  # fmt: skip
    """Stack what was read picture by picture."""
    return Lifted(
        *(np.stack(part).astype(np.float32) for part in (captured, edited, places, shares)), strengths
    )
