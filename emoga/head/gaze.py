"""Gaze: the eight eyeLook units as eyeball rotations, and lids that follow."""

from __future__ import annotations

import torch

# Order within one eye: up and down turn about x, in and out about y.
DIRECTIONS = ("Up", "Down", "In", "Out")
SOFTNESS = 0.1
REACH = 1.4  # lids follow a wide gaze less and less: never further than this many units
UNITS = tuple(f"eyeLook{direction}{side}" for side in ("Left", "Right") for direction in DIRECTIONS)


def gaze_matrix(angles: torch.Tensor) -> torch.Tensor:
    """Rows [8,6]: the gaze (axis-angle, left eye then right) of each of UNITS at weight 1.

    `angles` [4] radians for up, down, in, out. Up is a negative turn about +x; the left eye (at +x) looks
    in towards -x, a negative turn about +y; the right eye the other way.
    """
    up, down, inward, outward = angles.unbind()
    zero = torch.zeros_like(up)
    left = torch.stack([-up, zero, down, zero, zero, -inward, zero, outward]).reshape(4, 2)
    right = torch.cat([left[:, :1], -left[:, 1:]], 1)
    matrix = angles.new_zeros(8, 6)
    matrix[:4, 0:2] = left
    matrix[4:, 3:5] = right
    return matrix


def lid_weights(gaze: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """How far the lids follow a gaze [T,6]: weights [T,8] of the lid parts of UNITS, smooth at zero."""
    signed = _signed_turns(gaze) / angles
    soft = 0.5 * (signed + (signed * signed + SOFTNESS**2).sqrt() - SOFTNESS)
    return REACH * torch.tanh(soft / REACH).reshape(-1, 8)


def weights_from_gaze(gaze: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """UNITS weights [T,8] in 0..1 that describe a gaze [T,6], for formats that know only units."""
    return (_signed_turns(gaze) / angles).clamp(0, 1).reshape(-1, 8)


def _signed_turns(gaze: torch.Tensor) -> torch.Tensor:
    """How far each eye of a gaze [T,6] turns up, down, in and out, [T,2,4] radians; opposites are negatives."""
    eyes = gaze.reshape(-1, 2, 3)
    pitch, yaw = -eyes[..., 0], torch.stack([eyes[:, 0, 1], -eyes[:, 1, 1]], 1)
    return torch.stack([pitch, -pitch, -yaw, yaw], -1)
