"""`images:DIR`: pictures edited elsewhere, and the folder that hands any outside tool what it is to edit.

    DIR/<camera>/<frame:06d>.png            read: the edited pictures
    DIR/images/<camera>/<frame:06d>.png     written: the pictures to edit
    DIR/masks/<camera>/<frame:06d>.png      written: white where they may be changed
    DIR/edit.json                           written: prompts, strength and seed

A tool that edits `DIR/images` into another folder keeps the layout, so that folder is what `images:` reads.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from emoga.errors import InputError
from emoga.files import atomic_folder
from emoga.guidance.editor import EditEstimate, EditRequest, PictureName
from emoga.images import picture_size, read_image_uint8, write_png
from emoga.progress import Reporter, silent, tracked

# Names that no file system here or elsewhere reads as a path, a device or an option.
FORBIDDEN = set('/\\:*?"<>|\0')


class FolderEditor:
    """Edits made elsewhere, found by camera and frame."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.name = f"images:{folder}"
        if not self.folder.is_dir():
            raise InputError(
                f"images:{folder}: no such folder, expected edited pictures as <camera>/<frame:06d>.png"
            )

    def estimate(self, request: EditRequest) -> EditEstimate:
        """The pictures' own size. Raises InputError naming the first picture that is missing or of another size."""
        height, width = request.pictures.shape[1:3]
        for name in request.names:
            self._check(name, width, height)
        self._check_count(request)
        return EditEstimate(
            len(request.names), 2 * request.pictures.nbytes, needs=f"the pictures in {self.folder}"
        )

    def edit(self, request: EditRequest, report: Reporter = silent) -> np.ndarray:
        """The pictures of the folder in the request's order, as they are: the mask and strength were theirs."""
        self.estimate(request)
        edited = np.empty_like(request.pictures)
        for index, name in enumerate(tracked(request.names, "reading edited pictures", report)):
            edited[index] = read_image_uint8(self._path(name))
        return edited

    def _path(self, name: PictureName) -> Path:
        return self.folder / relative_path(name)

    def _check(self, name: PictureName, width: int, height: int) -> None:
        path = self._path(name)
        if not path.is_file():
            raise InputError(f"{path}: no such picture; the edit of camera {name.camera}, frame {name.frame}")
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise InputError(f"{path}: is a link that leaves {self.folder}; copy the picture there")
        found = picture_size(path)
        if found != (width, height):
            raise InputError(
                f"{path}: is {found[0]}x{found[1]}, the captured picture is {width}x{height}; edits keep the size"
            )

    def _check_count(self, request: EditRequest) -> None:
        """Frames of the request's own cameras that were never asked for mean that edits and frames shifted."""
        wanted = {relative_path(name) for name in request.names}
        for camera in sorted({name.camera for name in request.names}):
            for path in sorted((self.folder / camera).glob("*.png")):
                if path.relative_to(self.folder) not in wanted:
                    raise InputError(
                        f"{path}: no captured picture is edited under this name; remove it or choose its frame"
                    )


def relative_path(name: PictureName) -> Path:
    """`<camera>/<frame:06d>.png`. Raises InputError for a camera name that is no plain folder name."""
    camera = name.camera
    odd = not camera or camera.startswith((".", "-")) or camera.endswith((".", " "))
    if odd or set(camera) & FORBIDDEN or not camera.isprintable() or len(os.fsencode(camera)) > 100:
        raise InputError(f"camera {camera!r} cannot name a folder; rename it in the capture")
    if name.frame < 0:
        raise InputError(f"frame {name.frame} of camera {camera} is before the first")
    return Path(camera) / f"{name.frame:06d}.png"


def write_exchange(
    folder: str | Path, request: EditRequest, overwrite: bool = False, report: Reporter = silent
) -> Path:
    """Write what an outside tool needs to edit `request`; the folder appears whole or not at all.

    Raises InputError for a folder that is not empty, unless `overwrite`.
    """
    paths = [relative_path(name) for name in request.names]
    with atomic_folder(folder, overwrite) as temporary:
        for index, path in enumerate(tracked(paths, "writing pictures to edit", report)):
            _write(temporary / "images" / path, request.pictures[index])
            mask = request.mask_of(index)
            if mask is not None:
                _write(temporary / "masks" / path, mask)
        facts = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "strength": request.strength,
            "seed": request.seed,
            "height": request.pictures.shape[1],
            "width": request.pictures.shape[2],
            "pictures": [{"camera": name.camera, "frame": name.frame} for name in request.names],
        }
        (temporary / "edit.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return Path(folder)


def _write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, picture)
