"""Datasets through `track` and `export`: a NeRSemble folder tracks, wrong cameras are named, VHAP folders go round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_folders import change_json, write_nersemble
from flame_shaped import write_flame
from painted import FRAMES, make_track

from emoga.camera import Camera
from emoga.capture import HeldOut, Landmarks, Track, load_track, open_capture, save_landmarks, save_track
from emoga.capture.calibration import from_w2c
from emoga.describe import describe
from emoga.errors import InputError
from emoga.exporting import export
from emoga.head import Head, HeadParams, load_head
from emoga.head.flame import convert_flame
from emoga.head.flame_parts import Supplied
from emoga.images import read_image_uint8, write_png
from emoga.npz import read_npz
from emoga.optimize.metrics_landmarks import project_landmarks
from emoga.tracking import track
from emoga.tracking.calibrated import check_cameras
from emoga.tracking.given import take_over
from emoga.tracking.inputs import open_clip

SERIALS = ("222200040", "220700191", "222200049")
SIZE = 64


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Track:
    found = make_track(tmp_path_factory.mktemp("painted"), views=3, size=SIZE)
    found.cameras = [replace(c, name=name) for c, name in zip(found.cameras, SERIALS, strict=True)]
    return found


@pytest.fixture(scope="module")
def sequence(truth: Track, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A NeRSemble folder of the painted head, its landmarks beside the pictures."""
    pictures = np.stack([[truth.picture(v, t) for t in range(FRAMES)] for v in range(3)])
    folder = write_nersemble(tmp_path_factory.mktemp("nersemble"), truth.cameras, pictures, version=1)
    for view, camera in enumerate(truth.cameras):
        for frame in range(FRAMES):
            place = folder / "timesteps" / f"frame_{frame:05d}" / "alpha_map-73fps" / f"cam_{camera.name}.png"
            write_png(place, truth.masks[view, frame])
    points, _ = project_landmarks(load_head(), truth.params, truth.cameras, "mediapipe478")
    for view, camera in enumerate(truth.cameras):
        file = folder / "landmarks" / f"{camera.name}.npz"
        file.parent.mkdir(exist_ok=True)
        save_landmarks(file, points[view], np.ones(FRAMES, bool), SIZE, SIZE, 25.0)
    return folder


def test_a_nersemble_folder_tracks(sequence: Path, truth: Track, tmp_path: Path) -> None:
    output = tmp_path / "elsewhere" / "track.h5"
    track(sequence, output, preset="fast", overlay=False)
    found = load_track(output)
    assert [camera.name for camera in found.cameras] == list(SERIALS)
    head = load_head()
    apart = head.vertices(found.params) - head.vertices(truth.params)
    assert apart[:, head.regions["face"]].norm(dim=-1).mean() < 1e-3
    for view in range(3):
        np.testing.assert_array_equal(found.picture(view, 3), truth.picture(view, 3))
    assert describe(output).facts["media_found"]


def rewrite(sequence: Path, cameras: list[Camera], convention: str) -> None:
    """Put cameras into the calibration as if it were written in another convention."""

    def change(index: dict) -> None:
        index["world_2_cam"] = {c.name: from_w2c(c.w2c, convention).tolist() for c in cameras}

    change_json(sequence.parent.parent / "camera_params.json", change)


def refusal(sequence: Path, convention: str | None = None) -> str:
    head = load_head().to("cpu", torch.float64)
    with pytest.raises(InputError) as caught:
        clip = open_clip(sequence, None, None, None, (), None, None, convention, lambda event: None)
        check_cameras(clip, head, convention is not None)
    return str(caught.value)


@pytest.fixture
def calibrated(sequence: Path, truth: Track) -> Callable[[], Path]:
    """The folder, its calibration restored afterwards."""
    yield sequence
    rewrite(sequence, truth.cameras, "opencv-w2c")


@pytest.mark.parametrize("convention", ["opencv-c2w", "opengl-w2c", "opengl-c2w"])
def test_the_faces_name_a_wrong_convention(calibrated: Path, truth: Track, convention: str) -> None:
    rewrite(calibrated, truth.cameras, convention)
    message = refusal(calibrated)
    assert convention in message.split("look like ")[1] and "pass --convention" in message
    # Two cameras are too few for the axes alone, so here it is the faces that tell.
    two = [replace(camera) for camera in truth.cameras[:2]]
    rewrite(calibrated, two, convention)
    assert f"look like {convention}: pass --convention {convention}" in refusal(calibrated)
    open_capture(calibrated, convention=convention)


def test_a_wrong_statement_is_named_too(calibrated: Path) -> None:
    assert "they look like opencv-w2c: pass --convention opencv-w2c" in refusal(calibrated, "opengl-w2c")


