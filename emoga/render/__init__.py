"""Rendering: Gaussians by `rasterize`, meshes by `rasterize_mesh`, on CPU or CUDA. Never reads files."""

from emoga.render.rasterize import rasterize
from emoga.render.rendering import Rendering, Statistics

__all__ = ["Rendering", "Statistics", "rasterize"]
