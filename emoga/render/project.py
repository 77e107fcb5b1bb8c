"""Kernels that project Gaussians onto the screen (EWA), forward and backward.

The forward writes one packed row per Gaussian with all that binning and blending read; the backward
takes the summed moments of each Gaussian's pixels back to means, quats, scales, opacities, colors and
the camera.
"""

from __future__ import annotations

import math

import numpy as np

from emoga.kernels import kernel
from emoga.render.lanes import float_bits, prefetch

# One packed row. With d = pixel - centre, log2(alpha) = QXX dx² + QXY dx dy + QYY dy² + LOG_OPACITY.
# Within |dy| <= REACH_Y the visible ellipse spans dx = SLANT dy ± sqrt(HALF2 - SHRINK dy²).
PACKED = 16
X, Y, QXX, QXY, QYY, LOG_OPACITY, RED, GREEN, BLUE = range(9)
REACH_Y, HALF2, SHRINK, SLANT, REACH_X, OPACITY, DEPTH = range(9, 16)

# One row of moments per Gaussian and tile, with u = dL/d(log alpha): sums of u, u dx, u dy, u dx²,
# u dx dy, u dy², then dL/d(color) and dL/d(depth).
MOMENTS = 10

# Camera vector: rows of the 3x4 view matrix, fx, fy, cx, cy, then the limits of x/z and y/z (low x,
# high x, low y, high y) beyond which the projection's Jacobian is held.
CAMERA = 20
VIEW_GRADIENT_CHUNKS = 64

_ZERO, _HALF, _ONE, _TWO = (np.float32(v) for v in (0, 0.5, 1, 2))
_TINY = np.float32(1e-30)
_LARGEST = np.float32(1e15)  # squared pixels; its square still fits a float32
_DILATION = np.float32(0.3)
_LOG2_E = np.float32(1 / math.log(2))
_LOG2_CUT = np.float32(math.log2(1 / 255))


def pack_camera(viewmat: np.ndarray, K: np.ndarray, width: int, height: int) -> np.ndarray:
    """Camera vector [CAMERA] float32 of a view matrix [4,4] and intrinsics [3,3] in pixels."""
    fx, fy, cx, cy = (float(v) for v in (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))
    margin_x, margin_y = 0.15 * width / fx, 0.15 * height / fy
    limits = [-cx / fx - margin_x, (width - cx) / fx + margin_x]
    limits += [-cy / fy - margin_y, (height - cy) / fy + margin_y]
    return np.concatenate([viewmat[:3].reshape(12), [fx, fy, cx, cy], limits]).astype(np.float32)


@kernel(inline=True)
def _to_camera(camera, x, y, z):
    """World point to camera axes."""
    return (
        camera[0] * x + camera[1] * y + camera[2] * z + camera[3],
        camera[4] * x + camera[5] * y + camera[6] * z + camera[7],
        camera[8] * x + camera[9] * y + camera[10] * z + camera[11],
    )


@kernel(inline=True)
def _rotation(w, x, y, z):
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
def _held_slopes(camera, slope_x, slope_y):
    """x/z and y/z clamped to a little more than the picture, as gsplat does."""
    return (
        min(max(slope_x, camera[16]), camera[17]),
        min(max(slope_y, camera[18]), camera[19]),
    )


@kernel(inline=True)
def _world_jacobian(camera, held_x, held_y, inverse_z):
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
def _too_large(value):
    """Above 1e8 in size, or not a number.

    A test on the bits of a value as loaded: after any relaxed arithmetic the compiler may take it for
    granted that there are no infinities and no NaNs, and drop the test.
    """
    return (float_bits(value) & 0x7FFFFFFF) > 0x4CBEBC20


@kernel(inline=True)
def _screen_axes(jacobian, rotation):
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
def _screen_covariance(axes, s0, s1, s2):
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


@kernel(inline=True)
def _write_ellipse(row, px, py, cxx, cxy, cyy, det, opacity, cut2):
    """The geometric part of a packed row; cut2 is the squared distance in sigmas to the visible edge."""
    inverse = _ONE / det
    row[X] = px
    row[Y] = py
    row[QXX] = -_HALF * _LOG2_E * cyy * inverse
    row[QXY] = _LOG2_E * cxy * inverse
    row[QYY] = -_HALF * _LOG2_E * cxx * inverse
    row[LOG_OPACITY] = math.log2(opacity)
    row[REACH_X] = math.sqrt(cut2 * cxx)
    row[REACH_Y] = math.sqrt(cut2 * cyy)
    row[HALF2] = cut2 * det / cyy
    row[SHRINK] = det / (cyy * cyy)
    row[SLANT] = cxy / cyy
    row[OPACITY] = opacity


