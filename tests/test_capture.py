"""Captures, landmarks and tracks: round trips, held-out selections, and refusals."""

import json

import numpy as np
import pytest
import torch

from emoga.camera import look_at
from emoga.capture import (
    HeldOut,
    Landmarks,
    Track,
    load_landmarks,
    load_track,
    open_capture,
    parse_hold_out,
    save_landmarks,
    save_track,
    write_capture_index,
)
from emoga.errors import InputError
from emoga.head import HeadParams
from emoga.images import write_png
from emoga.motion import load_motion, motion_of_track, save_motion

SIZE = 16
FRAMES = 3


@pytest.fixture
def capture_folder(tmp_path):
    folder = tmp_path / "capture"
    cameras = [
        look_at((x, 0, 1), (0, 0, 0), 0.4, SIZE, SIZE, name=f"cam_{i}") for i, x in enumerate((-0.2, 0.2))
    ]
    rng = np.random.default_rng(0)
    for camera in cameras:
        for frame in range(FRAMES):
            name = f"{camera.name}/{frame:06d}.png"
            for kind, shape in (("images", (SIZE, SIZE, 3)), ("masks", (SIZE, SIZE))):
                target = folder / kind / name
                target.parent.mkdir(parents=True, exist_ok=True)
                write_png(target, rng.integers(0, 256, shape, dtype=np.uint8))
        points = rng.uniform(0, SIZE, (FRAMES, 478, 2))
        target = folder / "landmarks" / f"{camera.name}.npz"
        save_landmarks(target, points, np.ones(FRAMES, bool), SIZE, SIZE, 25.0)
    write_capture_index(folder, cameras, FRAMES, 25.0, {"noise_floor": 40.0})
    return folder


def example_track(folder):
    params = HeadParams(
        shape=torch.randn(4),
        static_offset=None,
        expr=torch.rand(FRAMES, 5),
        **{name: torch.randn(FRAMES, 3) for name in ("rotation", "neck", "jaw", "translation")},
        eyes=torch.randn(FRAMES, 6),
    )
    capture = open_capture(folder)
    rng = np.random.default_rng(0)
    return Track(
        head_name="open",
        head_version="1",
        head_checksum="abc",
        params=params,
        cameras=capture.cameras,
        media=[pictures.path for pictures in capture.pictures],
        frames=np.arange(FRAMES),
        fps=25.0,
        masks=rng.integers(0, 256, (2, FRAMES, SIZE, SIZE), dtype=np.uint8),
        landmarks=capture.landmarks(),
        quality={"landmark_error_px": np.array([0.1, np.nan, 0.3], np.float32)},
        held_out=HeldOut((1,), (2,)),
        provenance={"command": "test"},
    )


def test_capture_folder_reads_back(capture_folder):
    capture = open_capture(capture_folder)
    assert (capture.frame_count, capture.names, capture.info["noise_floor"]) == (
        FRAMES,
        ["cam_0", "cam_1"],
        40.0,
    )
    assert capture.image(1, 2).shape == (SIZE, SIZE, 3)
    assert capture.mask(0, 1).shape == (SIZE, SIZE)
    assert capture.head_mask(0, 1) is None
    assert capture.landmarks().points.shape == (2, FRAMES, 478, 2)


def test_what_a_killed_writer_left_is_no_picture(capture_folder):
    before = open_capture(capture_folder).image(0, 0)
    (capture_folder / "images" / "cam_0" / ".000000.x1y2.partial.png").write_bytes(b"")
    capture = open_capture(capture_folder)
    np.testing.assert_array_equal(capture.image(0, 0), before)


@pytest.mark.parametrize(
    ("key", "value"),
    [("frames", 10**9), ("fps", 0), ("cameras", []), ("cameras", "x"), ("frames", None)],
)
def test_damaged_capture_index_is_refused(capture_folder, key, value):
    path = capture_folder / "capture.json"
    index = json.loads(path.read_text())
    index[key] = value
    path.write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"capture\.json|images"):
        open_capture(capture_folder)


@pytest.mark.parametrize("name", ["../evil", "a/b", ".hidden", ""])
def test_camera_names_cannot_leave_the_folder(capture_folder, name):
    path = capture_folder / "capture.json"
    index = json.loads(path.read_text())
    index["cameras"][0]["name"] = name
    path.write_text(json.dumps(index))
    with pytest.raises(InputError, match="names"):
        open_capture(capture_folder)


