"""Triangle frames: where each triangle of a posed head is, how it is turned and how large it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse
import torch

# Neighbours of a triangle steady its frame; its own corners lead it.
RING_WEIGHT = 0.25
# A patch squeezed to nothing keeps this share of its rest area, so that sizes and gradients stay finite.
AREA_FLOOR = 0.1
# Shares of their rest area between which folded lid triangles fade in.
FADED, UNFADED = 0.02, 0.2


@dataclass(frozen=True)
class TriangleFrames:
    """Frames of F triangles (joints may follow as further rows).

    origin [...,F,3] metres; rotation [...,F,3,3], columns are the frame's axes in the world;
    size k [...,F] metres; fade [...,F] in 0..1 multiplies the opacity of what is bound there, shade [...,F,3]
    its colour, None where light changes nothing.
    """

    origin: torch.Tensor
    rotation: torch.Tensor
    size: torch.Tensor
    fade: torch.Tensor
    shade: torch.Tensor | None = None

    def detach(self) -> TriangleFrames:
        """Without gradient history."""
        return self.map(torch.Tensor.detach)

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> TriangleFrames:
        """The same with every array changed."""
        return TriangleFrames(*(change(part) for part in self.parts()))

    def parts(self) -> tuple[torch.Tensor, ...]:
        """The arrays, those that there are, as the constructor takes them."""
        parts = (self.origin, self.rotation, self.size, self.fade)
        return parts if self.shade is None else (*parts, self.shade)


@dataclass(frozen=True)
class Patches:
    """For each of F triangles, the linear fit of its neighbourhood that `smooth_frames` evaluates.

    neighbours [F,P] int64 vertex indices, padded with the first corner; tangent, bitangent [F,P] float64:
    weights that sum to zero and give the images of two unit rest vectors; rest_size, rest_area [F] metres
    and square metres; fading [F] bool: triangles whose Gaussians fade when folded.
    """

    faces: np.ndarray
    neighbours: np.ndarray
    tangent: np.ndarray
    bitangent: np.ndarray
    rest_size: np.ndarray
    rest_area: np.ndarray
    fading: np.ndarray
    operators: dict[tuple[str, torch.dtype], tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


def face_patches(rest: np.ndarray, faces: np.ndarray, fading: np.ndarray | None = None) -> Patches:
    """Prepare `smooth_frames` from a rest mesh [V,3] with faces [F,3]; `fading` [F] marks lid triangles.

    Plain float64 arithmetic in a fixed order, so that every machine computes the same bits.
    """
    rest, faces = np.asarray(rest, np.float64), np.asarray(faces, np.int64)
    neighbours, weights = _neighbourhoods(faces, len(rest))
    normals = _sum(np.take(_vertex_normals(rest, faces), faces, axis=0), 1)
    normals /= np.sqrt(np.maximum(_sum(normals * normals, 1), 1e-30))[:, None]
    tangent, bitangent = _rest_axes(normals)
    points = rest[neighbours]
    total = _sum(weights, 1)[:, None]
    points = points - (_sum(weights[..., None] * points, 1) / total)[:, None]
    u, v = _sum(points * tangent[:, None], 2), _sum(points * bitangent[:, None], 2)
    uu, uv, vv = (_sum(weights * a * b, 1) for a, b in ((u, u), (u, v), (v, v)))
    ridge = 1e-6 * (uu + vv) + 1e-18
    uu, vv = uu + ridge, vv + ridge
    determinant = (uu * vv - uv * uv)[:, None]
    t_weights = weights * (vv[:, None] * u - uv[:, None] * v) / determinant
    b_weights = weights * (uu[:, None] * v - uv[:, None] * u) / determinant
    # The ridge and padding must not let a translation leak in.
    t_weights -= weights * (_sum(t_weights, 1)[:, None] / total)
    b_weights -= weights * (_sum(b_weights, 1)[:, None] / total)
    area = triangle_areas(rest, faces)
    around = _patch_area(area, faces, len(rest))
    fading = np.zeros(len(faces), bool) if fading is None else np.asarray(fading, bool)
    return Patches(faces, neighbours, t_weights, b_weights, np.sqrt(2 * around), area, fading)


def smooth_frames(vertices: torch.Tensor, patches: Patches) -> TriangleFrames:
    """Frames [...,F] of a posed mesh [...,V,3]: each is the similarity nearest to how its patch moved.

    The patch (the triangle and its one-ring) is fitted by an affine image of its rest shape, so slivers,
    flipped triangles and the order of edges do not matter. Gradients are finite at zero area.
    """
    flat = vertices.reshape(-1, *vertices.shape[-2:])
    images = patch_images(flat, patches).permute(0, 2, 1, 3)
    images = images.reshape(3, *vertices.shape[:-2], len(patches.faces), 3)
    origin, tangent, bitangent = images.unbind(0)
    normal = torch.linalg.cross(tangent, bitangent)
    area = (normal * normal).sum(-1)
    normal = normal / (area + 1e-20).sqrt()[..., None]
    # The in-plane turn of a 2x2 map, without preferring either axis.
    x = tangent + torch.linalg.cross(bitangent, normal)
    x = x - (x * normal).sum(-1, keepdim=True) * normal
    x = x / ((x * x).sum(-1, keepdim=True) + 1e-20).sqrt()
    rotation = torch.stack([x, torch.linalg.cross(normal, x), normal], -1)
    size = torch.as_tensor(patches.rest_size).to(vertices) * (area + AREA_FLOOR**2) ** 0.25
    return TriangleFrames(origin, rotation, size, _fold_fade(vertices, normal, patches))


def patch_images(vertices: torch.Tensor, patches: Patches) -> torch.Tensor:
    """[3,F,T,3] for vertices [T,V,3]: the centroid of each triangle and the images of its two rest vectors."""
    count, frames = len(patches.faces), vertices.shape[0]
    columns = vertices.transpose(0, 1).reshape(vertices.shape[1], -1)
    return _SparseProduct.apply(columns, *_operator(patches, vertices)).reshape(3, count, frames, 3)


def ga_frames(vertices: torch.Tensor, faces: torch.Tensor) -> TriangleFrames:
    """The frames of GaussianAvatars files for vertices [...,V,3] and faces [F,3].

    Origin at the centroid; axes: first edge, normal, their cross product; size: mean of the first edge's
    length and the height over it.
    """
    a, b, c = vertices[..., faces, :].unbind(-2)
    edge, side = b - a, c - a
    x = edge / ((edge * edge).sum(-1, keepdim=True) + 1e-20).sqrt()
    normal = torch.linalg.cross(edge, side)
    normal = normal / ((normal * normal).sum(-1, keepdim=True) + 1e-20).sqrt()
    z = torch.linalg.cross(x, normal)
    height = (z * side).sum(-1).abs()
    size = ((edge * edge).sum(-1) + 1e-20).sqrt() / 2 + height / 2
    rotation = torch.stack([x, normal, z], -1)
    return TriangleFrames((a + b + c) / 3, rotation, size, torch.ones_like(size))


def bind_frames(vertices: np.ndarray, patches: Patches | None, faces: np.ndarray) -> TriangleFrames:
    """Frames of the bind pose [V,3] in float64, the same bits on every machine; "ga" without patches."""
    vertices = np.asarray(vertices, np.float64)
    if patches is None:
        a, b, c = (vertices[faces[:, corner]] for corner in range(3))
        x, y = _unit(b - a), _unit(_cross(b - a, c - a))
        z = _cross(x, y)
        size = np.sqrt(_sum((b - a) ** 2, 1)) / 2 + np.abs(_sum(z * (c - a), 1)) / 2
        return _as_frames((a + b + c) / 3, x, y, z, size)
    tangent, bitangent = (
        _weighted(weights, patches.neighbours, vertices) for weights in (patches.tangent, patches.bitangent)
    )
    normal = _cross(tangent, bitangent)
    area = _sum(normal * normal, 1)
    normal = normal / np.sqrt(area + 1e-20)[:, None]
    x = tangent + _cross(bitangent, normal)
    x = _unit(x - _sum(x * normal, 1)[:, None] * normal)
    size = patches.rest_size * np.sqrt(np.sqrt(area + AREA_FLOOR**2))
    corners = [vertices[patches.faces[:, corner]] for corner in range(3)]
    return _as_frames((corners[0] + corners[1] + corners[2]) / 3, x, _cross(normal, x), normal, size)


def triangle_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Areas [F] of triangles of vertices [V,3], square of the unit of length."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normal = _cross(b - a, c - a)
    return np.sqrt(_sum(normal * normal, 1)) / 2


def _fold_fade(vertices: torch.Tensor, normal: torch.Tensor, patches: Patches) -> torch.Tensor:
    """1, falling to 0 where a lid triangle has lost its area or turned against its surroundings."""
    fade = torch.ones(normal.shape[:-1], dtype=vertices.dtype, device=vertices.device)
    if not patches.fading.any():
        return fade
    rows = torch.as_tensor(np.flatnonzero(patches.fading), device=vertices.device)
    a, b, c = vertices[..., torch.as_tensor(patches.faces, device=vertices.device)[rows], :].unbind(-2)
    facing = (torch.linalg.cross(b - a, c - a) * normal[..., rows, :]).sum(-1) / 2
    share = facing / torch.as_tensor(patches.rest_area).to(vertices)[rows]
    t = ((share - FADED) / (UNFADED - FADED)).clamp(0, 1)
    return fade.index_copy(-1, rows, (t * t * (3 - 2 * t)).expand(*fade.shape[:-1], -1))


class _SparseProduct(torch.autograd.Function):
    """matrix [M,V] @ columns [V,C], with its transpose in CSR for the way back: torch's own is 20x slower."""

    @staticmethod
    def forward(ctx, columns: torch.Tensor, matrix: torch.Tensor, transpose: torch.Tensor) -> torch.Tensor:
        ctx.transpose = transpose
        return matrix @ columns

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return ctx.transpose @ grad.contiguous(), None, None


