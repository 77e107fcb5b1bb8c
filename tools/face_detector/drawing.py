"""Drawing fast: triangles of many materials under lobes of light, with shadow maps and darkened hollows."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numba
import numpy as np

from emoga.triangles import rasterize_faces

PLAIN, SKIN, EYE = -1, 0, 1
SHADOW_SIDE, SHADOW_REACH, SHADOW_FAR = 144, 0.26, 4.0  # pixels, metres around the head, metres of the light


@dataclass
class Pile:
    """Meshes heaped into one: vertices and normals [V,3], colours [V,3], uv [V,2]; per face what it is made of."""

    vertices: list[np.ndarray] = field(default_factory=list)
    normals: list[np.ndarray] = field(default_factory=list)
    colors: list[np.ndarray] = field(default_factory=list)
    uvs: list[np.ndarray] = field(default_factory=list)
    faces: list[np.ndarray] = field(default_factory=list)
    kinds: list[np.ndarray] = field(default_factory=list)
    gloss: list[np.ndarray] = field(default_factory=list)
    count: int = 0

    def add(self, vertices, faces, normals, color=(1.0, 1.0, 1.0), uv=None, kind=PLAIN, gloss=0.1) -> None:
        """Put a mesh on the pile; color [3] or [V,3] multiplies the texture of `kind`."""
        self.vertices.append(vertices)
        self.normals.append(normals)
        self.colors.append(np.broadcast_to(np.asarray(color, np.float64), vertices.shape))
        self.uvs.append(np.zeros((len(vertices), 2)) if uv is None else uv)
        self.faces.append(faces + self.count)
        self.kinds.append(np.full(len(faces), kind, np.int32))
        self.gloss.append(np.full(len(faces), gloss))
        self.count += len(vertices)


@numba.njit(cache=True)
def normals_of(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals [V,3], weighted by area."""
    out = np.zeros_like(vertices)
    for f in range(len(faces)):
        a, b, c = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in range(3):
            i = faces[f, k]
            out[i, 0] += x
            out[i, 1] += y
            out[i, 2] += z
    for i in range(len(out)):
        size = np.sqrt(out[i, 0] ** 2 + out[i, 1] ** 2 + out[i, 2] ** 2) + 1e-20
        out[i] /= size
    return out


@dataclass(frozen=True)
class Lights:
    """Lobes of light: direction towards it [K,3] (camera axes), colour [K,3], wrap [K]; the first two cast shadows."""

    directions: np.ndarray
    colors: np.ndarray
    wraps: np.ndarray
    shadows: np.ndarray  # [2] strength 0..1
    ambient: np.ndarray  # [3]


def random_lights(rng: np.random.Generator) -> Lights:
    """One or two hard lights, a few soft ones, and light from everywhere."""
    count = rng.integers(3, 7)
    directions = rng.normal(size=(count, 3)) * [1.0, 0.8, 0.8] + [0, -0.6, -0.7]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    tint = 1 + rng.uniform(0.0, 0.25) * rng.normal(size=(count, 3))
    strength = rng.gamma(1.2, 0.4, count)
    strength[:2] *= rng.choice([0.1, 1.0, 2.0], 2)
    wraps = np.concatenate([rng.uniform(0.0, 0.4, 2), rng.uniform(0.4, 1.0, count - 2)])
    colors = np.clip(tint, 0.3, 2.0) * strength[:, None]
    return Lights(
        directions,
        colors,
        wraps,
        rng.uniform(0.3, 1.0, 2),
        rng.uniform(0.1, 0.9) * np.clip(1 + 0.1 * rng.normal(size=3), 0.5, 1.5),
    )


