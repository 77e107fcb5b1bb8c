"""Whether masks find their Gaussians: regions chosen on training pictures and drawn in held-out ones."""

from __future__ import annotations

import emoga  # noqa: F401  before torch: it sets how torch's threads wait

# isort: split
import numpy as np
import torch
from edit_films import EditCase

from emoga.editing.contributors import contributions, mask_at, overlap
from emoga.editing.edited_pictures import EditedPictures
from emoga.editing.refit_scene import Scene
from emoga.head import Head, load_head
from emoga.images import from_uint8
from emoga.optimize.regions import visible_faces
from emoga.studio.pseudo_edits import Film

REGIONS = ("lips", "nose", "ears", "cheeks", "forehead", "scalp")


def region_overlaps(case: EditCase) -> dict[str, float]:
    """IoU by region over the held-out pictures: the Gaussians more than half of whose blending weight lies in the true
    masks of the training pictures, as they cover held-out pictures, against the true masks of these."""
    head = load_head(case.track.head_name)
    train, scored = (_scene(case, reel) for reel in (case.learnt_from, case.scored))
    parsed = [_parses(head, reel.neutral) for reel in (case.learnt_from, case.scored)]
    found = {}
    for name in REGIONS:
        masks, wanted = ((part == head.region_names.index(name)) for part in parsed)
        share, _ = contributions(train, masks.astype(np.float32))
        chosen = (share > 0.5).astype(np.float32)
        shown = np.stack([mask_at(scored, chosen, p) > 0.5 for p in range(len(scored))])
        found[f"iou_{name}"] = overlap(shown, wanted)
    return found


def _scene(case: EditCase, reel) -> Scene:
    views, frames = np.array(reel.pairs).T
    pictures = from_uint8(reel.before)
    masks = reel.neutral_masks.astype(np.float32)
    cameras = [case.track.cameras[view] for view in views]
    record = EditedPictures(pictures, pictures, masks, cameras, frames, views)
    return Scene(case.avatar, case.motion, record)


def _parses(head: Head, film: Film) -> np.ndarray:
    """int [P,H,W]: the region that the true mesh shows at every pixel, -1 for none."""
    regions, out = head.face_regions.numpy().astype(np.int64), []
    for camera in film.cameras:
        for vertices in film.vertices:
            seen = visible_faces(head, torch.from_numpy(vertices), camera)
            out.append(np.where(seen >= 0, regions[np.maximum(seen, 0)], -1))
    return np.stack(out)
