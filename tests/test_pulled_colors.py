"""Colours of one camera's fits: pulled towards what it shows squarely, as long as pictures do not say otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from painted import make_track, painted

from emoga.capture import HeldOut
from emoga.fitting.alike import (
    LEFT_OUT,
    LOOSELY,
    OPAQUE,
    SLANTED,
    SQUARE,
    WHOLE,
    LikelyColors,
    LitPicture,
    numbers_of,
)
from emoga.fitting.first_look import how_squarely
from emoga.fitting.presets import Preset, for_one_camera
from emoga.fitting.pulled_colors import PULL, pull_colors
from emoga.fitting.session import FitSession, prepare
from emoga.fitting.visibility import GRAZING
from emoga.optimize.regions import visible_faces
from emoga.progress import silent
from emoga.render.sh import SH_C0

SKIN, HAIR, DARK = 0.7, 0.2, 0.5
PRESET = for_one_camera(Preset(iterations=400, gaussians=12_000))


def fresh(folder, views: int = 1, preset: Preset = PRESET) -> FitSession:
    return prepare(make_track(folder, views), HeldOut((), ()), preset, "smooth", 0, silent)


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> FitSession:
    return fresh(tmp_path_factory.mktemp("painted"))


@pytest.fixture(scope="module")
def squarely(session) -> np.ndarray:
    return how_squarely(session.track, session.head, session.trainer.pictures)


def seen_faces(session: FitSession) -> np.ndarray:
    """bool [F]: triangles that fill a pixel of some picture."""
    seen = np.zeros(len(session.head.faces), bool)
    for view, frame in session.trainer.pictures.pairs:
        example = session.trainer.pictures.example(view, frame, head_only=True)
        vertices = session.head.vertices(session.track.params.select([frame]))[0]
        face = visible_faces(session.head, vertices, example.camera)
        tells = ((example.alpha > OPAQUE) & (example.weight > WHOLE)).numpy()
        seen[face[(face >= 0) & tells]] = True
    return seen


def test_rims_look_like_their_kind_in_the_light_of_each_picture(session, squarely) -> None:
    """Grey pictures, half as bright where a light dims them; green where clothing would be, which does not count."""
    head, pictures = session.head, session.trainer.pictures
    regions = torch.from_numpy(np.isin(head.face_regions.numpy(), numbers_of(head, ("scalp",))))
    sightings = []
    for number, (view, frame) in enumerate(pictures.pairs):
        example = pictures.example(view, frame, head_only=True)
        vertices = head.vertices(session.track.params.select([frame]))[0]
        shade = torch.full((len(head.faces), 3), DARK if number % 2 else 1.0)
        index = torch.from_numpy(visible_faces(head, vertices, example.camera))
        target = torch.where(regions[index.clamp_min(0)], HAIR, SKIN)[..., None].repeat(1, 1, 3)
        target = target * shade[0]
        weight = example.weight.clone()
        weight[:20] = 0.0
        target[:20] = torch.tensor([0.0, 1.0, 0.0])
        sightings.append(LitPicture(replace(example, target=target, weight=weight), vertices, shade))
    likely = LikelyColors.of(head, squarely, sightings)
    rims = torch.from_numpy(squarely < GRAZING) & (likely.doubt == 1)
    for kind, color in ((regions, HAIR), (~regions, SKIN)):
        assert (rims & kind).sum() > 300
        torch.testing.assert_close(
            likely.colors[rims & kind], torch.full((int((rims & kind).sum()), 3), color)
        )


def test_what_is_seen_squarely_or_lies_behind_skin_is_never_doubted(session, squarely) -> None:
    head, seen = session.head, seen_faces(session)
    inside = np.isin(head.face_regions.numpy(), numbers_of(head, LEFT_OUT))
    doubt = session.trainer.likely.doubt
    assert not doubt[torch.from_numpy((squarely >= SQUARE) & seen | inside)].any()
    between = torch.from_numpy((squarely > GRAZING) & (squarely < SQUARE) & seen & ~inside)
    assert ((doubt[between] > 0) & (doubt[between] < 1)).all()


def test_what_clothing_covers_looks_like_its_kind(session, squarely) -> None:
    """Jaws face the camera, but here nothing of them counts."""
    head, pictures = session.head, session.trainer.pictures
    covered = head.faces_of(("jaw",))
    sightings = []
    for view, frame in pictures.pairs:
        example = pictures.example(view, frame, head_only=True)
        vertices = head.vertices(session.track.params.select([frame]))[0]
        jaw = covered[torch.from_numpy(visible_faces(head, vertices, example.camera)).clamp_min(0)]
        target = torch.where(jaw[..., None], torch.tensor([0.0, 1.0, 0.0]), torch.full((3,), SKIN))
        sightings.append(
            LitPicture(replace(example, target=target, weight=example.weight * ~jaw), vertices, None)
        )
    likely = LikelyColors.of(head, squarely, sightings)
    rows = covered & torch.from_numpy(squarely >= SQUARE)
    assert rows.sum() > 100
    assert (likely.doubt[rows] == 1).all() and (likely.firmness[rows] == 1).all()
    torch.testing.assert_close(likely.colors[rows], torch.full((int(rows.sum()), 3), SKIN))


def test_rims_are_pulled_firmly_all_skin_loosely_and_nothing_else(session, squarely) -> None:
    gaussians, likely = session.trainer.splats.gaussians.detach(), session.trainer.likely
    sh = torch.full_like(gaussians.sh, 0.7).requires_grad_()
    sh.grad = torch.zeros_like(sh)
    gaussians = replace(gaussians, sh=sh)
    visible, bound = torch.arange(len(gaussians)) % 2 == 0, gaussians.binding >= 0
    pull_colors(gaussians, visible, likely)
    face = gaussians.binding.long().clamp_min(0)
    cosine = torch.from_numpy(np.where(seen_faces(session), squarely, 0.0)).float()[face]
    known, doubt = visible & bound & (likely.firmness[face] > 0), likely.doubt[face]
    inside = torch.isin(gaussians.labels.long(), torch.tensor(numbers_of(session.head, LEFT_OUT)))
    assert (~bound).any() and inside.any() and not sh.grad[~known | inside].any()
    for rows, firmness in (
        (known & (doubt == 1), PULL),
        (known & (cosine >= SLANTED), LOOSELY * PULL),
    ):
        assert rows.sum() > 300
        base = firmness * (0.7 - (likely.colors[face[rows]] - 0.5) / SH_C0)
        torch.testing.assert_close(sh.grad[rows, 0], base)
        torch.testing.assert_close(sh.grad[rows, 1], torch.full_like(base, 0.7 * firmness))
    slanted = known & (cosine > SQUARE) & (cosine < SLANTED - 0.1)
    pulls = sh.grad[slanted, 1, 0] / (0.7 * PULL)
    assert slanted.sum() > 100 and (pulls > 1.5 * LOOSELY).all() and (pulls < 0.6).all()


def test_what_is_seen_squarely_is_known_by_its_own_pictures(session) -> None:
    """Where the pattern is seen, colours are those of the picture there, not those of neighbours."""
    head, likely = session.head, session.trainer.likely
    own = painted(head)[head.faces].mean(1)
    rows = (likely.firmness > 0) & (likely.doubt == 0)
    error = (likely.colors - own)[rows].abs().mean()
    assert rows.sum() > 1000 and error < 0.05
    assert error < 0.5 * (own[rows] - own[rows].mean(0)).abs().mean()


def test_a_fit_keeps_rims_that_hardly_show_from_straying(tmp_path) -> None:
    strayed = []
    for held in (True, False):
        session = fresh(tmp_path / str(held))
        likely = session.trainer.likely
        if not held:
            session.trainer.likely = None
        session.trainer.run(120, silent)
        gaussians = session.trainer.splats.gaussians.detach()
        gaussians = gaussians.select(gaussians.binding >= 0)
        face = gaussians.binding.long()
        away = (gaussians.sh[:, 0] * SH_C0 + 0.5 - likely.colors[face]).norm(dim=-1)
        strayed.append(float(away[likely.doubt[face] == 1].mean()))
    assert strayed[0] < 0.7 * strayed[1]


def test_several_cameras_and_colours_by_a_network_are_left_to_their_pictures(tmp_path, session) -> None:
    assert session.trainer.likely is not None
    assert fresh(tmp_path / "two", 2).trainer.likely is None
    network = replace(PRESET, appearance="color_mlp")
    assert fresh(tmp_path / "network", preset=network).trainer.likely is None
