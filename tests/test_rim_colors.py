"""Colours of rims: pulled towards what one camera shows squarely, as long as pictures do not say otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from painted import make_track

from emoga.capture import HeldOut
from emoga.fitting.alike import LEFT_OUT, Rims, numbers_of
from emoga.fitting.first_look import how_squarely
from emoga.fitting.presets import Preset, for_one_camera
from emoga.fitting.rim_colors import PULL, RimColors
from emoga.fitting.session import FitSession, prepare
from emoga.fitting.visibility import GRAZING
from emoga.progress import silent
from emoga.render.sh import SH_C0

SKIN, GREEN = torch.tensor([0.3, 0.1, 0.0]) / SH_C0, torch.tensor([-0.4, 0.4, -0.4]) / SH_C0
PRESET = for_one_camera(Preset(iterations=400, gaussians=12_000))


def fresh(folder, views: int = 1, preset: Preset = PRESET) -> FitSession:
    return prepare(make_track(folder, views), HeldOut((), ()), preset, "smooth", 0, silent)


@pytest.fixture
def session(tmp_path) -> FitSession:
    """A fit about to begin, its rims green and all the rest of the colour of skin."""
    session = fresh(tmp_path)
    splats = session.trainer.splats
    rims, _ = rims_of(session)
    with torch.no_grad():
        splats.gaussians.sh[:] = 0.0
        splats.gaussians.sh[:, 0] = SKIN
        splats.gaussians.sh[rims, 0] = GREEN
    return session


def rims_of(session: FitSession) -> tuple[torch.Tensor, torch.Tensor]:
    """bool [N]: Gaussians on what is never seen but at a grazing angle; float [N]: how squarely each is seen."""
    gaussians = session.trainer.splats.gaussians
    squarely = torch.from_numpy(how_squarely(session.track, session.head, session.trainer.pictures))
    seen = squarely[gaussians.binding.clamp_min(0).long()]
    alike = ~torch.isin(gaussians.labels.long(), torch.tensor(numbers_of(session.head, LEFT_OUT)))
    return alike & (gaussians.binding >= 0) & (seen < GRAZING), seen


def pulled(session: FitSession, visible: torch.Tensor) -> torch.Tensor:
    """The gradient [N,B,3] that the pull alone adds."""
    splats = session.trainer.splats
    splats.gaussians.sh.grad = torch.zeros_like(splats.gaussians.sh)
    session.trainer.rim_colors.add(splats, visible)
    gradient, splats.gaussians.sh.grad = splats.gaussians.sh.grad, None
    return gradient


def test_visible_rims_are_pulled_towards_what_is_seen_squarely_and_nothing_else_is(session) -> None:
    rims, seen = rims_of(session)
    visible = torch.arange(len(rims)) % 2 == 0
    gradient = pulled(session, visible)
    assert (rims & visible).sum() > 300
    expected = PULL * (GREEN - SKIN)
    torch.testing.assert_close(gradient[rims & visible, 0], expected.expand(int((rims & visible).sum()), 3))
    assert not gradient[~visible].any() and not gradient[seen >= 0.35].any()
    labels = session.trainer.splats.gaussians.labels.long()
    assert not gradient[torch.isin(labels, torch.tensor(numbers_of(session.head, LEFT_OUT)))].any()


def test_colours_that_differ_by_direction_are_evened_out(session) -> None:
    rims, _ = rims_of(session)
    with torch.no_grad():
        session.trainer.splats.gaussians.sh[:, 1:] = 0.7
    gradient = pulled(session, torch.ones(len(rims), dtype=torch.bool))
    assert torch.allclose(gradient[rims][:, 1:], torch.tensor(PULL * 0.7))


def test_density_control_has_rims_worked_out_again(session) -> None:
    trainer = session.trainer
    trainer.splats = trainer.splats.select(torch.arange(len(trainer.splats)) % 3 > 0)
    rims, _ = rims_of(session)
    gradient = pulled(session, torch.ones(len(rims), dtype=torch.bool))
    assert gradient[rims].any(-1).any(-1).all()


def test_a_fit_keeps_rims_that_hardly_show_from_straying(tmp_path) -> None:
    strayed = []
    for held in (True, False):
        session = fresh(tmp_path / str(held))
        if not held:
            session.trainer.rim_colors = None
        session.trainer.run(120, silent)
        gaussians = session.trainer.splats.gaussians.detach()
        rims = Rims.of(
            gaussians, session.head, how_squarely(session.track, session.head, session.trainer.pictures)
        )
        away = (gaussians.sh[rims.rows, 0] - rims.told(gaussians.sh[:, 0])) * SH_C0
        strayed.append(float(away.norm(dim=-1)[rims.doubt == 1].mean()))
    assert strayed[0] < 0.7 * strayed[1]


def test_several_cameras_and_colours_by_a_network_are_left_to_their_pictures(tmp_path) -> None:
    assert fresh(tmp_path / "two", 2).trainer.rim_colors is None
    network = replace(PRESET, appearance="color_mlp")
    assert fresh(tmp_path / "network", preset=network).trainer.rim_colors is None
    assert isinstance(fresh(tmp_path / "one").trainer.rim_colors, RimColors)
