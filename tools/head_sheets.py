"""Contact sheets of the open head to look at: every unit, emotions, identities, gaze, regions, landmarks.

Usage: python tools/head_sheets.py --output FOLDER [--size 300] [--only units,people]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from emoga.camera import look_at, stack_cameras  # noqa: E402
from emoga.geometry import vertex_normals  # noqa: E402
from emoga.head import Head, load_head  # noqa: E402
from emoga.images import contact_sheet, write_png  # noqa: E402
from emoga.render import interpolate, rasterize_mesh  # noqa: E402

FAR = 20.0  # metres, where perspective no longer shows
YAWS = (0.0, 45.0, 90.0)
COLOURS = {
    "eyeballs": (0.95, 0.95, 0.95), "irises": (0.25, 0.4, 0.6), "teeth": (1.0, 1.0, 0.82),
    "tongue": (0.8, 0.4, 0.4), "lashes": (0.1, 0.1, 0.1), "mouth_interior": (0.5, 0.2, 0.2),
    "lips": (0.76, 0.46, 0.43), "brows": (0.55, 0.45, 0.4),
}  # fmt: skip
SKIN = (0.83, 0.7, 0.62)
VIEWS = {"head": ((0.0, -0.03, 0.0), 0.27), "face": ((0.0, -0.035, 0.02), 0.17)}


def shade(
    vertices: np.ndarray, faces: np.ndarray, colours: np.ndarray, yaw: float, size: int, view: str
) -> np.ndarray:
    """Shaded picture [size,size,3] of vertices [V,3] from `yaw` degrees, nearly orthographic."""
    centre, span = VIEWS[view]
    angle = np.deg2rad(yaw)
    towards = np.array([-np.sin(angle), 0, np.cos(angle)])
    fov = 2 * np.arctan(span / 2 / FAR)
    camera = look_at(np.array(centre) + FAR * towards, centre, fov, size, size)
    points, triangles = torch.as_tensor(vertices).float(), torch.as_tensor(faces)
    # The light turns with the camera, so that every side is lit alike.
    normals = vertex_normals(points, triangles).numpy() @ camera.w2c[:3, :3].T * [1, -1, -1]
    light = 0.35 + 0.6 * np.clip(normals @ np.array([0.37, 0.46, 0.81]), 0, 1)
    light += 0.15 * np.clip(normals @ np.array([-0.8, 0.1, 0.59]), 0, 1)
    fragments = rasterize_mesh(points, triangles, *stack_cameras([camera]), size, size)
    lit = interpolate(fragments, torch.as_tensor(colours * light[:, None]).float())
    image = torch.where(fragments.covered[..., None], lit, torch.ones(()))[0]
    return image.clamp(0, 1).numpy()


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
