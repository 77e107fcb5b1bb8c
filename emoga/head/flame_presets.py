"""The open head's emotions on another head: what its components can show of how the open head's skin moves."""

from __future__ import annotations

import numpy as np
import scipy.spatial
import torch

from emoga.head.flame_surface import Anchors, Surface, lay_onto
from emoga.head.model import Head
from emoga.head.regions import UNIONS

TOLERANCE = 3e-4  # metres of misfit, per vertex, that one standard deviation of a component costs
LIMIT = 3.0


def carried_presets(
    head: Head, surface: Surface, expr_basis: np.ndarray, labels: np.ndarray, anchors: Anchors | None
) -> np.ndarray:
    """Components [P,E] of the open head's presets, in their order; expr_basis [E,V,3], labels [V] its regions.

    What the jaw does in them is left out: it is a joint of its own.
    """
    face = np.flatnonzero(np.isin(labels, [head.region_names.index(name) for name in UNIONS["face"]]))
    skin = head.regions["face"].numpy()
    placed = lay_onto(head, surface, head.template.double().numpy()[skin], anchors)
    _, near = scipy.spatial.cKDTree(placed).query(surface.vertices[face])
    eyes = head.joints[2:].double().numpy()
    scale = np.linalg.norm(surface.eyes[0] - surface.eyes[1]) / np.linalg.norm(eyes[0] - eyes[1])
    basis = expr_basis[:, face].reshape(len(expr_basis), -1).astype(np.float64)
    moved = [scale * _motion(head, name)[skin][near].ravel() for name in head.presets]
    calm = TOLERANCE**2 * len(face) * np.eye(len(basis))
    found = np.linalg.solve(basis @ basis.T + calm, basis @ np.array(moved).T).T
    return np.round(found.clip(-LIMIT, LIMIT), 4)


def _motion(head: Head, name: str) -> np.ndarray:
    """Displacements [V,3] of the template by a preset, less those of the jaw."""
    expr = head.emotion(name)
    expr[head.unit("jawOpen")] = 0
    identity = head.identify(torch.zeros(len(head.shape_names)))
    return (identity.pose(expr[None])[0] - identity.rest).double().numpy()
