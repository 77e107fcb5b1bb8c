"""Thin layer over Mitsuba: meshes, curves, textures and films from NumPy arrays."""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from emoga.camera import Camera
from emoga.errors import MissingComponent

VARIANT = "scalar_rgb"  # the only variant that runs the same everywhere


@lru_cache(maxsize=1)
def mitsuba() -> ModuleType:
    """The module with its variant set. Raises MissingComponent when it is not installed."""
    try:
        import mitsuba as mi
    except ImportError as error:
        raise MissingComponent(
            "the studio needs Mitsuba 3; install it with: pip install 'emoga[studio]'"
        ) from error
    mi.set_variant(VARIANT)
    mi.set_log_level(mi.LogLevel.Error)
    return mi


def use_threads(count: int) -> None:
    """Threads that Mitsuba may use in this process."""
    mitsuba()
    import drjit

    drjit.set_thread_count(count)


def rgb(values: Any) -> dict:
    """A constant linear colour [3]."""
    return {"type": "rgb", "value": [float(v) for v in values]}


def texture(image: np.ndarray, linear: bool = True, wrap: str = "clamp") -> Any:
    """A bitmap texture of [H,W,3] or [H,W]; `linear` values are taken as they are. Row 0 is v = 1."""
    mi = mitsuba()
    image = image if image.ndim == 3 else image[..., None]
    image = np.ascontiguousarray(image[::-1], np.float32)  # Mitsuba's first row lies at v = 0
    return mi.load_dict(
        {"type": "bitmap", "bitmap": mi.Bitmap(image), "raw": linear, "wrap_mode": wrap, "format": "fp16"}
    )


def mesh(
    name: str, vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray, uv: np.ndarray | None, bsdf: Any
) -> Any:
    """A Mitsuba mesh of vertices [V,3], faces [F,3], unit normals [V,3] and uv [V,2]."""
    mi = mitsuba()
    properties = mi.Properties()
    properties["bsdf"] = bsdf
    shape = mi.Mesh(
        name,
        len(vertices),
        len(faces),
        props=properties,
        has_vertex_normals=True,
        has_vertex_texcoords=uv is not None,
    )
    parameters = mi.traverse(shape)
    parameters["vertex_positions"] = np.ascontiguousarray(vertices, np.float32).ravel()
    parameters["vertex_normals"] = np.ascontiguousarray(normals, np.float32).ravel()
    parameters["faces"] = np.ascontiguousarray(faces, np.uint32).ravel()
    if uv is not None:
        parameters["vertex_texcoords"] = np.ascontiguousarray(uv, np.float32).ravel()
    parameters.update()
    return shape


def curves(points: np.ndarray, radii: np.ndarray, bsdf: Any):
    """B-spline strands: points [S,K,3] metres, radii [S,K], K >= 4."""
    mi = mitsuba()
    count, length = points.shape[:2]
    # A spline stops short of its end points; doubled ones make it start at the root.
    points = np.concatenate(
        [2 * points[:, :1] - points[:, 1:2], points, 2 * points[:, -1:] - points[:, -2:-1]], 1
    )
    radii = np.concatenate([radii[:, :1], radii, radii[:, -1:]], 1)
    table = np.concatenate([points, radii[..., None]], -1)
    handle, name = tempfile.mkstemp(suffix=".txt")
    try:
        with os.fdopen(handle, "w") as stream:
            template = "\n".join(["%.6f %.6f %.6f %.7f"] * (length + 2)) + "\n\n"
            stream.write("".join(template % tuple(strand) for strand in table.reshape(count, -1).tolist()))
        return mi.load_dict({"type": "bsplinecurve", "filename": name, "bsdf": bsdf})
    finally:
        Path(name).unlink(missing_ok=True)


def sensor(camera: Camera, samples: int, seed: int) -> Any:
    """A perspective sensor with our intrinsics: a lens a little softer than a box of pixels, multijitter sampler."""
    mi = mitsuba()
    K, width, height = camera.K, camera.width, camera.height
    c2w = np.linalg.inv(camera.w2c)
    c2w[:3, :2] *= -1  # Mitsuba looks along +z too, but its x points left and its y up
    return mi.load_dict(
        {
            "type": "perspective",
            "to_world": mi.ScalarTransform4f(c2w),
            "fov": float(np.degrees(2 * np.arctan(width / (2 * K[0, 0])))),
            "fov_axis": "x",
            "near_clip": 0.05,
            "far_clip": 20.0,
            "principal_point_offset_x": float(0.5 - K[0, 2] / width),
            "principal_point_offset_y": float(0.5 - K[1, 2] / height),
            "film": {
                "type": "hdrfilm",
                "width": width,
                "height": height,
                "pixel_format": "rgba",
                "component_format": "float32",
                "rfilter": {"type": "gaussian", "stddev": 0.5},
            },
            "sampler": {"type": "multijitter", "sample_count": samples, "seed": seed},
        }
    )


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [V,3]."""
    corners = vertices[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.empty_like(vertices)
    for axis in range(3):
        normals[:, axis] = np.bincount(
            faces.ravel(), np.repeat(face_normals[:, axis], 3), minlength=len(vertices)
        )
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
