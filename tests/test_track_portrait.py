"""Pose by a portrait: what training frames teach says where the head is in every frame, and nothing else does."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from painted import make_track

from emoga.avatar.light import Light
from emoga.capture import HeldOut, Track, save_landmarks
from emoga.head import Head, HeadParams
from emoga.images import read_image_uint8, write_png
from emoga.optimize.metrics import masked_psnr
from emoga.optimize.solving_priors import PriorWeights
from emoga.optimize.solving_state import State
from emoga.progress import silent
from emoga.tracking.crops import sampled
from emoga.tracking.inputs import open_clip
from emoga.tracking.likeness import (
    LEAST_FRAMES,
    REGIONS,
    Look,
    align_to_portrait,
    points_by_area,
    portrait_for,
)
from emoga.tracking.portrait import learn_portrait
from emoga.tracking.settling import settle
from emoga.tracking.stages import EFFORTS, Tracker

SIZE, FRAMES, LOST = 160, LEAST_FRAMES + 1, 4
EFFORT = replace(EFFORTS["default"], portrait_steps=60)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory) -> tuple[Path, Track]:
    folder = tmp_path_factory.mktemp("painted")
    track = make_track(folder, views=1, size=SIZE, count=FRAMES)
    return folder, replace(track, held_out=HeldOut((), (LOST,)))


def tracker_of(folder: Path, head: Head, track: Track, hold_out: tuple[str, ...]) -> Tracker:
    """A tracker for a clip in which one frame has no landmarks: only what the head looks like tells where it is."""
    points = head.landmarks["mediapipe478"].points(head.vertices(track.params.to(dtype=torch.float64)))
    valid = np.arange(FRAMES) != LOST
    marks = folder / "marks.npz"
    save_landmarks(
        marks, track.cameras[0].project(points.numpy())[0], valid, SIZE, SIZE, 25.0, overwrite=True
    )
    clip = open_clip(folder / "c0", marks, None, None, hold_out, None, None, None, silent)
    return Tracker(clip, head, track.cameras, EFFORT, PriorWeights(), silent, True)


def beside(tracker: Tracker, track: Track) -> State:
    """The true state, but for that frame's pose."""
    params = track.params.to(dtype=torch.float64)
    params = replace(params, rotation=params.rotation.clone(), translation=params.translation.clone())
    params.rotation[LOST] += torch.tensor([0.0, 0.01, 0.01])
    params.translation[LOST] += torch.tensor([0.003, -0.002, 0.0])
    state = State(
        params, None, torch.zeros(478, 3, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    )
    return tracker.with_form(state, torch.zeros_like(tracker.head.template))


def astray(
    track: Track, head: Head, params: HeadParams, frame: int = LOST, regions: tuple[str, ...] = ("face",)
) -> float:
    """Mean distance in pixels of a frame's regions from where they truly are."""
    chosen, camera = torch.stack([head.regions[name] for name in regions]).any(0), track.cameras[0]
    found, true = (
        camera.project(head.vertices(p.to(dtype=torch.float64))[frame, chosen].numpy())[0]
        for p in (params, track.params)
    )
    return float(np.linalg.norm(found - true, axis=-1).mean())


def test_a_frame_without_landmarks_is_put_right_by_its_looks(head, filmed):
    folder, track = filmed
    tracker = tracker_of(folder, head, track, (f"frames:{LOST}",))
    before = beside(tracker, track)
    after = align_to_portrait(tracker, track, portrait_for(tracker, track), before)
    assert astray(track, head, before.params) > 0.8
    assert astray(track, head, after.params) < 0.3 * astray(track, head, before.params)
    for name in ("expr", "jaw"):
        assert torch.equal(getattr(after.params, name), getattr(before.params, name))


def test_heads_that_are_slightly_off_settle_where_the_pictures_show_them(head, filmed):
    folder, track = filmed
    tracker = tracker_of(folder, head, track, (f"frames:{LOST}",))
    state, off = beside(tracker, track), (1, 6)
    for frame, side in zip(off, (1, -1), strict=True):
        state.params.rotation[frame] += torch.tensor([0.004, 0.01 * side, 0.0])
        state.params.translation[frame] += torch.tensor([0.0012 * side, -0.0005, 0.001])
    after = settle(tracker, track, learn_portrait(track, head, 200, silent), state)
    for frame in off:
        before, now = (astray(track, head, s.params, frame, ("face", "ears")) for s in (state, after))
        assert before > 0.4 and now < 0.3 * before
    assert torch.equal(after.params.rotation[LOST], state.params.rotation[LOST])
    assert torch.equal(after.params.neck, state.params.neck)


def test_training_frames_do_not_depend_on_held_out_pictures(head, filmed, tmp_path):
    folder, track = filmed
    shutil.copytree(folder / "c0", tmp_path / "c0")
    lost = tmp_path / "c0" / f"{LOST:06d}.png"
    noise = np.random.default_rng(1).random((SIZE, SIZE, 3)).astype(np.float32)
    assert read_image_uint8(lost).shape == noise.shape
    write_png(lost, noise)
    results = []
    for place in (folder, tmp_path):
        own = replace(track, media=[place / "c0"], opened={})
        tracker = tracker_of(place, head, own, (f"frames:{LOST}",))
        portrait = portrait_for(tracker, own)
        results.append(align_to_portrait(tracker, own, portrait, beside(tracker, own)).params)
    for name in ("rotation", "translation", "neck"):
        one, other = (getattr(params, name) for params in results)
        training = [frame for frame in range(FRAMES) if frame != LOST]
        assert torch.equal(one[training], other[training])
        assert not torch.equal(one[LOST], other[LOST])


def test_too_few_frames_teach_nothing(head, filmed):
    folder, track = filmed
    tracker = tracker_of(folder, head, track, (f"frames:{LOST},{LOST + 1}",))
    assert portrait_for(tracker, track) is None


def test_a_portrait_looks_like_the_pictures_and_is_the_same_every_time(head, filmed):
    _, track = filmed
    portraits = [learn_portrait(track, head, 60, silent) for _ in range(2)]
    drawn = [portrait.picture(track.params, 3, track.cameras[0]) for portrait in portraits]
    np.testing.assert_array_equal(*drawn)
    result = np.clip(drawn[0] * 255 + 0.5, 0, 255).astype(np.uint8)
    assert masked_psnr(result, track.picture(0, 3), track.head_masks[0, 3] > 127) > 26


def test_points_are_as_dense_everywhere(head):
    points = points_by_area(head, REGIONS, 3000)
    places = points.on_mesh(head.template)
    corners = head.template[head.faces]
    area = 0.5 * torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=-1)
    names = [head.region_names.index(name) for name in REGIONS]
    total = area[torch.isin(head.face_regions.long(), torch.tensor(names))].sum()
    label = head.region_names.index("scalp")
    scalp = head.face_regions.long() == label
    scalp_vertices = set(head.faces[scalp].flatten().tolist())
    inside = sum(set(points.ids[row].tolist()) <= scalp_vertices for row in points.corners)
    assert places.shape == (3000, 3)
    assert inside / 3000 == pytest.approx(float(area[scalp].sum() / total), rel=0.1)


