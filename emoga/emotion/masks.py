"""Where an editor may change a picture: by the head's regions in that picture, or by a face parser's masks.

"hard": the regions that carry an expression and are edited alone: lips and mouth, eyeballs, nose, brows. Everything
else, and with it the person's identity, stays as captured. "soft", for frontal pictures, where a hard edge beside the
mouth or an eye shows: the same with the lips widened and the whole eye socket. "none": the whole head mask. "auto"
is soft from the front and hard from the side for editors that invent, none for `warp`, which moves no more than the
emotion moves. Nothing outside the track's head mask is edited, but for the little that a warp of the whole head needs
where the face itself comes to lie beyond its captured outline.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from emoga.capture import Track
from emoga.emotion.acting import Actor, face_height
from emoga.emotion.choosing import FRONTAL, angles
from emoga.errors import InputError
from emoga.guidance import PictureName
from emoga.guidance.exchange import relative_path
from emoga.head import Head
from emoga.images import picture_size, read_image_uint8
from emoga.optimize.regions import MOUTH, region_mask, visible_faces

MaskKind = Literal["auto", "hard", "soft", "none"]
KINDS: tuple[MaskKind, ...] = ("auto", "hard", "soft", "none")
HARD = (*MOUTH, "eyeballs", "irises", "nose", "brows")
SOCKETS = ("eyelids", "lashes", "brows")
# Of the face's height: how far a hard mask reaches around what is seen, a soft one around the lips and the sockets.
HARD_REACH, LIP_REACH, SOCKET_REACH = 0.008, 0.045, 0.035


def picture_masks(
    actor: Actor, track: Track, pairs: Sequence[tuple[int, int]], kind: MaskKind, invents: bool
) -> np.ndarray:
    """uint8 [P,H,W], 255 where the pictures (view, frame) may be edited. invents: of an editor that is no warp.

    Raises InputError for an unknown kind.
    """
    if kind not in KINDS:
        raise InputError(f"--mask {kind}: unknown; known are: {', '.join(KINDS)}")
    turned = angles(actor.head, actor.params, track.cameras)
    most_frontal = int(np.median(turned, axis=1).argmin())
    masks = []
    for view, frame in pairs:
        allowed = head_mask(track, view, frame)
        frontal = turned[view, frame] < FRONTAL or view == most_frontal
        chosen = kind
        if kind == "auto":
            chosen = "none" if not invents else "soft" if frontal else "hard"
        if chosen != "none":
            allowed = np.where(face_mask(actor, track, view, frame, chosen == "soft"), allowed, 0)
        masks.append(allowed.astype(np.uint8))
    return np.stack(masks)


def read_masks(folder: str | Path, names: Sequence[PictureName], height: int, width: int) -> np.ndarray:
    """uint8 [P,H,W] of masks DIR/<camera>/<frame:06d>.png, white where an editor may change, or changed, things.

    Raises InputError naming the first that is missing or of another size.
    """
    masks = []
    for name in names:
        path = Path(folder) / relative_path(name)
        if not path.is_file():
            raise InputError(f"{path}: no such mask, for camera {name.camera}, frame {name.frame}")
        found = picture_size(path)
        if found != (width, height):
            raise InputError(f"{path}: is {found[0]}x{found[1]}, the picture is {width}x{height}")
        masks.append(read_image_uint8(path, "L"))
    return np.stack(masks)


def head_mask(track: Track, view: int, frame: int) -> np.ndarray:
    """The track's head mask uint8 [H,W], else its foreground, else everything."""
    for stack in (track.head_masks, track.masks):
        if stack is not None:
            return stack[view, frame]
    camera = track.cameras[view]
    return np.full((camera.height, camera.width), 255, np.uint8)


def face_mask(actor: Actor, track: Track, view: int, frame: int, soft: bool) -> np.ndarray:
    """bool [H,W]: the regions of a hard or soft mask, as the frame's own pose shows them."""
    head, camera = actor.head, track.cameras[view]
    vertices = actor.vertices(actor.params, frame)
    seen, height = visible_faces(head, vertices, camera), face_height(head, vertices, camera)
    mask = _around(head, seen, HARD, HARD_REACH * height)
    if soft:
        mask |= _around(head, seen, MOUTH, LIP_REACH * height)
        mask |= _around(head, seen, SOCKETS, SOCKET_REACH * height)
    return mask


def _around(head: Head, seen: np.ndarray, names: tuple[str, ...], reach: float) -> np.ndarray:
    """bool [H,W]: pixels of some regions and those within `reach` pixels."""
    radius = max(1, round(reach))
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(region_mask(head, seen, names).astype(np.uint8), brush).astype(bool)
