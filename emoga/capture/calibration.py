"""Camera matrices from anywhere, checked, and turned into our convention: OpenCV axes, world to camera.

A convention says which way the camera's axes point and which way the matrix goes: OpenCV (x right, y down, z
forward) or OpenGL (x right, y up, z backward), world-to-camera (w2c) or camera-to-world (c2w).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emoga.camera import Camera
from emoga.errors import InputError

CONVENTIONS = ("opencv-w2c", "opencv-c2w", "opengl-w2c", "opengl-c2w")
OPENGL_AXES = np.diag([1.0, -1.0, -1.0, 1.0])
RIGID_TOLERANCE = 1e-3
MAX_SIDE = 16384
MAX_NUMBER = 1e6
# Axes that pass each other by less than this share of the cameras' distance look at one thing.
MEETING = 0.25


def numbers(value: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """A finite float64 array of `shape` from JSON. Raises InputError naming `what`."""
    try:
        array = np.asarray(value, np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise InputError(f"{what}: is not {_shape_words(shape)}") from None
    if array.shape != shape:
        raise InputError(f"{what}: is not {_shape_words(shape)}")
    if not np.isfinite(array).all() or np.abs(array).max(initial=0) > MAX_NUMBER:
        raise InputError(f"{what}: holds NaN, infinity or absurd numbers; calibrate again or leave it out")
    return array


def _shape_words(shape: tuple[int, ...]) -> str:
    return f"{'x'.join(map(str, shape))} numbers" if shape else "a number"


def intrinsics(fx: float, fy: float, cx: float, cy: float, where: str) -> np.ndarray:
    """K [3,3] in pixels. Raises InputError unless focal lengths are positive."""
    values = numbers([fx, fy, cx, cy], (4,), f"{where}: focal lengths and principal point")
    if not (values[:2] > 0).all():
        raise InputError(f"{where}: focal length {min(values[:2]):g} px is not above zero")
    return np.array([[values[0], 0, values[2]], [0, values[1], values[3]], [0, 0, 1.0]])


def intrinsics_matrix(value: Any, where: str) -> np.ndarray:
    """K [3,3] from a matrix. Raises InputError for skew, and for anything that is no pinhole camera."""
    K = numbers(value, (3, 3), f"{where}: intrinsics")
    if not np.allclose(K[2], [0, 0, 1]) or abs(K[0, 1]) > 1e-3 * abs(K[0, 0]) or K[1, 0] != 0:
        raise InputError(f"{where}: intrinsics are no pinhole matrix [[fx,0,cx],[0,fy,cy],[0,0,1]]")
    return intrinsics(K[0, 0], K[1, 1], K[0, 2], K[1, 2], where)


def world_to_camera(value: Any, convention: str, where: str) -> np.ndarray:
    """A 4x4 (or 3x4) matrix in `convention` as our w2c [4,4].

    Raises InputError for matrices that are no rigid motion, saying how they are not.
    """
    if isinstance(value, list) and len(value) == 3:
        value = [*value, [0, 0, 0, 1]]
    matrix = numbers(value, (4, 4), f"{where}: camera matrix")
    if not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
        raise InputError(f"{where}: the camera matrix does not end in the row 0 0 0 1; is it transposed?")
    turn = matrix[:3, :3]
    determinant = float(np.linalg.det(turn))
    if abs(determinant) < 1e-9:
        raise InputError(f"{where}: the camera matrix is singular; calibrate this camera again")
    if not np.allclose(turn @ turn.T, np.eye(3), atol=RIGID_TOLERANCE):
        raise InputError(
            f"{where}: the camera matrix scales or shears (determinant {determinant:.3g}), but must be rigid"
        )
    if determinant < 0:
        raise InputError(
            f"{where}: the camera matrix is mirrored (determinant -1): an odd number of its axes is flipped; "
            "write it with right-handed axes"
        )
    return to_w2c(_exactly_rigid(matrix), convention)


def to_w2c(matrix: np.ndarray, convention: str) -> np.ndarray:
    """A rigid matrix [4,4] in `convention` as our OpenCV w2c."""
    axes, direction = convention.split("-")
    if direction == "c2w":
        matrix = inverse(matrix)
    return OPENGL_AXES @ matrix if axes == "opengl" else matrix


def from_w2c(w2c: np.ndarray, convention: str) -> np.ndarray:
    """Our OpenCV w2c [4,4] as a matrix in `convention`."""
    axes, direction = convention.split("-")
    matrix = OPENGL_AXES @ w2c if axes == "opengl" else w2c
    return inverse(matrix) if direction == "c2w" else matrix


def inverse(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a rigid motion [4,4]."""
    result = np.eye(4)
    result[:3, :3] = matrix[:3, :3].T
    result[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return result


def reread(cameras: Sequence[Camera], convention: str, other: str) -> list[Camera]:
    """Cameras that were read in `convention` as they had been in `other`."""
    return [replace(c, w2c=to_w2c(from_w2c(c.w2c, convention), other)) for c in cameras]


def check_convention(convention: str) -> str:
    """The convention itself. Raises InputError for an unknown one."""
    if convention not in CONVENTIONS:
        raise InputError(f"--convention {convention}: unknown; known: {', '.join(CONVENTIONS)}")
    return convention


def check_axes_meet(cameras: Sequence[Camera], convention: str, where: str) -> None:
    """Refuse cameras that look away from the one place around which they stand.

    Three cameras or more whose axes pass close to one point, behind most of them, were read in the wrong convention.
    """
    given = meeting(cameras)
    if given is None or np.mean(given.depths < 0) <= 0.5:
        return
    found = {other: meeting(reread(cameras, convention, other)) for other in CONVENTIONS}
    before = {other: m.missed for other, m in found.items() if m is not None and (m.depths > 0).all()}
    # Regular arcs look well aimed in two ways; hands place cameras so that one stands out.
    likely = [other for other, missed in before.items() if missed <= 2 * min(before.values()) + 1e-3]
    choice = " or ".join(likely or CONVENTIONS)
    raise InputError(
        f"{where}: read as {convention}, the cameras look away from the head; they look like {choice}: "
        f"pass --convention {choice}"
    )


@dataclass(frozen=True)
class Meeting:
    """Where optical axes meet.

    depths [C]: how far before each camera the point nearest to all optical axes lies; missed: the share of their
    distance by which axes pass it, median.
    """

    depths: np.ndarray
    missed: float


def meeting(cameras: Sequence[Camera]) -> Meeting | None:
    """Where the optical axes meet; None when they do not."""
    if len(cameras) < 3:
        return None
    centres = np.stack([camera.position for camera in cameras])
    axes = np.stack([camera.w2c[2, :3] for camera in cameras])
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    system = across.sum(0)
    if np.linalg.cond(system) > 1e4:
        return None
    point = np.linalg.solve(system, (across @ centres[:, :, None]).sum(0))[:, 0]
    reach = point - centres
    missed = np.linalg.norm((across @ reach[:, :, None])[..., 0], axis=1)
    share = float(np.median(missed) / max(np.median(np.linalg.norm(reach, axis=1)), 1e-9))
    return Meeting((reach * axes).sum(1), share) if share < MEETING else None


def _exactly_rigid(matrix: np.ndarray) -> np.ndarray:
    """The matrix itself where its rotation is one to float32, else with the nearest rotation."""
    turn = matrix[:3, :3]
    if np.allclose(turn @ turn.T, np.eye(3), atol=1e-6):
        return matrix
    left, _, right = np.linalg.svd(turn)
    result = matrix.copy()
    result[:3, :3] = left @ right
    return result
