"""emoga's own face detector: faces found, none invented, gaps followed, the same every time; broken files refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_face import draw_face

import emoga
from emoga.capture import Landmarks, load_track, save_landmarks
from emoga.capture.detector import NoFace, detect_landmarks
from emoga.capture.face_crops import FaceCrop
from emoga.capture.face_details import PARTS
from emoga.capture.face_detector import GLANCES, FaceDetector, Sighting
from emoga.capture.face_network import (
    INPUT,
    WEIGHTS,
    FaceNetwork,
    FaceNetworks,
    folded,
    own_networks,
    read_networks,
)
from emoga.capture.landmarks import CHIN, FOREHEAD
from emoga.capture.media import open_pictures
from emoga.errors import InputError
from emoga.evaluation import evaluate_track
from emoga.head import load_head
from emoga.images import write_png
from emoga.kernels import torch_on_one_thread
from emoga.tracking.trust import MOST_UNUSUAL, POINT_SPREAD, unusual_spread, vagueness
from emoga_cli.main import main

MESH = slice(0, 468)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(own_networks())


def look_at(detector: FaceDetector, picture: np.ndarray) -> Sighting | None:
    (found,) = detector.follow([picture])
    return found


def share_off(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance over the height of the face."""
    height = np.linalg.norm(truth[FOREHEAD] - truth[CHIN])
    return float(np.linalg.norm(found[MESH] - truth[MESH], axis=-1).mean() / height)


@pytest.mark.parametrize(
    "how",
    [{}, {"yaw": 0.5}, {"yaw": -0.4, "jaw": 0.6}, {"at": (0.12, -0.1), "field": 0.62}],
    ids=["frontal", "turned", "open mouth", "small and aside"],
)
def test_a_drawn_face_is_found(detector, how):
    picture, truth = draw_face(**how)
    found = look_at(detector, picture)
    assert found is not None and found.face > 0.5
    assert share_off(found.points, truth) < 0.04
    assert np.isfinite(found.spread).all() and found.spread.min() > 0


@pytest.mark.parametrize("yaw", [0.0, 0.3])
def test_a_dark_upper_lip_is_no_open_mouth(detector, yaw):
    def parted(**how) -> float:
        picture, truth = draw_face(yaw=yaw, **how)
        lips = look_at(detector, picture).points[[13, 14]]
        return float(np.linalg.norm(lips[0] - lips[1]) / np.linalg.norm(truth[FOREHEAD] - truth[CHIN]))

    assert parted(upper_lip=0.5) < 0.018
    assert parted(jaw=0.5) > 0.08


class Centred(torch.nn.Module):
    """Details that place every point in the middle of the patch they are shown, and are sure of it."""

    def of(self, name: str) -> torch.nn.Module:
        self.count = len(PARTS[name].points)
        return self

    def forward(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(patches), self.count, 2), torch.full((len(patches), self.count), -7.0)


def test_where_looks_from_several_places_differ_the_detector_is_less_sure(detector):
    """Each look says its own middle: on the mean they say the first one's, as vaguely as looks lie apart."""
    picture, _ = draw_face()
    with torch_on_one_thread():  # as the detector looks: sums of several threads differ in the last digits
        before = detector._look(picture, FaceCrop.around(detector._search(picture).points)).points
    crop = FaceCrop.around(before)
    networks = FaceNetworks()
    networks.face, networks.details = detector.networks.face, Centred()
    found = look_at(FaceDetector(networks.eval()), picture)
    for part in PARTS.values():
        patch, ids = part.patch(before, crop), list(part.points)
        np.testing.assert_allclose(found.points[ids], np.broadcast_to(patch.centre, (len(ids), 2)), atol=1e-6)
        apart = np.sqrt((GLANCES**2).sum(1).mean() / 2) * patch.side
        stated = np.exp(-7.0) * patch.side / 2
        np.testing.assert_allclose(found.spread[ids], np.hypot(apart, stated), rtol=1e-6)
    assert len(np.unique(GLANCES, axis=0)) > 1


