"""Contact sheets of the open head to look at: every unit, emotions, identities, gaze, regions, landmarks.

Usage: python tools/head_sheets.py --output FOLDER [--size 300] [--only units,people]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numba
import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from emoga.head import Head, load_head  # noqa: E402
from emoga.images import contact_sheet, write_png  # noqa: E402

YAWS = (0.0, 45.0, 90.0)
COLOURS = {
    "eyeballs": (0.95, 0.95, 0.95), "irises": (0.25, 0.4, 0.6), "teeth": (1.0, 1.0, 0.82),
    "tongue": (0.8, 0.4, 0.4), "lashes": (0.1, 0.1, 0.1), "mouth_interior": (0.5, 0.2, 0.2),
    "lips": (0.76, 0.46, 0.43), "brows": (0.55, 0.45, 0.4),
}  # fmt: skip
SKIN = (0.83, 0.7, 0.62)
VIEWS = {"head": ((0.0, -0.03, 0.0), 0.27), "face": ((0.0, -0.035, 0.02), 0.17)}


@numba.njit(cache=True)
def _fill(points, faces, colours, image, depth):
    height, width = depth.shape
    for k in range(faces.shape[0]):
        a, b, c = faces[k]
        x0, y0, x1, y1, x2, y2 = (
            points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1])  # fmt: skip
        area = (y1 - y2) * (x0 - x2) + (x2 - x1) * (y0 - y2)
        if abs(area) < 1e-9:
            continue
        left, right = max(0, int(min(x0, x1, x2))), min(width - 1, int(max(x0, x1, x2)) + 1)
        top, bottom = max(0, int(min(y0, y1, y2))), min(height - 1, int(max(y0, y1, y2)) + 1)
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                u = ((y1 - y2) * (x + 0.5 - x2) + (x2 - x1) * (y + 0.5 - y2)) / area
                v = ((y2 - y0) * (x + 0.5 - x2) + (x0 - x2) * (y + 0.5 - y2)) / area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                z = u * points[a, 2] + v * points[b, 2] + w * points[c, 2]
                if z > depth[y, x]:
                    depth[y, x] = z
                    image[y, x] = u * colours[a] + v * colours[b] + w * colours[c]


def shade(
    vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, yaw: float, size: int, view: str
) -> np.ndarray:
    """Orthographic shaded picture [size,size,3] of vertices [V,3], seen after turning by `yaw` degrees."""
    centre, span = VIEWS[view]
    c, s = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    seen = (vertices - np.array(centre)) @ turn.T
    corners = seen[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(seen)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], normal)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    light = 0.35 + 0.6 * np.clip(normals @ np.array([0.37, 0.46, 0.81]), 0, 1)
    light += 0.15 * np.clip(normals @ np.array([-0.8, 0.1, 0.59]), 0, 1)
    points = np.stack(
        [size / 2 + seen[:, 0] * size / span, size / 2 - seen[:, 1] * size / span, seen[:, 2]], 1
    )
    image, depth = np.ones((size, size, 3)), np.full((size, size), -np.inf)
    _fill(points, faces, colours * light[:, None], image, depth)
    return np.clip(image, 0, 1).astype(np.float32)


def vertex_colours(head: Head) -> np.ndarray:
    """Natural colours [V,3] by region."""
    colours = np.tile(np.array(SKIN), (len(head.template), 1))
    for name, colour in COLOURS.items():
        colours[head.regions[name].numpy()] = colour
    return colours


def region_colours(head: Head) -> np.ndarray:
    """One colour [V,3] per region."""
    palette = np.random.default_rng(3).uniform(0.3, 1, (len(head.region_names), 3))
    colours = np.zeros((len(head.template), 3))
    colours[head.faces.numpy().T] = palette[head.face_regions.numpy()]
    return colours


def _rows(
    head: Head, posed: dict[str, np.ndarray], colours: np.ndarray, size: int, view: str
) -> tuple[list, list]:
    pictures, labels = [], []
    for label, vertices in posed.items():
        for yaw in YAWS:
            pictures.append(shade(vertices, head.faces.numpy(), colours, yaw, size, view))
            labels.append(label if yaw == YAWS[0] else f"{yaw:.0f}")
    return pictures, labels


def units_sheet(head: Head) -> dict[str, np.ndarray]:
    """Every unit at 1."""
    identity = head.identify(torch.zeros(len(head.shape_names)))
    return dict(zip(head.expr_names, identity.pose(torch.eye(len(head.expr_names))).numpy(), strict=True))


def emotions_sheet(head: Head) -> dict[str, np.ndarray]:
    """Every emotion preset, on two people."""
    torch.manual_seed(2)
    people = {"": torch.zeros(len(head.shape_names)), " (B)": 0.9 * torch.randn(len(head.shape_names))}
    return {
        name + who: head.identify(shape).pose(head.emotion(name)[None])[0].numpy()
        for name in head.presets
        for who, shape in people.items()
    }


def people_sheet(head: Head) -> dict[str, np.ndarray]:
    """A dozen random people, in the bind pose."""
    shapes = torch.randn(12, len(head.shape_names), generator=torch.Generator().manual_seed(1))
    return {f"person {k}": head.bind_vertices(shape).numpy() for k, shape in enumerate(shapes)}


def blinks_sheet(head: Head) -> dict[str, np.ndarray]:
    """Half and full blinks and a smile with open jaw, of several people."""
    shapes = torch.randn(4, len(head.shape_names), generator=torch.Generator().manual_seed(5))
    found = {}
    for k, shape in enumerate(shapes):
        identity = head.identify(shape)
        for label, weights in (
            ("half", {"eyeBlink": 0.5}), ("blink", {"eyeBlink": 1.0}), ("laugh", {"mouthSmile": 0.8, "jawOpen": 0.4}),
        ):  # fmt: skip
            expr = torch.zeros(1, len(head.expr_names))
            for name, weight in weights.items():
                for unit in [u for u in head.expr_names if u.startswith(name)]:
                    expr[0, head.unit(unit)] = weight
            found[f"{k} {label}"] = identity.pose(expr)[0].numpy()
    return found


def gaze_sheet(head: Head) -> dict[str, np.ndarray]:
    """Looking up, down, left and right by 25 degrees, the neck turned, the jaw sideways."""
    identity = head.identify(torch.zeros(len(head.shape_names)))
    rest, step = torch.zeros(1, len(head.expr_names)), float(np.deg2rad(25))
    turns = {"up": [-step, 0, 0], "down": [step, 0, 0], "left": [0, step, 0], "right": [0, -step, 0]}
    found = {n: identity.pose(rest, eyes=torch.tensor([t + t]))[0].numpy() for n, t in turns.items()}
    for name, neck in (
        ("neck yaw", [0.0, 0.6, 0.0]),
        ("neck nod", [0.4, 0.0, 0.0]),
        ("neck roll", [0.0, 0.0, 0.3]),
    ):
        found[name] = identity.pose(rest, neck=torch.tensor([neck]))[0].numpy()
    found["jaw yaw"] = identity.pose(rest, jaw=torch.tensor([[0.0, 0.12, 0.0]]))[0].numpy()
    return found


def semantics_sheet(head: Head) -> dict[str, np.ndarray]:
    """The mean person after one step along each named direction."""
    return {f"+{name}": (head.template + torch.tensordot(c, head.shape_basis, 1)).numpy()
            for name, c in head.semantic.items()}  # fmt: skip


SHEETS = {
    "units": (units_sheet, "face"), "emotions": (emotions_sheet, "face"), "people": (people_sheet, "head"),
    "blinks": (blinks_sheet, "face"), "gaze": (gaze_sheet, "head"), "semantics": (semantics_sheet, "head"),
}  # fmt: skip


def main() -> None:
    """Write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--only", default=",".join(SHEETS))
    options = parser.parse_args()
    head = load_head()
    for name in options.only.split(","):
        make, view = SHEETS[name]
        pictures, labels = _rows(head, make(head), vertex_colours(head), options.size, view)
        write_png(options.output / f"{name}.png", contact_sheet(pictures, labels, columns=12), overwrite=True)
        print(f"{name}: {len(pictures)} pictures")


if __name__ == "__main__":
    main()