def _shadow_map(vertices: np.ndarray, faces: np.ndarray, direction: np.ndarray, centre: np.ndarray):
    """Depth [S,S] seen from a light, the turn [3,3] into its axes and its focal length in pixels."""
    z = -direction
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x) + 1e-9
    turn = np.stack([x, np.cross(z, x), z])
    focal = SHADOW_SIDE / 2 / SHADOW_REACH * SHADOW_FAR
    K = np.array([[focal, 0, SHADOW_SIDE / 2], [0, focal, SHADOW_SIDE / 2], [0, 0, 1]])
    local = (vertices - centre) @ turn.T + [0, 0, SHADOW_FAR]
    _, _, depth = rasterize_faces(local, faces, K, SHADOW_SIDE, SHADOW_SIDE)
    return np.where(depth == 0, 1e9, depth).astype(np.float64), turn, focal


@numba.njit(cache=True)
def _lit(x, y, z, depth, turn, centre, focal):
    """Share 0..1 of a light that reaches a point, from 3x3 cells of its shadow map."""
    px, py, pz = x - centre[0], y - centre[1], z - centre[2]
    lx = turn[0, 0] * px + turn[0, 1] * py + turn[0, 2] * pz
    ly = turn[1, 0] * px + turn[1, 1] * py + turn[1, 2] * pz
    lz = turn[2, 0] * px + turn[2, 1] * py + turn[2, 2] * pz + SHADOW_FAR
    u, v = int(lx / lz * focal + SHADOW_SIDE / 2), int(ly / lz * focal + SHADOW_SIDE / 2)
    if u < 1 or v < 1 or u >= SHADOW_SIDE - 1 or v >= SHADOW_SIDE - 1:
        return 1.0
    reached = 0.0
    for i in range(-1, 2):
        for j in range(-1, 2):
            if lz < depth[v + i, u + j] + 0.006:
                reached += 1.0 / 9.0
    return reached


@numba.njit(cache=True)
def _shade(face, bary, V, N, C, UV, F, kind, gloss, skin, eye, D, L, wraps, strengths, ambient,
           shadow0, turn0, shadow1, turn1, focal, centre, hollow):  # fmt: skip
    height, width = face.shape
    out = np.zeros((height, width, 3), np.float32)
    for i in range(height):
        for j in range(width):
            f = face[i, j]
            if f < 0:
                continue
            a, b, c = F[f, 0], F[f, 1], F[f, 2]
            wa, wb, wc = bary[i, j, 0], bary[i, j, 1], bary[i, j, 2]
            x, y, z = (wa * V[a, 0] + wb * V[b, 0] + wc * V[c, 0], wa * V[a, 1] + wb * V[b, 1] + wc * V[c, 1],
                       wa * V[a, 2] + wb * V[b, 2] + wc * V[c, 2])  # fmt: skip
            nx, ny, nz = (wa * N[a, 0] + wb * N[b, 0] + wc * N[c, 0], wa * N[a, 1] + wb * N[b, 1] + wc * N[c, 1],
                          wa * N[a, 2] + wb * N[b, 2] + wc * N[c, 2])  # fmt: skip
            size = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12
            away = np.sqrt(x * x + y * y + z * z)
            vx, vy, vz = -x / away, -y / away, -z / away
            if nx * vx + ny * vy + nz * vz < 0:
                size = -size
            nx, ny, nz = nx / size, ny / size, nz / size
            r, g, bl = (wa * C[a, 0] + wb * C[b, 0] + wc * C[c, 0], wa * C[a, 1] + wb * C[b, 1] + wc * C[c, 1],
                        wa * C[a, 2] + wb * C[b, 2] + wc * C[c, 2])  # fmt: skip
            k = kind[f]
            if k >= 0:
                picture = skin if k == 0 else eye
                u = (wa * UV[a, 0] + wb * UV[b, 0] + wc * UV[c, 0]) * picture.shape[1] - 0.5
                v = (1 - (wa * UV[a, 1] + wb * UV[b, 1] + wc * UV[c, 1])) * picture.shape[0] - 0.5
                u, v = min(max(u, 0.0), picture.shape[1] - 1.001), min(max(v, 0.0), picture.shape[0] - 1.001)
                u0, v0 = int(u), int(v)
                fu, fv = u - u0, v - v0
                for ch in range(3):
                    s = ((picture[v0, u0, ch] * (1 - fu) + picture[v0, u0 + 1, ch] * fu) * (1 - fv)
                         + (picture[v0 + 1, u0, ch] * (1 - fu) + picture[v0 + 1, u0 + 1, ch] * fu) * fv)  # fmt: skip
                    if ch == 0:
                        r *= s
                    elif ch == 1:
                        g *= s
                    else:
                        bl *= s
            er, eg, eb = ambient[0] * hollow[i, j], ambient[1] * hollow[i, j], ambient[2] * hollow[i, j]
            shine = 0.0
            for q in range(len(D)):
                cosine = nx * D[q, 0] + ny * D[q, 1] + nz * D[q, 2]
                w = (cosine + wraps[q]) / (1 + wraps[q])
                if w <= 0:
                    continue
                if q == 0:
                    w *= 1 - strengths[0] * (1 - _lit(x, y, z, shadow0, turn0, centre, focal))
                elif q == 1:
                    w *= 1 - strengths[1] * (1 - _lit(x, y, z, shadow1, turn1, centre, focal))
                w *= 0.4 + 0.6 * hollow[i, j]
                er += w * L[q, 0]
                eg += w * L[q, 1]
                eb += w * L[q, 2]
                if gloss[f] > 0 and cosine > 0:
                    hx, hy, hz = D[q, 0] + vx, D[q, 1] + vy, D[q, 2] + vz
                    size = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9
                    half = max((nx * hx + ny * hy + nz * hz) / size, 0.0)
                    power = 12.0 if gloss[f] < 0.5 else 250.0
                    shine += w * L[q, 1] * gloss[f] * half**power
            out[i, j, 0], out[i, j, 1], out[i, j, 2] = r * er + shine, g * eg + shine, bl * eb + shine
    return out


