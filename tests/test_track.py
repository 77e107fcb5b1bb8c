"""`emoga.track` end to end on small clips of known motion, and everything it must refuse."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import emoga
from emoga.camera import look_at
from emoga.capture import load_track, save_landmarks, write_capture_index
from emoga.errors import InputError, MissingComponent
from emoga.geometry import similarity_align
from emoga.head import Head, HeadParams
from emoga.images import write_png
from emoga.progress import Event, Stage
from emoga.tracking import track

SIZE, FRAMES = 128, 6
CAMERAS = [
    look_at((x, 0, 0.8), (0, -0.03, -0.03), 0.42, SIZE, SIZE, name=f"cam{i}")
    for i, x in enumerate((-0.3, 0.0, 0.3))
]


@pytest.fixture(scope="module")
def truth(head: Head) -> HeadParams:
    """Someone who opens the mouth, blinks once, and turns."""
    params = HeadParams.zeros(head, FRAMES, torch.float64)
    generator = torch.Generator().manual_seed(5)
    params.shape = 0.7 * torch.randn(len(head.shape_names), generator=generator, dtype=torch.float64)
    params.expr[:, head.unit("jawOpen")] = torch.linspace(0, 0.6, FRAMES)
    for side in ("Left", "Right"):
        params.expr[:, head.unit(f"eyeBlink{side}")] = torch.tensor([0, 0, 0.5, 1, 0.5, 0])
    params.rotation[:, 1] = torch.linspace(-0.25, 0.25, FRAMES)
    params.rotation[:, 0] = torch.linspace(0.1, -0.1, FRAMES)
    params.translation[:, 0] = torch.linspace(-0.02, 0.02, FRAMES)
    return params


def write_capture(folder: Path, head: Head, truth: HeadParams, views: list[int]) -> Path:
    """A capture whose pictures are grey discs: only landmarks and masks carry the head."""
    points = head.landmarks["mediapipe478"].points(head.vertices(truth)).numpy()
    rows, columns = np.mgrid[:SIZE, :SIZE]
    disc = np.hypot(rows - 64, columns - 64) < 45
    cameras = [CAMERAS[view] for view in views]
    for camera in cameras:
        for frame in range(FRAMES):
            write_png(
                folder / "images" / camera.name / f"{frame:06d}.png",
                np.where(disc, 0.6, 0.1)[..., None].repeat(3, 2),
            )
            write_png(folder / "masks" / camera.name / f"{frame:06d}.png", disc.astype(float))
        marks = camera.project(points)[0]
        file = folder / "landmarks" / f"{camera.name}.npz"
        save_landmarks(file, marks, np.ones(FRAMES, bool), SIZE, SIZE, 25.0)
    write_capture_index(folder, cameras, FRAMES, 25.0, {})
    return folder


@pytest.fixture(scope="module")
def rig(tmp_path_factory, head, truth) -> Path:
    return write_capture(tmp_path_factory.mktemp("rig"), head, truth, [0, 1, 2])


@pytest.fixture(scope="module")
def rig_track(rig, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "rig.h5"
    return track(rig, output, preset="fast", overlay=False), output


@pytest.fixture(scope="module")
def video(rig) -> tuple[Path, Path]:
    """Pictures and landmarks of one camera nobody calibrated."""
    return rig / "images" / "cam1", rig / "landmarks" / "cam1.npz"


def face_distance_mm(head: Head, found: HeadParams, truth: HeadParams, aligned: bool) -> float:
    face = head.regions["face"]
    a, b = head.vertices(found.to(dtype=torch.float64))[:, face], head.vertices(truth)[:, face]
    if aligned:
        moved = []
        for source, target in zip(a, b, strict=True):
            scale, turn, shift = similarity_align(source, target)
            moved.append(scale * source @ turn.T + shift)
        a = torch.stack(moved)
    return float((a - b).norm(dim=-1).mean() * 1e3)


def assert_same_arrays(a, b) -> None:
    for name in ("shape", "static_offset", "expr", "rotation", "neck", "jaw", "eyes", "translation"):
        assert torch.equal(getattr(a.params, name), getattr(b.params, name)), name
    for camera, other in zip(a.cameras, b.cameras, strict=True):
        np.testing.assert_array_equal(camera.K, other.K)
        np.testing.assert_array_equal(camera.w2c, other.w2c)


def test_multi_view_track_finds_the_true_head(head, truth, rig_track):
    found, _ = rig_track
    assert face_distance_mm(head, found.params, truth, aligned=False) < 0.8
    jaw = head.unit("jawOpen")
    np.testing.assert_allclose(found.params.expr[:, jaw], truth.expr[:, jaw], atol=0.12)
    blink = found.params.expr[:, head.unit("eyeBlinkLeft")]
    assert blink[3] > 0.85 and blink[0] < 0.15
    assert found.params.expr.min() >= 0 and found.params.expr.max() <= 1
    assert found.provenance["landmarks"]["mean_relative"] < 0.006


def test_track_file_holds_what_track_returned(rig_track, rig):
    found, output = rig_track
    loaded = load_track(output)
    assert_same_arrays(found, loaded)
    assert loaded.calibrated and loaded.head_masks.shape == (3, FRAMES, SIZE, SIZE)
    assert loaded.masks[1, 3, 64, 64] == 255 and loaded.masks[1, 3, 2, 2] == 0
    assert (loaded.head_masks <= loaded.masks).all()
    assert set(loaded.quality) >= {"landmark_error_px", "confidence"}
    assert not output.with_name("rig.checkpoint.h5").exists()


def test_single_video_is_tracked_up_to_scale(head, truth, video, tmp_path):
    found = track(video[0], tmp_path / "one.h5", landmarks=video[1], preset="fast", overlay=True)
    assert not found.calibrated
    assert face_distance_mm(head, found.params, truth, aligned=True) < 2.0
    mean = HeadParams.zeros(head, FRAMES, torch.float64)
    assert face_distance_mm(head, found.params, truth, aligned=True) < 0.6 * face_distance_mm(
        head, mean, truth, aligned=True
    )
    focal = found.provenance["focal"]
    assert focal["pixels"] == found.cameras[0].K[0, 0] and 0.01 < focal["relative_uncertainty"] < 0.4
    # The camera sees the head it tracked where the landmarks are.
    assert found.provenance["landmarks"]["mean_relative"] < 0.012
    # No depth is invented from the size of the face: the true head stays at one distance.
    assert float(found.params.translation[:, 2].std()) < 0.01
    assert (tmp_path / "one.overlay.mp4").stat().st_size > 1000
    assert (tmp_path / "one.quality.png").stat().st_size > 1000


def test_fov_is_taken_when_given(video, tmp_path):
    found = track(video[0], tmp_path / "t.h5", landmarks=video[1], preset="fast", overlay=False, fov=24.0)
    assert np.degrees(found.cameras[0].fov_y) == pytest.approx(24.0)


def test_held_out_views_are_never_looked_at(rig, rig_track, tmp_path):
    """Wild landmarks in a held-out view change nothing."""
    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    for camera in CAMERAS:
        with np.load(rig / "landmarks" / f"{camera.name}.npz") as file:
            points = file["points"].copy()
        if camera.name == "cam2":
            points += 17.0
        save_landmarks(spoilt / f"{camera.name}.npz", points, np.ones(FRAMES, bool), SIZE, SIZE, 25.0)
    tracks = [
        track(rig, tmp_path / f"{n}.h5", landmarks=marks, hold_out=["views:2"], preset="fast", overlay=False)
        for n, marks in enumerate((None, spoilt))
    ]
    assert_same_arrays(*tracks)
    assert tracks[0].held_out.views == (2,)


def test_held_out_frames_do_not_shape_the_head(rig, tmp_path):
    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    for camera in CAMERAS:
        with np.load(rig / "landmarks" / f"{camera.name}.npz") as file:
            points = file["points"].copy()
        points[-1] = (points[-1] - 64) * 1.1 + 64
        save_landmarks(spoilt / f"{camera.name}.npz", points, np.ones(FRAMES, bool), SIZE, SIZE, 25.0)
    one, two = (
        track(
            rig, tmp_path / f"{n}.h5", landmarks=m, hold_out=["frames:last:1"], preset="fast", overlay=False
        )
        for n, m in enumerate((None, spoilt))
    )
    assert torch.equal(one.params.shape, two.params.shape)
    assert torch.equal(one.params.static_offset, two.params.static_offset)
    assert not torch.equal(one.params.translation[-1], two.params.translation[-1])


def test_frames_without_a_face_are_bridged(video, truth, head, tmp_path):
    with np.load(video[1]) as file:
        points = file["points"].copy()
    valid = np.ones(FRAMES, bool)
    valid[2] = False
    marks = tmp_path / "gap.npz"
    save_landmarks(marks, np.where(valid[:, None, None], points, np.nan), valid, SIZE, SIZE, 25.0)
    found = track(video[0], tmp_path / "t.h5", landmarks=marks, preset="fast", overlay=False)
    between = 0.5 * (found.params.rotation[1] + found.params.rotation[3])
    torch.testing.assert_close(found.params.rotation[2], between, atol=0.06, rtol=0)
    assert found.quality["confidence"][2] == 0 and found.quality["confidence"][1] > 0.5


def test_one_picture_is_enough(video, tmp_path):
    picture = video[0] / "000003.png"
    with np.load(video[1]) as file:
        save_landmarks(tmp_path / "one.npz", file["points"][3:4], np.ones(1, bool), SIZE, SIZE, 0.0)
    found = track(picture, tmp_path / "t.h5", landmarks=tmp_path / "one.npz", preset="fast", overlay=False)
    assert found.frame_count == 1
    assert found.provenance["landmarks"]["mean_relative"] < 0.012


def test_start_and_end_choose_frames(rig, tmp_path):
    found = track(rig, tmp_path / "t.h5", preset="fast", overlay=False, start=2, end=4)
    assert found.frames.tolist() == [2, 3]
    with pytest.raises(InputError, match="no part"):
        track(rig, tmp_path / "u.h5", start=4, end=99)


class Stop(Exception):
    pass


def test_a_stopped_track_resumes_to_the_same_arrays(rig, rig_track, tmp_path):
    def stop_at_motion(event: Event) -> None:
        if isinstance(event, Stage) and event.name == "pose and expression":
            raise Stop

    output = tmp_path / "rig.h5"
    with pytest.raises(Stop):
        track(rig, output, preset="fast", overlay=False, report=stop_at_motion)
    assert not output.exists() and (tmp_path / "rig.checkpoint.h5").exists()
    with pytest.raises(InputError, match="other inputs"):
        track(rig, output, preset="fast", overlay=False, resume=True, hold_out=["views:0"])
    seen: list[str] = []
    resumed = track(
        rig, output, preset="fast", overlay=False, resume=True,
        report=lambda event: seen.append(event.name) if isinstance(event, Stage) else None,
    )  # fmt: skip
    assert "shape from key frames" not in seen
    assert_same_arrays(resumed, rig_track[0])


@pytest.mark.skipif(importlib.util.find_spec("mediapipe") is not None, reason="MediaPipe is installed")
def test_a_model_of_a_detector_that_is_not_installed_is_a_missing_component(video, tmp_path):
    (tmp_path / "face.task").write_bytes(b"x")
    with pytest.raises(MissingComponent, match=r"emoga\[track\]"):
        track(video[0], tmp_path / "t.h5", landmark_model=tmp_path / "face.task")


def test_unusable_inputs_are_refused_in_one_line(video, rig, tmp_path):
    with np.load(video[1]) as file:
        points = file["points"].copy()
    short = tmp_path / "short.npz"
    save_landmarks(short, points[:4], np.ones(4, bool), SIZE, SIZE, 25.0)
    empty = tmp_path / "empty.npz"
    save_landmarks(empty, points, np.zeros(FRAMES, bool), SIZE, SIZE, 25.0)
    output = tmp_path / "t.h5"
    for arguments, words in (
        ({"landmarks": short}, "must match"),
        ({"landmarks": empty}, "no frame has a face"),
        ({"landmarks": video[1], "preset": "slow"}, "known: fast"),
        ({"landmarks": video[1], "head": "bust"}, "known heads"),
        ({"landmarks": video[1], "masks": tmp_path / "nowhere"}, "no such folder"),
        ({"landmarks": video[1], "hold_out": ["frames:7"]}, "out of range"),
    ):
        with pytest.raises(InputError, match=words) as failure:
            track(video[0], output, **arguments)
        assert "\n" not in str(failure.value)
        assert not output.exists()
    with pytest.raises(InputError, match="folder of <camera>"):
        track(rig, output, landmarks=video[1])


def test_an_existing_output_is_left_alone(video, tmp_path):
    output = tmp_path / "t.h5"
    output.write_bytes(b"precious")
    with pytest.raises(InputError, match="overwrite"):
        track(video[0], output, landmarks=video[1])
    assert output.read_bytes() == b"precious"


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mono_a", "mono_b", "still_d"])
def test_real_footage_is_tracked_within_the_bar(name, tmp_path):
    folder = os.environ.get("EMOGA_REAL")
    if not folder:
        pytest.skip("set EMOGA_REAL to the folder of real footage")
    source, marks = Path(folder) / name / "video.mp4", Path(folder) / name / "landmarks.npz"
    if name == "still_d":
        source, marks = Path(folder) / "still_d.jpg", Path(folder) / "still_d.landmarks.npz"
    found = emoga.track(source, tmp_path / "t.h5", landmarks=marks, overlay=False)
    assert found.provenance["landmarks"]["mean_relative"] <= 0.012
    assert 0.02 < (found.head_masks > 127).mean() < 0.6
