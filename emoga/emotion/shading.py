"""How light and skin change as a face acts: ratios of shading, blood that comes or leaves, creases that deepen."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from emoga.capture import Track
from emoga.emotion.acting import Actor
from emoga.geometry import vertex_normals
from emoga.guidance.warp import to_linear
from emoga.head import Head
from emoga.optimize.lighting import fit_light, harmonics
from emoga.optimize.regions import visible_faces

DARKEST = 0.25  # shading below this is the fit's extrapolation, not light
SMOOTHING = 6  # rounds of averaging over neighbouring vertices
LIGHT_PICTURES = 12
SKIN_RANGE = 0.4, 2.5  # of the usual brightness: hair and shadows below, highlights above
SKIN, NO_SKIN = (
    ("face", "neck"),
    ("lips", "eyelids", "eyeballs", "brows", "mouth_interior", "lashes", "teeth", "tongue"),
)
# mediapipe478 points where blood shows, with radii in metres and how much it shows.
BLOOD = {
    280: (0.022, 1.0),
    50: (0.022, 1.0),
    4: (0.016, 0.7),
    151: (0.03, 0.35),
    9: (0.02, 0.35),
    152: (0.014, 0.4),
}
EVERYWHERE = 0.15  # the share of blood that shows on all skin
LEFT, RIGHT = 0, 1
WINGS, CORNERS, LID_CORNERS = (358, 129), (291, 61), (263, 33)
BROWS = ((336, 296, 334, 293), (107, 66, 105, 63))  # upper edge, from the inner end outwards
GLABELLA, FOREHEAD = 9, 10


@dataclass(frozen=True)
class Crease:
    """A line [P,3] on the template, its half width (metres), its depth 0..1 and the units that deepen it."""

    line: np.ndarray
    width: float
    depth: float
    units: tuple[tuple[str, float], ...]


def light_on(actor: Actor, track: Track, pairs: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Light [9,3] in the world on the skin that some pictures (view, frame) of a track show, linear.

    A track's own light explains what changes as the head turns, and leaves the rest to the skin's colour; where a
    head hardly turns that is nearly everything. Here all skin counts as of one colour, so that light is what
    differs over the face. Grey: what differs in hue over a face is mostly its own.
    """
    chosen = np.unique(np.linspace(0, len(pairs) - 1, LIGHT_PICTURES).round().astype(int))
    seen = [_seen_skin(actor, track, *pairs[index]) for index in chosen]
    colors, weights, normals = (torch.cat(part)[:, None] for part in zip(*seen, strict=True))
    return fit_light(colors, weights, normals)[0].mean(1, keepdim=True).expand(-1, 3)


