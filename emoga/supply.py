"""Take in what a user supplies: find out what it is, check it, convert FLAME, keep the rest as it is."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from emoga.assets import Asset, find_asset, keep_asset, list_asset, list_assets, remove_asset
from emoga.errors import InputError
from emoga.evaluation.networks import ARCFACE, ROLES
from emoga.evaluation.perceptual import BACKBONE
from emoga.evaluation.preparation import read_preparation
from emoga.files import atomic_output, data_dir
from emoga.guidance.checkpoint import examine
from emoga.guidance.families import FAMILIES
from emoga.head import load_head
from emoga.head.flame import convert_flame, flame_path
from emoga.head.flame_file import NAMES, is_masks, read_landmark_file, read_masks, read_uv
from emoga.head.flame_parts import Supplied
from emoga.optimize.vgg import FILES
from emoga.pickles import read_pickle

BACKBONES = {BACKBONE, *(name for names in FILES.values() for name in names)}
# What an ONNX file is cannot be seen in it; names are what their publishers give them.
ARCFACE_NAMES = ("arcface", "w600k", "glint360k", "webface", "adaface")
MASKS, UV = "flame-masks", "flame-uv"
LANDMARKS = ("flame-ibug68", "flame-mediapipe478")
KINDS = (*NAMES, MASKS, *LANDMARKS, UV, "landmarker", ARCFACE, "backbone", *FAMILIES)
MAX_TASK_ENTRIES = 1000
LEAST_NETWORK = 1000  # bytes


def add_asset(source: str | Path, kind: str | None = None) -> Asset:
    """Keep a file or folder for emoga to find; FLAME models are converted at once, by what else is there.

    kind: one of KINDS, else found out from content and name. Raises InputError when that is not possible or
    the file is not usable as such.
    """
    source = Path(source)
    if not source.exists():
        raise InputError(f"{source}: no such file or folder; name the one to add")
    if kind is not None and kind not in KINDS:
        raise InputError(f"unknown kind of asset {kind!r}; known: {', '.join(KINDS)}")
    kind = kind or detect(source)
    if kind in FAMILIES:
        examine(source, FAMILIES[kind])
        return keep_asset(kind, kind, source, f"weights/{kind}")
    if source.is_dir():
        raise InputError(f"{source}: is a folder, expected a file for {kind}")
    if kind in NAMES:
        return _add_flame(source, kind)
    if kind in (MASKS, UV, *LANDMARKS):
        return _add_flame_part(source, kind)
    _check(source, kind)
    if kind == "backbone":
        return keep_asset(source.name, kind, source, f"weights/{source.name}")
    if kind != ARCFACE:
        return keep_asset(kind, kind, source)
    read_preparation(source, ROLES[ARCFACE])
    asset = keep_asset(kind, kind, source)
    _keep_preparation(source, asset)
    return asset


def _keep_preparation(source: Path, asset: Asset) -> None:
    """Keep the file beside a network that says how pictures are prepared; without one no former one may stay."""
    beside, kept = source.with_suffix(".json"), asset.location.with_suffix(".json")
    if not beside.is_file():
        kept.unlink(missing_ok=True)
        return
    with atomic_output(kept, overwrite=True) as temporary:
        shutil.copyfile(beside, temporary)


def detect(source: Path) -> str:
    """What a file is, one of KINDS. Raises InputError when it could be anything, naming `--as`."""
    if source.is_dir():
        return _folder(source)
    name = source.name.lower()
    if source.suffix == ".task":
        return "landmarker"
    if source.suffix == ".onnx":
        found = ARCFACE if any(word in name for word in ARCFACE_NAMES) else None
    elif source.suffix == ".obj":
        found = UV
    elif source.name in BACKBONES:
        found = "backbone"
    else:
        found = _flame_kind(source, name)
    if found is None:
        raise InputError(f"{source}: cannot tell what this is; say it with --as KIND: {', '.join(KINDS)}")
    return found


def _folder(source: Path) -> str:
    found = examine(source, None)
    for name, family in FAMILIES.items():
        if found.class_name in family.classes or name == source.name:
            return name
    raise InputError(
        f"{source}: holds a {found.class_name}; say which editor with --as: {', '.join(FAMILIES)}"
    )


def _flame_kind(source: Path, name: str) -> str | None:
    """Which of FLAME's files this is; models by their downloads' names, since versions differ in values only."""
    if source.suffix in (".npy", ".npz") and "landmark" in name:
        return LANDMARKS["mediapipe" in name]
    if source.suffix not in (".pkl", ".npz"):
        return None
    if source.suffix == ".pkl":
        found = read_pickle(source, what="a FLAME file")
        if is_masks(found):
            return MASKS
        if isinstance(found, dict) and "lmk_face_idx" in found:
            return LANDMARKS[0]
    if "2023" in name:
        return None if "no_jaw" in name else "flame2023-open" if "open" in name else "flame2023"
    return "flame2020" if "2020" in name or name == "generic_model.pkl" else None


def _add_flame(source: Path, name: str) -> Asset:
    convert_flame(source, name, supplied_parts(), load_head())
    folder = flame_path(name).parent
    # The model as it came stays beside it, to be converted anew when masks or landmarks come later.
    original = folder / f"original{source.suffix}"
    with atomic_output(original, overwrite=True) as temporary:
        shutil.copyfile(source, temporary)
    return list_asset(name, "head", source, folder.relative_to(data_dir()).as_posix())


def _add_flame_part(source: Path, kind: str) -> Asset:
    found = {MASKS: read_masks, UV: read_uv}.get(kind, read_landmark_file)(source)
    if kind in LANDMARKS and str(found["scheme"]) != kind.removeprefix("flame-"):
        raise InputError(f"{source}: holds {found['scheme']} landmarks; add it without --as")
    asset = keep_asset(kind, "flame-part", source, f"heads/parts/{kind}{source.suffix}")
    _convert_again()
    return asset


def drop_asset(name: str) -> Asset:
    """Delete an asset; FLAME heads that were converted with it are converted without it."""
    asset = remove_asset(name)
    if asset.kind == "flame-part":
        _convert_again()
    return asset


def _convert_again() -> None:
    for head in (asset for asset in list_assets() if asset.kind == "head"):
        for original in head.location.glob("original.*"):
            convert_flame(original, head.name, supplied_parts(), load_head())


def supplied_parts() -> Supplied:
    """FLAME's masks, landmarks and texture layout as far as the user added them."""
    masks, uv = find_asset(MASKS), find_asset(UV)
    landmarks = [asset for asset in map(find_asset, LANDMARKS) if asset is not None]
    return Supplied(
        read_masks(masks.location) if masks else {},
        [read_landmark_file(asset.location) for asset in landmarks],
        read_uv(uv.location) if uv else None,
    )


def _begins(source: Path, words: bytes) -> bool:
    with open(source, "rb") as stream:
        return stream.read(len(words)) == words


def _check(source: Path, kind: str) -> None:
    """Look whether a file can be what it is said to be, without loading it."""
    if kind == "landmarker":
        try:
            with zipfile.ZipFile(source) as archive:
                names = archive.namelist()[:MAX_TASK_ENTRIES]
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise InputError(f"{source}: not a MediaPipe task; expected face_landmarker.task") from error
        if not any("landmark" in name and name.endswith(".tflite") for name in names):
            raise InputError(f"{source}: holds no landmark network; expected face_landmarker.task")
    elif source.stat().st_size < LEAST_NETWORK or _begins(source, b"version https://"):
        raise InputError(f"{source}: {source.stat().st_size} bytes hold no network; download it again")