def _operator(patches: Patches, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """CSR [3F,V] and its transpose: centroids, tangents, bitangents as linear functions of the vertices."""
    key = (str(like.device), like.dtype)
    if key not in patches.operators:
        count, width = patches.neighbours.shape
        rows = np.concatenate([np.repeat(np.arange(count), 3), np.repeat(np.arange(count, 3 * count), width)])
        columns = [patches.faces.ravel(), patches.neighbours.ravel(), patches.neighbours.ravel()]
        values = [np.full(3 * count, 1 / 3), patches.tangent.ravel(), patches.bitangent.ravel()]
        matrix = scipy.sparse.csr_matrix(
            (np.concatenate(values), (rows, np.concatenate(columns))), (3 * count, like.shape[-2])
        )
        matrix.eliminate_zeros()
        patches.operators[key] = tuple(_torch_csr(part, like) for part in (matrix, matrix.T.tocsr()))
    return patches.operators[key]


def _torch_csr(matrix: scipy.sparse.csr_matrix, like: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")  # torch calls its CSR support a beta
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),  # int64 would be converted for every product
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data),
            matrix.shape,
        ).to(device=like.device, dtype=like.dtype)


def _neighbourhoods(faces: np.ndarray, vertex_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners and one-ring of every face, padded [F,P], with weights [F,P] (0 on padding)."""
    around: list[set[int]] = [set() for _ in range(vertex_count)]
    for a, b, c in faces.tolist():
        around[a] |= {b, c}
        around[b] |= {a, c}
        around[c] |= {a, b}
    rings = [sorted((around[a] | around[b] | around[c]) - {a, b, c}) for a, b, c in faces.tolist()]
    width = 3 + max((len(ring) for ring in rings), default=0)
    neighbours = np.repeat(faces[:, :1], width, axis=1)
    weights = np.zeros((len(faces), width))
    neighbours[:, :3], weights[:, :3] = faces, 1.0
    for row, ring in enumerate(rings):
        neighbours[row, 3 : 3 + len(ring)] = ring
        weights[row, 3 : 3 + len(ring)] = RING_WEIGHT
    return neighbours, weights


def _patch_area(area: np.ndarray, faces: np.ndarray, vertex_count: int) -> np.ndarray:
    """Mean area [F] of the triangles around each triangle's corners, the triangle itself counted fully."""
    total, count = np.zeros(vertex_count), np.zeros(vertex_count)
    for corner in range(3):
        np.add.at(total, faces[:, corner], area)
        np.add.at(count, faces[:, corner], 1.0)
    mean = total / np.maximum(count, 1.0)
    blended = (area + mean[faces[:, 0]] + mean[faces[:, 1]] + mean[faces[:, 2]]) / 4
    return np.maximum(blended, 1e-12)


def _rest_axes(normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors [F,3] across each normal: up where that works, forward on the top and below."""
    up = np.where((np.abs(normals[:, 1]) > 0.9)[:, None], np.array([0.0, 0.0, 1.0]), [0.0, 1.0, 0.0])
    bitangent = _unit(up - _sum(up * normals, 1)[:, None] * normals)
    return _cross(bitangent, normals), bitangent


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    face_normals = _cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], face_normals)
    return _unit(normals)


def _weighted(weights: np.ndarray, neighbours: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Sum over neighbours [F,P] in a fixed order (a library's sum may use another on another machine)."""
    total = np.zeros((len(weights), 3))
    for column in range(weights.shape[1]):
        total += weights[:, column, None] * vertices[neighbours[:, column]]
    return total


def _sum(values: np.ndarray, axis: int) -> np.ndarray:
    total = np.take(values, 0, axis).copy()
    for index in range(1, values.shape[axis]):
        total += np.take(values, index, axis)
    return total


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.stack(
        [
            a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1],
            a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0],
        ],
        1,
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.sqrt(_sum(vectors * vectors, 1) + 1e-20)[:, None]


def _as_frames(
    origin: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray, size: np.ndarray
) -> TriangleFrames:
    rotation = np.stack([x, y, z], -1)
    arrays = (torch.from_numpy(array) for array in (origin, rotation, size, np.ones_like(size)))
    return TriangleFrames(*arrays)