def test_what_nobody_saw_is_not_believed(head, filmed):
    folder, track = filmed
    tracker = tracker_of(folder, head, track, (f"frames:{LOST}",))
    state, points = beside(tracker, track), points_by_area(head, REGIONS, 1000)
    portrait = learn_portrait(track, head, 10, silent)
    look = Look(tracker, points, portrait, track.cameras[0])
    look.learn(state)
    trust = look.trust
    places = points.on_mesh(head.template)
    behind, front = places[:, 2] < -0.12, (places[:, 2] > 0) & (places[:, 0].abs() < 0.03)
    assert behind.sum() > 50 and front.sum() > 50
    assert (trust[behind] == 0).all()
    assert (trust[front] > 0).double().mean() > 0.7


def test_a_head_turned_further_is_expected_in_the_light_that_stands_still(head, tmp_path):
    turned = FRAMES - 1
    track = make_track(tmp_path, views=1, size=SIZE, count=FRAMES, light=lambda n: 0.75 + 0.4 * n[:, :1])
    track = replace(track, held_out=HeldOut((), tuple(range(4, FRAMES))))
    tracker = tracker_of(tmp_path, head, track, (f"frames:4-{turned}",))
    state, points = beside(tracker, track), points_by_area(head, ("face", "forehead", "cheeks"), 1000)
    portrait = learn_portrait(track, head, 60, silent)
    errors = []
    for light in (portrait.light, Light(0 * portrait.light.logarithm)):
        look = Look(tracker, points, replace(portrait, light=light), track.cameras[0])
        look.learn(state)
        term = look.term(replace(state, params=state.params.select([turned])), [turned])
        weight = term.weights[0, 0]
        colors = sampled(tracker, points, replace(state, params=state.params.select([turned])), term.crops)
        errors.append(((term.expected - colors)[0, 0].abs().mean(-1) * weight).sum() / weight.sum())
    assert errors[0] < 0.6 * errors[1]
