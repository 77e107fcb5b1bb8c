"""What light alone does to skin that an emotion or an edit turns: the part of its colours that physics foretells."""

from __future__ import annotations

import numpy as np
import torch

from emoga.avatar.light import harmonics
from emoga.optimize.lighting import RIDGE

DARKEST, BRIGHTEST = 0.6, 1.6  # ratios of shading that skin shows without casting shadows
SMALLEST = 0.1


def skin_light(base: np.ndarray, normals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Light [9,3] under which skin of one tone shows captured colours [N,3] with normals [T,N,3], weighed by [N]."""
    tone = (weights[:, None] * base).sum(0) / max(weights.sum(), 1e-9)
    basis = np.concatenate([_harmonics(one) for one in normals])
    weight = np.tile(weights, len(normals))[:, None]
    normal = (basis * weight).T @ basis
    normal += (RIDGE * np.trace(normal) / 9 + 1e-9) * np.eye(9)
    ratios = np.tile(base / np.maximum(tone, 1e-3), (len(normals), 1))
    even = np.zeros((9, 3))
    even[0] = 1
    return even + np.linalg.solve(normal, (basis * weight).T @ (ratios - 1))


def relit(base: np.ndarray, light: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Change [N,3] of colours [N,3] under light [9,3] when normals [T,N,3] turn from `before` to `after`."""
    shades = [np.maximum(_harmonics(normals) @ light, SMALLEST) for normals in (before, after)]
    ratio = np.clip(shades[1] / shades[0], DARKEST, BRIGHTEST).mean(0)
    return (base * (ratio - 1)).astype(np.float32)


def _harmonics(normals: np.ndarray) -> np.ndarray:
    return harmonics(torch.from_numpy(normals).double()).numpy()
