"""Colours from where a single camera never looked: likely ones there, and where it did look those that were fitted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from painted import make_track

from emoga.avatar.posing import pose_frames
from emoga.avatar.rig import binding_rows
from emoga.capture import HeldOut
from emoga.fitting.all_round import LEFT_OUT, colors_all_round, seen_along
from emoga.fitting.first_look import how_squarely
from emoga.fitting.presets import Preset
from emoga.fitting.session import _bind, prepare
from emoga.fitting.shown import PosedPictures
from emoga.fitting.visibility import GRAZING
from emoga.optimize.carry import carry, sort_bindings
from emoga.progress import silent
from emoga.render.sh import SH_C0, sh_basis

SKIN, GREEN = torch.tensor([0.3, 0.1, 0.0]), torch.tensor([-0.4, 0.4, -0.4])


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    track = make_track(tmp_path_factory.mktemp("painted"), 1)
    return prepare(track, HeldOut((), ()), Preset(1, 9000, sh_degree=1), "smooth", 0, silent)


@pytest.fixture(scope="module")
def scene(session):
    """Heads of skin whose rims are green and glitter: gaussians, normals, likely, along, and which are rims [N]."""
    track, head, trainer = session.track, session.head, session.trainer
    squarely = how_squarely(track, head, trainer.pictures)
    gaussians = trainer.splats.gaussians.detach()
    gaussians = gaussians.select(gaussians.binding >= 0)
    rim = torch.from_numpy(squarely < GRAZING)[gaussians.binding]
    sh = 0.3 * torch.randn(gaussians.sh.shape, generator=torch.Generator().manual_seed(0))
    sh[:, 0] = torch.where(rim[:, None], GREEN, SKIN) / SH_C0
    gaussians = replace(gaussians, sh=sh)
    bind = _bind(track, head, session.rig)
    pictures = PosedPictures(trainer.identity, trainer.rig, track.params, track, trainer.pictures.pairs)
    along = seen_along(gaussians, head, bind, pictures)
    normals = bind.rotation[..., 2][binding_rows(gaussians.binding, len(head.faces))]
    likely = replace(trainer.likely, colors=(SKIN + 0.5).expand(len(head.faces), 3))
    return gaussians, normals, likely, along, rim


def seen(sh: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
    return sh_basis(along, sh.shape[1]) @ sh


def test_what_was_filmed_stays_and_what_was_not_looks_like_what_was(session, scene) -> None:
    gaussians, normals, likely, along, rim = scene
    sh = colors_all_round(gaussians, session.head, normals, likely, along)
    assert (seen(sh, along) - seen(gaussians.sh, along)).abs().mean() < 0.01
    outwards = -normals[:, None]
    skin = rim & ~torch.isin(
        gaussians.labels.long(), torch.tensor([session.head.region_names.index(name) for name in LEFT_OUT])
    )
    assert skin.sum() > 500
    before, after = (
        (seen(one, outwards)[skin, 0] - SKIN).norm(dim=-1).median() for one in (gaussians.sh, sh)
    )
    assert before > 0.8 and after < 0.3 * before


def test_mouths_and_eyes_keep_their_colours(session, scene) -> None:
    gaussians, normals, likely, along, _ = scene
    sh = colors_all_round(gaussians, session.head, normals, likely, along)
    numbers = torch.tensor([session.head.region_names.index(name) for name in LEFT_OUT])
    kept = torch.isin(gaussians.labels.long(), numbers)
    assert kept.any() and torch.equal(sh[kept], gaussians.sh[kept])
    assert (sh[~kept] != gaussians.sh[~kept]).any(-1).any(-1).float().mean() > 0.9


def test_directions_are_those_that_colours_are_evaluated_along(session, scene) -> None:
    gaussians, along = scene[0], scene[3]
    trainer = session.trainer
    view, frame = trainer.pictures.pairs[2]
    frames = pose_frames(trainer.identity, trainer.rig, session.track.params, frame)[1]
    frames = replace(frames, shade=None)  # what light does has no direction
    bindings = sort_bindings(gaussians.binding, len(session.head.faces))
    position = torch.from_numpy(session.track.cameras[view].position).float()
    carried = carry(gaussians, bindings, frames, trainer.bind, position)
    expected = (seen(gaussians.sh, along[:, 2:3])[:, 0] + 0.5).clamp(min=0)
    torch.testing.assert_close(carried.colors, expected, atol=2e-4, rtol=1e-3)


def test_avatars_of_several_cameras_are_left_alone(tmp_path) -> None:
    session = prepare(
        make_track(tmp_path, 2), HeldOut((), ()), Preset(1, 9000, sh_degree=1), "smooth", 0, silent
    )
    gaussians = session.trainer.splats.gaussians.detach()
    assert session._colored_all_round(gaussians) is gaussians
