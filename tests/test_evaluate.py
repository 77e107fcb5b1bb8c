"""Evaluation: figures mean what the protocol says, splits are kept apart, reports hold together."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from filmed import SIZE, film
from mannequin import make_mannequin

from emoga.capture import HeldOut, Landmarks, save_landmarks, save_track
from emoga.errors import InputError
from emoga.evaluation import evaluate, evaluate_track
from emoga.images import read_image_uint8
from emoga.optimize.baseline import baselines
from emoga.optimize.regions import EYES, MOUTH, region_mask, visible_faces
from emoga.optimize.scoring import evenly, split_pictures


@pytest.fixture(scope="module")
def avatar():
    return make_mannequin()


@pytest.fixture(scope="module")
def track(avatar, tmp_path_factory):
    held_out = HeldOut(views=(1,), frames=(3, 4))
    return film(avatar, tmp_path_factory.mktemp("film"), views=2, frames=5, held_out=held_out)


@pytest.fixture(scope="module")
def brighter(avatar):
    gaussians = replace(avatar.gaussians, sh=avatar.gaussians.sh + 0.1)
    return avatar.with_gaussians(gaussians)


def test_splits_do_not_overlap_and_cover_all():
    pairs = split_pictures(HeldOut(views=(1,), frames=(3, 4)), 2, 5)
    assert {name: len(part) for name, part in pairs.items()} == {
        "training": 3, "views": 3, "frames": 2, "both": 2,
    }  # fmt: skip
    assert len(set().union(*map(set, pairs.values()))) == 10
    assert evenly([(0, f) for f in range(10)], 3)[-1] == (0, 9)


def test_frames_without_a_face_are_in_no_split(track):
    valid = np.ones((2, 5), bool)
    valid[:, 1], valid[0, 2], valid[:, 4] = (
        False,
        False,
        False,
    )  # the third frame's face is seen by one camera
    marks = Landmarks(np.zeros((2, 5, 1, 2), np.float32), valid, "mediapipe478")
    held_out = replace(track, landmarks=marks).held_out
    assert (held_out.frames, held_out.faceless) == ((3, 4), (1, 4))
    pairs = split_pictures(held_out, 2, 5)
    assert pairs == {
        "training": [(0, 0), (0, 2)], "views": [(1, 0), (1, 2)], "frames": [(0, 3)], "both": [(1, 3)]
    }  # fmt: skip
    # A face that a detector misses, for it is turned away, and that looks as tracked, is a face.
    error = np.array([0.01, 0.025, 0.012, 0.01, 0.4], np.float32)
    assert replace(track, landmarks=marks, quality={"photometric": error}).held_out.faceless == (4,)
    marks = replace(marks, valid=np.zeros_like(valid))  # by landmarks that know nothing, nothing is left out
    assert replace(track, landmarks=marks).held_out.faceless == ()


def test_the_filmed_avatar_is_perfect(avatar, track):
    found = evaluate(avatar, track, baseline=False)
    assert found.training.psnr == 100 and found.training.ssim == pytest.approx(1)
    assert [found.held_out[name].pictures for name in ("views", "frames", "both")] == [3, 2, 2]
    assert found.landmarks.mean_px < 1e-3 and found.landmarks.points_used > 1000


def test_figures_agree_with_the_definition(brighter, track):
    found = evaluate(brighter, track, baseline=False)
    score = next(s for s in found.pictures["both"] if (s.view, s.frame) == (1, 4))
    from emoga.optimize.picture import AvatarRenderer

    result = AvatarRenderer(brighter).picture(track.params, 4, track.cameras[1], (1, 1, 1)).astype(float)
    mask = track.head_masks[1, 4] >= 128
    error = ((result - track.picture(1, 4))[mask] ** 2).mean()
    assert score.likeness.psnr == pytest.approx(10 * np.log10(255**2 / error), abs=1e-6)
    assert score.likeness.mask_fraction == pytest.approx(mask.mean())
    average = np.mean([s.likeness.psnr for s in found.pictures["views"]])
    assert found.held_out["views"].psnr == pytest.approx(average)


def test_regions_lie_where_eyes_and_mouth_are(avatar, track):
    from emoga.head import load_head

    head = load_head("open")
    vertices = head.vertices(track.params)[4]
    seen = visible_faces(head, vertices, track.cameras[0])
    mouth, eyes = (region_mask(head, seen, names) for names in (MOUTH, EYES))
    rows = np.arange(SIZE)[:, None]
    assert mouth.sum() > 20 and eyes.sum() > 20 and not (mouth & eyes).any()
    assert (rows * mouth).sum() / mouth.sum() > (rows * eyes).sum() / eyes.sum() + 5


def test_own_motion_of_equal_length_is_used(avatar, track):
    from emoga.motion import motion_of_track

    wrong = replace(track, params=replace(track.params, translation=track.params.translation + 0.02))
    poor = evaluate(avatar, wrong, baseline=False).training.psnr
    refined = replace(avatar, motion=motion_of_track(track))
    assert poor < 30 and evaluate(refined, wrong, baseline=False).training.psnr == 100


def test_motion_of_another_track_of_equal_length_is_not_used(avatar, track):
    from emoga.motion import motion_of_track

    elsewhere = replace(track, params=replace(track.params, rotation=track.params.rotation + 0.5))
    foreign = replace(avatar, motion=motion_of_track(elsewhere))
    assert evaluate(foreign, track, baseline=False).training.psnr == 100


def test_files_hold_the_figures(brighter, track, tmp_path):
    paths = {name: tmp_path / name for name in ("report.json", "pictures.csv", "worst.png")}
    found = evaluate(
        brighter, track, baseline=False,
        output=paths["report.json"], csv=paths["pictures.csv"], sheet=paths["worst.png"],
    )  # fmt: skip
    report = json.loads(paths["report.json"].read_text())
    assert report["held_out"]["views"]["psnr"] == pytest.approx(found.held_out["views"].psnr)
    assert report["held_out"]["baseline_psnr"] is None
    assert 0.1 < report["mask_fraction"] < 0.9 and report["protocol"]
    assert report["lpips"] or report["not_computed"]["lpips"]
    rows = list(csv.DictReader(paths["pictures.csv"].open()))
    assert len(rows) == 10 and {row["split"] for row in rows} == {"training", "views", "frames", "both"}
    sheet = read_image_uint8(paths["worst.png"])
    assert sheet.shape[1] == 3 * 256 and sheet.shape[0] > 2 * 256
    with pytest.raises(InputError, match="--overwrite"):
        evaluate(brighter, track, output=paths["report.json"])


def test_table_names_only_what_was_measured(avatar, track):
    everything = replace(track, held_out=HeldOut())
    rows = evaluate(avatar, everything, baseline=False, max_pictures=2).table()
    assert [row[0] for row in rows] == ["pictures", "training"] and rows[1][1] == "2"


def test_hold_out_can_be_chosen(avatar, track):
    found = evaluate(avatar, track, hold_out=["frames:last:20%"], baseline=False, max_pictures=1)
    assert found.held_out["views"] is None and found.held_out["frames"].pictures == 1
    assert found.pictures["frames"][0].frame == 4
    with pytest.raises(InputError, match="out of range"):
        evaluate(avatar, track, hold_out=["views:7"])


def test_baseline_is_below_perfect_and_above_nothing(avatar, track):
    found = evaluate(avatar, track, max_pictures=1)
    assert 10 < found.baseline_psnr < 60


def test_guesses_rank_as_they_should(track):
    found = baselines(track, HeldOut(frames=(3,)))
    assert found["warped"] > found["nearest"] + 1, "moving the nearest picture along helps"
    assert baselines(track, HeldOut()) == {}


def test_without_head_masks_the_foreground_counts(avatar, track):
    bare = evaluate(avatar, replace(track, head_masks=None), baseline=False, max_pictures=1)
    nothing = evaluate(avatar, replace(track, head_masks=None, masks=None), baseline=False, max_pictures=1)
    assert bare.training.mask_fraction < 0.9 and nothing.training.mask_fraction == 1


def test_foreign_heads_are_refused(avatar, track):
    with pytest.raises(InputError, match="flame2020"):
        evaluate(avatar, replace(track, head_name="flame2020"))


def one_camera(track):
    landmarks = replace(track.landmarks, points=track.landmarks.points[:1], valid=track.landmarks.valid[:1])
    return replace(
        track, cameras=track.cameras[:1], media=track.media[:1], landmarks=landmarks,
        masks=track.masks[:1], head_masks=track.head_masks[:1], held_out=HeldOut(),
    )  # fmt: skip


def test_track_against_a_landmark_file(track, tmp_path):
    single = one_camera(track)
    points = single.landmarks.points[0] + np.float32([3, 4])
    valid = np.array([True, True, False, True, True])
    save_landmarks(tmp_path / "marks.npz", points, valid, SIZE, SIZE, 10.0)
    found = evaluate_track(single, tmp_path / "marks.npz", output=tmp_path / "report.json")
    assert found.landmarks.mean_px == pytest.approx(5, abs=1e-3)
    assert np.isnan(found.per_frame_px[2]) and found.per_frame_px[0] == pytest.approx(5, abs=1e-3)
    height = np.median(np.linalg.norm(points[:, 10] - points[:, 152], axis=-1)[valid])
    assert found.landmarks.mean_relative == pytest.approx(5 / height, rel=1e-3)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["landmarks"]["points_used"] == found.landmarks.points_used
    assert report["per_frame_px"][2] is None


def test_a_cut_track_takes_its_frames_of_the_file(track, tmp_path):
    single = one_camera(track)
    save_landmarks(tmp_path / "marks.npz", single.landmarks.points[0], np.ones(5, bool), SIZE, SIZE, 10.0)
    cut = replace(single, frames=np.array([2, 4]), params=single.params.select([2, 4]))
    assert evaluate_track(cut, tmp_path / "marks.npz").landmarks.mean_px < 1e-3


def test_landmarks_that_do_not_fit_are_refused(track, tmp_path):
    single = one_camera(track)
    save_landmarks(tmp_path / "short.npz", single.landmarks.points[0][:3], np.ones(3, bool), SIZE, SIZE, 10.0)
    with pytest.raises(InputError, match=r"short\.npz: has 3 frames"):
        evaluate_track(single, tmp_path / "short.npz")
    with pytest.raises(InputError, match="one camera"):
        evaluate_track(track, tmp_path / "short.npz")
    with pytest.raises(InputError, match="no landmarks"):
        evaluate_track(replace(track, landmarks=None))


def test_evaluation_from_files(avatar, track, tmp_path):
    from emoga.avatar import save_avatar

    save_avatar(avatar, tmp_path / "a.h5")
    save_track(track, tmp_path / "t.h5")
    found = evaluate(tmp_path / "a.h5", tmp_path / "t.h5", baseline=False, max_pictures=1)
    assert found.training.psnr > 60
