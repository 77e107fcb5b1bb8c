"""Triangles drawn on the CPU: the nearest face under every pixel centre, its barycentrics and depth.

For camera-space corners a, b, c and a pixel ray d, the ray meets the plane with weights proportional to
d·(b×c), d·(c×a), d·(a×b). These are linear in the pixel, need no division by depth, and their shares
are the perspective-correct barycentrics. The sum of the three over a·(b×c) is the inverse depth.
"""

from __future__ import annotations

import math

import numpy as np

from emoga.kernels import kernel, run_parallel, take_ticket

BAND = 8  # rows that one worker fills at a time
_SETUP = 13  # three rows of (per x, per y, constant), then the box: low x, high x, low y, high y (pixels)


@kernel
def _set_up_faces(worker, workers, points, faces, intrinsics, width, height, near, cull_backfaces, setup):
    """setup [F,_SETUP] float64 from camera-space points [V,3]; an empty box for faces not to be drawn."""
    fx, fy, cx, cy = intrinsics
    count = faces.shape[0]
    for f in range(count * worker // workers, count * (worker + 1) // workers):
        row = setup[f]
        row[9], row[10], row[11], row[12] = 0.0, -1.0, 0.0, -1.0
        a, b, c = points[faces[f, 0]], points[faces[f, 1]], points[faces[f, 2]]
        if not (a[2] > near and b[2] > near and c[2] > near):
            continue
        volume = (
            a[0] * (b[1] * c[2] - b[2] * c[1])
            + a[1] * (b[2] * c[0] - b[0] * c[2])
            + a[2] * (b[0] * c[1] - b[1] * c[0])
        )
        if volume == 0.0 or (cull_backfaces and volume > 0.0):
            continue
        low_x = low_y = math.inf
        high_x = high_y = -math.inf
        for p in (a, b, c):
            x = fx * p[0] / p[2] + cx
            y = fy * p[1] / p[2] + cy
            low_x, high_x = min(low_x, x), max(high_x, x)
            low_y, high_y = min(low_y, y), max(high_y, y)
        if not (high_x > 0.0 and high_y > 0.0 and low_x < width and low_y < height):
            continue
        row[9] = math.ceil(max(low_x, 0.0) - 0.5)
        row[10] = math.floor(min(high_x, width) - 0.5)
        row[11] = math.ceil(max(low_y, 0.0) - 0.5)
        row[12] = math.floor(min(high_y, height) - 0.5)
        for k in range(3):
            p, q = (b, c) if k == 0 else ((c, a) if k == 1 else (a, b))
            nx = (p[1] * q[2] - p[2] * q[1]) / volume
            ny = (p[2] * q[0] - p[0] * q[2]) / volume
            nz = (p[0] * q[1] - p[1] * q[0]) / volume
            row[3 * k] = nx / fx
            row[3 * k + 1] = ny / fy
            row[3 * k + 2] = nz - nx * (cx - 0.5) / fx - ny * (cy - 0.5) / fy


@kernel
def _list_bands(setup, bands):
    """Faces of each band of rows in rising order: starts [bands+1] and faces, both int32."""
    starts = np.zeros(bands + 1, np.int32)
    for f in range(setup.shape[0]):
        if setup[f, 10] >= setup[f, 9]:
            for band in range(int(setup[f, 11]) // BAND, int(setup[f, 12]) // BAND + 1):
                starts[band + 1] += 1
    for band in range(bands):
        starts[band + 1] += starts[band]
    position = starts[:-1].copy()
    members = np.empty(starts[bands], np.int32)
    for f in range(setup.shape[0]):
        if setup[f, 10] >= setup[f, 9]:
            for band in range(int(setup[f, 11]) // BAND, int(setup[f, 12]) // BAND + 1):
                members[position[band]] = f
                position[band] += 1
    return starts, members


@kernel
def _fill_bands(worker, workers, tickets, setup, starts, members, face_index, bary, depth):
    """face_index [H,W] int32, bary [H,W,3] and depth [H,W] of the nearest face; -1, 0, 0 if none."""
    height, width = face_index.shape
    inverse_depth = np.empty((BAND, width), np.float64)
    while True:
        band = take_ticket(tickets)
        if band >= starts.size - 1:
            break
        top = band * BAND
        bottom = min(top + BAND, height)
        face_index[top:bottom] = -1
        bary[top:bottom] = 0
        depth[top:bottom] = 0
        inverse_depth[:] = 0
        for entry in range(starts[band], starts[band + 1]):
            f = members[entry]
            row = setup[f]
            for y in range(max(int(row[11]), top), min(int(row[12]) + 1, bottom)):
                base0 = row[1] * y + row[2]
                base1 = row[4] * y + row[5]
                base2 = row[7] * y + row[8]
                for x in range(int(row[9]), int(row[10]) + 1):
                    w0 = row[0] * x + base0
                    w1 = row[3] * x + base1
                    w2 = row[6] * x + base2
                    if w0 >= 0.0 and w1 >= 0.0 and w2 >= 0.0:
                        total = w0 + w1 + w2
                        if total > inverse_depth[y - top, x]:
                            inverse_depth[y - top, x] = total
                            face_index[y, x] = f
                            bary[y, x, 0] = w0 / total
                            bary[y, x, 1] = w1 / total
                            bary[y, x, 2] = w2 / total
                            depth[y, x] = 1.0 / total


def rasterize_faces(
    points: np.ndarray,
    faces: np.ndarray,
    K: np.ndarray,
    width: int,
    height: int,
    near: float = 0.01,
    cull_backfaces: bool = False,
    dtype: type[np.floating] = np.float32,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One camera: points [V,3] metres in camera axes, faces [F,3], K [3,3] pixels.

    Faces at a point that is not finite are left out, like those with a point nearer than `near` metres;
    `cull_backfaces` leaves out those seen clockwise.
    Returns face_index [H,W] int32 (-1: none), bary [H,W,3] and depth [H,W] (0: none) in `dtype`.
    """
    points, faces = np.ascontiguousarray(points, np.float64), np.ascontiguousarray(faces, np.int32)
    usable = (np.abs(points) < 1e12).all(1, keepdims=True)
    if not usable.all():
        points = np.where(usable, points, [0.0, 0.0, -1.0])
    setup = np.empty((faces.shape[0], _SETUP))
    intrinsics = tuple(float(v) for v in (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))
    frame = (float(width), float(height), float(near), bool(cull_backfaces))
    run_parallel(_set_up_faces, points, faces, intrinsics, *frame, setup)
    starts, members = _list_bands(setup, -(-height // BAND))
    face_index = np.empty((height, width), np.int32)
    bary = np.empty((height, width, 3), dtype)
    depth = np.empty((height, width), dtype)
    run_parallel(_fill_bands, np.zeros(1, np.int64), setup, starts, members, face_index, bary, depth)
    return face_index, bary, depth
