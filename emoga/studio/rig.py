"""Where the studio's cameras stand."""

from __future__ import annotations

import numpy as np

from emoga.camera import Camera, look_at

ARC, RISE = 93.0, 32.0  # degrees covered by the rig, as NeRSemble's
DISTANCE = 1.05
TARGET = (0.0, -0.022, -0.045)
FIELD = 0.315  # metres seen from top to bottom at the target
# Heights, in halves of RISE, of the sixteen cameras from the subject's right to the left; 8 is the frontal one.
HEIGHTS = (0.1, -0.85, 0.75, -0.35, 1.0, -0.7, 0.4, -1.0, 0.0, 0.9, -0.5, 0.6, -0.95, 0.5, -0.2, 0.8)


def rig_cameras(count: int, size: int) -> list[Camera]:
    """`count` cameras of size x size pixels spread over the rig's arc, all facing the head."""
    azimuths = np.linspace(-ARC / 2, ARC / 2, count) if count > 1 else np.zeros(1)
    at = np.linspace(0, len(HEIGHTS) - 1, count).round().astype(int) if count > 1 else np.array([8])
    fov = 2 * np.arctan(FIELD / 2 / DISTANCE)
    cameras = []
    for index, azimuth in enumerate(np.radians(azimuths)):
        elevation = np.radians(RISE / 2 * HEIGHTS[at[index]])
        direction = np.array(
            [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)]
        )
        position = np.asarray(TARGET) + DISTANCE * direction
        cameras.append(look_at(position, TARGET, fov, size, size, name=f"cam_{index:02d}"))
    return cameras


def single_camera(size: int) -> Camera:
    """One camera on a tripod, a little above eye height, as a phone would stand."""
    fov = 2 * np.arctan(0.35 / 2 / 0.85)
    return look_at((0.03, 0.02, 0.85), (0.0, -0.025, -0.03), fov, size, size, name="cam_00")
