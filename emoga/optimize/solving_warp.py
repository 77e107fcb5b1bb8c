"""Smooth offsets of a head beyond its shape basis: the leading modes of a smooth random field in space."""

from __future__ import annotations

import torch

from emoga.head import Head

ANCHORS = 240


def smooth_modes(head: Head, count: int, length: float, spread: float) -> torch.Tensor:
    """Modes [3*count,V,3] metres per standard deviation, float64.

    A Gaussian random field over space with correlation `length` and standard deviation `spread` (metres)
    moves everything near it alike, so eyeballs and teeth go along with the skin around them.
    """
    vertices = head.template.double()
    anchors = vertices[spread_out(vertices, head.regions["face"], ANCHORS)]
    values, vectors = torch.linalg.eigh(_kernel(anchors, anchors, length))
    values, vectors = values[-count:].flip(0).clamp_min(1e-9), vectors[:, -count:].flip(1)
    # Nyström: eigenvectors on the anchors carried to every vertex, already scaled by their spread.
    modes = spread * _kernel(vertices, anchors, length) @ vectors / values.sqrt()
    # Signs of eigenvectors are arbitrary; fix them so that every machine gets the same ones.
    modes = modes * torch.sign(modes.sum(0)).where(modes.sum(0) != 0, torch.ones(count, dtype=modes.dtype))
    directions = torch.eye(3, dtype=torch.float64)
    return torch.einsum("vk,ij->kivj", modes, directions).reshape(3 * count, len(vertices), 3)


def _kernel(a: torch.Tensor, b: torch.Tensor, length: float) -> torch.Tensor:
    return torch.exp(-0.5 * (torch.cdist(a, b) / length) ** 2)


def spread_out(vertices: torch.Tensor, allowed: torch.Tensor, count: int) -> torch.Tensor:
    """Indices of `count` allowed vertices far from one another, greedily, always the same."""
    candidates = torch.nonzero(allowed)[:, 0]
    places = vertices[candidates]
    chosen = [0]
    distance = (places - places[0]).norm(dim=1)
    for _ in range(min(count, len(candidates)) - 1):
        following = int(distance.argmax())
        chosen.append(following)
        distance = torch.minimum(distance, (places - places[following]).norm(dim=1))
    return candidates[chosen]