def test_track_round_trip_is_exact_and_finds_its_media(capture_folder, tmp_path):
    track = example_track(capture_folder)
    path = tmp_path / "tracks" / "s1.track.h5"
    save_track(track, path)
    again = load_track(path)
    for name in ("shape", "expr", "rotation", "neck", "jaw", "eyes", "translation"):
        torch.testing.assert_close(getattr(again.params, name), getattr(track.params, name), rtol=0, atol=0)
    np.testing.assert_array_equal(again.masks, track.masks)
    np.testing.assert_array_equal(again.landmarks.points, track.landmarks.points)
    np.testing.assert_array_equal(again.quality["landmark_error_px"], track.quality["landmark_error_px"])
    assert again.held_out == track.held_out
    np.testing.assert_array_equal(again.picture(1, 2), open_capture(capture_folder).pictures[1].picture(2))


def test_track_stores_no_absolute_path(capture_folder, tmp_path):
    path = tmp_path / "s1.track.h5"
    save_track(example_track(capture_folder), path)
    assert str(tmp_path).encode() not in path.read_bytes()


def test_moved_media_is_found_under_media_dir(capture_folder, tmp_path):
    path = tmp_path / "s1.track.h5"
    save_track(example_track(capture_folder), path)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (capture_folder / "images").rename(moved / "images")
    assert load_track(path, media_dir=moved).picture(0, 0).shape == (SIZE, SIZE, 3)
    with pytest.raises(InputError, match="no such file"):
        load_track(path).picture(0, 0)


def test_motion_round_trip(capture_folder, tmp_path):
    motion = motion_of_track(example_track(capture_folder))
    save_motion(motion, tmp_path / "m.motion.h5")
    again = load_motion(tmp_path / "m.motion.h5")
    assert again.fps == motion.fps
    torch.testing.assert_close(again.params.expr, motion.params.expr, rtol=0, atol=0)


def test_kinds_are_not_confused(capture_folder, tmp_path):
    save_track(example_track(capture_folder), tmp_path / "a.h5")
    with pytest.raises(InputError, match="is an emoga track file, expected an emoga motion file"):
        load_motion(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.zeros((2, 478, 2), np.float32)}, "has 2 frames, the pictures have 3"),
        ({"points": np.full((3, 478, 2), np.nan, np.float32)}, "NaN"),
        ({"points": np.zeros((3, 477, 2), np.float32)}, "are not"),
        ({"valid": np.zeros(3, bool)}, "no frame has a face"),
        ({"valid": np.ones(4, bool)}, "one truth value per frame"),
        ({"width": np.int64(99)}, "made for 99x16"),
        ({"scheme": np.array("dlib5")}, "unknown"),
        ({"scheme": np.array([object()], dtype=object)}, "readable|objects"),
    ],
)
def test_bad_landmarks_are_refused(tmp_path, change, message):
    arrays = {
        "points": np.zeros((3, 478, 2), np.float32),
        "valid": np.ones(3, bool),
        "width": np.int64(SIZE),
        "height": np.int64(SIZE),
        "scheme": np.array("mediapipe478"),
    }
    path = tmp_path / "landmarks.npz"
    np.savez(path, **(arrays | change))
    with pytest.raises(InputError, match=message):
        load_landmarks(path, 3, SIZE, SIZE)


def test_face_height_is_forehead_to_chin():
    points = np.zeros((1, 3, 478, 2), np.float32)
    points[0, :, 152] = [[0, 10], [0, 20], [0, 90]]
    landmarks = Landmarks(points, np.array([[True, True, False]]), "mediapipe478")
    assert landmarks.face_height() == 15


@pytest.mark.parametrize(
    ("specifications", "expected"),
    [
        (["views:3,9"], HeldOut((3, 9), ())),
        (["frames:last:20%"], HeldOut((), (8, 9))),
        (["frames:last:15%"], HeldOut((), (8, 9))),
        (["frames:last:3", "views:0"], HeldOut((0,), (7, 8, 9))),
        (["frames:0-2,5"], HeldOut((), (0, 1, 2, 5))),
        ([], HeldOut()),
    ],
)
def test_hold_out_forms(specifications, expected):
    assert parse_hold_out(specifications, 10, 10) == expected


@pytest.mark.parametrize(
    "text", ["views:10", "frames:last:100%", "frames:x", "cameras:1", "frames:5-2", "views:-1"]
)
def test_hold_out_refusals(text):
    with pytest.raises(InputError, match="--hold-out"):
        parse_hold_out([text], 10, 10)
