"""Deformation heat maps: how far an emotion moves every vertex of the face, in millimetres, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw

from emoga.camera import look_at, stack_cameras
from emoga.geometry import vertex_normals
from emoga.images import contact_sheet
from emoga.render import rasterize_mesh
from emoga.render.mesh import interpolate

SIZE = 320
DISTANCE, FOV_Y = 0.75, 0.42
YAWS = {"right": -0.75, "front": 0.0, "left": 0.75}  # radians; the subject's sides
BAR = 64
COLORS = "turbo"


@dataclass(frozen=True)
class Deformation:
    """Displacement of every vertex [V] in millimetres, mean over frames, and its figures over the skin."""

    millimetres: np.ndarray
    mean: float
    p95: float
    largest: float


def deformation(displacements: np.ndarray, skin: np.ndarray) -> Deformation:
    """Of displacements [T,V,3] metres; figures over bool [V]."""
    lengths = 1e3 * np.linalg.norm(displacements, axis=-1).mean(0)
    chosen = lengths[skin]
    return Deformation(lengths, float(chosen.mean()), float(np.percentile(chosen, 95)), float(chosen.max()))


@torch.no_grad()
def heat_pictures(
    vertices: np.ndarray, faces: np.ndarray, millimetres: np.ndarray, most: float
) -> list[np.ndarray]:
    """A mesh [V,3] coloured by millimetres [V] (0 to `most`), from three sides: uint8 [SIZE,SIZE,3] each."""
    mesh, triangles = torch.from_numpy(vertices).float(), torch.from_numpy(np.ascontiguousarray(faces)).long()
    shade = vertex_normals(mesh, triangles)
    centre = vertices.mean(0)
    pictures = []
    for yaw in YAWS.values():
        eye = centre + DISTANCE * np.array([np.sin(yaw), 0, np.cos(yaw)])
        camera = look_at(eye, centre, FOV_Y, SIZE, SIZE)
        viewmats, Ks = stack_cameras([camera])
        fragments = rasterize_mesh(mesh, triangles, viewmats, Ks, SIZE, SIZE)
        values = torch.cat([torch.from_numpy(millimetres).float()[:, None], shade], 1)
        drawn = interpolate(fragments, values)[0].numpy()
        towards = (eye - centre) / np.linalg.norm(eye - centre)
        light = 0.35 + 0.65 * np.clip(drawn[..., 1:] @ towards, 0, 1)
        colors = matplotlib.colormaps[COLORS](np.clip(drawn[..., 0] / max(most, 1e-9), 0, 1))[..., :3]
        seen = fragments.covered[0].numpy()[..., None]
        pictures.append((255 * np.where(seen, colors * light[..., None], 1.0)).astype(np.uint8))
    return pictures


def heat_sheet(rows: Sequence[tuple[str, np.ndarray, Deformation]], faces: np.ndarray) -> np.ndarray:
    """One row per (label, vertices [V,3], deformation), all on one scale, with its bar; uint8 [h,w,3]."""
    most = max(max(entry.p95 for _, _, entry in rows), 1e-3)
    # The largest 5 % saturate: a lid that opens would leave the rest of the face one colour.
    pictures, labels = [], []
    for label, vertices, entry in rows:
        pictures += heat_pictures(vertices, faces, entry.millimetres, most)
        labels += [
            f"{label}: mean {entry.mean:.2f} mm, largest {entry.largest:.1f} mm",
            "front",
            "from the subject's left",
        ]
    sheet = contact_sheet(pictures, labels, columns=len(YAWS))
    return np.concatenate([sheet, _bar(sheet.shape[0], most)], axis=1)


def _bar(height: int, most: float) -> np.ndarray:
    """The scale of colours from 0 (below) to `most` millimetres."""
    strip = Image.new("RGB", (BAR, height), "white")
    share = np.linspace(1, 0, height - 40)
    colors = (255 * matplotlib.colormaps[COLORS](share)[:, None, :3]).astype(np.uint8)
    strip.paste(Image.fromarray(np.repeat(colors, 16, axis=1)), (6, 20))
    draw = ImageDraw.Draw(strip)
    draw.text((2, 4), f"{most:.1f} mm", fill="black")
    draw.text((2, height - 16), "0 mm", fill="black")
    return np.asarray(strip)