@kernel
def project_forward(
    worker, workers, means, quats, scales, opacities, colors, camera, width, height, near, packed, radii
):
    """Fill packed [N,PACKED] and radii [N] (px, half the longer side of the visible box; 0 = unseen)."""
    count = means.shape[0]
    for i in range(count * worker // workers, count * (worker + 1) // workers):
        radii[i] = _ZERO
        opacity = opacities[i]
        mx, my, mz = means[i, 0], means[i, 1], means[i, 2]
        s0, s1, s2 = scales[i, 0], scales[i, 1], scales[i, 2]
        w0, w1, w2, w3 = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
        # Beyond these limits projecting would leave float32, and tiles could be written anywhere.
        bad = _too_large(mx) | _too_large(my) | _too_large(mz) | _too_large(opacity)
        bad |= _too_large(s0) | _too_large(s1) | _too_large(s2)
        bad |= _too_large(w0) | _too_large(w1) | _too_large(w2) | _too_large(w3)
        if bad:
            continue
        x, y, z = _to_camera(camera, mx, my, mz)
        squared = w0 * w0 + w1 * w1 + w2 * w2 + w3 * w3
        if z <= near or opacity * np.float32(255.0) <= _ONE or squared < _TINY:
            continue
        unit = _ONE / math.sqrt(squared)
        inverse_z = _ONE / z
        slope_x = x * inverse_z
        slope_y = y * inverse_z
        held_x, held_y = _held_slopes(camera, slope_x, slope_y)
        jacobian = _world_jacobian(camera, held_x, held_y, inverse_z)
        axes = _screen_axes(jacobian, _rotation(w0 * unit, w1 * unit, w2 * unit, w3 * unit))
        xx, xy, yy, minors = _screen_covariance(axes, s0, s1, s2)
        if xx + yy > _LARGEST:
            continue
        det = minors + _DILATION * (xx + yy) + _DILATION * _DILATION
        cxx, cyy = xx + _DILATION, yy + _DILATION
        cut2 = _TWO * (math.log2(opacity) - _LOG2_CUT) / _LOG2_E
        px = camera[12] * slope_x + camera[14]
        py = camera[13] * slope_y + camera[15]
        reach_x = math.sqrt(cut2 * cxx)
        reach_y = math.sqrt(cut2 * cyy)
        if px + reach_x <= 0 or px - reach_x >= width or py + reach_y <= 0 or py - reach_y >= height:
            continue
        row = packed[i]
        _write_ellipse(row, px, py, cxx, xy, cyy, det, opacity, cut2)
        row[RED] = colors[i, 0]
        row[GREEN] = colors[i, 1]
        row[BLUE] = colors[i, 2]
        row[DEPTH] = z
        radii[i] = max(reach_x, reach_y)


@kernel(inline=True)
def _centre_and_covariance_gradients(qxx, qxy, qyy, ux, uy, uxx, uxy, uyy):
    """dL/d(centre in pixels) x, y and the symmetric dL/d(covariance) xx, xy, yy, from moments."""
    kxx = qxx * -_TWO / _LOG2_E  # the conic: inverse covariance
    kxy = -qxy / _LOG2_E
    kyy = qyy * -_TWO / _LOG2_E
    # conic · (moments / 2) · conic
    txx = kxx * uxx + kxy * uxy
    txy = kxx * uxy + kxy * uyy
    tyx = kxy * uxx + kyy * uxy
    tyy = kxy * uxy + kyy * uyy
    return (
        kxx * ux + kxy * uy,
        kxy * ux + kyy * uy,
        _HALF * (txx * kxx + txy * kxy),
        _HALF * (txx * kxy + txy * kyy),
        _HALF * (tyx * kxy + tyy * kyy),
    )


@kernel(inline=True)
def _quat_gradient(w, x, y, z, jacobian, de0, de1, de2, df0, df1, df2):
    """Gradient by a unit quaternion, made orthogonal to it because only its direction counts."""
    a0, a1, a2, b0, b1, b2 = jacobian
    n00, n01, n02 = a0 * de0 + b0 * df0, a0 * de1 + b0 * df1, a0 * de2 + b0 * df2
    n10, n11, n12 = a1 * de0 + b1 * df0, a1 * de1 + b1 * df1, a1 * de2 + b1 * df2
    n20, n21, n22 = a2 * de0 + b2 * df0, a2 * de1 + b2 * df1, a2 * de2 + b2 * df2
    gw = _TWO * (x * (n21 - n12) + y * (n02 - n20) + z * (n10 - n01))
    gx = _TWO * (w * (n21 - n12) + y * (n10 + n01) + z * (n20 + n02) - _TWO * x * (n11 + n22))
    gy = _TWO * (w * (n02 - n20) + x * (n10 + n01) + z * (n21 + n12) - _TWO * y * (n00 + n22))
    gz = _TWO * (w * (n10 - n01) + x * (n20 + n02) + y * (n21 + n12) - _TWO * z * (n00 + n11))
    along = gw * w + gx * x + gy * y + gz * z
    return gw - along * w, gx - along * x, gy - along * y, gz - along * z


@kernel(inline=True)
def _jacobian_gradient(rotation, de0, de1, de2, df0, df1, df2):
    """dL/d(world Jacobian), 2x3, row by row."""
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = rotation
    return (
        de0 * r00 + de1 * r01 + de2 * r02,
        de0 * r10 + de1 * r11 + de2 * r12,
        de0 * r20 + de1 * r21 + de2 * r22,
        df0 * r00 + df1 * r01 + df2 * r02,
        df0 * r10 + df1 * r11 + df2 * r12,
        df0 * r20 + df1 * r21 + df2 * r22,
    )


@kernel(inline=True)
def _point_gradient(camera, x, y, inverse_z, grad_jacobian, gpx, gpy, deep):
    """Gradient by the point in camera axes: through its pixel, its Jacobian and its depth."""
    da0, da1, da2, db0, db1, db2 = grad_jacobian
    slope_x = x * inverse_z
    slope_y = y * inverse_z
    held_x, held_y = _held_slopes(camera, slope_x, slope_y)
    jxx = da0 * camera[0] + da1 * camera[1] + da2 * camera[2]
    jxz = da0 * camera[8] + da1 * camera[9] + da2 * camera[10]
    jyy = db0 * camera[4] + db1 * camera[5] + db2 * camera[6]
    jyz = db0 * camera[8] + db1 * camera[9] + db2 * camera[10]
    gslope_x = gpx * camera[12]
    gslope_y = gpy * camera[13]
    if slope_x == held_x:
        gslope_x -= jxz * camera[12] * inverse_z
    if slope_y == held_y:
        gslope_y -= jyz * camera[13] * inverse_z
    ginverse = camera[12] * (jxx - jxz * held_x) + camera[13] * (jyy - jyz * held_y)
    along = gslope_x * x + gslope_y * y + ginverse
    return gslope_x * inverse_z, gslope_y * inverse_z, deep - along * inverse_z * inverse_z


@kernel(inline=True)
def _add_view_gradient(view, camera, mx, my, mz, held_x, held_y, inverse_z, gx, gy, gz, grad_jacobian):
    """Add to view [12]: the view matrix moves the point and turns the Jacobian."""
    da0, da1, da2, db0, db1, db2 = grad_jacobian
    xx = camera[12] * inverse_z
    yy = camera[13] * inverse_z
    xz = -xx * held_x
    yz = -yy * held_y
    view[0] += gx * mx + xx * da0
    view[1] += gx * my + xx * da1
    view[2] += gx * mz + xx * da2
    view[3] += gx
    view[4] += gy * mx + yy * db0
    view[5] += gy * my + yy * db1
    view[6] += gy * mz + yy * db2
    view[7] += gy
    view[8] += gz * mx + xz * da0 + yz * db0
    view[9] += gz * my + xz * da1 + yz * db1
    view[10] += gz * mz + xz * da2 + yz * db2
    view[11] += gz


@kernel
def project_backward(
    worker,
    workers,
    means,
    quats,
    scales,
    camera,
    sorted_rows,
    order,
    slots,
    moments,
    grad_means,
    grad_quats,
    grad_scales,
    grad_opacities,
    grad_colors,
    grad_pixels,
    grad_views,
):
    """Add this camera's gradients.

    sorted_rows [n,PACKED], order [n] (their Gaussians) and slots [n+1] (their rows of moments) come from
    the forward. grad_means … grad_colors are added to; grad_pixels [N] gets the norm of dL/d(centre in
    pixels), grad_views [VIEW_GRADIENT_CHUNKS,12] partial sums whose split does not depend on `workers`.
    """
    count = order.size
    for chunk in range(worker, VIEW_GRADIENT_CHUNKS, workers):
        view = np.zeros(12, np.float32)
        for j in range(count * chunk // VIEW_GRADIENT_CHUNKS, count * (chunk + 1) // VIEW_GRADIENT_CHUNKS):
            ahead = np.int64(order[min(j + 8, count - 1)])
            prefetch(means, ahead * 3)
            prefetch(quats, ahead * 4)
            prefetch(scales, ahead * 3)
            prefetch(grad_means, ahead * 3)
            prefetch(grad_quats, ahead * 4)
            prefetch(grad_scales, ahead * 3)
            prefetch(grad_colors, ahead * 3)
            prefetch(grad_opacities, ahead)
            prefetch(grad_pixels, ahead)
            i = order[j]
            u = ux = uy = uxx = uxy = uyy = deep = _ZERO
            for k in range(slots[j], slots[j + 1]):
                u += moments[k, 0]
                ux += moments[k, 1]
                uy += moments[k, 2]
                uxx += moments[k, 3]
                uxy += moments[k, 4]
                uyy += moments[k, 5]
                grad_colors[i, 0] += moments[k, 6]
                grad_colors[i, 1] += moments[k, 7]
                grad_colors[i, 2] += moments[k, 8]
                deep += moments[k, 9]
            grad_opacities[i] += u / sorted_rows[j, OPACITY]
            qxx, qxy, qyy = sorted_rows[j, QXX], sorted_rows[j, QXY], sorted_rows[j, QYY]
            gpx, gpy, gxx, gxy, gyy = _centre_and_covariance_gradients(qxx, qxy, qyy, ux, uy, uxx, uxy, uyy)
            grad_pixels[i] = math.sqrt(gpx * gpx + gpy * gpy)
            # Forward once more, as far as the backward needs it.
            mx, my, mz = means[i, 0], means[i, 1], means[i, 2]
            x, y, z = _to_camera(camera, mx, my, mz)
            w0, w1, w2, w3 = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
            unit = _ONE / math.sqrt(w0 * w0 + w1 * w1 + w2 * w2 + w3 * w3)
            w0, w1, w2, w3 = w0 * unit, w1 * unit, w2 * unit, w3 * unit
            rotation = _rotation(w0, w1, w2, w3)
            inverse_z = _ONE / z
            held_x, held_y = _held_slopes(camera, x * inverse_z, y * inverse_z)
            jacobian = _world_jacobian(camera, held_x, held_y, inverse_z)
            e0, e1, e2, f0, f1, f2 = _screen_axes(jacobian, rotation)
            s0, s1, s2 = scales[i, 0], scales[i, 1], scales[i, 2]
            # covariance = P Pᵀ with P = (e·s; f·s), so dP = 2 G P; then to the scales and back to e, f.
            dp0, dq0 = _TWO * (gxx * e0 + gxy * f0) * s0, _TWO * (gxy * e0 + gyy * f0) * s0
            dp1, dq1 = _TWO * (gxx * e1 + gxy * f1) * s1, _TWO * (gxy * e1 + gyy * f1) * s1
            dp2, dq2 = _TWO * (gxx * e2 + gxy * f2) * s2, _TWO * (gxy * e2 + gyy * f2) * s2
            grad_scales[i, 0] += dp0 * e0 + dq0 * f0
            grad_scales[i, 1] += dp1 * e1 + dq1 * f1
            grad_scales[i, 2] += dp2 * e2 + dq2 * f2
            de0, de1, de2, df0, df1, df2 = dp0 * s0, dp1 * s1, dp2 * s2, dq0 * s0, dq1 * s1, dq2 * s2
            h0, h1, h2, h3 = _quat_gradient(w0, w1, w2, w3, jacobian, de0, de1, de2, df0, df1, df2)
            grad_quats[i, 0] += h0 * unit
            grad_quats[i, 1] += h1 * unit
            grad_quats[i, 2] += h2 * unit
            grad_quats[i, 3] += h3 * unit
            grad_jacobian = _jacobian_gradient(rotation, de0, de1, de2, df0, df1, df2)
            gx, gy, gz = _point_gradient(camera, x, y, inverse_z, grad_jacobian, gpx, gpy, deep)
            grad_means[i, 0] += camera[0] * gx + camera[4] * gy + camera[8] * gz
            grad_means[i, 1] += camera[1] * gx + camera[5] * gy + camera[9] * gz
            grad_means[i, 2] += camera[2] * gx + camera[6] * gy + camera[10] * gz
            _add_view_gradient(view, camera, mx, my, mz, held_x, held_y, inverse_z, gx, gy, gz, grad_jacobian)
        for k in range(12):
            grad_views[chunk, k] = view[k]
