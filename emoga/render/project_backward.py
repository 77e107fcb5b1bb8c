"""The kernel that takes the summed moments of each Gaussian's pixels back through the projection.

To means, quats, scales, opacities, colors and the camera. Read `project` first.
"""

from __future__ import annotations

import numpy as np

from emoga.kernels import kernel
from emoga.render.ewa import (
    DILATION,
    LANES,
    held_slopes,
    rotation,
    screen_axes,
    screen_covariance,
    to_camera,
    world_jacobian,
)
from emoga.render.lane_math import sqrt_or_zero
from emoga.render.lanes import columns_of_3, columns_of_4, load16, select, store
from emoga.render.packed import MOMENTS

VIEW_GRADIENT_CHUNKS = 64

_ZERO, _HALF, _ONE, _TWO = (np.float32(v) for v in (0, 0.5, 1, 2))
_GRADIENTS = 12  # of each Gaussian: mean 3, quat 4, scale 3, opacity, norm by its centre


@kernel(inline=True)
def _centre_and_covariance_gradients(cxx, cxy, cyy, det, ux, uy, uxx, uxy, uyy):
    """dL/d(centre in pixels) x, y and the symmetric dL/d(covariance) xx, xy, yy, from moments."""
    inverse = _ONE / det
    kxx, kxy, kyy = cyy * inverse, -cxy * inverse, cxx * inverse  # the conic: inverse covariance
    # conic · (moments / 2) · conic
    txx = kxx * uxx + kxy * uxy
    txy = kxx * uxy + kxy * uyy
    tyx = kxy * uxx + kyy * uxy
    tyy = kxy * uxy + kyy * uyy
    return (
        (kxx * ux + kxy * uy, kxy * ux + kyy * uy),
        (
            _HALF * (txx * kxx + txy * kxy),
            _HALF * (txx * kxy + txy * kyy),
            _HALF * (tyx * kxy + tyy * kyy),
        ),
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
    held_x, held_y = held_slopes(camera, slope_x, slope_y)
    jxx = da0 * camera[0] + da1 * camera[1] + da2 * camera[2]
    jxz = da0 * camera[8] + da1 * camera[9] + da2 * camera[10]
    jyy = db0 * camera[4] + db1 * camera[5] + db2 * camera[6]
    jyz = db0 * camera[8] + db1 * camera[9] + db2 * camera[10]
    gslope_x = gpx * camera[12]
    gslope_y = gpy * camera[13]
    free_x = (slope_x >= camera[16]) & (slope_x <= camera[17])
    free_y = (slope_y >= camera[18]) & (slope_y <= camera[19])
    gslope_x = gslope_x - select(free_x, jxz * camera[12] * inverse_z, _ZERO)
    gslope_y = gslope_y - select(free_y, jyz * camera[13] * inverse_z, _ZERO)
    ginverse = camera[12] * (jxx - jxz * held_x) + camera[13] * (jyy - jyz * held_y)
    along = gslope_x * x + gslope_y * y + ginverse
    return gslope_x * inverse_z, gslope_y * inverse_z, deep - along * inverse_z * inverse_z


@kernel(inline=True)
def _add_view_gradient(view, camera, mean, held_x, held_y, inverse_z, point, grad_jacobian):
    """Add to view [12,LANES]: the view matrix moves the point and turns the Jacobian."""
    mx, my, mz = mean
    gx, gy, gz = point
    da0, da1, da2, db0, db1, db2 = grad_jacobian
    xx = camera[12] * inverse_z
    yy = camera[13] * inverse_z
    xz = -xx * held_x
    yz = -yy * held_y
    terms = (
        gx * mx + xx * da0,
        gx * my + xx * da1,
        gx * mz + xx * da2,
        gx,
        gy * mx + yy * db0,
        gy * my + yy * db1,
        gy * mz + yy * db2,
        gy,
        gz * mx + xz * da0 + yz * db0,
        gz * my + xz * da1 + yz * db1,
        gz * mz + xz * da2 + yz * db2,
        gz,
    )
    for k in range(12):
        store(view, k * LANES, load16(view, k * LANES) + terms[k])


@kernel(inline=True)
def _axis_gradients(axes, s0, s1, s2, gxx, gxy, gyy):
    """From dL/d(covariance): gradients by the three scales, then by the screen axes, row by row."""
    e0, e1, e2, f0, f1, f2 = axes
    # covariance = P Pᵀ with P = (e·s; f·s), so dP = 2 G P; then to the scales and back to e, f.
    dp0, dq0 = _TWO * (gxx * e0 + gxy * f0) * s0, _TWO * (gxy * e0 + gyy * f0) * s0
    dp1, dq1 = _TWO * (gxx * e1 + gxy * f1) * s1, _TWO * (gxy * e1 + gyy * f1) * s1
    dp2, dq2 = _TWO * (gxx * e2 + gxy * f2) * s2, _TWO * (gxy * e2 + gyy * f2) * s2
    by_scales = (dp0 * e0 + dq0 * f0, dp1 * e1 + dq1 * f1, dp2 * e2 + dq2 * f2)
    return by_scales, (dp0 * s0, dp1 * s1, dp2 * s2, dq0 * s0, dq1 * s1, dq2 * s2)


@kernel(inline=True)
def _sum_moments(moments, spans, first, size, sums):
    """sums [MOMENTS,LANES]: over the tiles of each of `size` Gaussians; returns a mask of those in any tile."""
    sums[:] = _ZERO
    seen = np.zeros(LANES, np.float32)
    for lane in range(size):
        begin, end = spans[first + lane, 0], spans[first + lane, 1]
        seen[lane] = end - begin
        for k in range(begin, end):
            for m in range(MOMENTS):
                sums[m, lane] += moments[k, m]
    return load16(seen, 0) > _ZERO


@kernel(inline=True)
def _unproject_sixteen(means, quats, scales, opacities, first, camera, sums, seen, view, grads):
    """Fill grads [GRADIENTS,LANES] of sixteen Gaussians from the sums of their moments; adds to view.

    The forward once more, as far as the backward needs it, then back. Gaussians that are not seen, whose
    numbers may be anything, are replaced by harmless ones; their sums are zero and so are their gradients.
    """
    mx, my, mz = columns_of_3(means, first * 3)
    w0, w1, w2, w3 = columns_of_4(quats, first * 4)
    s0, s1, s2 = columns_of_3(scales, first * 3)
    x, y, z = to_camera(camera, mx, my, mz)
    x, y, z = select(seen, x, _ZERO), select(seen, y, _ZERO), select(seen, z, _ONE)
    mean = (select(seen, mx, _ZERO), select(seen, my, _ZERO), select(seen, mz, _ZERO))
    s0, s1, s2 = select(seen, s0, _ONE), select(seen, s1, _ONE), select(seen, s2, _ONE)
    w0, w1 = select(seen, w0, _ONE), select(seen, w1, _ZERO)
    w2, w3 = select(seen, w2, _ZERO), select(seen, w3, _ZERO)
    unit = _ONE / sqrt_or_zero(w0 * w0 + w1 * w1 + w2 * w2 + w3 * w3)
    w0, w1, w2, w3 = w0 * unit, w1 * unit, w2 * unit, w3 * unit
    turn = rotation(w0, w1, w2, w3)
    inverse_z = _ONE / z
    held_x, held_y = held_slopes(camera, x * inverse_z, y * inverse_z)
    jacobian = world_jacobian(camera, held_x, held_y, inverse_z)
    axes = screen_axes(jacobian, turn)
    xx, xy, yy, minors = screen_covariance(axes, s0, s1, s2)
    det = minors + DILATION * (xx + yy) + DILATION * DILATION

    ux, uy = load16(sums, LANES), load16(sums, 2 * LANES)
    uxx, uxy, uyy = load16(sums, 3 * LANES), load16(sums, 4 * LANES), load16(sums, 5 * LANES)
    by_centre, by_covariance = _centre_and_covariance_gradients(
        xx + DILATION, xy, yy + DILATION, det, ux, uy, uxx, uxy, uyy
    )
    by_scale, by_axes = _axis_gradients(axes, s0, s1, s2, *by_covariance)
    h0, h1, h2, h3 = _quat_gradient(w0, w1, w2, w3, jacobian, *by_axes)
    by_jacobian = _jacobian_gradient(turn, *by_axes)
    by_depth = load16(sums, 9 * LANES)
    point = _point_gradient(camera, x, y, inverse_z, by_jacobian, *by_centre, by_depth)
    _add_view_gradient(view, camera, mean, held_x, held_y, inverse_z, point, by_jacobian)

    gx, gy, gz = point
    store(grads, 0, camera[0] * gx + camera[4] * gy + camera[8] * gz)
    store(grads, LANES, camera[1] * gx + camera[5] * gy + camera[9] * gz)
    store(grads, 2 * LANES, camera[2] * gx + camera[6] * gy + camera[10] * gz)
    store(grads, 3 * LANES, h0 * unit)
    store(grads, 4 * LANES, h1 * unit)
    store(grads, 5 * LANES, h2 * unit)
    store(grads, 6 * LANES, h3 * unit)
    for k in range(3):
        store(grads, (7 + k) * LANES, by_scale[k])
    store(grads, 10 * LANES, load16(sums, 0) / select(seen, load16(opacities, first), _ONE))
    centre_x, centre_y = by_centre
    store(grads, 11 * LANES, sqrt_or_zero(centre_x * centre_x + centre_y * centre_y))


@kernel(inline=True)
def _put(target, i, grads, first, lane, fresh):
    """Write a row from the columns of grads from `first` on, or add to it what earlier cameras have not."""
    for k in range(target.shape[1]):
        value = grads[first + k, lane]
        target[i, k] = value if fresh else target[i, k] + value


@kernel
def project_backward(
    worker,
    workers,
    means,
    quats,
    scales,
    opacities,
    camera,
    spans,
    moments,
    fresh,
    grad_means,
    grad_quats,
    grad_scales,
    grad_opacities,
    grad_colors,
    grad_pixels,
    grad_views,
):
    """Write this camera's gradients, or add them to those of cameras before it unless `fresh`.

    spans [N,2] (rows of moments) come from the forward. grad_colors [N,3] and grad_pixels [N], the norm of
    dL/d(centre in pixels), belong to this camera alone; so does grad_views [VIEW_GRADIENT_CHUNKS,12], partial
    sums whose split does not depend on `workers`.
    """
    count = means.shape[0]
    blocks = (count + LANES - 1) // LANES
    sums, grads = np.empty((MOMENTS, LANES), np.float32), np.empty((_GRADIENTS, LANES), np.float32)
    few_means, few_quats = np.ones((LANES, 3), np.float32), np.ones((LANES, 4), np.float32)
    few_scales, few_opacities = np.ones((LANES, 3), np.float32), np.ones(LANES, np.float32)
    view = np.empty((12, LANES), np.float32)
    for chunk in range(worker, VIEW_GRADIENT_CHUNKS, workers):
        view[:] = _ZERO
        for block in range(
            blocks * chunk // VIEW_GRADIENT_CHUNKS, blocks * (chunk + 1) // VIEW_GRADIENT_CHUNKS
        ):
            first = block * LANES
            size = min(LANES, count - first)
            seen = _sum_moments(moments, spans, first, size, sums)
            if size == LANES:
                _unproject_sixteen(means, quats, scales, opacities, first, camera, sums, seen, view, grads)
            else:
                few_means[:size] = means[first:]
                few_quats[:size] = quats[first:]
                few_scales[:size] = scales[first:]
                few_opacities[:size] = opacities[first:]
                _unproject_sixteen(
                    few_means, few_quats, few_scales, few_opacities, 0, camera, sums, seen, view, grads
                )
            for lane in range(size):
                i = np.uint64(first + lane)
                _put(grad_means, i, grads, 0, lane, fresh)
                _put(grad_quats, i, grads, 3, lane, fresh)
                _put(grad_scales, i, grads, 7, lane, fresh)
                _put(grad_colors, i, sums, 6, lane, True)
                value = grads[10, lane]
                grad_opacities[i] = value if fresh else grad_opacities[i] + value
                grad_pixels[i] = grads[11, lane]
        for k in range(12):
            grad_views[chunk, k] = view[k].sum()
