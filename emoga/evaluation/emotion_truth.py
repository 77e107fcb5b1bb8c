"""What an emotion really looks like: a capture or a track of the performer acting it, matched to a track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from emoga.camera import Camera
from emoga.capture import Capture, Track, load_track, open_capture
from emoga.errors import InputError
from emoga.hdf5 import open_hdf5, read_array
from emoga.head import load_head
from emoga.head.storage import read_params
from emoga.images import to_uint8
from emoga.optimize.metrics import binary_mask
from emoga.optimize.scoring import head_mask

Cell = tuple[int, int]
VERTICES = "truth_vertices.h5"
CAMERA_MOVED = 1e-3  # of a w2c's entries: more is another camera


@dataclass
class Truth:
    """Pictures of an acted emotion by (view, frame) of a track, and what is known of the face in them.

    vertices, neutral [V,3] metres and units, neutral_units [E] by frame of the track: under the emotion and in the
    same speech without it; empty where nobody knows. noise: standard deviation in 0..1 of the noisiest source's
    pictures, NaN where none says.
    """

    vertices: dict[int, np.ndarray] = field(default_factory=dict)
    neutral: dict[int, np.ndarray] = field(default_factory=dict)
    units: dict[int, np.ndarray] = field(default_factory=dict)
    neutral_units: dict[int, np.ndarray] = field(default_factory=dict)
    noise: float = float("nan")
    _cells: dict[Cell, tuple[Capture | Track, int, int]] = field(default_factory=dict)

    @property
    def cells(self) -> list[Cell]:
        """Every (view, frame) there is a picture of, frame by frame."""
        return sorted(self._cells, key=lambda cell: (cell[1], cell[0]))

    def picture(self, cell: Cell) -> np.ndarray:
        """uint8 [H,W,3]."""
        source, view, frame = self._cells[cell]
        return to_uint8(source.image(view, frame))

    def mask(self, cell: Cell) -> np.ndarray:
        """Head mask bool [H,W]; the whole picture where there is none."""
        source, view, frame = self._cells[cell]
        if isinstance(source, Track):
            return head_mask(source, view, frame)
        mask = source.head_mask(view, frame)
        mask = source.mask(view, frame) if mask is None else mask
        return np.ones(self.picture(cell).shape[:2], bool) if mask is None else binary_mask(mask)


def read_truth(
    sources: Sequence[Capture | Track | str | Path], track: Track, neutral: str | Path | None = None
) -> Truth:
    """Match captures or tracks of an emotion with a track: cameras by name, frames by the performance's own count.

    A studio capture that holds some frames says which; any other holds all. neutral: the studio capture of the
    same speech without the emotion, default the one the track was made from. Raises InputError when nothing fits.
    """
    truth, base = Truth(), _capture_of(track, neutral)
    count = load_head(track.head_name).template.shape[0]
    numbers = {int(_numbers(base)[at]) if base else int(at): t for t, at in enumerate(track.frames)}
    if base is not None:
        _add_face(base, numbers, count, truth.neutral, truth.neutral_units)
    for source in sources:
        record = _open(source)
        name = source if isinstance(source, str | Path) else "truth"
        frames = _numbers(record)
        matched = {at: numbers[int(frame)] for at, frame in enumerate(frames) if int(frame) in numbers}
        views = _match_cameras(name, record.cameras or [], track.cameras)
        if not matched or not views:
            raise InputError(
                f"{name}: shares no camera and frame with the track; cameras are matched by name, frames by number"
            )
        for at, frame in matched.items():
            for theirs, view in views.items():
                truth._cells[view, frame] = (record, theirs, at)
        _add_face(record, numbers, count, truth.vertices, truth.units)
        truth.noise = float(np.fmax(truth.noise, _noise(record)))
        if isinstance(record, Track) and base is None:
            vertices = _tracked_vertices(track)
            truth.neutral.update((t, vertices[t]) for t in matched.values())
            truth.neutral_units.update((t, track.params.expr[t].numpy()) for t in matched.values())
    return truth


def _open(source: Capture | Track | str | Path) -> Capture | Track:
    if isinstance(source, Capture | Track):
        return source
    path = Path(source)
    record = load_track(path) if path.suffix.lower() == ".h5" else open_capture(path)
    if isinstance(record, Capture) and record.cameras is None:
        raise InputError(f"{path}: knows no cameras; give a capture folder or a track as truth")
    return record


def _capture_of(track: Track, neutral: str | Path | None) -> Capture | None:
    """The studio capture a track was made from, or the one named; None where there is none."""
    if neutral is not None:
        capture = open_capture(neutral)
        if not (capture.path / VERTICES).exists():
            raise InputError(f"{neutral}: is no studio capture; its true face is needed")
        return capture
    folder = track.media[0].parent.parent
    return open_capture(folder) if (folder / VERTICES).is_file() else None


def _numbers(record: Capture | Track) -> np.ndarray:
    """The performance's own number [T] of every frame a capture or a track holds."""
    if isinstance(record, Track):
        return record.frames
    chosen = record.info.get("only_frames")
    if chosen is None:
        return np.arange(record.frame_count)
    listed = isinstance(chosen, list) and all(isinstance(n, int) and 0 <= n < 2**31 for n in chosen)
    if not listed or len(chosen) != record.frame_count:
        raise InputError(
            f"{record.path}: its only_frames do not name the {record.frame_count} frames it holds"
        )
    return np.array(chosen)