def _hollows(depth: np.ndarray, size: float, strength: float) -> np.ndarray:
    """1 on open ground, less where the surroundings [H,W] are nearer to the camera: an ambient occlusion."""
    seen = (depth > 0).astype(np.float32)
    result = np.ones_like(depth, np.float32)
    for reach, scale in ((0.035, 110.0), (0.1, 45.0)):
        window = (max(3, int(reach * size) | 1),) * 2
        mean = cv2.blur(depth * seen, window) / np.maximum(cv2.blur(seen, window), 1e-3)
        result *= np.exp(-strength * scale * np.clip(depth - mean - 0.0005, 0, 0.03)).astype(np.float32)
    return np.where(seen > 0, result, 1)


def draw(
    pile: Pile, K: np.ndarray, size: int, lights: Lights, skin: np.ndarray, eye: np.ndarray, hollowness: float
):
    """Linear colours [size,size,3], alpha and depth [size,size] of a pile in camera axes (metres)."""
    parts = (pile.vertices, pile.normals, pile.colors, pile.uvs)
    V, N, C, UV = (np.ascontiguousarray(np.concatenate(part), np.float64) for part in parts)
    F = np.ascontiguousarray(np.concatenate(pile.faces), np.int32)
    kind, gloss = np.concatenate(pile.kinds), np.concatenate(pile.gloss)
    face, bary, depth = rasterize_faces(V, F, K, size, size)
    centre = np.median(pile.vertices[0], axis=0)
    maps = [_shadow_map(V, F, lights.directions[q], centre) for q in range(2)]
    color = _shade(
        face, bary, V, N, C, UV, F, kind, gloss, skin, eye, lights.directions, lights.colors, lights.wraps,
        lights.shadows, lights.ambient, maps[0][0], maps[0][1], maps[1][0], maps[1][1], maps[0][2], centre,
        _hollows(depth, size, hollowness),
    )  # fmt: skip
    return color, (face >= 0).astype(np.float32), depth
