"""What lies behind lips and lids learns its colours only from pictures that show it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from painted import FRAMES, light_that_counts, make_track

from emoga.capture import HeldOut
from emoga.fitting.glimpsed import ENOUGH, believable_colors, believable_walls, shown_colors, shown_share
from emoga.fitting.hidden import BEHIND
from emoga.fitting.presets import Preset
from emoga.fitting.rehearsal import Rehearsal
from emoga.fitting.session import FitSession, prepare
from emoga.fitting.trainer import Trainer
from emoga.progress import silent
from emoga.render.sh import SH_C0

CLOSED, OPEN = 0, FRAMES - 1


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> FitSession:
    track = make_track(tmp_path_factory.mktemp("painted"))
    return prepare(track, HeldOut(), Preset(iterations=100, gaussians=9000), "smooth", 0, silent)


@pytest.fixture(scope="module")
def trainer(session) -> Trainer:
    return session.trainer


def taught(trainer: Trainer, frame: int) -> tuple[torch.Tensor, torch.Tensor]:
    """bool [N]: Gaussians hidden in a picture of the frame, and those that it teaches colours."""
    trainer.iteration = next(i for i in range(1000) if at(trainer, i) == frame)
    example = trainer.next_example(0.5)
    trainer.loss(
        trainer.render(example, trainer.pose(trainer.motion.of_frame(frame, False))), example
    ).backward()
    sh = trainer.splats.gaussians.sh
    heard, sh.grad = (sh.grad != 0).any(1).any(1), None
    return example.hidden[trainer.splats.bindings.rows], heard


def at(trainer: Trainer, iteration: int) -> int:
    """The frame that an iteration looks at."""
    trainer.iteration = iteration
    return trainer.next_example(0.5).frame


def labelled(trainer: Trainer, *names: str) -> torch.Tensor:
    labels = torch.tensor([trainer.head.region_names.index(name) for name in names])
    return torch.isin(trainer.splats.gaussians.labels.long(), labels)


def test_a_closed_mouth_teaches_nothing_inside_and_an_open_one_what_it_shows(trainer):
    inside, skin = labelled(trainer, "teeth", "tongue"), labelled(trainer, "lips", "cheeks", "nose")
    hidden, heard = taught(trainer, CLOSED)
    assert hidden[inside].all() and not heard[inside].any()
    assert not hidden[skin].any() and heard[skin].float().mean() > 0.3
    assert hidden[labelled(trainer, "irises")].float().mean() < 0.4, "of open eyes, what lids cover"
    hidden, heard = taught(trainer, OPEN)
    assert heard[inside].sum() > 20 and not (heard & hidden).any()


def test_what_is_hidden_wears_another_colour_in_every_picture(trainer):
    colors = []
    for trainer.iteration in range(4):
        colors.append(trainer.next_example(0.5).disguise.numpy())
    assert np.ptp(colors, 0).min() > 0.1


def test_skin_learns_to_hide_in_expressions_nobody_filmed_and_nothing_else_changes(trainer):
    filmed = trainer.next_example(0.5)
    rehearsed, params = Rehearsal(trainer.hidden).draw(filmed.view, filmed.frame, np.random.default_rng(1))
    assert (params.expr - trainer.motion.base.expr[filmed.frame]).abs().max() > 0.1
    assert rehearsed.weight.sum() > 500
    before = trainer.splats.gaussians.detach().select(torch.arange(len(trainer.splats)))
    at_first = light_that_counts(trainer, rehearsed, params)
    for trainer.iteration in range(12):
        trainer._rehearse(filmed, 0.5)
    after = trainer.splats.gaussians.detach()
    behind = labelled(trainer, *BEHIND)
    assert light_that_counts(trainer, rehearsed, params) < 0.8 * at_first
    assert torch.equal(after.sh, before.sh)
    assert torch.equal(after.logit_opacities[behind], before.logit_opacities[behind])
    assert not torch.equal(after.logit_opacities, before.logit_opacities)


def test_a_step_leaves_alone_what_is_hidden_and_makes_no_glass_of_what_shows(trainer):
    trainer.iteration = next(i for i in range(1000) if at(trainer, i) == OPEN)
    hidden = trainer.next_example(0.5).hidden[trainer.splats.bindings.rows]
    before = trainer.splats.gaussians.detach().select(torch.arange(len(trainer.splats)))
    trainer.iteration = next(i for i in range(1000) if at(trainer, i) == OPEN)
    trainer.step()
    after, behind = trainer.splats.gaussians.detach(), labelled(trainer, *BEHIND)
    for name in ("means", "quats", "log_scales", "logit_opacities", "sh"):
        assert torch.equal(getattr(after, name)[hidden], getattr(before, name)[hidden]), name
    assert torch.equal(after.logit_opacities[behind], before.logit_opacities[behind])
    assert not torch.equal(after.sh[behind], before.sh[behind])
    assert not torch.equal(after.logit_opacities, before.logit_opacities)
    assert before.logit_opacities[behind].sigmoid().min() > 0.8


def test_what_is_hardly_seen_of_teeth_takes_the_colours_of_those_that_are(trainer):
    gaussians = trainer.splats.gaussians.detach()
    teeth, skin = labelled(trainer, "teeth"), labelled(trainer, "cheeks")
    seen = teeth & (torch.arange(len(gaussians)) % 2 == 0)
    sh = gaussians.sh.clone()
    sh[teeth, 0] = torch.tensor([-5.0, 5.0, -5.0])  # what leaked through is no colour of teeth
    sh[seen, 0] = torch.tensor([0.4, 0.3, 0.2])
    gaussians = replace(gaussians, sh=sh)
    share = torch.where(seen | skin, 1000 * ENOUGH, 0.0).double().numpy()
    rows, colors = believable_colors(gaussians, trainer.head, share)
    assert not skin[rows].any() and set(np.flatnonzero(teeth.numpy())) <= set(rows)
    found = sh.clone()
    found[rows] = colors
    torch.testing.assert_close(
        found[teeth, 0], torch.tensor([0.4, 0.3, 0.2]).expand(int(teeth.sum()), 3), atol=1e-3, rtol=0
    )
    assert found[teeth & ~seen][:, 1:].abs().max() == 0


def test_a_region_that_nothing_shows_keeps_what_it_has(trainer):
    gaussians = trainer.splats.gaussians.detach()
    rows, _ = believable_colors(gaussians, trainer.head, np.zeros(len(gaussians)))
    assert len(rows) == 0


def test_what_is_hardly_seen_of_nostrils_takes_the_colours_of_the_pictures_there(trainer):
    gaussians = trainer.splats.gaussians.detach()
    nose = labelled(trainer, "nose")
    third = torch.arange(len(gaussians)) % 3
    seen, glimpsed, never = (nose & (third == part) for part in range(3))
    sh = torch.zeros_like(gaussians.sh)
    sh[:, 0] = 1.0 / SH_C0  # far brighter than any picture
    share = torch.where(seen, 1000 * ENOUGH, torch.where(glimpsed, 0.03 * ENOUGH, 0.0)).double().numpy()
    dark, skin = np.array([0.3, 0.1, 0.1]), np.array([0.7, 0.5, 0.4])
    pictured = np.where(glimpsed.numpy()[:, None], dark, skin)
    rows, colors = believable_walls(replace(gaussians, sh=sh), trainer.head, share, share[:, None] * pictured)
    assert set(rows) == set(np.flatnonzero(nose.numpy()))
    sh[rows] = colors
    found = 0.5 + SH_C0 * sh[:, 0].numpy()
    assert np.abs(found[seen] - 1.5).max() < 0.01, "what is seen keeps what it learnt"
    assert np.abs(found[never] - skin).max() < 0.01, "of what nobody saw those around tell"
    assert np.abs(found[glimpsed] - dark).max() < 0.2, "what shows a little has a picture's colour"


def test_colours_that_show_are_those_of_the_pictures(session, trainer):
    gaussians, pictures = trainer.splats.gaussians.detach(), session._sightings()
    share, colors = shown_share(gaussians, pictures), shown_colors(gaussians, pictures)
    well = share > 0.5 * share.max()
    seen = np.concatenate([pictures.track.image(*pair).reshape(-1, 3) for pair in pictures.pairs])
    mean = colors[well] / share[well, None]
    assert (mean > seen.min(0) - 1e-3).all() and (mean < seen.max(0) + 1e-3).all()
    assert (colors <= share[:, None] * (1 + 1e-3) + 1e-12).all()


def test_an_avatar_has_no_nostrils_brighter_than_its_pictures(session, trainer):
    gaussians = trainer.splats.gaussians.detach()
    share = shown_share(gaussians, session._sightings())
    hidden = labelled(trainer, "nose") & torch.from_numpy(share < 0.01 * ENOUGH)
    assert hidden.sum() > 5
    sh = gaussians.sh.clone()
    sh[hidden] = 2 / SH_C0
    found = session._with_believable_colors(replace(gaussians, sh=sh)).sh[hidden]
    assert float(0.5 + SH_C0 * found[:, 0].max()) < 1.05
    assert torch.equal(found.isfinite(), torch.ones_like(found, dtype=torch.bool))
