"""Turned pictures show what a camera would have seen, wherever they claim to know."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from painted import make_track, painted, rig_in

from emoga.avatar.light import HARMONICS, Light
from emoga.camera import stack_cameras
from emoga.fitting.blinks import Blinks
from emoga.fitting.refinement import MotionRefinement
from emoga.fitting.turned import TurnedPictures
from emoga.head import load_head
from emoga.head.lids import Lids
from emoga.optimize.standing_light import find_light
from emoga.optimize.training_pictures import TrainingPictures
from emoga.progress import silent
from emoga.render import interpolate, rasterize_mesh

INSIDE = [load_head().region_names.index(name) for name in ("irises", "eyeballs", "teeth")]
LID_MOVED = 0.001  # metres
SKIN_MOVED = 0.003


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> TurnedPictures:
    track = make_track(tmp_path_factory.mktemp("painted"), views=1, size=256)
    head = load_head()
    pictures = TrainingPictures(track, [0], list(range(track.frame_count)), silent)
    identity = head.identify(track.params.shape, track.params.static_offset)
    motion = MotionRefinement(track.params, {})
    light = find_light(head, identity, motion.base, pictures)
    return TurnedPictures(head, identity, motion, pictures, rig_in(light, head, identity))


def in_light(source: TurnedPictures, light: Light) -> TurnedPictures:
    other = copy.copy(source)
    other.rig = rig_in(light, source.head, source.identity)
    return other


def seen(source: TurnedPictures, vertices: torch.Tensor, camera) -> tuple[np.ndarray, np.ndarray]:
    """The painted head [H,W,3] with these vertices, and the face under each pixel."""
    fragments = rasterize_mesh(
        vertices, source.head.faces, *stack_cameras([camera]), camera.width, camera.height
    )
    return interpolate(fragments, painted(source.head))[0].numpy(), fragments.face_index[0].numpy()


def test_a_turned_picture_is_what_the_camera_would_have_seen(source):
    known = 0
    for seed in range(4):
        example, params = source.draw(np.random.default_rng(seed), False, None)
        truth, face = seen(source, source.head.vertices(params)[0], example.camera)
        weight = example.weight.numpy()
        known += (weight > 0.9).sum()
        error = np.abs(truth - example.target.numpy())[weight > 0.9]
        assert error.mean() < 0.01 and np.percentile(error, 99) < 0.06
        assert weight[face < 0].max() == 0
        inside = np.isin(source.head.face_regions.numpy()[face], INSIDE) & (face >= 0)
        assert weight[inside].max(initial=0) == 0
        assert torch.equal(example.alpha_weight, example.weight) and (example.alpha == 1).all()
    assert known > 4 * 4000


def test_heads_are_turned_beyond_what_was_filmed_and_every_picture_has_its_turn(source):
    filmed = source.motion.base.neck[:, 1]
    turns, frames = [], []
    for seed in range(40):
        example, params = source.draw(np.random.default_rng(seed), True, None)
        turns.append(float(params.neck[0, 1]))
        frames.append(example.frame)
    assert min(turns) < filmed.min() - 0.1 and max(turns) > filmed.max() + 0.1
    assert len(set(frames)) == len(filmed)


def test_lids_close_further_than_they_did_while_filmed_and_carry_their_skin(source):
    lids = [source.head.unit(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
    filmed = float(source.motion.base.expr[:, lids].max())
    drawn = (source.draw(np.random.default_rng(seed), False, None) for seed in range(24))
    shut = [(example, params) for example, params in drawn if params.expr[0, lids].min() > filmed + 0.1]
    known, off = 0, 0.0
    for example, params in shut:
        closed = source.head.vertices(params)[0]
        expr = params.expr.clone()
        expr[:, lids] = filmed
        moved = (closed - source.head.vertices(replace(params, expr=expr))[0]).norm(dim=-1) > LID_MOVED
        truth, face = seen(source, closed, example.camera)
        lid_skin = (
            moved[source.head.faces].all(1).numpy()[face] & (face >= 0) & (example.weight.numpy() > 0.9)
        )
        known += lid_skin.sum()
        off += np.abs(truth - example.target.numpy())[lid_skin].mean(-1).sum()
    assert known > 100
    assert off / known < 0.01


def test_half_of_the_faces_show_an_emotion_and_their_skin_moves_with_it(source):
    filmed = source.motion.base.expr
    drawn = [source.draw(np.random.default_rng(seed), False, None) for seed in range(24)]
    lids = [source.head.unit(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
    acted, known, off = 0, 0, 0.0
    for example, params in drawn:
        expr = filmed[example.frame][None].clone()
        expr[:, lids] = params.expr[:, lids]
        calm = source.head.vertices(replace(params, expr=expr))[0]
        moved = (source.head.vertices(params)[0] - calm).norm(dim=-1) > SKIN_MOVED
        acted += bool(moved.any())
        truth, face = seen(source, source.head.vertices(params)[0], example.camera)
        moved_skin = (
            moved[source.head.faces].all(1).numpy()[face] & (face >= 0) & (example.weight.numpy() > 0.9)
        )
        known += moved_skin.sum()
        off += np.abs(truth - example.target.numpy())[moved_skin].mean(-1).sum()
    assert 6 <= acted <= 18
    assert known > 2000
    assert off / known < 0.01


def test_closing_lids_does_not_brighten_them(source):
    base = source.motion.base.select([0])
    expr = base.expr.clone()
    expr[:, [source.head.unit(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]] = 1.0
    example = source.pictures.example(0, 0)
    above = torch.zeros(HARMONICS, 3)
    above[:3] = 0.3  # from wherever normals turn to
    shut = [
        in_light(source, Light(light)).carried(example, base, base, expr).target
        for light in (above, 0 * above)
    ]
    assert torch.equal(*shut)


def test_a_turned_picture_brightens_as_the_avatar_does(source):
    """By the same reading of the mesh's normals: another would give folds another brightness."""
    sideways = torch.zeros(HARMONICS, 3)
    sideways[0], sideways[4] = 0.5, 0.4
    lit = in_light(source, Light(sideways))
    filmed = source.motion.base.select([4])
    turned = replace(filmed, neck=filmed.neck + torch.tensor([[0.0, 0.4, 0.0]]))
    example = source.pictures.example(0, 4)
    with_light, without = (
        one.carried(example, filmed, turned) for one in (lit, in_light(source, Light(0 * sideways)))
    )
    before, after = (source.head.vertices(params)[0] for params in (filmed, turned))
    drawn = (lit.rig.frames(after).shade / lit.rig.frames(before).shade).numpy()
    face = seen(source, after, example.camera)[1]
    known = (face >= 0) & (without.weight.numpy() > 0.9)
    assert known.sum() > 1000 and np.ptp(drawn[face[known]]) > 0.1
    np.testing.assert_allclose(
        with_light.target.numpy()[known], without.target.numpy()[known] * drawn[face[known]], rtol=1e-4
    )


def test_lids_that_closed_while_filmed_are_left_to_the_pictures(source):
    base = source.motion.base
    expr = base.expr.clone()
    expr[0, [source.head.unit(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]] = 1.0
    motion = MotionRefinement(replace(base, expr=expr), {})
    calm = replace(source.head, presets={})
    shut = TurnedPictures(calm, source.identity, motion, source.pictures, source.rig)
    for seed in range(12):
        example, params = shut.draw(np.random.default_rng(seed), True, None)
        assert torch.equal(params.expr[0], expr[example.frame])


def test_a_head_whose_lids_are_skin_like_the_rest_blinks_nowhere(source):
    plain = replace(source.head, lids=Lids.none())
    blinks = Blinks.of(plain, source.motion.base, [0, 1])
    for seed in range(20):
        assert blinks.closed(source.motion.base.expr[:1], np.random.default_rng(seed)) is None


def test_the_same_seed_draws_the_same_picture(source):
    first, second = (source.draw(np.random.default_rng(5), False, None)[0] for _ in range(2))
    assert torch.equal(first.target, second.target) and torch.equal(first.weight, second.weight)
