"""One camera's heads are rehearsed from aside as well, so that no hole in them shows their far side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from painted import light_that_counts, make_track

from emoga.avatar.posing import MOTION
from emoga.camera import stack_cameras
from emoga.capture import HeldOut
from emoga.fitting.hidden import far_frames
from emoga.fitting.presets import Preset
from emoga.fitting.rehearsal import SOLID, SURFACE, YAW, Rehearsal
from emoga.fitting.session import prepare
from emoga.fitting.trainer import Trainer
from emoga.head import HeadParams
from emoga.optimize.training_pictures import Example
from emoga.progress import silent
from emoga.render import rasterize_mesh

SOME = range(20)


def trainer_of(folder, views: int) -> Trainer:
    track = make_track(folder, views=views)
    return prepare(track, HeldOut(), Preset(iterations=100, gaussians=9000), "smooth", 0, silent).trainer


@pytest.fixture(scope="module")
def trainer(tmp_path_factory) -> Trainer:
    return trainer_of(tmp_path_factory.mktemp("single"), 1)


def turn(trainer: Trainer, seed: int) -> tuple[Example, float]:
    """A rehearsal, and how far its head is turned from where it was filmed, in degrees."""
    example, params = Rehearsal(trainer.hidden).draw(0, 0, np.random.default_rng(seed))
    away = params.neck - trainer.motion.base.neck[0]
    return example, float(torch.rad2deg(away.norm()))


def test_one_camera_rehearses_half_of_its_faces_from_aside(trainer) -> None:
    turns = [turn(trainer, seed)[1] for seed in SOME]
    assert 5 <= sum(degrees > 1 for degrees in turns) <= 15
    assert max(turns) > YAW / 2


def test_several_cameras_see_the_sides_themselves(tmp_path) -> None:
    rig = trainer_of(tmp_path, 2)
    assert max(turn(rig, seed)[1] for seed in SOME) < 1e-3


def test_what_shows_is_never_far_and_the_other_side_is(trainer) -> None:
    head, camera = trainer.head, trainer.pictures.cameras[0]
    vertices = head.vertices(trainer.motion.base.select([0]))[0]
    fragments = rasterize_mesh(vertices, head.faces, *stack_cameras([camera]), camera.width, camera.height)
    far = far_frames(head, vertices, fragments, camera)
    middles = vertices[head.faces].mean(1)
    depth = torch.from_numpy(camera.project(middles.double().numpy())[1])
    shown = torch.unique(fragments.face_index[fragments.face_index >= 0])
    count = len(head.faces)
    assert not far[shown].any()
    back = (depth > depth[shown].median() + 0.1) & (head.face_regions == head.region_names.index("scalp"))
    assert back.sum() > 100 and far[:count][back].float().mean() > 0.9
    assert 0.2 < far[:count].float().mean() < 0.8 and not far[count:].any()


def test_from_aside_hair_counts_in_part_and_ears_do_not(trainer) -> None:
    head, base = trainer.head, trainer.motion.base.neck[0]
    example, params = next(
        pair for pair in (drawn(trainer, it) for it in range(100)) if (pair[1].neck - base).norm() > 0.5
    )
    vertices = trainer.hidden.identity.pose(*(getattr(params, part) for part in MOTION))[0]
    width, height = example.camera.width, example.camera.height
    fragments = rasterize_mesh(vertices, head.faces, *stack_cameras([example.camera]), width, height)
    shown = fragments.face_index[0]
    for region, counts in (("scalp", SOLID["scalp"]), ("jaw", 1.0), ("ears", 0.0)):
        there = (shown >= 0) & head.faces_of((region,))[shown.clamp_min(0)]
        weights = example.weight[there]
        assert there.sum() > 20 and weights.max() == pytest.approx(counts)
    assert not example.weight[shown < 0].any()


def drawn(trainer: Trainer, iteration: int) -> tuple[Example, HeadParams]:
    """What an iteration rehearses of frame 0."""
    return Rehearsal(trainer.hidden).draw(0, 0, np.random.default_rng([trainer.seed, iteration, 3]))


def test_from_aside_skin_learns_to_hide_the_other_side_which_stays_as_it_is(trainer) -> None:
    base = trainer.motion.base.neck[0]
    aside = next(it for it in range(100) if (drawn(trainer, it)[1].neck - base).norm() > 0.5)
    example, params = drawn(trainer, aside)
    labels, names = trainer.splats.gaussians.labels.long(), trainer.head.region_names
    hidden = example.hidden[trainer.splats.bindings.rows]
    skin = torch.isin(labels, torch.tensor([names.index(name) for name in SURFACE]))
    assert (hidden & skin).sum() > 100, "of skin, what is on the other side"
    before = trainer.splats.gaussians.detach().select(torch.arange(len(trainer.splats)))
    at_first = light_that_counts(trainer, example, params)
    for _ in range(30):
        trainer.iteration = aside
        trainer._rehearse(example, 0.5)
    after = trainer.splats.gaussians.detach()
    assert light_that_counts(trainer, example, params) < 0.8 * at_first
    for name in ("means", "log_scales", "logit_opacities"):
        assert torch.equal(getattr(after, name)[hidden], getattr(before, name)[hidden]), name
    assert not torch.equal(after.logit_opacities[skin], before.logit_opacities[skin])
    assert torch.equal(after.sh, before.sh)
