"""Turn MakeHuman's face units into jaw rotation, gaze and what is left of them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from emoga.head.gaze import UNITS
from emoga.head.lids import POCKET_DEPTH
from tools.open_head.assemble import Assembly, neighbours
from tools.open_head.source import Source

LID_REST_SHARE = 0.3  # how much of the lower lid's own motion a blink keeps
EYE_CLEARANCE = 0.0007


def kabsch(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Rotation [3,3] that best takes `before` [n,3] to `after` about their means."""
    u, _, vt = np.linalg.svd((after - after.mean(0)).T @ (before - before.mean(0)))
    return u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt


def turn_x(angle: float) -> np.ndarray:
    """Rotation about +x."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def unit_deltas(source: Source, layout: Assembly, names: list[str]) -> np.ndarray:
    """Raw unit displacements [E,V,3] on the identity they were modelled on (the base mesh)."""
    base = layout.apply(source.vertices)
    count = len(source.vertices)
    origin = layout.origin(source.vertices)
    moved = []
    for name in names:
        vertices = source.vertices + source.units[name].dense(count)
        # Measure from the rest origin: a unit may move the coarse eyeballs, never the head.
        moved.append(layout.apply(vertices) + layout.origin(vertices) - origin - base)
    return np.stack(moved)


def gaze_angles(source: Source, layout: Assembly) -> np.ndarray:
    """Radians [4] that the eyeball turns at 1 in eyeLook up, down, in, out (mean of both eyes)."""
    angles = {d: [] for d in ("Up", "Down", "In", "Out")}
    for name in UNITS:
        ids = layout.eye_ids[0 if name.endswith("Left") else 1]
        before = source.vertices[ids]
        after = before + source.units[name].dense(len(source.vertices))[ids]
        rotation = kabsch(before, after)
        direction = name.removeprefix("eyeLook").removesuffix("Left").removesuffix("Right")
        angles[direction].append(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
    return np.array([np.mean(v) for v in angles.values()])


def fit_jaw(base: np.ndarray, delta: np.ndarray, teeth: np.ndarray) -> tuple[float, np.ndarray]:
    """Angle about +x and centre [3] (x 0) of the lower teeth's motion under jawOpen."""
    after = base + delta
    rotation = kabsch(base[teeth], after[teeth])
    angle = float(np.arctan2(rotation[2, 1] - rotation[1, 2], rotation[1, 1] + rotation[2, 2]))
    turn = turn_x(angle)
    shift = (after[teeth] - base[teeth] @ turn.T).mean(0)
    centre = np.linalg.lstsq((np.eye(3) - turn)[1:, 1:], shift[1:], rcond=None)[0]
    return angle, np.array([0.0, *centre])


def smooth(graph: sp.csr_matrix, values: np.ndarray, rounds: int) -> np.ndarray:
    """Average with neighbours a few times; isolated vertices keep their value."""
    degree = np.asarray(graph.sum(1))[:, 0]
    own = np.where(degree > 0, 0.5, 1.0)
    inverse = sp.diags(np.divide(0.5, degree, out=np.zeros_like(degree), where=degree > 0))
    for _ in range(rounds):
        values = own[:, None] * values + inverse @ (graph @ values)
    return values


def jaw_weights(layout: Assembly, base: np.ndarray, delta: np.ndarray, angle: float, centre) -> np.ndarray:
    """How much each vertex [V] follows the jaw: its own share of the turn in jawOpen, smoothed."""
    turned = (base - centre) @ turn_x(angle).T + centre - base
    size = (turned * turned).sum(1)
    share = (delta * turned).sum(1) / np.maximum(size, 0.004**2)
    weights = smooth(neighbours(layout.quads, len(base)), np.clip(share, 0, 1)[:, None], 2)[:, 0]
    weights[layout.parts["tongue"]] = np.clip(share, 0, 1)[layout.parts["tongue"]]
    weights[layout.parts["lower_teeth"]] = 1.0
    for part in ("upper_teeth", "lashes", "left_eye", "right_eye"):
        weights[layout.parts[part]] = 0.0
    return np.clip(0.5 * (weights + weights[layout.mirror]), 0, 1)


def neck_weights(layout: Assembly, base: np.ndarray) -> np.ndarray:
    """1 for the head, 0 at the collar, smooth along the neck."""
    # The neck rises backwards: measure height along its axis, from collar bones to under the jaw.
    height = base[:, 1] + 0.45 * base[:, 2]
    t = np.clip((height + 0.187) / 0.075, 0, 1)
    weights = t * t * (3 - 2 * t)
    weights[len(layout.parts["skin"]) :] = 1.0
    return weights