def test_an_untrained_network_stays_outside_the_bound():
    torch.manual_seed(0)
    picture, truth = draw_face()
    crop = FaceCrop.around(truth)
    image = torch.from_numpy(crop.cut(picture, INPUT)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        guess = FaceNetwork().eval()(image).points[0].double().numpy()
    assert share_off(crop.to_picture(guess), truth) > 0.04


def test_the_number_of_threads_changes_nothing(detector):
    picture, _ = draw_face(yaw=0.2)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(look_at(detector, picture))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(found[0].points, found[1].points)
    np.testing.assert_array_equal(found[0].spread, found[1].spread)


def test_a_face_is_followed_lost_and_found_again(detector):
    drawn = [draw_face(at=(x, 0.0), field=0.7) for x in (0.0, 0.03, 0.06)]
    blank = np.full_like(drawn[0][0], 128)
    found = list(detector.follow([drawn[0][0], drawn[1][0], blank, drawn[2][0]]))
    assert found[2] is None
    for sighting, (picture, truth) in zip([found[0], found[1], found[3]], drawn, strict=True):
        assert share_off(sighting.points, truth) < 0.04
        apart = np.linalg.norm(sighting.points - look_at(detector, picture).points, axis=1)
        assert apart.mean() < 0.01 * np.linalg.norm(truth[FOREHEAD] - truth[CHIN])


def test_networks_without_normalisations_say_the_same():
    networks = own_networks()
    crops = torch.rand(2, 3, INPUT, INPUT, generator=torch.Generator().manual_seed(0))
    quick = folded(networks)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in quick.modules())
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in networks.modules())
    with torch.inference_mode():
        one, other = networks.face(crops), quick.face(crops)
        torch.testing.assert_close(other.points, one.points, rtol=0, atol=1e-5)
        torch.testing.assert_close(other.face, one.face, rtol=0, atol=1e-4)
        for name, part in PARTS.items():
            patches = torch.rand(2, 3, part.pixels, part.pixels, generator=torch.Generator().manual_seed(1))
            one, other = networks.details.of(name)(patches)[0], quick.details.of(name)(patches)[0]
            torch.testing.assert_close(other, one, rtol=0, atol=1e-4)


def test_nothing_is_found_where_no_face_is(detector):
    rng = np.random.default_rng(0)
    assert look_at(detector, rng.integers(0, 256, (96, 96, 3)).astype(np.uint8)) is None
    assert look_at(detector, np.full((80, 120, 3), 128, np.uint8)) is None


def test_a_crop_maps_there_and_back_and_shows_the_face_upright():
    _, truth = draw_face()
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    crop = FaceCrop.around(truth @ turn.T)
    assert crop.angle == pytest.approx(angle + FaceCrop.around(truth).angle, abs=1e-9)
    local = crop.from_picture(truth @ turn.T)
    assert np.abs(local[MESH]).max() < 0.8 and local[FOREHEAD, 1] < 0 < local[CHIN, 1]
    assert abs(local[FOREHEAD, 0] - local[CHIN, 0]) < 1e-9
    np.testing.assert_allclose(crop.to_picture(local), truth @ turn.T)


