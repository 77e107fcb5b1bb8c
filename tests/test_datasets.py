"""Folders of other programs: every layout read as the same cameras, pictures and masks; bad ones refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_folders import (
    FRAMES,
    SIZE,
    arc,
    change_json,
    nersemble_parameters,
    noise,
    write_json,
    write_nerfstudio,
    write_nersemble,
    write_rig,
)

from emoga.capture import CONVENTIONS, HeldOut, open_capture
from emoga.capture.calibration import from_w2c, meeting, reread, world_to_camera
from emoga.capture.colours import polynomial_correction
from emoga.describe import describe
from emoga.errors import InputError
from emoga.images import write_png
from emoga.video import VideoWriter

CAMERAS = arc()
PICTURES = noise(CAMERAS)


def write(layout: str, folder: Path) -> Path:
    """One of the layouts; returns what a user would name."""
    if layout == "nerfstudio":
        return write_nerfstudio(folder, CAMERAS, PICTURES)
    if layout == "rig":
        return write_rig(folder, CAMERAS, PICTURES)
    return write_nersemble(folder, CAMERAS, PICTURES, version=int(layout[-1]))


def index_of(layout: str, source: Path) -> Path:
    places = {
        "nerfstudio": source / "transforms.json",
        "rig": source / "cameras.json",
        "nersemble1": source.parent.parent / "camera_params.json",
        "nersemble2": source.parent.parent / "calibration" / "camera_params.json",
    }
    return places[layout]


DAMAGES = 40
LAYOUTS = ["nerfstudio", "rig", "nersemble1", "nersemble2"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_holds_the_same_capture(layout: str, tmp_path: Path) -> None:
    capture = open_capture(write(layout, tmp_path))
    assert capture.frame_count == FRAMES and len(capture.cameras) == len(CAMERAS)
    for view, camera in enumerate(CAMERAS):
        np.testing.assert_allclose(capture.cameras[view].w2c, camera.w2c, atol=1e-9)
        np.testing.assert_allclose(capture.cameras[view].K, camera.K, atol=1e-9)
        for frame in range(FRAMES):
            np.testing.assert_array_equal(capture.pictures[view].picture(frame), PICTURES[view, frame])
            if layout != "nerfstudio":
                np.testing.assert_array_equal(capture.mask(view, frame), PICTURES[view, frame, ..., 0])
    assert describe(capture.path).kind == capture.kind


def test_the_index_may_be_named_itself_and_a_person_with_one_sequence(tmp_path: Path) -> None:
    assert open_capture(write("rig", tmp_path / "a") / "cameras.json").frame_count == FRAMES
    sequence = write("nersemble2", tmp_path / "b")
    person = sequence.parent.parent
    assert open_capture(person).path == sequence
    write_png(person / "sequences" / "EXP-1-head" / "images" / "cam_1_000000.png", PICTURES[0, 0])
    with pytest.raises(InputError, match="has 2 sequences; name one"):
        open_capture(person)


def test_synchronised_videos(tmp_path: Path) -> None:
    for number, camera in enumerate(CAMERAS):
        with VideoWriter(tmp_path / f"{camera.name}.mp4", 30, SIZE, SIZE) as video:
            for _ in range(FRAMES + (number == 2)):
                video.write(np.full((SIZE, SIZE, 3), 60 * number, np.uint8))
    entries = [
        {"name": c.name, "width": SIZE, "height": SIZE, "K": c.K.tolist(), "w2c": c.w2c.tolist()}
        for c in CAMERAS
    ]
    write_json(tmp_path / "cameras.json", {"cameras": entries})
    with pytest.raises(InputError, match="has 4 frames, camera 222200030 3; cut them"):
        open_capture(tmp_path)
    write_json(tmp_path / "cameras.json", {"cameras": entries[:2]})
    capture = open_capture(tmp_path)
    assert capture.fps == 30 and abs(int(capture.pictures[1].picture(2).mean()) - 60) < 6


def test_nersemble_intrinsics_follow_the_pictures_size(tmp_path: Path) -> None:
    sequence = write("nersemble2", tmp_path)
    parameters = nersemble_parameters(CAMERAS)
    parameters["intrinsics"] = [[8000.0, 0, 1604.0], [0, 8000.0, 1604.0], [0, 0, 1]]
    write_json(index_of("nersemble2", sequence), {**parameters, "width": 3208, "height": 3208})
    K = open_capture(sequence).cameras[0].K
    np.testing.assert_allclose(K, [[8000 * SIZE / 3208, 0, 8], [0, 8000 * SIZE / 3208, 8], [0, 0, 1]])
    parameters["intrinsics"] = [[8000.0, 0, 1100.0], [0, 8000.0, 1604.0], [0, 0, 1]]
    write_json(index_of("nersemble2", sequence), parameters)
    with pytest.raises(InputError, match="calibrated at 2200x3208, its pictures are 16x16, another shape"):
        open_capture(sequence)


def test_nersemble_colours_are_corrected(tmp_path: Path) -> None:
    sequence = write("nersemble1", tmp_path)
    folder = sequence.parent.parent / "annotations" / sequence.name / "color_correction"
    folder.mkdir(parents=True)
    matrix = np.array([[0.5, 0.1, 0, 0.2], [0, 0.6, 0, 0.1], [0.05, 0, 0.4, 0], [0, 0, 0, 1]])
    for camera in CAMERAS:
        np.save(folder / f"{camera.name}.npy", matrix)
    rgb = PICTURES[1, 2] / 255
    expected = np.einsum("hwi,ij->hwj", rgb, matrix[:3, :3]) + matrix[:3, 3]
    found = open_capture(sequence).pictures[1].picture(2)
    assert np.abs(found / 255 - np.clip(expected, 0, 1)).max() < 0.51 / 255
    (folder / f"{CAMERAS[2].name}.npy").unlink()
    with pytest.raises(InputError, match=r"222200032\.npy: missing, other cameras have one"):
        open_capture(sequence)
    np.save(folder / f"{CAMERAS[2].name}.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"222200032\.npy: not a small \.npy matrix"):
        open_capture(sequence)


def test_nersemble_as_downloaded_and_as_trackers_unpack_it(tmp_path: Path) -> None:
    """v2: a video per camera, of which only some are there; v1 unpacked: calibration and colours beside the persons."""
    person = tmp_path / "v2" / "018"
    images = person / "sequences" / "FREE" / "images"
    images.mkdir(parents=True)
    write_json(person / "calibration" / "camera_params.json", nersemble_parameters(CAMERAS))
    brighter = {camera.name: (4 * np.eye(3)).tolist() for camera in CAMERAS}
    write_json(person / "calibration" / "color_calibration.json", brighter)
    for camera in CAMERAS[1:]:
        with VideoWriter(images / f"cam_{camera.name}.mp4", 73, SIZE, SIZE) as video:
            for _ in range(2):
                video.write(np.full((SIZE, SIZE, 3), 60, np.uint8))
    capture = open_capture(person)
    assert capture.names == [camera.name for camera in CAMERAS[1:]] and capture.fps == pytest.approx(73)
    four_times_the_light = 118
    assert abs(int(capture.pictures[0].picture(1).mean()) - four_times_the_light) < 9
    old = tmp_path / "v1"
    write_json(old / "camera_params" / "018" / "camera_params.json", nersemble_parameters(CAMERAS))
    for camera, stack in zip(CAMERAS, PICTURES, strict=True):
        for number, picture in enumerate(stack):
            write_png(
                old / "018" / "EXP-2" / "images" / f"cam_{camera.name}" / f"{3 * number:05d}.png", picture
            )
        place = old / "color_correction" / "018" / f"{camera.name}.npy"
        place.parent.mkdir(parents=True, exist_ok=True)
        np.save(place, np.eye(3, 4) + np.eye(3, 4, k=3))
    found = open_capture(old / "018" / "EXP-2").pictures[1].picture(2)
    assert (found[..., 1:] == PICTURES[1, 2, :, :, 1:]).all() and (found[..., 0] == 255).all()


def test_polynomial_colours_work_in_linear_light() -> None:
    grey = np.full((2, 2, 3), 128, np.uint8)
    same = np.eye(3, 11)
    assert (polynomial_correction(same, "x")(grey) == 128).all()
    half = polynomial_correction(0.5 * same, "x")(grey)
    assert (half == 92).all()  # half the light of sRGB 128
    with_one = np.eye(3, 4)
    with_one[0, 3] = 1.0
    assert polynomial_correction(with_one, "x")(grey)[0, 0].tolist() == [255, 128, 128]
    with pytest.raises(InputError, match="6 terms is unknown"):
        polynomial_correction(np.eye(3, 6), "x")


def test_distorted_pictures_are_straightened(tmp_path: Path) -> None:
    plain = open_capture(write_nerfstudio(tmp_path / "a", CAMERAS, PICTURES)).pictures[0].picture(0)
    bent = open_capture(write_nerfstudio(tmp_path / "b", CAMERAS, PICTURES, k1=-0.5)).pictures[0].picture(0)
    assert (plain != bent).any()
    with pytest.raises(InputError, match="undistort to PINHOLE first"):
        open_capture(write_nerfstudio(tmp_path / "c", CAMERAS, PICTURES, camera_model="OPENCV_FISHEYE"))


def vhap(folder: Path, change: Callable[[dict], object] = lambda index: None) -> Path:
    """A folder as others write it: angles in place of focal lengths, names without suffix, every third time."""
    frames = []
    for view, camera in enumerate(CAMERAS):
        for time in range(FRAMES):
            write_png(folder / "images" / f"{time:05d}_{view:02d}.png", PICTURES[view, time])
            frames.append(
                {
                    "timestep_index": 3 * time + 5, "camera_index": view + 1, "camera_angle_x": 0.4,
                    "file_path": f"./images/{time:05d}_{view:02d}",
                    "transform_matrix": from_w2c(camera.w2c, "opengl-c2w").tolist(),
                }
            )  # fmt: skip
    held = [frame for frame in frames if frame["camera_index"] == 2]
    for name, chosen in (("train", [f for f in frames if f not in held]), ("val", held), ("test", held)):
        index = {"camera_angle_x": 1.0, "frames": deepcopy(chosen)}
        change(index)
        write_json(folder / f"transforms_{name}.json", index)
    return folder


def test_vhap_folders_of_others(tmp_path: Path) -> None:
    capture = open_capture(vhap(tmp_path))
    assert capture.names == ["01", "02", "03"] and capture.frame_count == FRAMES
    assert capture.held_out == HeldOut((1,), ()) and capture.mask(0, 0) is None
    np.testing.assert_allclose(capture.cameras[2].K, CAMERAS[2].K)
    np.testing.assert_array_equal(capture.pictures[2].picture(1), PICTURES[2, 1])


def test_vhap_folders_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    def refusal(change: Callable[[dict], object]) -> str:
        with pytest.raises(InputError) as caught:
            open_capture(vhap(tmp_path, change))
        return str(caught.value)

    def only(index: dict, **values: object) -> None:
        if len(index["frames"]) > FRAMES:
            index["frames"][1].update(values)

    def drop(index: dict) -> None:
        if len(index["frames"]) > FRAMES:
            del index["frames"][4]

    moved = from_w2c(CAMERAS[1].w2c, "opengl-c2w").tolist()
    assert "frame 8 of camera 03 is missing; restore it, or drop frame 8 or camera 03" in refusal(drop)
    assert "cameras that stand still" in refusal(lambda index: only(index, transform_matrix=moved))
    assert "camera 1 has timestep 5 twice" in refusal(lambda index: only(index, timestep_index=5))
    assert "has no mask, others of camera 01 have" in refusal(
        lambda index: only(index, fg_mask_path="fg_masks/a.png")
    )
    assert "focal length is unknown" in refusal(
        lambda index: [index.pop("camera_angle_x"), [f.pop("camera_angle_x") for f in index["frames"]]]
    )
    (vhap(tmp_path) / "images" / "00002_01.png").unlink()
    with pytest.raises(InputError, match=r"00002_01\.png: missing .*restore it, or drop"):
        open_capture(tmp_path)


def test_many_cameras_of_one_moment(tmp_path: Path) -> None:
    capture = open_capture(write_nerfstudio(tmp_path, CAMERAS, PICTURES[:, :1]))
    assert (capture.frame_count, len(capture.cameras)) == (1, 3)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_conventions_turn_into_ours_and_back(convention: str) -> None:
    w2c = CAMERAS[0].w2c
    np.testing.assert_allclose(
        world_to_camera(from_w2c(w2c, convention).tolist(), convention, "x"), w2c, atol=1e-12
    )
    np.testing.assert_allclose(
        reread(reread(CAMERAS, "opencv-w2c", convention), convention, "opencv-w2c")[0].w2c, w2c
    )


@pytest.mark.parametrize("layout", ["rig", "nersemble2"])
@pytest.mark.parametrize("wrong", CONVENTIONS[1:])
def test_cameras_that_look_away_are_named(layout: str, wrong: str, tmp_path: Path) -> None:
    source = write(layout, tmp_path)

    def turn(index: dict) -> None:
        for number, camera in enumerate(CAMERAS):
            matrix = from_w2c(camera.w2c, wrong).tolist()
            if layout == "rig":
                index["cameras"][number]["w2c"] = matrix
            else:
                index["world_2_cam"][camera.name] = matrix

    change_json(index_of(layout, source), turn)
    with pytest.raises(InputError, match=f"look like {wrong}: pass --convention {wrong}"):
        open_capture(source)
    np.testing.assert_allclose(
        open_capture(source, convention=wrong).cameras[1].w2c, CAMERAS[1].w2c, atol=1e-9
    )


def test_where_the_axes_meet() -> None:
    assert np.allclose(meeting(CAMERAS).depths, 0.95, atol=0.06)
    parallel = [replace(c, w2c=CAMERAS[0].w2c + np.eye(4, k=3) * i) for i, c in enumerate(CAMERAS)]
    assert meeting(parallel) is None


def nan(index: dict, camera: str, row: int = 0) -> None:
    matrix(index, camera)[row][3] = float("nan")


def matrix(index: dict, camera: str) -> list:
    if "frames" in index:
        return index["frames"][0]["transform_matrix"]
    if "cameras" in index:
        return index["cameras"][0]["w2c"]
    return index["world_2_cam"][camera]


def scale(index: dict, camera: str) -> None:
    for row in matrix(index, camera)[:3]:
        row[0] *= 2


def mirror(index: dict, camera: str) -> None:
    for row in matrix(index, camera)[:3]:
        row[0] *= -1


def flatten(index: dict, camera: str) -> None:
    matrix(index, camera)[0] = matrix(index, camera)[1]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (nan, "holds NaN, infinity"),
        (scale, "scales or shears"),
        (mirror, "mirrored"),
        (flatten, "singular"),
        (lambda index, camera: matrix(index, camera).pop(), "not 4x4 numbers|0 0 0 1"),
    ],
)
def test_impossible_cameras_are_refused(layout: str, damage, message: str, tmp_path: Path) -> None:
    source = write(layout, tmp_path)
    if layout == "nerfstudio":  # or the camera would only differ from its other pictures
        source = write_nerfstudio(tmp_path / "one", CAMERAS, PICTURES[:, :1])
    index = index_of(layout, source)

    def change(value: dict) -> None:
        damage(value, CAMERAS[0].name)

    change_json(index, change)
    if message.startswith("not 4x4"):  # three rows are fine
        assert open_capture(source).frame_count
        return
    with pytest.raises(InputError, match=message):
        open_capture(source)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_picture_is_named(layout: str, tmp_path: Path) -> None:
    source = write(layout, tmp_path)
    victim = sorted(
        p
        for p in source.rglob("*.png")
        if CAMERAS[1].name in str(p) and "mask" not in str(p) and "alpha" not in str(p)
    )[1]
    victim.unlink()
    with pytest.raises(InputError, match=r"missing|cut them"):
        open_capture(source)


def test_sizes_that_differ_are_named(tmp_path: Path) -> None:
    source = write("rig", tmp_path)
    for file in (source / CAMERAS[1].name).iterdir():
        write_png(file, np.zeros((8, SIZE, 3), np.uint8))
    with pytest.raises(
        InputError, match="pictures of camera 222200031 are 16x8, its calibration is for 16x16"
    ):
        open_capture(source)


@pytest.mark.parametrize(
    "reference", ["../../secret.png", "/etc/passwd", "C:\\secret.png", "a/../../b.png", "", 7]
)
def test_references_cannot_leave_the_folder(reference: object, tmp_path: Path) -> None:
    source = write("nerfstudio", tmp_path / "set")
    change_json(source / "transforms.json", lambda index: index["frames"][0].update(file_path=reference))
    with pytest.raises(InputError, match=r"leaves the folder|no file name"):
        open_capture(source)


def test_links_cannot_leave_the_folder(tmp_path: Path) -> None:
    source = write("nerfstudio", tmp_path / "set")
    target = next((source / "images").iterdir())
    outside = tmp_path / "outside.png"
    target.rename(outside)
    try:
        target.symlink_to(outside)
    except OSError:
        pytest.skip("no links here")
    with pytest.raises(InputError, match="is a link that leaves"):
        open_capture(source)


def test_pictures_named_twice_are_refused(tmp_path: Path) -> None:
    source = write("nerfstudio", tmp_path)
    change_json(source / "transforms.json", lambda index: index["frames"].append(index["frames"][0]))
    with pytest.raises(InputError, match=r"frame 9: names 222200030_000\.png, which .* names already"):
        open_capture(source)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_billion_frames_are_refused_at_once(layout: str, tmp_path: Path) -> None:
    """By the length of the file, before anything is parsed; and numbers in it move no memory."""
    source = write(layout, tmp_path)
    index = index_of(layout, source)
    whole = index.read_bytes()
    index.write_bytes(b'{"frames": [' + b"[]," * 5_000_000 + b"[]]}")
    with pytest.raises(InputError, match="more entries than any real index"):
        open_capture(source)
    with open(index, "r+b") as stream:
        stream.truncate(10**9)  # a hole: no disk is used
    with pytest.raises(InputError, match="larger than any real index"):
        open_capture(source)
    index.write_bytes(whole)
    if layout == "nerfstudio":

        def far(value: dict) -> None:
            for place, frame in enumerate(value["frames"]):
                frame.update(timestep_index=10**9 if place else 0, camera_index=place // FRAMES)

        change_json(index, far)
        with pytest.raises(InputError, match="is no number from 0"):
            open_capture(source)

        def sparse(value: dict) -> None:
            for place, frame in enumerate(value["frames"]):
                frame.update(timestep_index=999_999_990 + place)

        change_json(index, sparse)
        with pytest.raises(InputError, match=r"frame 999999990 of camera 01 is missing"):
            open_capture(source)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[" * 100_000, '{"frames": 1000000000, "cameras": 5}', '{"a": 1e999}']
)
def test_an_index_of_another_kind_is_refused(layout: str, text: str, tmp_path: Path) -> None:
    source = write(layout, tmp_path)
    index_of(layout, source).write_text(text)
    with pytest.raises(InputError, match=r"\.json"):
        open_capture(source)


HOSTILE = [
    None, True, -1, 0, 0.5, 1e308, -(10**40), float("nan"), float("inf"), "", "x", "../x", "\0", "images", [], {}, [[]],
    [1] * 16, [[1] * 4] * 4, {"a": {}}, 10**9, "9" * 5000,
]  # fmt: skip


def places(value: object) -> list[tuple[object, object]]:
    """Every container and key in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, part in items:
        found += [(value, key), *places(part)]
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_damaged_indices_are_read_or_refused(layout: str, tmp_path: Path) -> None:
    source = write(layout, tmp_path)
    index, rng = index_of(layout, source), np.random.default_rng(7)
    good = index.read_text()
    for _ in range(DAMAGES):
        value = json.loads(good)
        for _ in range(rng.integers(1, 3)):
            spots = places(value)
            container, key = spots[int(rng.integers(len(spots)))]
            container[key] = deepcopy(HOSTILE[int(rng.integers(len(HOSTILE)))])
        index.write_text(json.dumps(value))
        try:
            capture = open_capture(source)
            assert all(np.isfinite(camera.w2c).all() for camera in capture.cameras)
        except InputError as error:
            assert "\n" not in str(error) and str(tmp_path) in str(error)


def test_a_folder_that_is_nothing_says_what_is_missing(tmp_path: Path) -> None:
    write("nersemble2", tmp_path)
    parameters = tmp_path / "018" / "calibration" / "camera_params.json"
    parameters.unlink()
    with pytest.raises(
        InputError, match=r"no capture\.json, cameras\.json, transforms\.json, camera_params\.json"
    ):
        open_capture(tmp_path / "018" / "sequences" / "EMO-1-shout+laugh")


def test_a_convention_needs_cameras_and_must_be_known(tmp_path: Path) -> None:
    source = write("rig", tmp_path)
    with pytest.raises(InputError, match="unknown; known: opencv-w2c"):
        open_capture(source, convention="directx")
    with pytest.raises(InputError, match="has no cameras"):
        open_capture(source / CAMERAS[0].name, convention="opengl-c2w")
