"""A face drawn in a few milliseconds: the open head in plain colours under one light, and its true landmarks."""

from __future__ import annotations

import numpy as np
import torch

from emoga.camera import look_at, stack_cameras
from emoga.geometry import vertex_normals
from emoga.head import HeadParams, load_head
from emoga.render import interpolate, rasterize_mesh

SKIN = (0.62, 0.42, 0.32)
COLOURS = {
    "scalp": (0.12, 0.08, 0.05), "brows": (0.15, 0.10, 0.07), "lips": (0.55, 0.25, 0.24),
    "eyeballs": (0.85, 0.83, 0.8), "irises": (0.12, 0.08, 0.05), "teeth": (0.85, 0.83, 0.75),
    "tongue": (0.5, 0.2, 0.2), "mouth_interior": (0.12, 0.03, 0.03), "shoulders": (0.2, 0.25, 0.4),
    "lashes": (0.1, 0.08, 0.07),
}  # fmt: skip
LIGHT = (0.3, 0.5, 0.8)


def draw_face(
    yaw: float = 0.0,
    jaw: float = 0.0,
    size: int = 256,
    at: tuple[float, float] = (0.0, -0.02),
    field: float = 0.36,
    upper_lip: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Picture uint8 [size,size,3] of the head turned by `yaw` radians, and its points [478,2] in pixels.

    at: what the camera looks at, x and y in metres; field: how many metres it sees from top to bottom; upper_lip: its
    colour over the lower one's.
    """
    head = load_head()
    params = HeadParams.zeros(head, 1)
    params.rotation[0, 1] = yaw
    params.expr[0, head.unit("jawOpen")] = jaw
    vertices = head.vertices(params)[0]
    camera = look_at([*at, 1.2], [*at, -0.03], 2 * np.arctan(field / 2 / 1.23), size, size)
    viewmats, Ks = stack_cameras([camera])
    colors = torch.tensor(SKIN).repeat(len(vertices), 1)
    for name, color in COLOURS.items():
        colors[head.regions[name]] = torch.tensor(color)
    seam = head.landmarks["mediapipe478"].points(head.template)[[13, 14], 1].mean()
    colors[head.regions["lips"] & (head.template[:, 1] > seam)] *= upper_lip
    light = torch.nn.functional.normalize(torch.tensor(LIGHT), dim=0)
    colors = colors * (0.35 + 0.75 * (vertex_normals(vertices, head.faces) @ light).clamp_min(0))[:, None]
    seen = rasterize_mesh(vertices, head.faces, viewmats, Ks, size, size)
    picture = torch.where(
        seen.covered[..., None], interpolate(seen, colors), torch.tensor([0.45, 0.5, 0.55])
    )[0]
    points = head.landmarks["mediapipe478"].points(vertices).double().numpy()
    return (picture.clamp(0, 1) ** (1 / 1.6) * 255).byte().numpy(), camera.project(points)[0]