def least_turn(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Smallest rotations [n,3,3] that take directions `before` [n,3] to `after` [n,3]."""
    a = before / np.linalg.norm(before, axis=1, keepdims=True)
    b = after / np.linalg.norm(after, axis=1, keepdims=True)
    x, y, z = np.cross(a, b).T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    cosine = (a * b).sum(1)[:, None, None]
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def bend_lashes(deltas: np.ndarray, rest: np.ndarray, lids: dict[str, np.ndarray], eyes: np.ndarray) -> None:
    """Make lashes ride on the lids, in place: each shifts and turns with its root about the eyeball's centre."""
    rim = lids["sliding"][lids["lash_bind"]]
    weights = lids["lash_weights"][..., None]
    roots = (rest[rim] * weights).sum(1)
    centre = eyes[(roots[:, 0] < 0).astype(int)]
    arms = rest[lids["lashes"]] - roots
    for delta in deltas:
        shift = (delta[rim] * weights).sum(1)
        turn = least_turn(roots - centre, roots + shift - centre)
        delta[lids["lashes"]] = shift + np.einsum("lij,lj->li", turn - np.eye(3), arms)


def close_blinks(
    deltas: np.ndarray, rest: np.ndarray, names: list[str], lids: dict[str, np.ndarray], layout: Assembly
) -> None:
    """Let both lids meet near the lower one's rest instead of overlapping, their inside hidden; in place."""
    for side, name in enumerate(("eyeBlinkLeft", "eyeBlinkRight")):
        delta = deltas[names.index(name)]
        lower, upper = lids["lower"][side], lids["upper"][side]
        excess = (LID_REST_SHARE - 1) * delta[lower]
        delta[lids["lower_ids"][side]] += lids["lower_closing"] @ excess
        gap = lids["meeting"] @ (rest + delta)[lower] - (rest + delta)[upper]
        delta[lids["closing_ids"][side]] += lids["closing"] @ gap
        ball, pocket = layout.parts[("left_eye", "right_eye")[side]], lids["pocket"][side]
        centre = rest[ball[[0, -1]]].mean(0)
        arm = (rest + delta)[pocket] - centre
        distance = np.linalg.norm(arm, axis=1, keepdims=True)
        inside = np.linalg.norm(rest[ball[0]] - centre) - POCKET_DEPTH
        delta[pocket] += arm / distance * np.minimum(inside - distance, 0)


def without_jaw_turn(
    deltas: np.ndarray,
    rest: np.ndarray,
    names: list[str],
    weights: np.ndarray,
    angle: float,
    centre: np.ndarray,
) -> None:
    """What is left of jawOpen, and of mouthClose, once the jaw joint turns; in place."""
    turn = turn_x(angle)
    blended = np.eye(3) + weights[:, None, None] * (turn - np.eye(3))
    inverse = np.linalg.inv(blended)
    turned = weights[:, None] * ((rest - centre) @ turn.T + centre - rest)
    opening = deltas[names.index("jawOpen")]
    opening[:] = np.einsum("vij,vj->vi", inverse, opening - turned)
    # mouthClose undoes jawOpen's lips in the turned frame.
    closing = deltas[names.index("mouthClose")]
    closing[:] = np.einsum("vij,vj->vi", inverse, closing)


def carry(deltas: np.ndarray, base: np.ndarray, rest: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Units [E,V,3] from the identity they were made on to another, by local edge frames."""
    from emoga.head.frames import edge_frames, local_deformation

    frames = edge_frames(torch.tensor(base), torch.tensor(faces))
    deformation = local_deformation(frames, torch.tensor(rest)).numpy()
    return np.einsum("vij,evj->evi", deformation, deltas)


def seat_eyes(vertices: np.ndarray, layout: Assembly, sliding: np.ndarray) -> np.ndarray:
    """Move each eyeball along z until it lies just behind the lid rims; vertices [V,3], a new array."""
    seated = vertices.copy()
    rows = len(sliding) // 2
    for side, name in enumerate(("left_eye", "right_eye")):
        ball = layout.parts[name]
        centre = 0.5 * (vertices[ball[0]] + vertices[ball[-1]])
        radius = np.linalg.norm(vertices[ball[0]] - centre)
        lid = vertices[sliding[side * rows : (side + 1) * rows]] - centre
        across = (lid[:, :2] ** 2).sum(1)
        reach = (radius + EYE_CLEARANCE) ** 2 - across
        near = reach > (0.3 * radius) ** 2
        # Largest z offset at which every lid vertex in front keeps its clearance.
        offset = np.quantile(lid[near, 2] - np.sqrt(reach[near]), 0.02)
        seated[ball, 2] += offset
    return seated
