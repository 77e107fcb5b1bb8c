"""Folders that people already have: which reader knows one, and its pictures by camera."""

from __future__ import annotations

from pathlib import Path

from emoga.capture import nersemble, rig, transforms
from emoga.capture.calibration import check_convention
from emoga.capture.dataset import Dataset, checked
from emoga.capture.media import Pictures
from emoga.capture.synchronised import synchronised_views

READERS = (
    (rig.is_rig, rig.read_rig),
    (transforms.is_transforms, transforms.read_transforms),
    (nersemble.is_nersemble, nersemble.read_nersemble),
)
CAMERA_FILES = (rig.INDEX, transforms.INDEX, nersemble.PARAMETERS)
INDICES = (rig.INDEX, transforms.INDEX, *transforms.SPLITS)


def dataset_folder(path: Path) -> Path:
    """The folder itself, or that of an index which was named in its place."""
    return path.parent if path.name in INDICES and path.is_file() else path


def open_dataset(path: str | Path, fps: float = 25.0, convention: str | None = None) -> Dataset | None:
    """The dataset in a folder, checked; None when it is none of those that emoga knows.

    convention: one of CONVENTIONS, read the matrices so whatever the layout says. fps: of layouts that do not know.
    Raises InputError for a damaged one.
    """
    folder = dataset_folder(Path(path))
    if convention is not None:
        check_convention(convention)
    if not folder.is_dir():
        return None
    for knows, read in READERS:
        if knows(folder):
            return checked(read(folder, fps, convention), trusted=convention is not None)
    return None


def dataset_pictures(path: Path) -> dict[str, Pictures] | None:
    """Pictures by camera name of the dataset folder that a track refers to, None when it is no dataset.

    They do not depend on the convention of the cameras, so it need not be known again.
    """
    if not path.is_dir():
        return None
    for knows, read in READERS:
        if knows(path):
            return {view.camera.name: view.pictures for view in read(path, 25.0, None).views}
    return {view.name: view.pictures for view in synchronised_views(path, 25.0)} or None
