"""Rotations, quaternions (wxyz, unit), vertex normals and alignments, in torch and in any float dtype."""

from __future__ import annotations

import torch


def axis_angle_to_matrix(axis_angle: torch.Tensor) -> torch.Tensor:
    """Axis-angle [...,3] radians to rotation matrices [...,3,3] (Rodrigues), smooth at zero."""
    angle_squared = (axis_angle * axis_angle).sum(-1, keepdim=True)[..., None]
    small = angle_squared < 1e-8
    safe = torch.where(small, torch.ones_like(angle_squared), angle_squared)
    angle = safe.sqrt()
    sine = torch.where(small, 1 - angle_squared / 6, torch.sin(angle) / angle)
    cosine = torch.where(small, 0.5 - angle_squared / 24, (1 - torch.cos(angle)) / safe)
    cross = skew(axis_angle)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + sine * cross + cosine * (cross @ cross)


def skew(vector: torch.Tensor) -> torch.Tensor:
    """Cross-product matrices [...,3,3] of vectors [...,3]."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vector.shape[:-1], 3, 3)


def matrix_to_axis_angle(matrix: torch.Tensor) -> torch.Tensor:
    """Rotation matrices [...,3,3] to axis-angle [...,3] radians, by way of quaternions."""
    quat = matrix_to_quat(matrix)
    quat = torch.where(quat[..., :1] < 0, -quat, quat)
    sine = quat[..., 1:].norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, quat[..., :1])
    factor = torch.where(sine < 1e-7, torch.full_like(sine, 2.0), angle / sine.clamp_min(1e-7))
    return quat[..., 1:] * factor


def quat_to_matrix(quat: torch.Tensor) -> torch.Tensor:
    """Quaternions [...,4] wxyz, any length, to rotation matrices [...,3,3]."""
    w, x, y, z = torch.nn.functional.normalize(quat, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(*quat.shape[:-1], 3, 3)


def matrix_to_quat(matrix: torch.Tensor) -> torch.Tensor:
    """Rotation matrices [...,3,3] to unit quaternions [...,4] wxyz, by the best-conditioned of four forms."""
    m = matrix.reshape(*matrix.shape[:-2], 9)
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = m.unbind(-1)
    squared = torch.stack(
        [1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22], -1
    ).clamp_min(0)
    candidates = torch.stack(
        [
            torch.stack([squared[..., 0], m21 - m12, m02 - m20, m10 - m01], -1),
            torch.stack([m21 - m12, squared[..., 1], m10 + m01, m02 + m20], -1),
            torch.stack([m02 - m20, m10 + m01, squared[..., 2], m12 + m21], -1),
            torch.stack([m10 - m01, m20 + m02, m21 + m12, squared[..., 3]], -1),
        ],
        -2,
    )
    best = squared.argmax(-1)[..., None, None].expand(*squared.shape[:-1], 1, 4)
    return torch.nn.functional.normalize(candidates.gather(-2, best)[..., 0, :], dim=-1)


def quat_multiply(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Hamilton product of quaternions [...,4] wxyz: rotate by `right`, then by `left`."""
    aw, ax, ay, az = left.unbind(-1)
    bw, bx, by, bz = right.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def quat_conjugate(quat: torch.Tensor) -> torch.Tensor:
    """Inverse of unit quaternions [...,4] wxyz."""
    return torch.cat([quat[..., :1], -quat[..., 1:]], -1)


def vertex_normals(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Area-weighted unit normals [...,V,3] of vertices [...,V,3] and faces [F,3]."""
    corners = vertices[..., faces, :]
    face_normals = torch.linalg.cross(
        corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    )
    normals = torch.zeros_like(vertices)
    for corner in range(3):
        normals = normals.index_add(-2, faces[:, corner], face_normals)
    return torch.nn.functional.normalize(normals, dim=-1, eps=1e-12)


def nearest_rotation(matrix: torch.Tensor) -> torch.Tensor:
    """The rotations [...,3,3] nearest to matrices [...,3,3]: to a sum of rotations, their mean."""
    left, _, right = torch.linalg.svd(matrix)
    flip = torch.ones_like(left[..., :1, :])
    flip[..., 0, 2] = torch.linalg.det(left @ right).sign()
    return left * flip @ right


def similarity_align(
    source: torch.Tensor, target: torch.Tensor, with_scale: bool = True
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Least-squares scale [], rotation [3,3], translation [3] taking source [N,3] to target (Umeyama 1991)."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    a, b = source - source_mean, target - target_mean
    u, s, vh = torch.linalg.svd(b.T @ a)
    sign = torch.ones(3, dtype=source.dtype, device=source.device)
    sign[2] = torch.sign(torch.linalg.det(u) * torch.linalg.det(vh))
    rotation = u @ torch.diag(sign) @ vh
    scale = (s * sign).sum() / (a * a).sum() if with_scale else torch.ones((), dtype=source.dtype)
    return scale, rotation, target_mean - scale * rotation @ source_mean