def test_mirrored_pictures_are_named(calibrated: Path, truth: Track) -> None:
    """Cameras of the mirrored world beside pictures of the true one: the same as pictures flipped."""
    mirror = np.diag([-1.0, 1, 1, 1])
    rewrite(calibrated, [replace(c, w2c=mirror @ c.w2c @ mirror) for c in truth.cameras], "opencv-w2c")
    assert "mirrored left to right" in refusal(calibrated)


def test_another_unit_is_named_with_its_factor(calibrated: Path, truth: Track) -> None:
    far = [
        replace(c, w2c=c.w2c * np.where(np.arange(4) == 3, [[1000]] * 3 + [[1]], 1)) for c in truth.cameras
    ]
    rewrite(calibrated, far, "opencv-w2c")
    assert "about 1000 times as far apart as the faces say in metres" in refusal(calibrated)


def test_cameras_of_another_capture_are_refused(calibrated: Path, truth: Track) -> None:
    names = [camera.name for camera in truth.cameras]
    shuffled = [truth.cameras[i] for i in (2, 0, 1)]
    moved = [replace(c, name=n) for c, n in zip(shuffled, names, strict=True)]
    rewrite(calibrated, moved, "opencv-w2c")
    assert "contradict each other" in refusal(calibrated)


def test_one_camera_upside_down_is_named(calibrated: Path, truth: Track) -> None:
    rewrite(calibrated, truth.cameras[1:2], "opengl-w2c")
    assert "the head stands upside down" in refusal(calibrated)
    clip = open_clip(calibrated, None, None, None, (), None, None, "opencv-w2c", lambda event: None)
    check_cameras(clip, load_head().to("cpu", torch.float64), stated=True)


def assert_same_capture(folder: Path, source: Track) -> None:
    capture = open_capture(folder)
    assert capture.held_out == source.held_out and capture.names == [c.name for c in source.cameras]
    for view, camera in enumerate(source.cameras):
        np.testing.assert_allclose(capture.cameras[view].w2c, camera.w2c, atol=1e-9)
        np.testing.assert_allclose(capture.cameras[view].K, camera.K, atol=1e-9)
        for frame in range(source.frame_count):
            np.testing.assert_array_equal(capture.pictures[view].picture(frame), source.picture(view, frame))
            np.testing.assert_array_equal(capture.mask(view, frame), source.masks[view, frame])


@pytest.mark.parametrize("held_out", [HeldOut((1,), (4,)), HeldOut((), (0, 4)), HeldOut((2,), ()), HeldOut()])
def test_a_vhap_folder_goes_round(truth: Track, held_out: HeldOut, tmp_path: Path) -> None:
    source = replace(truth, held_out=held_out)
    notes: list[str] = []
    export(source, tmp_path / "set", format="vhap", report=lambda e: notes.append(getattr(e, "text", "")))
    assert_same_capture(tmp_path / "set", source)
    assert any("flame_param is left out" in note for note in notes)
    facts = describe(tmp_path / "set")
    assert facts.kind == "VHAP / GaussianAvatars folder" and facts.facts["flame_param"] == 0
    picture = read_image_uint8(tmp_path / "set" / "images" / "00002_01.png", "RGBA")
    np.testing.assert_array_equal(picture[..., 3], source.masks[1, 2])