def test_a_cut_crop_shows_what_its_points_say():
    """A white dot at a point of the picture appears at that point of the crop, also when the crop is shrunk."""
    for size in (200, 900):
        picture = np.zeros((size, size, 3), np.uint8)
        picture[size // 2 - 8 : size // 2 + 8, size // 3 - 8 : size // 3 + 8] = 255
        crop = FaceCrop(np.array([0.4 * size, 0.5 * size]), 0.8 * size, 0.4)
        cut = crop.cut(picture, INPUT)[..., 0].astype(float)
        y, x = np.mgrid[:INPUT, :INPUT] + 0.5
        seen = np.array([(cut * x).sum(), (cut * y).sum()]) / cut.sum() / (INPUT / 2) - 1
        np.testing.assert_allclose(seen, crop.from_picture(np.array([size // 3, size // 2])), atol=0.01)


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """A folder of pictures: a face that turns, but for two frames without one; true points [T,478,2]."""
    folder = tmp_path_factory.mktemp("film")
    truth = []
    for frame, yaw in enumerate((-0.2, -0.1, 0.0, 0.1, 0.2, 0.3)):
        picture, points = draw_face(yaw=yaw, size=160)
        if frame in (2, 3):
            picture = np.full_like(picture, 90)
        write_png(folder / f"{frame:06d}.png", picture)
        truth.append(points)
    return folder, np.array(truth)


def test_frames_without_a_face_are_marked_and_the_same_comes_out_again(film):
    folder, truth = film
    found, again = (detect_landmarks([open_pictures(folder)], np.arange(6), None) for _ in range(2))
    assert found.valid[0].tolist() == [True, True, False, False, True, True]
    for frame in (0, 1, 4, 5):
        assert share_off(found.points[0, frame], truth[frame]) < 0.04
    assert not found.points[0, 2].any() and found.spread.shape == (1, 6, 478)
    np.testing.assert_array_equal(found.points, again.points)
    np.testing.assert_array_equal(found.spread, again.spread)


def test_a_video_is_tracked_without_landmarks_and_says_who_looked(film, tmp_path, capsys):
    output, marks = tmp_path / "t.h5", tmp_path / "truth.npz"
    part = ["--preset", "fast", "--no-overlay", "--start", "3", "--end", "6", "--json"]
    assert main(["track", str(film[0]), "-o", str(output), *part]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["detector"] == "emoga's own face detector"
    track = load_track(output)
    assert track.landmarks.valid[0].tolist() == [False, True, True]
    assert np.isfinite(track.params.rotation.numpy()).all()
    save_landmarks(marks, film[1], np.arange(6) > 3, 160, 160, 25.0)
    assert main(["eval", "track", str(output), "--landmarks", str(marks), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["landmarks"]["mean_relative"] < 0.05


def test_points_that_the_detector_doubts_more_than_usual_weigh_less():
    points = np.tile(draw_face()[1].astype(np.float32), (1, 3, 1, 1))
    valid = np.array([[True, True, True]])
    spread = np.tile(np.linspace(1, 4, 478, dtype=np.float32), (1, 3, 1))
    spread[0, 1, 5] *= 3
    spread[0, 2, 7] *= 100
    times = unusual_spread(Landmarks(points, valid, "mediapipe478", spread)).numpy()
    assert times[0, 1, 5] == pytest.approx(3) and times[0, 2, 7] == pytest.approx(MOST_UNUSUAL)
    times[0, 1, 5] = times[0, 2, 7] = 1
    np.testing.assert_allclose(times, 1)
    assert (unusual_spread(Landmarks(points, valid, "mediapipe478")) == 1).all()


def test_lids_that_close_weigh_no_less():
    points = np.tile(draw_face()[1].astype(np.float32), (1, 3, 1, 1))
    spread = np.ones((1, 3, 478), np.float32)
    spread[0, 1, [159, 145]] = 1.9  # a blink, as the detector states it
    spread[0, 2, [159, 145]] = 50.0  # a hand
    times = unusual_spread(Landmarks(points, np.ones((1, 3), bool), "mediapipe478", spread)).numpy()
    assert (times[0, 1] == 1).all() and times[0, 2, 159] == MOST_UNUSUAL


def test_a_detector_that_says_it_is_vague_weighs_less_but_on_rims():
    _, truth = draw_face()
    model = load_head().landmarks["mediapipe478"].points(load_head().template).double()
    height = float((model[FOREHEAD] - model[CHIN]).norm())
    pixels = np.linalg.norm(truth[FOREHEAD] - truth[CHIN])

    def times(metres: float) -> np.ndarray:
        spread = np.full((1, 1, 478), metres / height * pixels, np.float32)
        marks = Landmarks(truth[None, None].astype(np.float32), np.ones((1, 1), bool), "mediapipe478", spread)
        return vagueness(marks, model).numpy()

    nose, rim = 4, 159
    assert times(3 * POINT_SPREAD)[[nose, rim]] == pytest.approx([3, 1], rel=1e-3)
    assert (times(0.3 * POINT_SPREAD) == 1).all() and times(0.1).max() == MOST_UNUSUAL
    silent = Landmarks(truth[None, None].astype(np.float32), np.ones((1, 1), bool), "mediapipe478")
    assert (vagueness(silent, model) == 1).all()


def test_pictures_without_any_face_are_refused(tmp_path):
    write_png(tmp_path / "0.png", np.full((64, 64, 3), 0.5))
    with pytest.raises(NoFace, match="no face was found"):
        detect_landmarks([open_pictures(tmp_path)], np.arange(1), None)


@pytest.mark.parametrize("harm", ["cut", "shape", "nan", "format", "pickle"])
def test_damaged_weights_are_refused(tmp_path, harm):
    file = tmp_path / "face_networks.npz"
    with np.load(WEIGHTS) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if harm == "cut":
        shutil.copy(WEIGHTS, file)
        file.write_bytes(file.read_bytes()[:-3000])
    else:
        name = "face.places.bias"
        arrays[name] = {
            "shape": arrays[name][:-1], "nan": arrays[name] * np.float16(np.nan), "format": arrays[name],
            "pickle": np.array([{"a": 1}], dtype=object),
        }[harm]  # fmt: skip
        if harm == "format":
            arrays["format"] = np.array("something else")
        np.savez(file, **arrays)
    with pytest.raises(InputError, match=r"face_networks\.npz"):
        read_networks(file)


def test_the_shipped_file_is_small_and_the_doctor_names_it(capsys):
    assert WEIGHTS.stat().st_size < 5e6
    assert main(["doctor", "--json"]) == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["face detector"]["usable"] and "million parameters" in checks["face detector"]["detail"]


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mono_a", "mono_b"])
def test_real_footage_needs_no_landmarks(name, tmp_path):
    folder = os.environ.get("EMOGA_REAL")
    if not folder:
        pytest.skip("set EMOGA_REAL to the folder of real footage")
    clip = Path(folder) / name
    emoga.track(clip / "video.mp4", tmp_path / "t.h5", preset="fast", overlay=False)
    found = evaluate_track(tmp_path / "t.h5", clip / "landmarks.npz")
    assert found.landmarks.mean_relative <= 0.022
