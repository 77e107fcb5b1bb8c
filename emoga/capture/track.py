"""The track: one head's parameters and cameras per frame, with masks, landmarks and quality. `track.h5`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from emoga.camera import Camera
from emoga.capture.datasets import dataset_pictures
from emoga.capture.held_out import HeldOut, parse_hold_out
from emoga.capture.landmarks import POINT_COUNTS, Landmarks
from emoga.capture.media import Pictures, ScaledPictures, open_pictures
from emoga.errors import InputError
from emoga.files import atomic_output
from emoga.hdf5 import new_hdf5, open_hdf5, read_array, read_json, read_text, write_array, write_text
from emoga.head import HeadParams
from emoga.head.storage import read_head_identity, read_params, write_head_identity, write_params
from emoga.images import from_uint8

MAX_SIDE = 16384
MAX_CAMERAS = 4096
UNLIKE = 3.0  # times the usual photometric error: a picture without the face has fifty


@dataclass
class Track:
    """What `emoga track` found, for C cameras and T frames.

    media: per camera the video, folder, picture or dataset that has it; frames [T]: index of each tracked frame in it.
    masks, head_masks: uint8 alpha [C,T,H,W]; lighting [9,3] spherical harmonics; texture [h,w,3] sRGB;
    quality: named figures, each [T] or [C,T]; downscaled: the pictures were made smaller to the size of the cameras;
    held_out: what trains nothing; which frames are faceless follows from landmarks and quality; opened: pictures of
    cameras that are open already.
    """

    head_name: str
    head_version: str
    head_checksum: str
    params: HeadParams
    cameras: list[Camera]
    media: list[Path]
    frames: np.ndarray
    fps: float
    masks: np.ndarray | None = None
    head_masks: np.ndarray | None = None
    landmarks: Landmarks | None = None
    lighting: np.ndarray | None = None
    texture: np.ndarray | None = None
    quality: dict[str, np.ndarray] = field(default_factory=dict)
    held_out: HeldOut = field(default_factory=HeldOut)
    calibrated: bool = True
    downscaled: bool = False
    provenance: dict[str, Any] = field(default_factory=dict)
    opened: dict[int, Pictures] = field(default_factory=dict, repr=False)
    _datasets: dict[Path, dict[str, Pictures] | None] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        faceless = _faceless(self.landmarks, self.quality)
        self.held_out = replace(self.held_out, faceless=faceless)
        if faceless and not self.held_out.training_frames(self.frame_count):
            raise InputError("none of the frames to train on shows a face; hold out fewer")

    def kept_out(self, asked: Sequence[str] | None, fitted: Sequence[str] | None) -> HeldOut:
        """What must not be learnt from: what `asked` names, else all that the track, or a fit by `fitted`, kept out.

        Both as `--hold-out` has them. Raises InputError for unknown forms, or where nothing with a face is left.
        """
        named = (fitted or ()) if asked is None else asked
        held_out = parse_hold_out(named, len(self.cameras), self.frame_count)
        if asked is None:
            held_out = self.held_out.joined(held_out)
        if len(held_out.views) == len(self.cameras) or len(held_out.frames) == self.frame_count:
            raise InputError(
                "track and avatar together hold out everything; say what to keep out with --hold-out"
            )
        return replace(self, held_out=held_out).held_out

    @property
    def frame_count(self) -> int:
        """T."""
        return len(self.frames)

    def picture(self, view: int, frame: int) -> np.ndarray:
        """uint8 [H,W,3] of tracked frame `frame` from camera `view`, at the camera's size."""
        return self.pictures(view).picture(int(self.frames[frame]))

    def pictures(self, view: int) -> Pictures:
        """All pictures of camera `view`, tracked or not. Raises InputError when they changed since."""
        if view not in self.opened:
            pictures = self._open(view)
            camera = self.cameras[view]
            if self.downscaled and _same_shape(pictures, camera):
                pictures = ScaledPictures(pictures, camera.width, camera.height)
            if (pictures.width, pictures.height) != (camera.width, camera.height):
                raise InputError(
                    f"{self.media[view]}: is {pictures.width}x{pictures.height}, "
                    f"the track was made on {camera.width}x{camera.height}"
                )
            if int(self.frames.max()) >= len(pictures):
                raise InputError(
                    f"{self.media[view]}: has {len(pictures)} frames, the track uses {int(self.frames.max()) + 1}"
                )
            self.opened[view] = pictures
        return self.opened[view]

    def _open(self, view: int) -> Pictures:
        """Pictures of a camera out of a dataset folder, which is read once, or from its own video or folder."""
        media, name = self.media[view], self.cameras[view].name
        if media not in self._datasets:
            self._datasets[media] = dataset_pictures(media)
        found = self._datasets[media]
        if found is None:
            return open_pictures(media)
        if name not in found:
            raise InputError(f"{media}: has no camera {name}; it has {', '.join(sorted(found))[:200]}")
        return found[name]

    def image(self, view: int, frame: int) -> np.ndarray:
        """float32 [H,W,3] sRGB in 0..1."""
        return from_uint8(self.picture(view, frame))