@pytest.fixture(scope="module")
def flame(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A head of FLAME's shape under assets of its own."""
    folder = tmp_path_factory.mktemp("assets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOGA_ASSETS", str(folder))
        convert_flame(write_flame(folder / "generic_model.pkl"), "flame2020", Supplied(), load_head())
        yield load_head("flame2020")


@pytest.fixture(scope="module")
def flame_track(truth: Track, flame: Head) -> Track:
    """The painted pictures with a turning FLAME head's numbers, which need not be those that made them."""
    generator = torch.Generator().manual_seed(3)
    params = HeadParams.zeros(flame, FRAMES)
    for name in ("shape", "expr", "rotation", "neck", "jaw", "eyes", "translation"):
        value = getattr(params, name)
        setattr(params, name, 0.1 * torch.randn(value.shape, generator=generator))
    params.static_offset = 1e-3 * torch.randn(flame.template.shape, generator=generator)
    return replace(
        truth, head_name=flame.name, head_version=flame.version, head_checksum=flame.checksum, params=params,
        held_out=HeldOut((0,), (3,)),
    )  # fmt: skip


def test_a_flame_track_goes_round_with_its_parameters(flame_track: Track, tmp_path: Path) -> None:
    """Written, and read back as a track: the same pictures, cameras, masks, split and parameters."""
    save_track(flame_track, tmp_path / "track.h5")
    export(tmp_path / "track.h5", tmp_path / "set", format="vhap")
    assert_same_capture(tmp_path / "set", flame_track)
    assert describe(tmp_path / "set").facts["flame_param"] == FRAMES
    track(tmp_path / "set", tmp_path / "again.h5", head="flame2020", as_given=True, overlay=False)
    found = load_track(tmp_path / "again.h5")
    for name in ("shape", "static_offset", "expr", "rotation", "neck", "jaw", "eyes", "translation"):
        torch.testing.assert_close(
            getattr(found.params, name), getattr(flame_track.params, name), rtol=0, atol=1e-6
        )
    assert found.held_out == flame_track.held_out and found.head_checksum == flame_track.head_checksum
    np.testing.assert_array_equal(found.masks, flame_track.masks)
    np.testing.assert_array_equal(found.picture(2, 4), flame_track.picture(2, 4))


def test_flame_parameters_are_written_under_their_names(flame_track: Track, tmp_path: Path) -> None:
    export(flame_track, tmp_path / "set", format="vhap")
    shapes = {
        "expr": (1, 100), "rotation": (1, 3), "neck_pose": (1, 3), "jaw_pose": (1, 3), "eyes_pose": (1, 6),
        "translation": (1, 3), "static_offset": (1, *flame_track.params.static_offset.shape),
    }  # fmt: skip
    for file in ("flame_param/00002.npz", "canonical_flame_param.npz"):
        arrays = read_npz(tmp_path / "set" / file, ("shape", "dynamic_offset", *shapes))
        assert {name: arrays[name].shape for name in shapes} == shapes
        assert arrays["shape"].shape == flame_track.params.shape.shape
    assert arrays["jaw_pose"][0, 0] > 0 and not arrays["expr"].any()


def test_what_is_taken_over_must_be_there_and_fit(truth: Track, flame_track: Track, tmp_path: Path) -> None:
    export(flame_track, tmp_path / "set", format="vhap")
    head = load_head("flame2020").to("cpu", torch.float64)
    part = take_over(tmp_path / "set", head, ("frames:0",), 2, 5, None, lambda event: None)
    torch.testing.assert_close(part.params.neck, flame_track.params.neck[2:5])
    assert part.held_out == HeldOut((), (0,))
    with pytest.raises(InputError, match="mean nothing to the open head"):
        track(tmp_path / "set", tmp_path / "t.h5", as_given=True)
    (tmp_path / "set" / "flame_param" / "00001.npz").unlink()
    with pytest.raises(InputError, match=r"00001\.npz: missing"):
        open_capture(tmp_path / "set")
    export(truth, tmp_path / "open", format="vhap")
    with pytest.raises(InputError, match="brings no flame_param"):
        track(tmp_path / "open", tmp_path / "t.h5", as_given=True)


def test_a_written_folder_tracks_with_its_own_split(truth: Track, tmp_path: Path) -> None:
    source = replace(truth, held_out=HeldOut((1,), (4,)))
    points, _ = project_landmarks(load_head(), truth.params, truth.cameras, "mediapipe478")
    export(source, tmp_path / "set", format="vhap")
    marks = tmp_path / "set" / "landmarks"
    marks.mkdir()
    for view, camera in enumerate(truth.cameras):
        save_landmarks(marks / f"{camera.name}.npz", points[view], np.ones(FRAMES, bool), SIZE, SIZE, 25.0)
    clip = open_clip(tmp_path / "set", None, None, None, (), None, None, None, lambda event: None)
    assert clip.held_out == HeldOut((1,), (4,)) and isinstance(clip.landmarks, Landmarks)
    clip = open_clip(tmp_path / "set", None, None, None, (), 2, 5, None, lambda event: None)
    assert clip.held_out == HeldOut((1,), (2,))
    clip = open_clip(tmp_path / "set", None, None, None, ("views:0",), None, None, None, lambda event: None)
    assert clip.held_out == HeldOut((0,), ())


def test_vhap_is_for_tracks_only(truth: Track, tmp_path: Path) -> None:
    save_track(truth, tmp_path / "track.h5")
    with pytest.raises(InputError, match="is an emoga track file, expected"):
        export(tmp_path / "track.h5", tmp_path / "x.splat")
    with pytest.raises(InputError, match="--format vhap writes a track as it is"):
        export(tmp_path / "track.h5", tmp_path / "x", format="vhap", frame=1)
    with pytest.raises(InputError, match="vhap is a folder"):
        export(tmp_path / "track.h5", "-", format="vhap")
    assert not (tmp_path / "x").exists()
