"""Studio films that the small editor learns from, with what a painter must know of every pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np
import torch

from emoga.camera import stack_cameras
from emoga.capture import open_capture
from emoga.head import Head, load_head
from emoga.images import from_uint8, read_image_uint8
from emoga.progress import Reporter
from emoga.render import interpolate, rasterize_mesh
from emoga.studio import capture
from emoga.studio.filming import picture_paths

# None of those that benchmarks edit.
PERFORMERS = tuple(range(101, 113))
ACTED = (None, "happy", None, "surprised", None, "angry", None, "sad")
SIZE, FRAMES, SAMPLES = 128, 4, 12
# Of the head's regions: what shows hair, and what is neither skin nor hair.
HAIRY, OTHER = (
    ("scalp",),
    ("eyeballs", "irises", "teeth", "tongue", "mouth_interior", "lashes", "brows", "lips"),
)


@dataclass(frozen=True)
class Shot:
    """One picture of a head over white.

    picture [H,W,3] sRGB 0..1; head, skin, hair [H,W] 0..1: how much of the pixel is what; place [H,W,3] metres: the
    point of the template head that a pixel shows, the nearest one's beside the mesh.
    """

    picture: np.ndarray
    head: np.ndarray
    skin: np.ndarray
    hair: np.ndarray
    place: np.ndarray


def film_all(folder: Path, workers: int, report: Reporter) -> list[Path]:
    """Every performer's film; those that are there are kept."""
    return [
        capture(
            folder / f"p{performer}", performer=performer, emotion=ACTED[index % len(ACTED)], size=SIZE,
            frames=FRAMES, samples=SAMPLES, hold_out=(), resume=True, workers=workers, report=report,
        )
        for index, performer in enumerate(PERFORMERS)
    ]  # fmt: skip


def shots_of(film: Path) -> Iterator[Shot]:
    """All pictures of a film."""
    head, cameras = load_head(), open_capture(film).cameras
    with h5py.File(film / "truth_vertices.h5") as file:
        vertices = torch.from_numpy(file["vertices"][()]).float()
    for frame, posed in enumerate(vertices):
        for view, camera in enumerate(cameras):
            paths = picture_paths(film, view, frame)
            viewmats, Ks = stack_cameras([camera])
            seen = rasterize_mesh(posed, head.faces, viewmats, Ks, camera.width, camera.height)
            alpha = from_uint8(read_image_uint8(paths["head_masks"], "L"))
            picture = from_uint8(read_image_uint8(paths["images"]))
            place = interpolate(seen, head.template.float())[0].numpy()
            yield _shot(head, picture, alpha, seen.face_index[0].numpy(), place)


def _shot(head: Head, picture: np.ndarray, alpha: np.ndarray, face: np.ndarray, place: np.ndarray) -> Shot:
    regions = head.face_regions.numpy()[np.maximum(face, 0)]
    covered = face >= 0
    hairy = (~covered | _of(head, regions, HAIRY)).astype(np.float32)
    other = (covered & _of(head, regions, OTHER)).astype(np.float32)
    skin = (1 - hairy) * (1 - other)
    # Strands over the forehead are dark and skin beside the mesh is not: colour tells them apart.
    tone = np.median(picture[(skin > 0) & (alpha > 0.9)], 0).mean()
    light = np.clip((picture.mean(-1) / max(tone, 0.05) - 0.35) / 0.3, 0, 1)
    beside = ~covered | _of(head, regions, ("scalp", "forehead", "ears"))
    hair = np.where(
        beside, np.where(hairy > 0, np.maximum(hairy * (1 - 0.7 * light), 1 - light), 1 - light), 0
    )
    skin = np.where(beside, (1 - hair) * (1 - other), skin)
    soften = [cv2.GaussianBlur(np.float32(one), (0, 0), 0.7) * alpha for one in (skin, hair)]
    white = picture * alpha[..., None] + 1 - alpha[..., None]
    return Shot(white.astype(np.float32), alpha, *soften, _spread(place, covered))


def _of(head: Head, regions: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    return np.isin(regions, [head.region_names.index(name) for name in names if name in head.region_names])


def _spread(place: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Values [H,W,3] with the nearest covered pixel's where nothing is covered."""
    _, labels = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros((labels.max() + 1, 3), np.float32)
    table[labels[covered]] = place[covered]
    return table[labels]
