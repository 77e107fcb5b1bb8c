"""Tables of posed frames: one row per triangle or bone with all that its Gaussians need, for play on the CPU."""

from __future__ import annotations

import math

import numpy as np
import torch

from emoga.avatar.frames import AREA_FLOOR, FADED, UNFADED, TriangleFrames, patch_images
from emoga.avatar.rig import Rig, bone_frames
from emoga.kernels import kernel, run_parallel

# Columns of a row: origin 3, rotation times size 9, size, fade, then the turn since the bind pose as a
# quaternion 4 and as a matrix 9, and shade 3.
MATRIX, SIZE, FADE, QUAT, TURN, SHADE = 3, 12, 13, 14, 18, 27
ROW = 32  # floats, two cache lines
_ZERO, _HALF, _ONE, _TWO, _THREE = (np.float32(v) for v in (0, 0.5, 1, 2, 3))
_TINY = np.float32(1e-20)


class PoseTables:
    """Makes the tables of one rig; `bind` are the frames of the bind pose, triangles and bones."""

    def __init__(self, rig: Rig, bind: TriangleFrames) -> None:
        self._rig = rig
        self._bind = _float32(bind.rotation)
        self._fixed: tuple[np.ndarray, ...] = ()
        if rig.patches is not None:
            patches = rig.patches
            sizes = (patches.rest_size.astype(np.float32), patches.rest_area.astype(np.float32))
            self._fixed = (patches.faces.astype(np.int32), patches.fading, *sizes)

    def of(self, vertices: torch.Tensor, bones: torch.Tensor) -> np.ndarray:
        """[T,F+B,ROW] of T frames: float32 vertices [T,V,3] and world transforms of bones [T,B,3,4]."""
        if self._rig.patches is None:
            return self.from_frames(self._rig.frames(vertices, bones))
        tables = self._empty(len(vertices))
        images = _float32(patch_images(vertices, self._rig.patches))
        thresholds = np.array([AREA_FLOOR**2, FADED, UNFADED], np.float32)
        corners = _float32(vertices)
        run_parallel(_write_smooth, images, corners, *self._fixed, thresholds, self._bind, tables)
        self._shade(tables)
        return self._filled(tables, bone_frames(bones))

    def from_frames(self, frames: TriangleFrames) -> np.ndarray:
        """[T,F+B,ROW] of T times all frames [T,F+B], however they were made."""
        return self._filled(self._empty(len(frames.size)), frames)

    def _empty(self, count: int) -> np.ndarray:
        return np.empty((count, len(self._bind), ROW), np.float32)

    def _filled(self, tables: np.ndarray, frames: TriangleFrames) -> np.ndarray:
        """The tables with their last rows written from frames [T,R]."""
        parts = [_float32(part) for part in (frames.origin, frames.rotation, frames.size, frames.fade)]
        run_parallel(_write_frames, *parts, self._bind, tables)
        if frames.shade is not None:
            tables[:, -frames.shade.shape[1] :, SHADE : SHADE + 3] = frames.shade.numpy()
        return tables

    def _shade(self, tables: np.ndarray) -> None:
        """Write what light does to the triangles of smooth frames."""
        rig = self._rig
        if rig.shading is None:
            return
        triangles = tables[:, : len(rig.faces)]
        normals = triangles[..., MATRIX + rig.normal : SIZE : 3] / triangles[..., SIZE : SIZE + 1]
        triangles[..., SHADE : SHADE + 3] = rig.shading.of(torch.from_numpy(normals)).numpy()


