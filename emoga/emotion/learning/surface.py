"""Points on a head's skin, in which what pictures of many views and frames say is brought together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from scipy.spatial import cKDTree

from emoga.head import Head

# Points per area, beside the face's: neck and ears are large, and little happens there.
SKIN = {
    "face": 1.0, "forehead": 1.0, "brows": 1.0, "cheeks": 1.0, "nose": 1.2, "jaw": 0.7, "eyelids": 1.2,
    "lips": 1.5, "ears": 0.15, "neck": 0.25,
}  # fmt: skip
FACING_ALIKE = 0.3  # cosine between normals below which two points do not blur into each other
REACH = 2.5  # standard deviations to which blurs reach


@dataclass(frozen=True, eq=False)
class Surface:
    """N points of a person's skin: face [N] and bary [N,3] on the mesh; rest, normals [N,3] at rest, metres.

    region [N] indexes the head's region names; corners [N,3] are the vertices of each point's face.
    """

    faces: np.ndarray
    face: np.ndarray
    bary: np.ndarray
    rest: np.ndarray
    normals: np.ndarray
    region: np.ndarray

    def __len__(self) -> int:
        return len(self.face)

    @property
    def corners(self) -> np.ndarray:
        """Vertices [N,3] of each point's face."""
        return self.faces[self.face]

    def on_mesh(self, vertices: np.ndarray) -> np.ndarray:
        """The points [N,3] on posed vertices [V,3], or [...,N,D] of any values [...,V,D] of vertices."""
        return np.einsum("nk,...nkd->...nd", self.bary, vertices[..., self.corners, :])

    def blur(self, radius: float) -> scipy.sparse.csr_matrix:
        """[N,N] symmetric weights of neighbours, a Gaussian of `radius` metres; unnormalised, see `smoothed`."""
        tree = cKDTree(self.rest)
        pairs = tree.query_pairs(REACH * radius, output_type="ndarray")
        a, b = pairs.T
        alike = (self.normals[a] * self.normals[b]).sum(1) > FACING_ALIKE
        a, b = a[alike], b[alike]
        weight = np.exp(-0.5 * ((self.rest[a] - self.rest[b]) ** 2).sum(1) / radius**2).astype(np.float32)
        count = len(self)
        own = scipy.sparse.eye(count, dtype=np.float32, format="csr")
        half = scipy.sparse.csr_matrix((weight, (a, b)), (count, count))
        return (half + half.T + own).tocsr()


def smoothed(blur: scipy.sparse.csr_matrix, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Values [N,D] averaged over neighbours with weights [N]; zero where nothing weighs anything."""
    total = blur @ weights
    return (blur @ (values * weights[:, None])) / np.maximum(total, 1e-6)[:, None]


def skin_points(head: Head, rest: np.ndarray, count: int, seed: int = 0) -> Surface:
    """About `count` points spread over the skin of a rest mesh [V,3], stratified by area."""
    faces = head.faces.cpu().numpy()
    regions = head.face_regions.cpu().numpy()
    a, b, c = (rest[faces[:, corner]] for corner in range(3))
    cross = np.cross(b - a, c - a)
    area = 0.5 * np.linalg.norm(cross, axis=1)
    density = np.zeros(len(faces))
    for name, share in SKIN.items():
        if name in head.region_names:
            density[regions == head.region_names.index(name)] = share
    weight = area * density
    rng = np.random.default_rng([seed, 4])
    # One draw in every equal part of the total weight: no clumps and no holes.
    at = (np.arange(count) + rng.random(count)) * (weight.sum() / count)
    face = np.minimum(np.searchsorted(np.cumsum(weight), at), len(faces) - 1)
    u, v = np.sort(rng.random((2, count)), axis=0)
    bary = np.stack([u, v - u, 1 - v], 1)
    normals = _vertex_normals(rest, faces)
    points = Surface(faces, face, bary, rest, rest, regions[face])
    turned = points.on_mesh(normals)
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    return Surface(faces, face, bary, points.on_mesh(rest), turned, regions[face])


def _vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals [...,V,3] of meshes [...,V,3]."""
    a, b, c = (vertices[..., faces[:, corner], :] for corner in range(3))
    cross = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    flat, sums = cross.reshape(-1, len(faces), 3), normals.reshape(-1, vertices.shape[-2], 3)
    for one, total in zip(flat, sums, strict=True):
        for corner in range(3):
            for axis in range(3):
                total[:, axis] += np.bincount(faces[:, corner], one[:, axis], len(total))
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-20)


def posed_normals(surface: Surface, vertices: np.ndarray) -> np.ndarray:
    """Unit normals [N,3] of the points on posed vertices [V,3]."""
    normals = surface.on_mesh(_vertex_normals(vertices, surface.faces))
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-20)
