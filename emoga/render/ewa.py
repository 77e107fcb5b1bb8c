"""EWA projection, the parts its forward and its backward share: kernels to inline, for scalars or for lanes."""

from __future__ import annotations

import numpy as np

from emoga.kernels import kernel
from emoga.render.lane_math import maximum, minimum

LANES = 16  # Gaussians projected at a time
DILATION = np.float32(0.3)  # square pixels
_ONE, _TWO = np.float32(1), np.float32(2)


@kernel(inline=True)
def to_camera(camera, x, y, z):
    """World point to camera axes."""
    return (
        camera[0] * x + camera[1] * y + camera[2] * z + camera[3],
        camera[4] * x + camera[5] * y + camera[6] * z + camera[7],
        camera[8] * x + camera[9] * y + camera[10] * z + camera[11],
    )


@kernel(inline=True)
def rotation(w, x, y, z):
    """Rotation matrix of a unit quaternion, row by row."""
    return (
        _ONE - _TWO * (y * y + z * z),
        _TWO * (x * y - w * z),
        _TWO * (x * z + w * y),
        _TWO * (x * y + w * z),
        _ONE - _TWO * (x * x + z * z),
        _TWO * (y * z - w * x),
        _TWO * (x * z - w * y),
        _TWO * (y * z + w * x),
        _ONE - _TWO * (x * x + y * y),
    )


@kernel(inline=True)
def held_slopes(camera, slope_x, slope_y):
    """x/z and y/z clamped to a little more than the picture, as gsplat does."""
    return (
        minimum(maximum(slope_x, camera[16]), camera[17]),
        minimum(maximum(slope_y, camera[18]), camera[19]),
    )


@kernel(inline=True)
def world_jacobian(camera, held_x, held_y, inverse_z):
    """d(pixel)/d(world), 2x3, row by row: the local affine projection times the view rotation."""
    xx = camera[12] * inverse_z
    xz = -xx * held_x
    yy = camera[13] * inverse_z
    yz = -yy * held_y
    return (
        xx * camera[0] + xz * camera[8],
        xx * camera[1] + xz * camera[9],
        xx * camera[2] + xz * camera[10],
        yy * camera[4] + yz * camera[8],
        yy * camera[5] + yz * camera[9],
        yy * camera[6] + yz * camera[10],
    )


@kernel(inline=True)
def screen_axes(jacobian, rotation):
    """The Gaussian's three axes, not yet scaled, as they lie on the screen: 2x3, row by row."""
    a0, a1, a2, b0, b1, b2 = jacobian
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = rotation
    return (
        a0 * r00 + a1 * r10 + a2 * r20,
        a0 * r01 + a1 * r11 + a2 * r21,
        a0 * r02 + a1 * r12 + a2 * r22,
        b0 * r00 + b1 * r10 + b2 * r20,
        b0 * r01 + b1 * r11 + b2 * r21,
        b0 * r02 + b1 * r12 + b2 * r22,
    )


@kernel(inline=True)
def screen_covariance(axes, s0, s1, s2):
    """xx, xy and yy of the undilated covariance in square pixels, and its determinant."""
    e0, e1, e2, f0, f1, f2 = axes
    p0, p1, p2 = e0 * s0, e1 * s1, e2 * s2
    q0, q1, q2 = f0 * s0, f1 * s1, f2 * s2
    # Sum of squared minors instead of xx yy - xy²: needles would lose all their digits there.
    m0 = p1 * q2 - p2 * q1
    m1 = p2 * q0 - p0 * q2
    m2 = p0 * q1 - p1 * q0
    return (
        p0 * p0 + p1 * p1 + p2 * p2,
        p0 * q0 + p1 * q1 + p2 * q2,
        q0 * q0 + q1 * q1 + q2 * q2,
        m0 * m0 + m1 * m1 + m2 * m2,
    )
