"""Light on a head: nine spherical-harmonic coefficients per colour, and the albedo they shine on."""

from __future__ import annotations

import torch

from emoga.avatar.light import harmonics

RIDGE = 0.02  # pulls the light towards one that comes evenly from everywhere


def fit_light(
    colors: torch.Tensor, weights: torch.Tensor, normals: torch.Tensor, rounds: int = 4
) -> tuple[torch.Tensor, torch.Tensor]:
    """Light [9,3] and albedo [N,3] that explain colors [S,N,3] seen with weights [S,N] on normals [S,N,3].

    Alternates two least squares. Brightness is shared out so that the mean shading is 1.
    """
    total = weights.sum(0).clamp_min(1e-9)[:, None]
    albedo = (weights[..., None] * colors).sum(0) / total
    basis = harmonics(normals)
    light = colors.new_zeros(9, 3)
    light[0] = 1
    for _ in range(rounds):
        light = _solve_light(colors, weights, basis, albedo)
        shade = (basis @ light).clamp_min(0.05)
        mean = (weights[..., None] * shade).sum((0, 1)) / weights.sum().clamp_min(1e-9)
        light, shade = light / mean, shade / mean
        seen = weights[..., None] * shade
        albedo = (seen * colors).sum(0) / (seen * shade).sum(0).clamp_min(1e-9)
    return light, albedo


def _solve_light(
    colors: torch.Tensor, weights: torch.Tensor, basis: torch.Tensor, albedo: torch.Tensor
) -> torch.Tensor:
    even = torch.zeros(9, dtype=colors.dtype)
    even[0] = 1
    columns = []
    for channel in range(3):
        lit = basis * albedo[None, :, channel, None]
        weighted = weights[..., None] * lit
        normal = torch.einsum("sni,snj->ij", weighted, lit)
        ridge = RIDGE * normal.diagonal().mean()
        right = torch.einsum("sni,sn->i", weighted, colors[..., channel]) + ridge * even
        columns.append(torch.linalg.solve(normal + ridge * torch.eye(9, dtype=colors.dtype), right))
    return torch.stack(columns, 1)


def shaded(albedo: torch.Tensor, light: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """Expected colours [T,N,3] of albedo [N,3] under light [9,3] with normals [T,N,3]."""
    return albedo * (harmonics(normals) @ light).clamp_min(0.05)
