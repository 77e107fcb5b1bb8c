"""Rendering: Gaussians by `rasterize`, meshes by `rasterize_mesh`, on CPU or CUDA. Never reads files."""

from emoga.render.contributions import gaussian_contributions
from emoga.render.mesh import MeshFragments, interpolate, rasterize_mesh, soft_silhouette
from emoga.render.rasterize import rasterize
from emoga.render.rendering import Rendering, Statistics
from emoga.render.sh import SH_C0, evaluate_sh
from emoga.render.warming import warm_up

__all__ = [
    "SH_C0",
    "MeshFragments",
    "Rendering",
    "Statistics",
    "evaluate_sh",
    "gaussian_contributions",
    "interpolate",
    "rasterize",
    "rasterize_mesh",
    "soft_silhouette",
    "warm_up",
]
