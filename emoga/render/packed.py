"""What the rasterizer's kernels hand to each other: rows of numbers and what stands in them."""

from __future__ import annotations

import numpy as np

# One packed row per Gaussian, a cache line long. With d = pixel - centre,
# log2(alpha) = QXX dx² + QXY dx dy + QYY dy² + LOG_OPACITY. Within |dy| <= REACH_Y the visible ellipse
# spans dx = SLANT dy ± sqrt(HALF2 - SHRINK dy²); it is widest, dx = ±REACH_X, at dy = ±LEAN.
PACKED = 16
X, Y, QXX, QXY, QYY, LOG_OPACITY, RED, GREEN, BLUE = range(9)
REACH_Y, HALF2, SHRINK, SLANT, REACH_X, LEAN, DEPTH = range(9, 16)

# One row of moments per Gaussian and tile, with u = dL/d(log alpha): sums of u, u dx, u dy, u dx²,
# u dx dy, u dy², then dL/d(color), dL/d(depth) and two that fill up.
MOMENTS = 12

# Camera vector: rows of the 3x4 view matrix, fx, fy, cx, cy, then the limits of x/z and y/z (low x,
# high x, low y, high y) beyond which the projection's Jacobian is held.
CAMERA = 20


def pack_camera(viewmat: np.ndarray, K: np.ndarray, width: int, height: int) -> np.ndarray:
    """Camera vector [CAMERA] float32 of a view matrix [4,4] and intrinsics [3,3] in pixels."""
    fx, fy, cx, cy = (float(v) for v in (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))
    margin_x, margin_y = 0.15 * width / fx, 0.15 * height / fy
    limits = [-cx / fx - margin_x, (width - cx) / fx + margin_x]
    limits += [-cy / fy - margin_y, (height - cy) / fy + margin_y]
    return np.concatenate([viewmat[:3].reshape(12), [fx, fy, cx, cy], limits]).astype(np.float32)
