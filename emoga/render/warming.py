"""Compile every kernel ahead of its first use."""

from __future__ import annotations

import torch

from emoga.render.mesh import rasterize_mesh, soft_silhouette
from emoga.render.rasterize import rasterize
from emoga.render.sh import evaluate_sh


def warm_up() -> None:
    """Render one Gaussian and one triangle on the CPU, forward and backward, with and without depth."""
    eye = torch.eye(4)[None]
    K = torch.tensor([[[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]])
    means = torch.tensor([[0.0, 0, 1]], requires_grad=True)
    colors = evaluate_sh(torch.zeros(1, 4, 3, requires_grad=True), means)
    shape = (means, torch.ones(1, 4), torch.full((1, 3), 0.1), torch.ones(1), colors)
    for with_depth in (False, True):
        rendering = rasterize(*shape, eye, K, 8, 8, with_depth=with_depth)
        rendering.image.sum().backward(retain_graph=True)
    triangle = torch.tensor([[-0.2, -0.2, 1.0], [0.2, -0.2, 1.0], [0.0, 0.3, 1.0]])
    fragments = rasterize_mesh(triangle, torch.tensor([[0, 1, 2]]), eye, K, 8, 8)
    soft_silhouette(fragments, triangle, eye, K)
