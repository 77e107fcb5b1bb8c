"""Pull the head's skull, hair and ears to the outline that the training pictures show."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import scipy.spatial
import torch

from emoga.camera import Camera
from emoga.capture import Track
from emoga.geometry import vertex_normals
from emoga.head import Head, HeadParams
from emoga.optimize.regions import visible_faces
from emoga.optimize.scoring import evenly
from emoga.progress import Reporter, tracked

ROUNDS = 3
PICTURES = 24
RIM = 0.35  # largest cosine between normal and line of sight of a vertex that can lie on the outline
FARTHEST = 0.05  # of the picture's height: outlines farther away belong to something else
LARGEST = 0.035  # metres
STIFFNESS = 4.0
ANCHOR = 0.001
# From one side only, the outline's growth would carry on to places behind it that nothing contradicts.
ONE_CAMERA_ANCHOR = 0.02
HELD = 10.0
# The face stays where landmarks have it; below the jaw, outlines are those of clothing and shadows.
MOVING = ("scalp", "ears", "neck")
SEEN = ("scalp", "ears")


def fit_outline(
    head: Head, track: Track, params: HeadParams, pairs: list[tuple[int, int]], report: Reporter
) -> HeadParams:
    """`params` with a static offset, smooth and along normals, that brings the mesh to the mattes' outline.

    pairs: (view, frame) of training pictures. Nothing changes without head masks. What no outline shows
    follows what its neighbours do; the face stays where it is.
    """
    if track.head_masks is None:
        return params
    chosen = evenly(pairs, PICTURES)
    distances = [signed_distance(track.head_masks[view, frame]) for view, frame in chosen]
    anchor = ONE_CAMERA_ANCHOR if len(track.cameras) == 1 else ANCHOR
    matrix, mirror = _stiffness(head, anchor), _mirror(head)
    for _ in tracked(range(ROUNDS), "fit the outline", report):
        wanted, weight = _wanted(head, track, params, chosen, distances)
        wanted, weight = wanted + 0.3 * wanted[mirror], weight + 0.3 * weight[mirror]
        system = matrix + scipy.sparse.diags(weight)
        along = scipy.sparse.linalg.spsolve(system.tocsc(), wanted)
        params = replace(params, static_offset=_moved(head, params, along))
    return params


def _wanted(
    head: Head,
    track: Track,
    params: HeadParams,
    pairs: list[tuple[int, int]],
    distances: list[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """For every vertex the weighted sum of steps in metres along its normal that outlines ask for, and weights."""
    total, weight = np.zeros(len(head.template)), np.zeros(len(head.template))
    with torch.no_grad():
        identity = head.identify(params.shape, params.static_offset)
        for (view, frame), distance in zip(pairs, distances, strict=True):
            camera = track.cameras[view]
            vertices = identity.posed(params.select([frame]))[0]
            rim, pixels, depth = rim_vertices(head, vertices, camera)
            columns, lines = pixels[rim].astype(int).T
            step = distance[lines, columns]
            trusted = np.abs(step) < FARTHEST * camera.height
            rows = np.flatnonzero(rim)[trusted]
            total[rows] += step[trusted] * depth[rows] / camera.K[0, 0]
            weight[rows] += 1
    count = max(1, len(pairs))
    return total / count, weight / count


def rim_vertices(
    head: Head, vertices: torch.Tensor, camera: Camera
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which vertices, posed at [V,3], lie where skull and ears end in the picture, bool [V].

    Also pixels [V,2] and depth [V] in metres of all of them.
    """
    normals = vertex_normals(vertices, head.faces).double().numpy()
    points = vertices.double().numpy()
    pixels, depth = camera.project(points)
    sight = points - camera.position
    sight /= np.linalg.norm(sight, axis=1, keepdims=True)
    covered = visible_faces(head, vertices, camera) >= 0
    eligible = np.isin(_vertex_regions(head), [head.region_names.index(name) for name in SEEN])
    rim = _on_outline(covered, pixels) & eligible & (np.abs((sight * normals).sum(1)) < RIM)
    return rim, pixels, depth


def signed_distance(mask: np.ndarray) -> np.ndarray:
    """Pixels to the outline of a mask uint8 [H,W], positive inside, float32 [H,W].

    Where a mask is full or empty the outline is farther than the picture is wide and high.
    """
    inside = (mask > 127).astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(
        1 - inside, cv2.DIST_L2, 5
    )
    return distance.clip(-sum(mask.shape), sum(mask.shape))


def _on_outline(covered: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """bool [V]: vertices at pixels [V,2] that lie near the edge of the drawn mesh and in the picture."""
    height, width = covered.shape
    reach = max(2, round(0.008 * height))
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    drawn = covered.astype(np.uint8)
    edge = (cv2.dilate(drawn, brush) - cv2.erode(drawn, brush)).astype(bool)
    columns, lines = np.floor(pixels).astype(int).T
    inside = (columns > 0) & (columns < width - 1) & (lines > 0) & (lines < height - 1)
    return inside & edge[lines.clip(0, height - 1), columns.clip(0, width - 1)]


def _vertex_regions(head: Head) -> np.ndarray:
    """One region label per vertex: that of any of its triangles."""
    labels = np.zeros(len(head.template), np.int64)
    labels[head.faces.numpy().ravel()] = np.repeat(head.face_regions.numpy().astype(np.int64), 3)
    return labels


def _stiffness(head: Head, anchor: float) -> scipy.sparse.csr_matrix:
    """Bending energy plus a pull to zero of weight `anchor`, which is strong where nothing may move."""
    faces, count = head.faces.numpy(), len(head.template)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ones = np.ones(len(edges))
    adjacency = scipy.sparse.coo_matrix((ones, edges.T), (count, count)).tocsr()
    adjacency = ((adjacency + adjacency.T) > 0).astype(np.float64)
    degree = np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1)
    laplacian = scipy.sparse.identity(count) - scipy.sparse.diags(1 / degree) @ adjacency
    moving = np.isin(_vertex_regions(head), [head.region_names.index(name) for name in MOVING])
    hold = np.where(moving, anchor, HELD)
    return (STIFFNESS * (laplacian.T @ laplacian) + scipy.sparse.diags(hold)).tocsr()


def _mirror(head: Head) -> np.ndarray:
    """For every vertex the one on the other side of the face."""
    points = head.template.double().numpy()
    tree = scipy.spatial.cKDTree(points)
    return tree.query(points * [-1, 1, 1])[1]


def _moved(head: Head, params: HeadParams, along: np.ndarray) -> torch.Tensor:
    """The static offset [V,3] with steps [V] metres along the rest mesh's normals added, kept in bounds."""
    rest = head.identify(params.shape, params.static_offset).rest
    step = torch.from_numpy(along).to(rest)[:, None] * vertex_normals(rest, head.faces)
    offset = step if params.static_offset is None else params.static_offset + step
    length = offset.norm(dim=1, keepdim=True).clamp_min(1e-9)
    return offset * (length.clamp(max=LARGEST) / length)