def _float32(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()


@kernel
def _write_frames(worker, workers, origin, rotation, size, fade, bind, tables):
    """Fill the last rows of tables [T,F,ROW] from any frames [T,R]; bind [F,3,3]."""
    times, count = size.shape
    first = bind.shape[0] - count
    for r in range(count * worker // workers, count * (worker + 1) // workers):
        for t in range(times):
            row = tables[t, first + r]
            for axis in range(3):
                row[axis] = origin[t, r, axis]
            _fill_row(row, rotation[t, r], size[t, r], fade[t, r], bind[first + r])


@kernel
def _write_smooth(
    worker, workers, images, vertices, faces, fading, rest_size, rest_area, thresholds, bind, tables
):
    """Fill the first rows of tables [T,F,ROW] as `smooth_frames` does, from images [3,F,T,3]."""
    count, times = faces.shape[0], vertices.shape[0]
    floor, faded, unfaded = thresholds[0], thresholds[1], thresholds[2]
    rotation = np.empty((3, 3), np.float32)
    for f in range(count * worker // workers, count * (worker + 1) // workers):
        for t in range(times):
            ux, uy, uz = images[1, f, t, 0], images[1, f, t, 1], images[1, f, t, 2]
            vx, vy, vz = images[2, f, t, 0], images[2, f, t, 1], images[2, f, t, 2]
            nx, ny, nz = _cross(ux, uy, uz, vx, vy, vz)
            area = nx * nx + ny * ny + nz * nz
            unit = _ONE / math.sqrt(area + _TINY)
            nx, ny, nz = nx * unit, ny * unit, nz * unit
            cx, cy, cz = _cross(vx, vy, vz, nx, ny, nz)
            x, y, z = ux + cx, uy + cy, uz + cz
            along = x * nx + y * ny + z * nz
            x, y, z = x - along * nx, y - along * ny, z - along * nz
            unit = _ONE / math.sqrt(x * x + y * y + z * z + _TINY)
            x, y, z = x * unit, y * unit, z * unit
            rotation[0, 0], rotation[1, 0], rotation[2, 0] = x, y, z
            rotation[0, 1], rotation[1, 1], rotation[2, 1] = _cross(nx, ny, nz, x, y, z)
            rotation[0, 2], rotation[1, 2], rotation[2, 2] = nx, ny, nz
            fade = _ONE
            if fading[f]:
                facing = _facing(vertices[t], faces[f], nx, ny, nz)
                s = (facing / rest_area[f] - faded) / (unfaded - faded)
                s = min(max(s, _ZERO), _ONE)
                fade = s * s * (_THREE - _TWO * s)
            row = tables[t, f]
            for axis in range(3):
                row[axis] = images[0, f, t, axis]
            _fill_row(row, rotation, rest_size[f] * math.sqrt(math.sqrt(area + floor)), fade, bind[f])


@kernel(inline=True)
def _cross(ax, ay, az, bx, by, bz):
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


@kernel(inline=True)
def _facing(vertices, face, nx, ny, nz):
    """Area of a triangle as seen along a unit normal, square metres; < 0: from behind."""
    a, b, c = face[0], face[1], face[2]
    ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
    x, y, z = _cross(
        vertices[b, 0] - ax, vertices[b, 1] - ay, vertices[b, 2] - az,
        vertices[c, 0] - ax, vertices[c, 1] - ay, vertices[c, 2] - az,
    )  # fmt: skip
    return _HALF * (x * nx + y * ny + z * nz)


@kernel(inline=True)
def _fill_row(row, rotation, size, fade, bind):
    """All of a row but the origin, from a rotation [3,3] and that of the bind pose."""
    for axis in range(3):
        for k in range(3):
            row[MATRIX + 3 * axis + k] = size * rotation[axis, k]
            turned = _ZERO
            for m in range(3):
                turned += rotation[axis, m] * bind[k, m]
            row[TURN + 3 * axis + k] = turned
    row[SIZE], row[FADE] = size, fade
    row[SHADE], row[SHADE + 1], row[SHADE + 2] = _ONE, _ONE, _ONE
    _write_quat(row)


@kernel(inline=True)
def _write_quat(row):
    """Unit quaternion of the turn since the bind pose, by the best-conditioned of four forms.

    Turns are small: nearly always it is the first, unlike with the rotations themselves.
    """
    m00, m01, m02 = row[TURN], row[TURN + 1], row[TURN + 2]
    m10, m11, m12 = row[TURN + 3], row[TURN + 4], row[TURN + 5]
    m20, m21, m22 = row[TURN + 6], row[TURN + 7], row[TURN + 8]
    w, x = _ONE + m00 + m11 + m22, _ONE + m00 - m11 - m22
    y, z = _ONE - m00 + m11 - m22, _ONE - m00 - m11 + m22
    if w >= x and w >= y and w >= z:
        a, b, c, d = w, m21 - m12, m02 - m20, m10 - m01
    elif x >= y and x >= z:
        a, b, c, d = m21 - m12, x, m10 + m01, m02 + m20
    elif y >= z:
        a, b, c, d = m02 - m20, m10 + m01, y, m12 + m21
    else:
        a, b, c, d = m10 - m01, m20 + m02, m21 + m12, z
    unit = _ONE / math.sqrt(a * a + b * b + c * c + d * d)
    row[QUAT], row[QUAT + 1], row[QUAT + 2], row[QUAT + 3] = a * unit, b * unit, c * unit, d * unit
