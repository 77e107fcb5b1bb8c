"""Editors' bias and emotions' own colours told apart: on a made-up face, one fault at a time."""

from __future__ import annotations

import numpy as np
import pytest

from emoga.emotion.learning.consensus import Consensus
from emoga.emotion.learning.fields import emotions_own
from emoga.emotion.learning.schedule import decay_at, phase_at
from emoga.emotion.learning.settings import Learning
from emoga.emotion.learning.surface import skin_points, smoothed
from emoga.emotion.learning.texture import Skin, colors_of
from emoga.errors import InputError
from emoga.guidance.warp import flushed
from emoga.head import load_head

COUNT = 1500


@pytest.fixture(scope="module")
def skin():
    head = load_head("open")
    return skin_points(head, head.template.double().numpy(), COUNT)


def blob(skin, at, radius, color):
    """A soft patch of colour [N,3] about a point."""
    apart = ((skin.rest - np.asarray(at)) ** 2).sum(1)
    return np.exp(-0.5 * apart / radius**2)[:, None] * np.asarray(color)


def test_what_every_emotion_shows_alike_is_the_editors(skin):
    cheek = skin.rest[np.argmax(skin.rest[:, 2] + skin.rest[:, 0])]
    bias = blob(skin, cheek, 0.03, [0.1, 0.05, 0.0]) + [0.04, 0.03, 0.03]
    evidence = np.full(COUNT, 4.0)
    changes = [bias, bias + blob(skin, cheek, 0.02, [0.08, -0.05, -0.05])]
    (first, second), sizes = emotions_own(skin, changes, [evidence, evidence])
    near = blob(skin, cheek, 0.02, [1, 1, 1])[:, 0] > 0.6
    assert sizes.bias > sizes.own
    assert np.abs(first).mean() < 0.25 * np.abs(bias).mean()
    assert second[near, 0].mean() - first[near, 0].mean() > 0.01


def test_one_emotion_alone_does_not_take_an_editors_tint_for_its_own(skin):
    rng = np.random.default_rng(0)
    tint = np.array([0.06, 0.05, 0.04]) + rng.normal(0, 0.004, (COUNT, 3))
    (own,), _ = emotions_own(skin, [tint], [np.full(COUNT, 4.0)])
    assert np.abs(own).mean() < 0.006


def test_colours_are_never_the_emotions_where_nothing_is_seen(skin):
    evidence = np.where(skin.rest[:, 0] > 0, 4.0, 0.0)
    changes = np.where(skin.rest[:, :1] > 0, 0.01, 5.0) * np.ones(3)
    (own,), _ = emotions_own(skin, [changes], [evidence])
    assert np.abs(own[skin.rest[:, 0] < -0.03]).max() < 0.02


def test_blood_reddens_skin_where_it_shows_and_pallor_undoes_it():
    base = np.full((3, 3), [0.75, 0.55, 0.45])
    red, pale = (flushed(base, amount * np.array([1.0, 0.5, 0.0])) for amount in (0.6, -0.6))
    assert (red[0, 1:] < -0.02).all() and abs(red[0, 0]) < 0.01
    assert (pale[0, 1:] > 0.01).all()
    assert (np.abs(red[1, 1:]) < np.abs(red[0, 1:])).all()
    assert not red[2].any() and not pale[2].any()


def test_points_lie_on_the_skin_and_blur_only_along_it(skin):
    head = load_head("open")
    assert np.allclose(skin.on_mesh(head.template.double().numpy()), skin.rest)
    regions = {head.region_names[region] for region in np.unique(skin.region)}
    assert "teeth" not in regions
    assert "scalp" not in regions
    constant = smoothed(skin.blur(0.004), np.ones((COUNT, 2)), np.ones(COUNT))
    assert np.allclose(constant, 1)


def test_geometry_warms_up_alone_and_takes_turns_with_texture():
    learning = Learning(warm_up=0.2, cycles=2)
    phases = [phase_at(learning, progress) for progress in (0, 0.19, 0.25, 0.55, 0.65, 0.95)]
    assert [phase.cycle for phase in phases] == [0, 0, 1, 1, 2, 2]
    assert [phase.texture for phase in phases] == [False, False, False, True, False, True]
    assert all(phase.geometry for phase in phases)
    only = Learning(geometry=False)
    assert all(phase_at(only, progress).texture for progress in (0, 0.3, 0.5, 0.9))
    assert not any(phase_at(only, progress).geometry for progress in (0, 0.3, 0.5, 0.9))


def test_rates_decay_to_the_last_one():
    learning = Learning(last_rate=0.1)
    rates = [decay_at(learning, progress) for progress in np.linspace(0.1, 1, 10)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.1)


@pytest.mark.parametrize(
    "wrong",
    [{"iterations": 0}, {"weighting": "best"}, {"form": "sum"}, {"geometry": False, "texture": False}],
)
def test_impossible_choices_are_refused(wrong):
    with pytest.raises(InputError, match="learning"):
        Learning(**wrong)


def test_lips_take_no_colour_from_edits_beyond_what_is_foretold(skin):
    cheek = skin.rest[np.argmax(skin.rest[:, 2] + skin.rest[:, 0])]
    change = (0.05 * np.tanh(skin.rest[:, :1] / 0.01) + blob(skin, cheek, 0.02, [0.1, 0, 0])).astype(
        np.float32
    )
    evidence, nothing = np.full(COUNT, 8.0, np.float32), np.zeros((0, COUNT), np.float32)
    agreed = Consensus(change, evidence, np.full((COUNT, 3), 0.5), np.zeros((0, 3, 3)), nothing, np.zeros(0))
    foretold = np.full((COUNT, 3), 0.01, np.float32)
    lips = skin.region == load_head("open").region_names.index("lips")
    (found,), _ = colors_of(
        skin, [Skin(agreed, np.full(COUNT, 2.0), foretold, ~lips)], debias=True, detail=True
    )
    assert np.array_equal(found[lips], foretold[lips])
    assert np.abs(found - foretold)[~lips].max() > 0.005