def _noise(record: Capture | Track) -> float:
    """Standard deviation of a studio capture's noise, from the floor in dB that it names; NaN where it names none."""
    floors = record.info.get("noise_floor_psnr") if isinstance(record, Capture) else None
    values = floors.values() if isinstance(floors, dict) else ()
    known = [value for value in values if isinstance(value, int | float) and 0 < value < 200]
    return 10 ** (-min(known) / 20) if known else float("nan")


def _match_cameras(name: object, theirs: Sequence[Camera], ours: Sequence[Camera]) -> dict[int, int]:
    """Index of our camera for each of theirs that has the same name. InputError where the two differ."""
    names = {camera.name: view for view, camera in enumerate(ours)}
    matched = {at: names[camera.name] for at, camera in enumerate(theirs) if camera.name in names}
    for at, view in matched.items():
        a, b = theirs[at], ours[view]
        if (a.width, a.height) != (b.width, b.height):
            raise InputError(
                f"{name}: camera {a.name} has {a.width}x{a.height} pictures, the track's {b.width}x{b.height}"
            )
        if np.abs(a.w2c - b.w2c).max() > CAMERA_MOVED:
            raise InputError(f"{name}: camera {a.name} stands elsewhere than the track's of that name")
    return matched


def _add_face(
    record: Capture | Track,
    numbers: dict[int, int],
    vertex_count: int,
    vertices: dict[int, np.ndarray],
    units: dict[int, np.ndarray],
) -> None:
    """Note true vertices and units of the record's frames under the track's frame."""
    frames = _numbers(record)
    if isinstance(record, Track):
        meshes, expr = _tracked_vertices(record), record.params.expr.numpy()
    else:
        if not (record.path / VERTICES).is_file() or record.truth_track is None:
            return
        with open_hdf5(record.path / VERTICES, "truth_vertices") as file:
            meshes = read_array(file, "vertices", (len(frames), None, 3)).astype(np.float64)
        with open_hdf5(record.truth_track, "track") as file:
            expr = read_params(file, "params").expr.numpy()
    if len(expr) != len(frames) or meshes.shape[1] != vertex_count:
        raise InputError(
            f"{getattr(record, 'path', 'truth')}: its true face has {len(expr)} frames and {meshes.shape[1]} vertices, "
            f"needed are {len(frames)} and {vertex_count}"
        )
    for at, number in enumerate(frames):
        if int(number) in numbers:
            vertices[numbers[int(number)]], units[numbers[int(number)]] = meshes[at], expr[at]


def _tracked_vertices(track: Track) -> np.ndarray:
    with torch.no_grad():
        return load_head(track.head_name).vertices(track.params).double().numpy()
