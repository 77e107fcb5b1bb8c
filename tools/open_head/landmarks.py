"""Lift detections from rendered people onto the template, and snap them to lid rims, lips and irises."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from emoga.head import Head
from tools.open_head import mediapipe_scheme as scheme
from tools.open_head.assemble import IRIS_RING, MERIDIANS, Assembly, assemble, neighbours
from tools.open_head.lids import edge_loop, rim
from tools.open_head.lips import Lips, build_lips
from tools.open_head.pictures import FOCAL, SIZE, camera, normals_of, project, rasterize
from tools.open_head.source import read_source

COUNT, MESH_COUNT = 478, 468
LEAST_FACING = 0.3
ROBUST_PIXELS = 3.0
REFINEMENTS = 4
FRONTAL = 25.0  # degrees of yaw up to which contours are read from a picture
OUTER_LIP_START = (455, 7214)  # source ids on the edge of the lips
Shot = tuple[np.ndarray, float, float, np.ndarray]  # vertices, yaw, pitch, detected pixels
SKIP = ("mouth_interior", "eyeballs", "irises", "teeth", "tongue", "lashes")


def embed_all(head: Head, shots: list[Shot]) -> dict[str, np.ndarray]:
    """Faces and barycentrics of both schemes."""
    template, faces = head.template.double().numpy(), head.faces.numpy()
    layout = assemble(read_source())
    usable = ~np.isin(head.face_regions.numpy(), [head.region_names.index(n) for n in SKIP])
    lifted = lift(template, faces, usable, shots)
    # Irises are read from the eyeballs, not from the skin behind them.
    pairs = np.concatenate([mirror_pairs(shots), np.arange(MESH_COUNT, COUNT)])
    symmetric = 0.5 * (lifted + lifted[pairs] * [-1, 1, 1])
    index, bary = closest_on_mesh(symmetric, template, faces, np.flatnonzero(usable))
    for _ in range(REFINEMENTS):
        where = refined(template, faces, index, bary, shots)
        symmetric = 0.5 * (where + where[pairs] * [-1, 1, 1])
        index, bary = closest_on_mesh(symmetric, template, faces, np.flatnonzero(usable))
    contours = Contours(layout, template, faces, _upper_lip(head))
    for points, on in contours.read(shots, pairs).items():
        index[list(points)], bary[list(points)] = on
    chosen = np.array(scheme.IBUG68)
    return {
        "mediapipe478_faces": index.astype(np.uint16), "mediapipe478_bary": bary.astype(np.float32),
        "ibug68_faces": index[chosen].astype(np.uint16), "ibug68_bary": bary[chosen].astype(np.float32),
        "topology": np.array(head.topology),
    }  # fmt: skip


def lift(template: np.ndarray, faces: np.ndarray, usable: np.ndarray, shots: list[Shot]) -> np.ndarray:
    """Mean position [478,3] on the template of the surface points behind the detections."""
    places = np.full((len(shots), COUNT, 3), np.nan)
    weights = np.zeros((len(shots), COUNT))
    kept = np.flatnonzero(usable)
    for number, (vertices, yaw, pitch, pixels) in enumerate(shots):
        face_index, bary = rasterize(vertices, faces[kept], yaw, pitch, scale=2)
        cell = np.floor(pixels * 2).astype(int)
        inside = ((cell >= 0) & (cell < face_index.shape[0])).all(1)
        x, y = np.where(inside[:, None], cell, 0).T
        hit = inside & (face_index[y, x] >= 0)
        corners = faces[kept][face_index[y, x]]
        share = bary[y, x][..., None]
        eye = eye_of(yaw, pitch)
        where = (vertices[corners] * share).sum(1)
        toward = (eye - where) / np.linalg.norm(eye - where, axis=1, keepdims=True)
        facing = ((normals_of(vertices, faces)[corners] * share).sum(1) * toward).sum(1)
        places[number] = (template[corners] * share).sum(1)
        weights[number] = np.where(hit, trust(facing, yaw), 0)
    return robust_mean(places, weights)


def refined(
    template: np.ndarray, faces: np.ndarray, index: np.ndarray, bary: np.ndarray, shots: list[Shot]
) -> np.ndarray:
    """Positions [478,3] on the template after one robust least-squares step, along the surface."""
    here = (template[faces[index]] * bary[..., None]).sum(1)
    outward = (normals_of(template, faces)[faces[index]] * bary[..., None]).sum(1)
    # Points stay on the surface: the detector's own face is often a little wider than ours.
    normal = 1e-2 * np.eye(3) + 1e4 * outward[:, :, None] * outward[:, None, :]
    right = np.zeros((COUNT, 3))
    for vertices, yaw, pitch, pixels in shots:
        points = (vertices[faces[index]] * bary[..., None]).sum(1)
        toward = eye_of(yaw, pitch) - points
        facing = (normals_of(vertices, faces)[faces[index]] * bary[..., None]).sum(1) * toward
        facing = facing.sum(1) / np.linalg.norm(toward, axis=1)
        seen = project(points, yaw, pitch)
        rotation, _ = camera(yaw, pitch)
        error = pixels - seen[:, :2]
        weight = trust(facing, yaw) / (1 + (error**2).sum(1) / ROBUST_PIXELS**2)
        offset = (seen[:, :2] - SIZE / 2)[..., None] * rotation[2] / FOCAL
        slope = FOCAL / seen[:, 2, None, None] * (rotation[None, :2] - offset)
        normal += weight[:, None, None] * np.einsum("lki,lkj->lij", slope, slope) / FOCAL**2
        right += weight[:, None] * np.einsum("lki,lk->li", slope, error) / FOCAL**2
    return here + np.linalg.solve(normal, right[..., None])[..., 0]


def trust(facing: np.ndarray, yaw: float) -> np.ndarray:
    """Weight [L] of detections: points that face the camera count, most of all in frontal pictures."""
    return np.where(facing > LEAST_FACING, facing**2, 0) * np.exp(-((yaw / FRONTAL) ** 2))


def eye_of(yaw: float, pitch: float) -> np.ndarray:
    """Where the camera of a picture stands [3]."""
    rotation, translation = camera(yaw, pitch)
    return -rotation.T @ translation


def _upper_lip(head: Head) -> np.ndarray:
    """Vertices [V] that stay up when the jaw opens."""
    expr = head.template.new_zeros(1, len(head.expr_names))
    expr[0, head.unit("jawOpen")] = 1.0
    fallen = head.identify(head.template.new_zeros(len(head.shape_names))).pose(expr)[0] - head.template
    return (fallen[:, 1] > 0.4 * fallen[head.regions["lips"], 1].min()).numpy()


def robust_mean(places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean [L,3] of places [N,L,3] without far outliers."""
    places = np.nan_to_num(places)
    weights = weights + 1e-6
    order = np.argsort(places, axis=0)
    running = np.cumsum(np.take_along_axis(np.repeat(weights[..., None], 3, 2), order, 0), 0)
    middle = (running < 0.5 * running[-1]).sum(0)[None]
    mean = np.take_along_axis(np.take_along_axis(places, order, 0), middle, 0)[0]  # weighted median to start
    for _ in range(5):
        away = np.linalg.norm(places - mean, axis=-1)
        robust = weights / (1 + (away / 0.003) ** 2) ** 2
        mean = (places * robust[..., None]).sum(0) / np.maximum(robust.sum(0), 1e-9)[:, None]
    return mean