def _faceless(landmarks: Landmarks | None, quality: dict[str, np.ndarray]) -> tuple[int, ...]:
    """Frames in which no camera found a face, unless the pictures are about as the track says that they are.

    Faces turned far away are missed by detectors and yet shown.
    """
    if landmarks is None or not landmarks.valid.any():
        return ()
    found = landmarks.valid.any(0)
    lost = ~found
    error = quality.get("photometric")
    if error is not None and error.shape == found.shape:
        lost &= ~(error <= UNLIKE * np.median(error[found]))
    return tuple(np.flatnonzero(lost).tolist())


def _same_shape(pictures: Pictures, camera: Camera) -> bool:
    """Whether the pictures are the camera's made larger, to the pixel."""
    height = pictures.height * camera.width / pictures.width
    return pictures.width > camera.width and abs(height - camera.height) <= 1


def save_track(track: Track, path: str | Path, overwrite: bool = False) -> None:
    """Write `track.h5` atomically; media paths are stored relative to it."""
    with atomic_output(path, overwrite) as temporary, new_hdf5(temporary, "track") as file:
        write_head_identity(file, track.head_name, track.head_version, track.head_checksum)
        write_params(file.create_group("params"), track.params)
        _write_cameras(file, track, Path(path).resolve().parent)
        for name in ("masks", "head_masks"):
            stack = getattr(track, name)
            if stack is not None:
                chunk = (1, 1, *stack.shape[2:])
                file.create_dataset(
                    name, data=stack, chunks=chunk, compression="gzip", compression_opts=3, track_times=False
                )
        if track.landmarks is not None:
            group = file.create_group("landmarks")
            write_text(group, "scheme", track.landmarks.scheme)
            write_array(group, "points", track.landmarks.points)
            write_array(group, "valid", track.landmarks.valid.astype(np.uint8))
        for name in ("lighting", "texture"):
            if getattr(track, name) is not None:
                write_array(file, name, np.asarray(getattr(track, name), np.float32))
        quality = file.create_group("quality")
        for name, values in sorted(track.quality.items()):
            write_array(quality, name, np.asarray(values, np.float32))
        write_array(file, "held_out_views", np.asarray(track.held_out.views, np.int64))
        write_array(file, "held_out_frames", np.asarray(track.held_out.frames, np.int64))
        write_text(file, "provenance", json.dumps(track.provenance))


def load_track(path: str | Path, media_dir: str | Path | None = None) -> Track:
    """Read `track.h5`; `media_dir` says where the media lies now when it was moved.

    Raises InputError when the file is damaged, of another kind, or its media reference is unusable.
    """
    path = Path(path)
    with open_hdf5(path, "track") as file:
        name, version, checksum = read_head_identity(file)
        params = read_params(file, "params")
        frames = read_array(file, "frames", (params.expr.shape[0],), "iu")
        cameras, media = _read_cameras(file, path, media_dir)
        count, size = (len(cameras), len(frames)), (cameras[0].height, cameras[0].width)
        if len(frames) == 0 or frames.min() < 0:
            raise InputError(f"{path}: holds no frames, or negative frame numbers")
        return Track(
            head_name=name,
            head_version=version,
            head_checksum=checksum,
            params=params,
            cameras=cameras,
            media=media,
            frames=frames.astype(np.int64),
            fps=_fps(file),
            masks=read_array(file, "masks", (*count, *size), "u") if "masks" in file else None,
            head_masks=read_array(file, "head_masks", (*count, *size), "u") if "head_masks" in file else None,
            landmarks=_read_landmarks(file, count) if "landmarks" in file else None,
            lighting=read_array(file, "lighting", (9, 3)) if "lighting" in file else None,
            texture=read_array(file, "texture", (None, None, 3)) if "texture" in file else None,
            quality={key: read_array(file["quality"], key, finite=False) for key in file["quality"]},
            held_out=_read_held_out(file, count),
            calibrated=bool(file.attrs.get("calibrated", True)),
            downscaled=bool(file.attrs.get("downscaled", False)),
            provenance=read_json(file, "provenance"),
        )


