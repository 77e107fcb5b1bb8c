"""Hats and headbands: shells about the head that lie over the hair that is there."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter

from emoga.avatar import Gaussians
from emoga.editing.masks import MM, landmarks, smoothstep
from emoga.editing.meshes import Solid, from_grid, merged
from emoga.editing.subject import Subject
from emoga.editing.surface import find_places
from emoga.editing.wearing import SKULL, finish_of, worn
from emoga.guidance import Operation

AROUND, UP = 180, 60
STEP = 2.4 * MM
GAP = 2.0 * MM
# What no beanie is made of.
WOVEN = ("straw", "cloth", "leather")


class Shell:
    """How far the head and its hair reach from the skull's middle, by azimuth and height angle."""

    def __init__(self, subject: Subject) -> None:
        self.centre = self._centre(subject)
        self.reach = self._reach(subject)

    @staticmethod
    def _centre(subject: Subject) -> np.ndarray:
        scalp = subject.vertices[subject.head.regions["scalp"].numpy()]
        low, high = scalp.min(0), scalp.max(0)
        ears = subject.vertices[subject.head.regions["ears"].numpy()]
        return np.array([0.0, ears[:, 1].max() - 10 * MM, 0.5 * (low[2] + high[2])])

    def _reach(self, subject: Subject) -> np.ndarray:
        """[UP,AROUND] metres over elevations -45° … 90°."""
        rows = subject.opaque[~subject.labelled("ears", "shoulders", "boundary", "neck")[subject.opaque]]
        vertices = subject.vertices[
            np.any([subject.head.regions[n].numpy() for n in ("scalp", "forehead", "face")], 0)
        ]
        skull = self._binned(vertices, 100)
        hair = self._binned(subject.means[rows], 97)
        reach = np.fmax(np.nan_to_num(hair), np.nan_to_num(skull))
        empty = reach <= 0
        filled = gaussian_filter(np.where(empty, 0, reach), 4, mode=("nearest", "wrap"))
        share = gaussian_filter((~empty).astype(float), 4, mode=("nearest", "wrap"))
        reach = np.where(empty, filled / np.maximum(share, 1e-6), reach)
        # Hair floats off the skull by a few centimetres at most; what lies further is an error of the fit.
        limit = np.where(np.isnan(skull), np.nan, skull)
        limit = np.nan_to_num(limit, nan=float(np.nanmedian(limit))) + 35 * MM
        limit = gaussian_filter(limit, 3, mode=("nearest", "wrap"))
        return gaussian_filter(maximum_filter(np.minimum(reach, limit), 3), 2.0, mode=("nearest", "wrap"))

    def _binned(self, points: np.ndarray, percentile: float) -> np.ndarray:
        x, y, z = (points - self.centre).T
        length = np.sqrt(x * x + y * y + z * z)
        row = np.round((np.arcsin(y / length) + np.pi / 4) / (0.75 * np.pi) * (UP - 1)).astype(int)
        column = np.round(np.arctan2(x, z) / (2 * np.pi) * AROUND).astype(int) % AROUND
        found = np.full((UP, AROUND), np.nan)
        kept = row >= 0
        order = np.argsort(row[kept] * AROUND + column[kept])
        cell, values = (row * AROUND + column)[kept][order], length[kept][order]
        starts = np.flatnonzero(np.diff(cell, prepend=-1))
        for begin, end in zip(starts, [*starts[1:], len(cell)], strict=True):
            found.flat[cell[begin]] = np.percentile(values[begin:end], percentile)
        return found

    def at(self, azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
        """Radius [...] at angles, radians."""
        from scipy.ndimage import map_coordinates

        row = (elevation + np.pi / 4) / (0.75 * np.pi) * (UP - 1)
        column = azimuth / (2 * np.pi) * AROUND % AROUND
        # The last column meets the first.
        wrapped = np.concatenate([self.reach, self.reach[:, :1]], 1)
        return map_coordinates(wrapped, [np.clip(row, 0, UP - 1), column], order=1)

    def point(self, azimuth: np.ndarray, elevation: np.ndarray, gap: np.ndarray | float) -> np.ndarray:
        """Points [...,3] `gap` metres over the head."""
        radius = self.at(azimuth, elevation) + gap
        flat = np.cos(elevation)
        direction = np.stack([flat * np.sin(azimuth), np.sin(elevation), flat * np.cos(azimuth)], -1)
        return self.centre + radius[..., None] * direction


def _edge(subject: Subject, shell: Shell, azimuth: np.ndarray, lift: float, sides: float = 0.0) -> np.ndarray:
    """Elevation [A], radians, of the line around forehead, over the ears and the back of the head."""
    front = find_places(subject, landmarks(subject, (10,))).points[0] * 0.35
    front = front + 0.65 * find_places(subject, landmarks(subject, (151,))).points[0]
    ear = subject.vertices[subject.head.regions["ears"].numpy()][:, 1].max()
    side, back = ear + 2 * MM + sides, ear - 12 * MM + 2 * sides
    turn = np.abs((azimuth + np.pi) % (2 * np.pi) - np.pi)
    # Smooth in front and behind, where both sides meet.
    to_side, to_back = smoothstep(turn, 0.0, np.pi / 2), smoothstep(turn, np.pi / 2, np.pi)
    height = front[1] + 6 * MM + to_side * (side - front[1] - 6 * MM) + to_back * (back - side) + lift
    elevation = np.zeros_like(azimuth)
    for _ in range(8):
        elevation = np.arcsin(np.clip((height - shell.centre[1]) / shell.at(azimuth, elevation), -0.65, 0.95))
    return elevation


def hat(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """A cap, bowler, top hat, fedora or beret by style; else one with a brim if it is woven stiff, or a beanie."""
    shell = Shell(subject)
    azimuth = np.linspace(0, 2 * np.pi, int(2 * np.pi * 0.1 / STEP) + 1)
    usual = "fedora" if step.material in WOVEN else "beanie"
    kind = next(
        (style for style in step.style if style in ("cap", "bowler", "top", "fedora", "beret")), usual
    )
    thick = {"beanie": 3, "cap": 2, "bowler": 5, "top": 5, "fedora": 5, "beret": 4}[kind] * MM
    edge = _edge(
        subject,
        shell,
        azimuth,
        4 * MM if kind in ("bowler", "top", "fedora") else 0.0,
        -10 * MM if kind == "beanie" else 0.0,
    )
    share = np.linspace(0, 1, int(0.15 / STEP))[:, None]
    elevation = edge + share * (0.499 * np.pi - edge)
    grid = shell.point(
        np.broadcast_to(azimuth, elevation.shape), elevation, GAP + thick * np.minimum(1, 6 * share + 0.5)
    )
    if kind in ("top", "bowler", "fedora"):
        grid = _stiff(grid, share[:, 0], {"top": 120, "bowler": 25, "fedora": 35}[kind] * MM)
    if kind == "beret":
        grid = grid + np.array([0.25, 0.0, -0.1]) * 0.05 * np.sin(np.pi * share)[..., None]
    solids = [_outwards(grid, shell.centre)]
    rim = grid[0]
    if kind == "beanie":
        solids.append(_outwards(_cuff(rim, grid[min(14, len(grid) - 1)], shell.centre), shell.centre))
    if kind in ("cap", "bowler", "top", "fedora"):
        solids.append(_brim(rim, azimuth, kind, shell.centre))
    wool = "wool" if kind in ("beanie", "beret") else "cloth"
    finish = finish_of(step, wool, {"top": "black", "bowler": "black", "cap": "navy"}.get(kind, "grey"))
    solid = merged(solids)
    return worn(subject, solid, finish, SKULL, "scalp", _knit(subject, solid, shell.centre, kind))


def headband(subject: Subject, step: Operation, amount: float) -> Gaussians:
    """A band around forehead and hair."""
    shell = Shell(subject)
    azimuth = np.linspace(0, 2 * np.pi, int(2 * np.pi * 0.1 / STEP) + 1)
    height = (55 if "thick" in step.style else 22 if "thin" in step.style else 38) * MM
    edge = _edge(subject, shell, azimuth, 2 * MM)
    share = np.linspace(0, 1, max(6, int(height / STEP)))[:, None]
    elevation = edge + share * height / shell.at(azimuth, edge)
    swell = 3.0 * MM * np.sqrt(np.clip(1 - (2 * share - 1) ** 2, 0, 1))
    grid = shell.point(np.broadcast_to(azimuth, elevation.shape), elevation, GAP + swell)
    finish = finish_of(step, "cloth", "navy")
    return worn(subject, _outwards(grid, shell.centre), finish, SKULL, "scalp")


def _knit(subject: Subject, solid: Solid, centre: np.ndarray, kind: str) -> np.ndarray:
    """Brightness [M] of ribs, for what is knitted; of seams, for caps."""
    x, _, z = (solid.centres - centre).T
    turn = np.arctan2(x, z)
    if kind in ("beanie", "beret"):
        rows = subject.rng(29).standard_normal(len(x))
        return 1 + 0.16 * np.sin(64 * turn) + 0.05 * rows
    if kind == "cap":
        return 1 - 0.25 * np.exp(-((np.sin(3 * turn) / 0.05) ** 2))
    return np.ones(len(x))


def _outwards(grid: np.ndarray, centre: np.ndarray) -> Solid:
    middle = (grid[:-1, :-1] + grid[1:, 1:]) / 2
    return from_grid(grid, middle - centre)


def _stiff(grid: np.ndarray, share: np.ndarray, height: float) -> np.ndarray:
    """A crown with straight walls and a lid, in place of the skull's own curve."""
    base = grid[0]
    middle = base.mean(0)
    top = max(grid[-1, 0, 1], middle[1] + height)
    wall = np.minimum(share / 0.65, 1)[:, None, None]
    close = np.clip((share - 0.65) / 0.35, 0, 0.98)[:, None, None]
    level = np.array([0, 1.0, 0])
    straight = base + wall * (top - base[:, 1].mean()) * level
    flat = straight - close * (straight - (middle + (top - middle[1]) * level))
    outward = np.maximum(np.linalg.norm((grid - middle)[..., [0, 2]], axis=-1), 1e-6)
    own = np.maximum(np.linalg.norm((flat - middle)[..., [0, 2]], axis=-1), 1e-6)
    # The walls must stay outside of the hair.
    grow = np.where(close[..., 0] > 0, 1.0, np.maximum(outward / own, 1.0))
    flat[..., [0, 2]] = middle[[0, 2]] + (flat - middle)[..., [0, 2]] * grow[..., None]
    return flat


def _cuff(rim: np.ndarray, upper: np.ndarray, centre: np.ndarray) -> np.ndarray:
    share = np.linspace(0, 1, 16)[:, None, None]
    grid = rim + share * (upper - rim)
    outward = grid - centre
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    return grid + (0.8 + 2.2 * np.sin(np.pi * share)) * MM * outward


def _brim(rim: np.ndarray, azimuth: np.ndarray, kind: str, centre: np.ndarray) -> Solid:
    """The brim all around, or the peak of a cap in front."""
    flat = (rim - centre) * np.array([1, 0, 1])
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    turn = np.abs((azimuth + np.pi) % (2 * np.pi) - np.pi)
    if kind == "cap":
        width = 70 * MM * np.clip(np.cos(np.clip(turn / 1.05, 0, 1) * np.pi / 2), 0, 1)
        flat = np.stack([0.35 * flat[:, 0], -0.22 * np.ones(len(flat)), np.ones(len(flat))], 1)
        used = turn < 1.06
        rim, flat, width = (
            np.concatenate([part[len(part) // 2 :], part[: len(part) // 2]]) for part in (rim, flat, width)
        )
        used = np.concatenate([used[len(used) // 2 :], used[: len(used) // 2]])
        rim, flat, width = rim[used], flat[used], width[used]
    else:
        width = np.full(len(rim), {"bowler": 35, "top": 40, "fedora": 55}[kind] * MM)
    share = np.linspace(0, 1, 32)[:, None]
    out = share * width
    grid = rim + out[..., None] * flat
    if kind != "cap":
        grid[..., 1] += 0.12 * out
    up = np.broadcast_to(np.array([0, 1.0, 0]), (len(grid) - 1, grid.shape[1] - 1, 3))
    top = from_grid(grid, up)
    under = from_grid(grid - np.array([0, 1.2 * MM, 0]), -up)
    return merged([top, under])
