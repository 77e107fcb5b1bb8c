"""Valence and arousal: exact at the named places, neutral at the centre, continuous in between, one line when wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from avatar_samples import colored_avatar, sample_avatar
from mannequin import make_mannequin
from PIL import Image

from emoga.avatar import Emotion
from emoga.avatar.affect import BASIC, FURTHER, affect_weights, parse_affect
from emoga.avatar.emotions import emotion_mixtures, emotion_weights
from emoga.avatar.rig import avatar_head
from emoga.avatar.score import still_motion, write_score
from emoga.errors import InputError
from emoga.head import load_head
from emoga.reenactment import reenact

PRESETS = load_head("open").presets
EVERYTHING = {*BASIC, *FURTHER}


def test_every_preset_has_a_place_and_is_alone_there():
    assert PRESETS.keys() <= BASIC.keys()
    for name in PRESETS:
        assert affect_weights(*BASIC[name], PRESETS) == {name: 1.0}
    for name, place in {**BASIC, **FURTHER}.items():
        assert affect_weights(*place, EVERYTHING) == {name: 1.0}


def test_distance_is_intensity_and_the_centre_is_neutral():
    valence, arousal = BASIC["sad"]
    for share in (0.1, 0.5, 0.9):
        assert affect_weights(share * valence, share * arousal, PRESETS) == {"sad": pytest.approx(share)}
    assert affect_weights(0, 0, PRESETS) == affect_weights(0.0, -0.0, EVERYTHING) == {}


def weights_at(valence, arousal, known):
    shown = affect_weights(valence, arousal, known)
    return np.array([shown.get(name, 0) for name in (*BASIC, *FURTHER)])


@pytest.mark.parametrize("known", [set(PRESETS), EVERYTHING, {"happy", "sad"}])
def test_weights_are_continuous_and_convex(known):
    generator = np.random.default_rng(0)
    steps = 1e-4 * generator.standard_normal((3000, 2))
    points = generator.uniform(-1, 1, (3000, 2))
    points[:1000] *= 0.01
    around = np.linspace(0, math.tau, 500, endpoint=False)
    points[1000:1500] = 0.7 * np.stack([np.cos(around), np.sin(around)], 1)
    points[1500:1600] = [0.5, 0]  # across the angle where counting begins anew
    for point, step in zip(points, steps, strict=True):
        here, there = weights_at(*point, known), weights_at(*(point + step), known)
        assert (here >= 0).all() and here.sum() <= 1 + 1e-12 and np.count_nonzero(here) <= 2
        assert np.abs(there - here).max() <= 25 * np.linalg.norm(step)


def test_between_neighbours_both_show():
    angle = (math.atan2(*BASIC["happy"][::-1]) + math.atan2(*BASIC["surprised"][::-1])) / 2
    shown = affect_weights(2 * math.cos(angle), 2 * math.sin(angle), PRESETS)
    assert shown == {"happy": pytest.approx(0.5), "surprised": pytest.approx(0.5)}


def test_where_no_emotion_is_known_the_face_rests():
    assert affect_weights(*BASIC["tired"], PRESETS) == {}
    assert affect_weights(*BASIC["sad"], {"happy"}) == {}
    assert affect_weights(*FURTHER["excited"], PRESETS).keys() == {"happy", "surprised"}


def test_over_time_it_eases_through_the_plane():
    curve = parse_affect("0.89,0.17@3s; 0,0@1s", PRESETS)
    assert curve.seconds == 3 and curve.at(0) == (0, 0) and curve.at(9) == BASIC["happy"]
    assert curve.at(2) == pytest.approx((0.445, 0.085))
    assert curve.weights(2)["happy"] == pytest.approx(0.5) and not any(curve.weights(0).values())


@pytest.mark.parametrize(
    "text", ["", ";", "0.5", "0.5,x", "2,0", "0,-1.1", "nan,0", "0,0@x", "0,0@1;1,0@1s", "0.1,0.2,0.3", "-,0"]
)
def test_bad_texts_are_one_line(text):
    with pytest.raises(InputError, match="--valence-arousal") as caught:
        parse_affect(text, PRESETS)
    assert "\n" not in str(caught.value)


def test_an_avatars_own_emotions_come_first():
    avatar = colored_avatar(sample_avatar(200), "happy", "angry")
    own = avatar.emotions | {"tired": Emotion(torch.full((52,), 0.1))}
    avatar = replace(avatar, emotions=own, neutral=torch.zeros(52))
    head = avatar_head(avatar)
    curve = parse_affect("0.89,0.17@0s;-0.01,-1@2s", {*avatar.emotions, *head.presets})
    times = torch.tensor([0.0, 2.0])
    assert emotion_weights(curve, times).sum(1).tolist() == pytest.approx([1, 1])
    assert emotion_mixtures(avatar, curve, times)[0].tolist() == [0, 1, 0]
    score = write_score(
        avatar, head, still_motion(avatar, head, 2.1), curve, calibrate=False, pose="still",
        pose_reference="mean",
    )  # fmt: skip
    happy, tired = score.params.expr[0], score.params.expr[-1]
    assert torch.allclose(happy, own["happy"].offset, atol=1e-6)
    assert torch.allclose(tired, own["tired"].offset, atol=0.011), "wide eyes give way to the blink"


def test_pictures_by_mood_are_those_by_name_and_at_zero_those_without(tmp_path):
    avatar = make_mannequin()
    asked = {
        "plain": {}, "centre": {"valence_arousal": "0,0"},
        "named": {"emotion": "happy:0.5"}, "placed": {"valence_arousal": "0.445,0.085"},
    }  # fmt: skip
    pictures = {}
    for name, choice in asked.items():
        reenact(avatar, tmp_path / name, motion=None, size=(96, 96), fps=1, end=1, **choice)
        pictures[name] = np.asarray(Image.open(tmp_path / name / "000000.png"))
    assert np.array_equal(pictures["plain"], pictures["centre"])
    assert np.abs(pictures["named"].astype(int) - pictures["placed"]).max() <= 1
    assert np.abs(pictures["named"].astype(int) - pictures["plain"]).max() > 20
    with pytest.raises(InputError, match="give one"):
        reenact(avatar, tmp_path / "both", motion=None, emotion="happy", valence_arousal="0,0")