def mirror_pairs(shots: list[Shot]) -> np.ndarray:
    """For each mesh point the index [468] of its partner on the other side, told from all frontal pictures."""
    frontal = [pixels[:MESH_COUNT] for _, yaw, _, pixels in shots if abs(yaw) < 1]
    here = np.concatenate(frontal, axis=1)
    there = np.concatenate([np.array([SIZE, 0]) + pixels * [-1, 1] for pixels in frontal], axis=1)
    cost = cdist(here, there, "sqeuclidean")
    columns = linear_sum_assignment(cost + cost.T)[1]
    if not (columns[columns] == np.arange(MESH_COUNT)).all():
        raise ValueError("left and right points do not pair up; make more pictures")
    return columns


def closest_on_mesh(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, allowed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Face index [L] among `allowed` and barycentrics [L,3] of the surface points closest to points [L,3]."""
    triangles = vertices[faces[allowed]]
    _, near = cKDTree(triangles.mean(1)).query(points, 24)
    index, bary = np.zeros(len(points), int), np.zeros((len(points), 3))
    for row, point in enumerate(points):
        shares = np.stack([_closest_in_triangle(point, triangles[k]) for k in near[row]])
        distance = np.linalg.norm((triangles[near[row]] * shares[..., None]).sum(1) - point, axis=1)
        best = int(distance.argmin())
        index[row], bary[row] = allowed[near[row][best]], shares[best]
    return index, bary


def _closest_in_triangle(point: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    edges = (triangle[1:] - triangle[0]).T
    u, v = np.linalg.lstsq(edges, point - triangle[0], rcond=None)[0]
    if u >= 0 and v >= 0 and u + v <= 1:
        return np.array([1 - u - v, u, v])
    best, share = np.inf, np.array([1.0, 0, 0])
    for i, j in ((0, 1), (1, 2), (2, 0)):
        along = triangle[j] - triangle[i]
        t = np.clip((point - triangle[i]) @ along / max(along @ along, 1e-18), 0, 1)
        distance = np.linalg.norm(triangle[i] + t * along - point)
        if distance < best:
            best, share = distance, np.zeros(3)
            share[i], share[j] = 1 - t, t
    return share


class Contours:
    """Rims of the template and where along them the detector puts its contour points."""

    def __init__(self, layout: Assembly, template: np.ndarray, faces: np.ndarray, above: np.ndarray) -> None:
        self.template, self.faces, self.layout = template, faces, layout
        self.of_edge = {
            frozenset(edge): k for k, f in enumerate(faces) for edge in (f[[0, 1]], f[[1, 2]], f[[2, 0]])
        }
        upper, lower, _ = rim(layout, template)
        lips = build_lips(layout, template)
        graph = neighbours(layout.quads, len(template))
        first, second = (int(np.searchsorted(layout.skin_source, v)) for v in OUTER_LIP_START)
        outer = np.array(edge_loop(layout, graph, first, second))
        outer = np.roll(outer, -int(np.argmin(template[outer, 0])))
        corner = int(np.argmax(template[outer, 0]))
        halves = [outer[: corner + 1], np.concatenate([outer[corner:], outer[:1]])[::-1]]
        halves.sort(key=lambda ids: -template[ids, 1].mean())
        across = lips.lower if template[lips.lower[0], 0] < 0 else lips.lower[::-1]
        mirror = layout.mirror
        self.lines = {
            scheme.LEFT_LID_UPPER: upper, scheme.LEFT_LID_LOWER: lower,
            scheme.RIGHT_LID_UPPER: mirror[upper], scheme.RIGHT_LID_LOWER: mirror[lower],
            scheme.OUTER_LIP_UPPER: halves[0], scheme.OUTER_LIP_LOWER: halves[1],
            scheme.INNER_LIP_LOWER: across, scheme.INNER_LIP_UPPER: across,
        }  # fmt: skip
        self.lips, self.faces_of_upper_lip = lips, self._upper_lip_faces(lips, above)

    def _upper_lip_faces(self, lips: Lips, above: np.ndarray) -> np.ndarray:
        near = (lips.edges >= 0) & (lips.edges <= 2) & above
        return np.flatnonzero(near[self.faces].all(1))

    def read(self, shots: list[Shot], pairs: np.ndarray) -> dict[tuple, tuple[np.ndarray, np.ndarray]]:
        """Contour points -> (faces, barycentrics)."""
        places = {points: self._along(line, points, shots) for points, line in self.lines.items()}
        found = {}
        for points, along in places.items():
            line = self.lines[points]
            partner = {
                int(pairs[p]): a
                for other, values in places.items()
                for p, a in zip(other, values, strict=True)
            }
            # The partner's place, read on the mirrored line, averaged with the own one.
            own = np.array(
                [
                    0.5 * (a + self._mirrored_place(partner[p], line, points))
                    for p, a in zip(points, along, strict=True)
                ]
            )
            found[points] = self._on_line(line, own)
        self._join_inner_lips(found)
        found[scheme.INNER_LIP_CORNERS] = self._at_vertices(self._ends(self.lips.loop))
        found |= self._irises(shots)
        return found

    def _mirrored_place(self, along: float, line: np.ndarray, points: tuple) -> float:
        lid = points in (
            scheme.LEFT_LID_UPPER,
            scheme.LEFT_LID_LOWER,
            scheme.RIGHT_LID_UPPER,
            scheme.RIGHT_LID_LOWER,
        )
        return along if lid else len(line) - 1 - along

    def _along(self, line: np.ndarray, points: tuple, shots: list[Shot]) -> np.ndarray:
        """Mean place along a line (vertex number plus fraction) where the detector sees each point."""
        values, weights = [], []
        for vertices, yaw, pitch, pixels in shots:
            side = np.sign(self.template[line, 0].mean()) if abs(self.template[line, 0].mean()) > 0.01 else 0
            # An eye is read from views that do not look past the nose at it.
            if abs(yaw) > FRONTAL and side * yaw <= 0:
                continue
            seen = project(vertices[line], yaw, pitch)[:, :2]
            values.append([_place_on_polyline(pixels[p], seen) for p in points])
            weights.append(1.0)
        return np.median(np.array(values), axis=0)

    def _on_line(self, line: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        index, bary = np.zeros(len(along), int), np.zeros((len(along), 3))
        for row, place in enumerate(np.clip(along, 0, len(line) - 1 - 1e-6)):
            a, b = line[int(place)], line[int(place) + 1]
            index[row] = self.of_edge[frozenset((a, b))]
            corners = self.faces[index[row]]
            bary[row, corners == a], bary[row, corners == b] = 1 - place % 1, place % 1
        return index, bary

    def _join_inner_lips(self, found: dict) -> None:
        """Put the inner upper points where the upper lip touches the lower ones' contact line."""
        upper = np.array([*found[scheme.INNER_LIP_UPPER][1]])
        place = self._points(found[scheme.INNER_LIP_LOWER])
        above = self._points((found[scheme.INNER_LIP_UPPER][0], upper))
        target = 0.5 * (place + above)
        lower = self._nearest_on_line(self.lines[scheme.INNER_LIP_LOWER], target[:, 0])
        found[scheme.INNER_LIP_LOWER] = lower
        touched = closest_on_mesh(self._points(lower), self.template, self.faces, self.faces_of_upper_lip)
        found[scheme.INNER_LIP_UPPER] = touched

    def _nearest_on_line(self, line: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._on_line(line, np.interp(x, self.template[line, 0], np.arange(len(line))))

    def _points(self, where: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return (self.template[self.faces[where[0]]] * where[1][..., None]).sum(1)

    def _irises(self, shots: list[Shot]) -> dict:
        """Pupil centres, and the four points of each iris' edge at the meridians the detector means."""
        found = {}
        for points, side in ((scheme.RIGHT_IRIS, "right_eye"), (scheme.LEFT_IRIS, "left_eye")):
            ball = self.layout.parts[side]
            frontal = [s for s in shots if abs(s[1]) < 5]
            spokes = np.mean([s[3][list(points[1:])] - s[3][points[0]] for s in frontal], axis=0)
            # Pixels run down; meridians count from +x upwards.
            angle = np.arctan2(-spokes[:, 1], spokes[:, 0])
            meridian = (np.rint(angle / (np.pi / 2)) * (MERIDIANS // 4)).astype(int) % MERIDIANS
            edge = ball[1 + IRIS_RING * MERIDIANS + meridian]
            found[points] = self._at_vertices(np.array([ball[0], *edge]))
        return found

    def _ends(self, ids: np.ndarray) -> np.ndarray:
        """The vertices furthest to the subject's right and left."""
        return ids[[np.argmin(self.template[ids, 0]), np.argmax(self.template[ids, 0])]]

    def _at_vertices(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        index = np.array([np.flatnonzero((self.faces == v).any(1))[0] for v in vertices])
        return index, (self.faces[index] == vertices[:, None]).astype(float)


def _place_on_polyline(point: np.ndarray, line: np.ndarray) -> float:
    a, b = line[:-1], line[1:]
    t = ((point - a) * (b - a)).sum(1) / np.maximum(((b - a) ** 2).sum(1), 1e-12)
    t = np.clip(t, 0, 1)
    best = int(np.linalg.norm(a + t[:, None] * (b - a) - point, axis=1).argmin())
    return best + float(t[best])
