"""Rendering: Gaussians by `rasterize`, meshes by `rasterize_mesh`, on CPU or CUDA. Never reads files."""

from emoga.render.mesh import MeshFragments, interpolate, rasterize_mesh, soft_silhouette
from emoga.render.rasterize import rasterize
from emoga.render.rendering import Rendering, Statistics

__all__ = [
    "MeshFragments",
    "Rendering",
    "Statistics",
    "interpolate",
    "rasterize",
    "rasterize_mesh",
    "soft_silhouette",
]
