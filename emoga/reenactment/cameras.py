"""Where a driven avatar is seen from: a portrait camera that frames the head, and an orbit about it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np
import torch

from emoga.camera import Camera, look_at
from emoga.errors import InputError
from emoga.head import Head
from emoga.motion.driving import Person, rest_pose

FOV_Y = math.radians(20)
# Height of the picture over that of the head mesh above the neck: hair and head turns need room.
ROOM = 1.45
WIDTH_SHARE = 0.85
ORBIT = re.compile(r"(?P<degrees>-?[0-9.]+)(?:/(?P<seconds>[0-9.]+)s?)?")


@dataclass(frozen=True)
class Orbit:
    """A camera that swings `degrees` to either side of the front in `seconds`; 360 goes all the way round."""

    degrees: float
    seconds: float = 6.0

    def yaw(self, time: float) -> float:
        """Radians to the subject's left of the front at a time."""
        turns = time / self.seconds
        if abs(self.degrees) >= 360:
            return math.copysign(2 * math.pi, self.degrees) * turns
        return math.radians(self.degrees) * math.sin(2 * math.pi * turns)


def parse_orbit(text: str) -> Orbit:
    """`45` or `45/8s`: degrees, and seconds of one round. Raises InputError for anything else."""
    match = ORBIT.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        orbit = Orbit(float(match["degrees"]), float(match["seconds"] or 6))
    except ValueError:
        raise InputError(f"--orbit {text}: write degrees or degrees/seconds, such as 45 or 360/8s") from None
    if not 0 < orbit.seconds < 3600 or abs(orbit.degrees) > 360:
        raise InputError(f"--orbit {text}: degrees up to 360 and seconds above 0 are possible")
    return orbit


def head_centre(head: Head, person: Person) -> tuple[np.ndarray, float]:
    """Centre [3] of the person's head in its own frame, and its height, metres, both without the neck."""
    offset = 0 if person.static_offset is None else person.static_offset
    rest = (head.template + torch.tensordot(person.shape, head.shape_basis, 1) + offset).cpu().numpy()
    parts = [name for name in ("face", "scalp", "ears", "forehead", "jaw") if name in head.regions]
    chosen = np.any([head.regions[name].cpu().numpy() for name in parts], axis=0) if parts else slice(None)
    low, high = rest[chosen].min(0), rest[chosen].max(0)
    return (low + high) / 2, float(high[1] - low[1])


def portrait_camera(head: Head, person: Person, width: int, height: int) -> Camera:
    """A camera in front of the person's mean pose, with the whole head in the picture."""
    centre, size = head_centre(head, person)
    turn, _, place = (part.double().cpu().numpy() for part in rest_pose(person))
    # A picture narrower than it is high must still hold the head's width, hair and turns included.
    extent = size * ROOM * max(1.0, WIDTH_SHARE * height / width)
    distance = extent / (2 * math.tan(FOV_Y / 2))
    target = place + turn @ centre
    eye = target + turn @ np.array([0.0, 0.0, distance])
    return look_at(eye, target, FOV_Y, width, height, up=turn @ np.array([0.0, 1.0, 0.0]), name="portrait")


def swing(head: Head, person: Person) -> tuple[np.ndarray, np.ndarray]:
    """Pivot [3] and axis [3] in the world about which cameras go around the person's mean pose."""
    turn, _, place = (part.double().cpu().numpy() for part in rest_pose(person))
    return place + turn @ head_centre(head, person)[0], turn @ np.array([0.0, 1.0, 0.0])


def orbited(camera: Camera, yaw: float, pivot: np.ndarray, up: np.ndarray) -> Camera:
    """The camera swung by `yaw` radians about the axis `up` [3] through `pivot` [3]."""
    axis = up / np.linalg.norm(up)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation = np.eye(3) + math.sin(yaw) * cross + (1 - math.cos(yaw)) * cross @ cross
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, pivot - rotation @ pivot
    return replace(camera, w2c=camera.w2c @ np.linalg.inv(motion))


def fitted_camera(camera: Camera, width: int, height: int) -> Camera:
    """A track's camera for another picture size: scaled to cover it, cropped about the centre."""
    scale = max(width / camera.width, height / camera.height)
    K = np.diag([scale, scale, 1.0]) @ camera.K
    K[0, 2] -= (camera.width * scale - width) / 2
    K[1, 2] -= (camera.height * scale - height) / 2
    return replace(camera, K=K, width=width, height=height)
