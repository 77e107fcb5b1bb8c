"""Named regions of the open head: topology of rims and pockets, and geometry of the template."""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import dijkstra

from tools.open_head.assemble import IRIS_RING, MERIDIANS, Assembly, neighbours
from tools.open_head.lips import lip_edges
from tools.open_head.source import Source

# Later names win where a triangle's corners disagree.
NAMES = (
    "face", "scalp", "forehead", "brows", "cheeks", "nose", "jaw", "ears", "neck", "shoulders", "boundary",
    "eyelids", "lips", "mouth_interior", "eyeballs", "irises", "teeth", "tongue", "lashes",
)  # fmt: skip
LIP_LOOPS = 6  # edge loops from the contact line to the vermilion border
INNER_LOOPS = 1  # loops behind the contact line that still count as lip
LID_EDGES = 4


def _moved(source: Source, layout: Assembly, names: list[str], threshold: float) -> np.ndarray:
    """Skin vertices [V] that any of these shape targets move by more than `threshold` metres."""
    count = len(source.vertices)
    hit = np.zeros(count, bool)
    for name in names:
        target = source.targets[name]
        hit[target.ids[np.linalg.norm(target.deltas, axis=1) > threshold]] = True
    mask = np.zeros(layout.matrix.shape[0], bool)
    mask[layout.parts["skin"]] = hit[layout.skin_source]
    return mask | mask[layout.mirror]


def rim_vertices(faces: np.ndarray, count: int) -> np.ndarray:
    """Vertices on an open edge."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    unique, times = np.unique(edges, axis=0, return_counts=True)
    mask = np.zeros(count, bool)
    mask[unique[times == 1].ravel()] = True
    return mask


def _skin_labels(source: Source, layout: Assembly, rest: np.ndarray, lid_edges: np.ndarray) -> np.ndarray:
    """Region name of every skin vertex, as an array of strings [V]."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    _, lips = lip_edges(layout, len(rest))
    label = np.full(len(rest), "face", dtype="<U16")
    label[(z > -0.045) & (y > -0.075) & (y < 0.0) & (x > 0.026)] = "cheeks"
    # Mandible: below the mouth, or low and lateral in front of the ears.
    label[(y < -0.078) | ((y < -0.055) & (x > 0.042))] = "jaw"
    label[(y > 0.027 - 0.1 * x) & (y < 0.075)] = "forehead"
    # An arch: up towards the outer third, thinner at its tail.
    middle = np.interp(x, [0.008, 0.020, 0.036, 0.053], [0.0190, 0.0215, 0.0245, 0.0185])
    half = np.interp(x, [0.008, 0.030, 0.053], [0.0045, 0.0040, 0.0025])
    label[(np.abs(y - middle) < half) & (x > 0.008) & (x < 0.053) & (z > -0.04)] = "brows"
    label[_moved(source, layout, ["nose/nose-scale-depth-incr"], 1.2e-3)] = "nose"
    label[(y > 0.012) & (label == "nose")] = "face"
    # Hairline: high on the forehead, down in front of the ears, all of the back above the nape.
    scalp = (y > 0.062) | ((z < -0.048) & (y > -0.035 + 0.0 * x)) | ((z < -0.115) & (y > -0.062))
    label[scalp] = "scalp"
    ears = _moved(source, layout, ["ears/l-ear-trans-down"], 9e-3) & (x > 0.055)
    label[ears] = "ears"
    # Under the jaw line and below the nape; the line rises backwards towards the ear lobe.
    line = np.where(z > -0.075, -0.112 + 0.055 * np.clip((0.0 - z) / 0.075, 0, 1), -0.062)
    under = (y < line) & ~ears
    label[under] = "neck"
    label[y + 0.45 * z < -0.178] = "shoulders"
    label[(lid_edges < 0) | (lid_edges <= LID_EDGES)] = "eyelids"
    label[(lips >= -INNER_LOOPS) & (lips <= LIP_LOOPS)] = "lips"
    label[lips < -INNER_LOOPS] = "mouth_interior"
    rim = rim_vertices(layout.faces, len(rest)) & (y < -0.1) & (lips > 0)
    graph = neighbours(layout.quads, len(rest))
    label[dijkstra(graph, indices=np.flatnonzero(rim), unweighted=True, min_only=True) <= 1] = "boundary"
    return label


def build_regions(
    source: Source, layout: Assembly, rest: np.ndarray, lid_edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Region index per vertex [V] and per triangle [F], into NAMES."""
    label = _skin_labels(source, layout, rest, lid_edges)
    label[len(layout.parts["skin"]) :] = ""
    for part in ("tongue", "lashes"):
        label[layout.parts[part]] = part
    label[np.concatenate([layout.parts["lower_teeth"], layout.parts["upper_teeth"]])] = "teeth"
    for side in ("left_eye", "right_eye"):
        ball = layout.parts[side]
        label[ball] = "eyeballs"
        label[ball[: 1 + (IRIS_RING + 1) * MERIDIANS]] = "irises"
    index = np.array([NAMES.index(name) for name in label])
    index = np.maximum(index, index[layout.mirror])
    corners = np.sort(index[layout.faces], axis=1)
    # A triangle takes the majority; without one, the name that comes last. Iris and lip triangles need all
    # three corners, so that their borders are edge loops.
    faces = np.where(corners[:, 0] == corners[:, 1], corners[:, 0], corners[:, 2])
    faces = np.where(corners[:, 1] == corners[:, 2], corners[:, 1], faces)
    iris, ball = NAMES.index("irises"), NAMES.index("eyeballs")
    faces = np.where((corners[:, 2] == iris) & (corners[:, 0] != iris), ball, faces)
    lip, skin = NAMES.index("lips"), corners[:, 0]
    inside = (corners == NAMES.index("mouth_interior")).any(1)
    faces = np.where((corners == lip).any(1) & (skin != lip) & ~inside, skin, faces)
    return index.astype(np.uint8), faces.astype(np.uint8)
