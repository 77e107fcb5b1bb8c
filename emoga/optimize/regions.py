"""Where a posed head's mouth and eyes are in a picture."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from emoga.camera import Camera, stack_cameras
from emoga.head import Head
from emoga.render import rasterize_mesh

MOUTH = ("lips", "mouth_interior", "teeth", "tongue")
EYES = ("eyelids", "eyeballs", "irises", "lashes")
MARGIN = 0.008  # of the picture's height, around what is seen of a region


@torch.no_grad()
def visible_faces(head: Head, vertices: torch.Tensor, camera: Camera) -> np.ndarray:
    """Index of the face of the posed mesh [V,3] under every pixel, int64 [H,W], -1 for none."""
    viewmats, Ks = stack_cameras([camera], vertices.device)
    fragments = rasterize_mesh(
        vertices.float(), head.faces.to(vertices.device), viewmats, Ks, camera.width, camera.height
    )
    return fragments.face_index[0].cpu().numpy()


def region_mask(head: Head, face_index: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """bool [H,W]: pixels that see one of the named regions, a little widened."""
    labels = [head.region_names.index(name) for name in names if name in head.region_names]
    regions = head.face_regions.cpu().numpy()
    inside = (face_index >= 0) & np.isin(regions[np.maximum(face_index, 0)], labels)
    reach = max(1, round(MARGIN * face_index.shape[0]))
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(inside.astype(np.uint8), brush).astype(bool)
