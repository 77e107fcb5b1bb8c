"""What a track's report says of shaking heads, open lips and hidden places, and pictures too large for the memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emoga.camera import look_at
from emoga.capture import HeldOut, Landmarks, Track, load_track, open_capture, save_landmarks, save_track
from emoga.errors import InputError, QualityError
from emoga.head import Head, HeadParams
from emoga.images import write_png
from emoga.progress import Note
from emoga.tracking.cuts import APART, find_cuts, gaps_between
from emoga.tracking.downscaling import fit_to_memory, memory_needed_mb
from emoga.tracking.inputs import Clip, open_clip
from emoga.tracking.report import closed_mouth_error, jitter, never_seen, require_confidence

SIZE = 96
CAMERA = look_at((0, 0, 0.8), (0, -0.03, -0.03), 0.4, SIZE, SIZE, name="c")


def test_a_steady_pan_is_no_jitter(head: Head) -> None:
    params = HeadParams.zeros(head, 5, torch.float64)
    params.translation[:, 0] = torch.linspace(0, 0.02, 5)
    steady = jitter([CAMERA], head, head.vertices(params))
    assert np.isnan(steady[0, [0, 4]]).all() and steady[0, 1:4].max() < 1e-6
    params.translation[2, 1] += 0.001  # one frame a millimetre off
    shaken = jitter([CAMERA], head, head.vertices(params))
    pixels = 0.001 * CAMERA.K[0, 0] / 0.8
    assert shaken[0, 2] == pytest.approx(2 * pixels, rel=0.25) and shaken[0, 1] == pytest.approx(
        pixels, rel=0.25
    )


def test_lips_count_where_the_detector_closes_them(head: Head) -> None:
    params = HeadParams.zeros(head, 3, torch.float64)
    params.expr[1:, head.unit("jawOpen")] = 0.6
    vertices = head.vertices(params)
    points = CAMERA.project(head.landmarks["mediapipe478"].points(vertices).numpy())[0][None]
    height = float(np.linalg.norm(points[0, 0, 10] - points[0, 0, 152]))
    theirs = points.copy()
    theirs[0, 1, 14] = theirs[0, 1, 13]  # closed, they say, where ours are open
    marks = Landmarks(theirs.astype(np.float32), np.ones((1, 3), bool), "mediapipe478")
    error = closed_mouth_error(track_of(head, params, marks), head, vertices, height)
    assert np.isnan(error[0, 2]) and error[0, 1] > 0.05
    assert np.isnan(error[0, 0]) or error[0, 0] < 0.01


def test_the_back_of_a_head_that_never_turns_is_never_seen(head: Head) -> None:
    params = HeadParams.zeros(head, 2, torch.float64)
    unseen = never_seen(track_of(head, params), head, head.vertices(params))
    assert unseen["scalp"] > 0.4 and unseen.get("nose", 0) < 0.3
    params.rotation[1, 1] = torch.pi  # the second frame shows the back
    turned = never_seen(track_of(head, params), head, head.vertices(params))
    assert turned.get("scalp", 0) < 0.5 * unseen["scalp"]


def test_low_confidence_fails() -> None:
    require_confidence(0.8, 0.8, "t.h5")
    with pytest.raises(QualityError, match=r"mean confidence is 0\.799, below --fail-below 0\.8"):
        require_confidence(0.799, 0.8, "t.h5")


def track_of(head: Head, params: HeadParams, marks: Landmarks | None = None) -> Track:
    frames = np.arange(params.frames)
    return Track(
        head.name, head.version, head.checksum, params, [CAMERA], [Path("c")], frames, 25.0, landmarks=marks,
        held_out=HeldOut(),
    )  # fmt: skip


@pytest.fixture
def large(tmp_path: Path, head: Head) -> tuple[Clip, Path]:
    """Three pictures of 1000x800 with a landmark each."""
    for frame in range(3):
        write_png(
            tmp_path / "large" / f"{frame}.png", np.tile(np.linspace(0, 1, 1000)[None, :, None], (800, 1, 3))
        )
    points = np.full((3, 478, 2), 100.0)
    save_landmarks(tmp_path / "marks.npz", points, np.ones(3, bool), 1000, 800, 25.0)
    clip = open_clip(
        tmp_path / "large", tmp_path / "marks.npz", None, None, (), None, None, None, lambda event: None
    )
    return clip, tmp_path


def test_what_does_not_fit_is_tracked_smaller(head: Head, large: tuple[Clip, Path]) -> None:
    clip, folder = large
    assert fit_to_memory(clip, None, print) is clip and fit_to_memory(clip, 1e6, print) is clip
    notes: list[Note] = []
    free = (memory_needed_mb(3, 800_000) - 4) / 0.7
    small = fit_to_memory(clip, free, notes.append)
    pictures = small.capture.pictures[0]
    assert notes[0].warning and f"tracked at {pictures.width}x{pictures.height}" in notes[0].text
    assert 480 <= pictures.width < 1000 and abs(pictures.height - 0.8 * pictures.width) < 1
    assert memory_needed_mb(3, pictures.width * pictures.height) <= 0.7 * free
    np.testing.assert_allclose(
        small.landmarks.points[0, 0, 0], 100 * np.array([pictures.width, pictures.height]) / [1000, 800]
    )
    assert small.image(0, 2).shape == (pictures.height, pictures.width, 3)
    with pytest.raises(InputError, match="track part of them with --start and --end"):
        fit_to_memory(clip, 100.0, print)
    # A track of it finds its pictures again, at its own size.
    camera = look_at((0, 0, 1), (0, 0, 0), 0.4, pictures.width, pictures.height)
    params = HeadParams.zeros(head, 3, torch.float32)
    track = replace(track_of(head, params), cameras=[camera], media=[folder / "large"], downscaled=True)
    save_track(track, folder / "t.h5")
    assert load_track(folder / "t.h5").picture(0, 1).shape == (pictures.height, pictures.width, 3)
    save_track(replace(track, downscaled=False), folder / "u.h5")
    with pytest.raises(InputError, match="the track was made on"):
        load_track(folder / "u.h5").picture(0, 1)


def test_known_cameras_keep_their_size(large: tuple[Clip, Path]) -> None:
    clip, folder = large
    camera = look_at((0, 0, 1), (0, 0, 0), 0.4, 1000, 800)
    known = replace(clip, capture=replace(open_capture(folder / "large"), cameras=[camera]))
    with pytest.raises(InputError, match="or make them smaller"):
        fit_to_memory(known, 750.0, print)


def test_a_jump_of_the_face_is_a_cut_and_a_gap_is_none() -> None:
    rng = np.random.default_rng(0)
    face = rng.uniform(0, 100, (478, 2))
    shots = np.concatenate(
        [face + [5 * t, 0] for t in range(6)] + [face + [300 + 5 * t, 40] for t in range(6)]
    )
    marks = Landmarks(shots.reshape(1, 12, 478, 2).astype(np.float32), np.ones((1, 12), bool), "mediapipe478")
    assert find_cuts(marks, [0]).tolist() == [6]
    assert gaps_between([2, 5, 6, 9], find_cuts(marks, [0])).tolist() == [3, 1 + APART, 3]
    marks.valid[0, 2:11] = False  # long out of sight: nobody knows whether it moved or was cut
    assert find_cuts(marks, [0]).tolist() == []
    both = Landmarks(
        np.concatenate([marks.points, marks.points[:, :1].repeat(12, 1)]),
        np.ones((2, 12), bool),
        "mediapipe478",
    )
    assert (
        find_cuts(both, [0, 1]).tolist() == []
    )  # the other camera saw no cut: the first one's detector strayed