def _write_cameras(file: h5py.File, track: Track, folder: Path) -> None:
    group = file.create_group("cameras")
    write_array(group, "K", np.stack([camera.K for camera in track.cameras]))
    write_array(group, "w2c", np.stack([camera.w2c for camera in track.cameras]))
    write_array(
        group, "size", np.array([(camera.width, camera.height) for camera in track.cameras], np.int64)
    )
    write_text(group, "names", json.dumps([camera.name for camera in track.cameras]))
    write_text(group, "media", json.dumps([_relative(media, folder) for media in track.media]))
    write_array(file, "frames", track.frames)
    file.attrs["fps"] = float(track.fps)
    file.attrs["calibrated"] = track.calibrated
    file.attrs["downscaled"] = track.downscaled


def _relative(media: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(Path(media).resolve(), folder)).as_posix()
    except ValueError:  # Windows: another drive has no relative path, so only the name can be kept
        return Path(media).name


def _read_cameras(
    file: h5py.File, path: Path, media_dir: str | Path | None
) -> tuple[list[Camera], list[Path]]:
    group = file["cameras"]
    K = read_array(group, "K", (None, 3, 3), max_elements=MAX_CAMERAS * 9)
    count = K.shape[0]
    w2c = read_array(group, "w2c", (count, 4, 4))
    sizes = read_array(group, "size", (count, 2), "iu")
    names, references = json.loads(read_text(group, "names")), json.loads(read_text(group, "media"))
    well_formed = all(isinstance(entry, list) and len(entry) == count for entry in (names, references))
    if not well_formed or not all(isinstance(text, str) for text in names + references):
        raise InputError(f"{path}: camera names or media references are damaged")
    if count == 0 or (sizes < 1).any() or (sizes > MAX_SIDE).any() or (K[:, 0, 0] <= 0).any():
        raise InputError(f"{path}: cameras are missing or have an impossible size or focal length")
    cameras = [Camera(K[i], w2c[i], int(sizes[i, 0]), int(sizes[i, 1]), names[i]) for i in range(count)]
    return cameras, [_locate(path, reference, media_dir) for reference in references]


def _locate(path: Path, reference: str, media_dir: str | Path | None) -> Path:
    if Path(reference).is_absolute():
        raise InputError(f"{path}: refers to media by an absolute path, which is refused")
    if media_dir is None:
        return path.resolve().parent / reference
    moved = Path(media_dir)
    # The longest tail of the old path that exists under the new folder is the media that was moved.
    parts = Path(reference).parts
    for start in range(len(parts)):
        candidate = moved.joinpath(*parts[start:])
        if ".." not in parts[start:] and candidate.exists():
            return candidate
    raise InputError(f"{moved}: does not hold {parts[-1]!r}, which {path} was made from")


def _read_landmarks(file: h5py.File, count: tuple[int, int]) -> Landmarks:
    group = file["landmarks"]
    scheme = read_text(group, "scheme", limit=64)
    if scheme not in POINT_COUNTS:
        raise InputError(f"{file.filename}: unknown landmark scheme {scheme!r}")
    points = read_array(group, "points", (*count, POINT_COUNTS[scheme], 2))
    return Landmarks(points, read_array(group, "valid", count, "u").astype(bool), scheme)


def _read_held_out(file: h5py.File, count: tuple[int, int]) -> HeldOut:
    chosen = []
    for name, limit in (("held_out_views", count[0]), ("held_out_frames", count[1])):
        indices = read_array(file, name, (None,), "iu")
        if len(indices) and not 0 <= indices.min() <= indices.max() < limit:
            raise InputError(f"{file.filename}: {name} names {int(indices.max())} of {limit}")
        chosen.append(tuple(int(index) for index in indices))
    return HeldOut(*chosen)


def _fps(file: h5py.File) -> float:
    fps = float(file.attrs["fps"])
    if not 0 < fps < 10_000:
        raise InputError(f"{file.filename}: frame rate {fps} is impossible")
    return fps
