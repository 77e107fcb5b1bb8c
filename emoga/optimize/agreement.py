"""What P pictures of N points agree on, each put right for its own drift of colour, with robust weights.

    value_p(x) = agreed(x) + (a_p + b_p u + c_p v) base(x) + error

The bracket is a picture's own drift, smooth over it (u, v in -0.5 … 0.5); drifts of all pictures have mean zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROUNDS, POINT_ROUNDS = 6, 3
SAMPLE = 6000  # points that drifts and trust are worked out on
RIDGE = 1e-3
FLOOR = 0.008  # sRGB 0..1: pictures never agree better
WORST = 2.5  # scales of error beyond which a point counts no more against its picture
SPREAD = 0.25  # of the usual error, by which good pictures may differ at least


@dataclass(frozen=True, eq=False)
class Sightings:
    """values, base [P,N,3]: what is to be agreed on, and the colours drifts scale; places [P,N,2] in the picture;
    shares [P,N] of how well each is seen."""

    values: np.ndarray
    base: np.ndarray
    places: np.ndarray
    shares: np.ndarray

    def at(self, rows: np.ndarray) -> Sightings:
        """Some of the points."""
        parts = (self.values, self.base, self.places, self.shares)
        return Sightings(*(np.ascontiguousarray(part[:, rows]) for part in parts))


@dataclass(frozen=True)
class Agreement:
    """agreed [N,3]; evidence [N]: whole sightings behind it; drifts [P,3,3] (a, b, c per channel); weights [P,N];
    trust [P] in whole pictures."""

    agreed: np.ndarray
    evidence: np.ndarray
    drifts: np.ndarray
    weights: np.ndarray
    trust: np.ndarray


def agree(seen: Sightings, drift: bool = True) -> Agreement:
    """Iteratively reweighted means: points that differ, and pictures that differ as a whole, lose their weight.

    Drifts and trust are worked out on a sample of the points; every point then has its own weights.
    """
    points = seen.values.shape[1]
    sample = seen.at(np.linspace(0, points - 1, min(points, SAMPLE)).astype(int))
    weights, trust = sample.shares.copy(), np.ones(len(seen.values))
    drifts = np.zeros((len(seen.values), 3, 3), np.float32)
    for _ in range(ROUNDS):
        size, drifts = _misfit(sample, weights, trust, drifts, drift)
        weights, trust, scale = _robust(size, sample.shares)
    clean = seen.values - _drifted(seen, drifts)
    weights = seen.shares * trust[:, None].astype(np.float32)
    for _ in range(POINT_ROUNDS):
        size = np.linalg.norm(clean - _mean(clean, weights), axis=-1)
        weights = (seen.shares / (1 + (size / (2 * scale)) ** 2) ** 2 * trust[:, None]).astype(np.float32)
    return Agreement(_mean(clean, weights), weights.sum(0), drifts, weights, trust)


def _misfit(
    seen: Sightings, weights: np.ndarray, trust: np.ndarray, drifts: np.ndarray, drift: bool
) -> tuple[np.ndarray, np.ndarray]:
    """How far each picture is off at each point [P,N], and the drifts [P,3,3] found on the way."""
    left = seen.values - _mean(seen.values - _drifted(seen, drifts), weights)
    if drift:
        drifts = _fit_drifts(seen, left, weights, trust)
    return np.linalg.norm(left - _drifted(seen, drifts), axis=-1), drifts


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean [N,3] of values [P,N,3] by weights [P,N]."""
    return (weights[..., None] * values).sum(0) / np.maximum(weights.sum(0), 1e-3)[:, None]


def _drifted(seen: Sightings, drifts: np.ndarray) -> np.ndarray:
    gain = drifts[:, None, :, 0] + seen.places @ drifts[:, :, 1:].transpose(0, 2, 1)
    return gain * seen.base


def _robust(size: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Weights [P,N], trust [P] and the usual error, from how far every picture is off at every point [P,N]."""
    sighted = shares > 0.1
    scale = max(1.5 * float(np.median(size[sighted])) if sighted.any() else 0.0, FLOOR)
    capped = np.minimum(size, WORST * scale) ** 2
    error = np.sqrt((shares * capped).sum(1) / np.maximum(shares.sum(1), 1e-6))
    usual = np.median(error)
    spread = max(1.48 * float(np.median(np.abs(error - usual))), SPREAD * usual, 1e-6)
    trust = 1 / (1 + (np.maximum(error - usual, 0) / (3 * spread)) ** 2) ** 2
    weights = shares / (1 + (size / (2 * scale)) ** 2) ** 2 * trust[:, None]
    return weights.astype(np.float32), trust, scale


def _fit_drifts(seen: Sightings, left: np.ndarray, weights: np.ndarray, trust: np.ndarray) -> np.ndarray:
    drifts = np.zeros((len(left), 3, 3), np.float32)
    for p, places in enumerate(seen.places):
        # A failed picture must not drag its drift out of all bounds: shares alone, once it is distrusted.
        weight = weights[p] if weights[p].sum() > 1e-2 * seen.shares[p].sum() else seen.shares[p]
        rows = np.flatnonzero(weight > 1e-3)
        basis = np.concatenate([np.ones((len(rows), 1), np.float32), places[rows]], -1)
        for channel in range(3):
            columns = basis * seen.base[p, rows, channel : channel + 1]
            weighted = columns * weight[rows, None]
            normal = weighted.T @ columns
            normal += np.eye(3) * (RIDGE * np.trace(normal) + 1e-9)
            drifts[p, channel] = np.linalg.solve(normal, weighted.T @ left[p, rows, channel])
    mean = np.einsum("p,pdk->dk", trust, drifts) / max(trust.sum(), 1e-6)
    return drifts - mean.astype(np.float32)