def _seen_skin(
    actor: Actor, track: Track, view: int, frame: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Linear colours [N,3], weights [N] (0 where hidden, or no skin by its brightness) and normals [N,3] of skin."""
    head, camera = actor.head, track.cameras[view]
    rows = torch.nonzero(_skin(head))[:, 0]
    vertices = actor.vertices(actor.params, frame).double()
    normals = vertex_normals(vertices, head.faces)[rows]
    towards = torch.nn.functional.normalize(torch.from_numpy(camera.position) - vertices[rows], dim=-1)
    column, row = np.floor(camera.project(vertices[rows].numpy())[0]).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    column, row = column.clip(0, camera.width - 1), row.clip(0, camera.height - 1)
    face = visible_faces(head, vertices, camera)[row, column]
    shown = inside & (face >= 0) & (head.faces[face.clip(0)] == rows[:, None]).any(1).numpy()
    colors = to_linear(track.image(view, frame))[row, column]
    brightness = colors.max(1)
    usual = np.median(brightness[shown]) if shown.any() else 1.0
    plain = (brightness > SKIN_RANGE[0] * usual) & (brightness < SKIN_RANGE[1] * usual)
    weights = (towards * normals).sum(-1).clamp_min(0) * torch.from_numpy(shown & plain)
    return torch.from_numpy(colors).double(), weights, normals


def _skin(head: Head) -> torch.Tensor:
    """bool [V]: vertices of skin alone."""
    skin = torch.zeros(len(head.template), dtype=torch.bool)
    for name in SKIN:
        skin |= head.regions[name].cpu()
    for name in NO_SKIN:
        skin &= ~head.regions[name].cpu()
    return skin


def shading_ratio(
    head: Head, light: torch.Tensor, before: torch.Tensor, after: torch.Tensor, neighbours: torch.Tensor
) -> torch.Tensor:
    """Ratio [V,3] of linear light on the skin of two posed meshes [V,3] under a light [9,3], low-pass.

    neighbours: sparse [V,V] averages, see `averages`.
    """
    shades = [
        (harmonics(vertex_normals(vertices.double(), head.faces)) @ light.double()).clamp_min(DARKEST)
        for vertices in (before, after)
    ]
    ratio = torch.log(shades[1] / shades[0])
    for _ in range(SMOOTHING):
        ratio = neighbours @ ratio
    return ratio.exp()


def averages(head: Head) -> torch.Tensor:
    """Sparse [V,V] that gives every vertex the mean of itself and its neighbours, itself counting as much as they."""
    count = len(head.template)
    corners = head.faces.cpu()
    edges = torch.cat([corners[:, pair] for pair in ([0, 1], [1, 2], [2, 0], [1, 0], [2, 1], [0, 2])])
    edges = torch.unique(edges, dim=0)
    degree = torch.bincount(edges[:, 0], minlength=count).clamp_min(1)
    weights = 0.5 / degree[edges[:, 0]].double()
    itself = torch.arange(count)
    lonely = torch.bincount(edges[:, 0], minlength=count) == 0
    own = torch.where(lonely, 1.0, 0.5).double()
    index = torch.cat([edges.T, torch.stack([itself, itself])], 1)
    return torch.sparse_coo_tensor(
        index, torch.cat([weights, own]), (count, count), check_invariants=True
    ).coalesce()


def blood(head: Head) -> np.ndarray:
    """How much each vertex [V] shows of blood that comes or leaves, 0..1."""
    template = head.template.double().numpy()
    marks = _marks(head)
    shown = np.full(len(template), EVERYWHERE)
    for mark, (radius, amount) in BLOOD.items():
        away = np.linalg.norm(template - marks[mark], axis=1)
        shown = np.maximum(shown, EVERYWHERE + (amount - EVERYWHERE) * np.exp(-((away / radius) ** 2)))
    for name in ("scalp", "shoulders", "eyeballs", "irises", "teeth", "tongue", "mouth_interior", "lashes"):
        if name in head.regions:
            shown[head.regions[name].numpy()] = 0
    return shown


def crease_depth(head: Head, places: np.ndarray, before: torch.Tensor, after: torch.Tensor) -> np.ndarray:
    """Depth [N] in 0..1 that creases gain at places [N,3] of the template between two expressions [E]."""
    depth = np.zeros(len(places), np.float32)
    for crease in creases(head):
        gain = sum(
            weight * float(after[head.unit(unit)] - before[head.unit(unit)])
            for unit, weight in crease.units
            if unit in head.expr_names
        )
        if gain <= 0.02:
            continue
        reach = 3 * crease.width
        low, high = crease.line.min(0) - reach, crease.line.max(0) + reach
        near = np.flatnonzero(((places > low) & (places < high)).all(1))
        distance, along = _distance(places[near], crease.line)
        ends = np.clip(np.minimum(along, 1 - along) / 0.25, 0, 1)
        profile = np.exp(-((distance / crease.width) ** 2)) * ends
        depth[near] = np.maximum(depth[near], min(gain, 1.0) * crease.depth * profile)
    return depth


def creases(head: Head) -> tuple[Crease, ...]:
    """The lines of a face: across the forehead, between the brows, beside nose and mouth, at the eyes' corners."""
    return tuple(_lines(_marks(head)))


def _lines(marks: np.ndarray) -> list[Crease]:
    lines = []
    top = marks[FOREHEAD]
    brow = np.concatenate([marks[list(BROWS[RIGHT])][::-1], marks[list(BROWS[LEFT])]])
    raised = (("browInnerUp", 0.7), ("browOuterUpLeft", 0.3), ("browOuterUpRight", 0.3))
    for level in (0.3, 0.52, 0.72):
        flat = brow * (1 - level) + level * (top + (brow - brow.mean(0)) * [0.85, 0.15, 0.95])
        lines.append(Crease(_curve(flat), 0.0022, 0.35, raised))
    frown = (("browDownLeft", 0.55), ("browDownRight", 0.55))
    for side in (1, -1):
        base = marks[GLABELLA]
        up = np.array([[side * 0.0075, -0.010, 0], [side * 0.0052, -0.001, 0], [side * 0.0058, 0.009, 0]])
        lines.append(Crease(_curve(base + up), 0.0026, 0.34, frown))
    for side, name in ((LEFT, "Left"), (RIGHT, "Right")):
        out = 1 if side == LEFT else -1
        wing, corner, eye = marks[WINGS[side]], marks[CORNERS[side]], marks[LID_CORNERS[side]]
        fold = np.stack([wing + [out * 0.003, 0.003, -0.003], 0.5 * (wing + corner) + [out * 0.009, 0, -0.004],
                         corner + [out * 0.0115, 0, -0.005], corner + [out * 0.011, -0.009, -0.005]])  # fmt: skip
        smile = ((f"mouthSmile{name}", 0.8), (f"cheekSquint{name}", 0.3), (f"noseSneer{name}", 0.6))
        lines.append(Crease(_curve(fold), 0.0032, 0.45, smile))
        down = np.stack([corner + [out * 0.003, -0.002, -0.001], corner + [out * 0.0065, -0.013, -0.002]])
        lines.append(Crease(_curve(down), 0.0022, 0.35, ((f"mouthFrown{name}", 0.9),)))
        squint = ((f"eyeSquint{name}", 0.5), (f"cheekSquint{name}", 0.6), (f"mouthSmile{name}", 0.2))
        for angle in np.radians([22, 0, -22]):
            ray = np.array([out * np.cos(angle), np.sin(angle), -0.55])
            lines.append(Crease(_curve(eye + np.outer([0.006, 0.011, 0.016], ray)), 0.0015, 0.25, squint))
    return lines


def _marks(head: Head) -> np.ndarray:
    return head.landmarks["mediapipe478"].points(head.template.double()).numpy()


def _curve(points: np.ndarray, count: int = 24) -> np.ndarray:
    """A smooth polyline [count,3] through a few points [P,3]: the parabola or cubic that fits them."""
    at = np.linspace(0, 1, len(points))
    degree = min(3, len(points) - 1)
    fine = np.linspace(0, 1, count)
    return np.stack([np.polyval(np.polyfit(at, points[:, axis], degree), fine) for axis in range(3)], 1)


def _distance(points: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance [N] of points to a polyline and where along it, 0..1, the nearest place is."""
    best, along = np.full(len(points), np.inf), np.zeros(len(points))
    for index, (start, end) in enumerate(itertools.pairwise(line)):
        step = end - start
        t = np.clip((points - start) @ step / max(step @ step, 1e-12), 0, 1)
        distance = np.linalg.norm(points - start - t[:, None] * step, axis=1)
        nearer = distance < best
        best[nearer], along[nearer] = distance[nearer], (index + t[nearer]) / (len(line) - 1)
    return best, along
