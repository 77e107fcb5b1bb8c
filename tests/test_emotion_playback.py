"""What an avatar with learned emotions promises: its old pictures at zero, one way to full, colours in range."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from avatar_samples import colored_avatar
from mannequin import make_mannequin

from emoga.avatar import Emotion
from emoga.avatar.emotions import parse_emotion
from emoga.avatar.rig import avatar_head
from emoga.avatar.score import own_motion, person_of, still_motion, write_score
from emoga.head import HeadParams, load_head
from emoga.images import to_uint8
from emoga.motion import Motion
from emoga.optimize.picture import AvatarRenderer
from emoga.reenactment import portrait_camera, reenact
from emoga.reenactment.outputs import straight_alpha

PRESETS = list(load_head("open").presets)
LEARNED = ("happy", "weird", "torn")
STEPS = torch.linspace(0, 1, 21)
CORNERS, BROWS = [61, 291], [55, 52, 105, 46, 285, 282, 334, 276]  # of mediapipe478


def speech(head, seed, frames=12):
    """Talk of another person: jaw, lips and head move, a blink, units where nobody holds them still."""
    generator = torch.Generator().manual_seed(seed)
    params = HeadParams.zeros(head, frames)
    params.shape = 0.8 * torch.randn(len(head.shape_names), generator=generator)
    params.expr = 0.6 * torch.rand(frames, len(head.expr_names), generator=generator)
    params.expr[:, head.gaze_units] = 0
    params.expr[:, head.unit("jawOpen")] = 0.4 * torch.sin(torch.arange(frames) * 1.3).clamp_min(0)
    params.expr[5, [head.unit("eyeBlinkLeft"), head.unit("eyeBlinkRight")]] = 1
    params.jaw[:, 1] = 0.03 * torch.sin(torch.arange(frames) * 0.9)
    params.rotation[:, 1] = torch.linspace(-0.3, 0.3, frames)
    return Motion(head.name, head.version, head.checksum, params, 25.0)


@pytest.fixture(scope="module")
def plain():
    """The avatar as it was before it learned."""
    head = load_head("open")
    own = speech(head, 1)
    avatar = make_mannequin(motion=own)
    own.params.shape = avatar.shape
    neutral = torch.zeros(len(head.expr_names))
    neutral[head.unit("mouthSmileRight")] = 0.15
    return replace(avatar, neutral=neutral)


@pytest.fixture(scope="module")
def learned(plain):
    """The same with three emotions, as far out as units reach, and colours that go far beyond black and white.

    Muscles of "torn" pull against each other: smile and frown, brows up and down.
    """
    avatar = colored_avatar(plain, *LEARNED, spread=0.5)
    weird = 2 * torch.rand(len(plain.neutral), generator=torch.Generator().manual_seed(7)) - 1
    torn = torch.zeros_like(weird)
    head = avatar_head(plain)
    for name in ("mouthSmile", "mouthFrown", "browDown", "browOuterUp"):
        torn[[head.unit(f"{name}{side}") for side in ("Left", "Right")]] = 1.0
    for name, offset in (("weird", weird), ("torn", torn)):
        avatar.emotions[name] = Emotion(offset, avatar.emotions[name].embedding)
    return avatar


MOTIONS = ["own", "none", "another"]


def motion_named(name):
    return {"own": "own", "none": None, "another": speech(load_head("open"), 2)}[name]


def played(avatar, path, motion, **options) -> bytes:
    reenact(
        avatar, path, motion=motion_named(motion), size=(48, 48), overwrite=True, start=0, end=12, **options
    )
    return path.read_bytes()


@pytest.mark.parametrize("motion", MOTIONS)
def test_at_zero_pictures_are_the_input_avatars_byte_for_byte(plain, learned, motion, tmp_path):
    before = played(plain, tmp_path / "a.y4m", motion)
    everything = ",".join(f"{name}:0" for name in {*PRESETS, *LEARNED})
    for emotion in (None, "neutral", everything, *(f"{name}:0" for name in LEARNED)):
        assert played(learned, tmp_path / "b.y4m", motion, emotion=emotion) == before, emotion
    assert played(learned, tmp_path / "b.y4m", motion, valence_arousal="0,0") == before
    for emotion in LEARNED:
        assert played(learned, tmp_path / "b.y4m", motion, emotion=emotion) != before


def test_frames_before_an_emotion_begins_are_untouched(plain, learned, tmp_path):
    before = played(plain, tmp_path / "a.y4m", "another")
    after = played(learned, tmp_path / "b.y4m", "another", emotion="weird@0.2s:0,weird@0.4s:1")
    frame = (len(before) - before.index(b"FRAME")) // 12
    untouched = before.index(b"FRAME") + 6 * frame  # 0.2 s at 25 per second is frame 5
    assert before[:untouched] == after[:untouched] and before[untouched:] != after[untouched:]


FRAMES = (0, 3, 5, 9)
LEAD = 12  # copies before and after: a frame's speech is told from 0.4 s around it


def sweep(avatar, motion, name):
    """Head parameters of FRAMES, each held still while the emotion rises from nothing to all, [4 x 21,...]."""
    head = avatar_head(avatar)
    source = motion_named(motion)
    source = own_motion(avatar) if motion == "own" else source or still_motion(avatar, head, 1)
    weights = ([0.0] * LEAD + STEPS.tolist() + [1.0] * LEAD) * len(FRAMES)
    copies = source.params.select([FRAMES[k * len(FRAMES) // len(weights)] for k in range(len(weights))])
    curve = parse_emotion(
        ",".join(f"{name}@{k / source.fps:.2f}s:{weight:.2f}" for k, weight in enumerate(weights))
    )
    score = write_score(
        avatar, head, replace(source, params=copies), curve, calibrate=motion == "another",
        pose="absolute" if motion == "own" else "still", pose_reference="mean",
    )  # fmt: skip
    swept = torch.arange(len(weights)).reshape(len(FRAMES), -1)[:, LEAD:-LEAD].reshape(-1)
    return score.params.select(swept)


@pytest.mark.parametrize(
    ("motion", "name"), [("another", name) for name in PRESETS] + list(itertools.product(MOTIONS, LEARNED))
)
def test_corners_and_brows_go_one_way_from_zero_to_one(learned, motion, name):
    head = avatar_head(learned)
    points = head.landmarks["mediapipe478"].select(torch.tensor(CORNERS + BROWS))
    params = sweep(learned, motion, name)
    assert params.expr.min() >= -1e-6 and params.expr.max() <= 1 + 1e-6
    posed = head.identify(learned.shape).pose(params.expr, jaw=params.jaw)
    for places in points.points(posed).reshape(len(FRAMES), len(STEPS), -1, 3):
        way = torch.nn.functional.normalize(places[-1] - places[0], dim=-1)
        along = ((places - places[0]) * way).sum(-1)
        assert (along.cummax(0).values - along).max() < 1e-4, "back by more than 0.1 mm"
        reached = (places[-1] - places[0]).norm(dim=-1)
        assert (along.amax(0) - reached).max() < 1e-4, "beyond where it ends"


@pytest.mark.parametrize("pair", [("happy", "surprised"), ("weird", "torn"), ("happy", "torn")])
def test_mixtures_of_extreme_colours_stay_between_the_pictures_they_mix(learned, pair):
    """With the face held still a picture is linear in the colours, but for the floor at black: never above the mix."""
    renderer = AvatarRenderer(learned)
    head = avatar_head(learned)
    camera = portrait_camera(head, person_of(learned), 64, 64)
    pose = renderer.pose(HeadParams.zeros(head, 1), 0, 1)[0]
    rows = [learned.emotions[name].embedding if name in learned.emotions else 0 for name in pair]

    def picture(first, second):
        mixture = torch.zeros(learned.appearance.rows).index_add(
            0, torch.tensor(rows), torch.tensor([first, second])
        )
        drawn = renderer.draw(pose, [camera], (0.0, 0.0, 0.0), mixture)
        return drawn.image[0].clone(), drawn.alpha[0, ..., 0].numpy()

    rest, first, second = (picture(*weights)[0] for weights in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
    assert max(first.max(), second.max()) > 1.5, "the emotions do go beyond white"
    for share in STEPS.tolist():
        for strength in (0.4, 1.0):
            weights = strength * share, strength * (1 - share)
            mixed, alpha = picture(*weights)
            between = weights[0] * first + weights[1] * second + (1 - strength) * rest
            assert torch.isfinite(mixed).all() and mixed.min() >= 0
            assert (mixed - between).max() < 1e-3
            shown, exact = to_uint8(mixed.numpy()).astype(int), 255 * mixed.numpy()
            assert np.abs(shown - np.clip(exact, 0, 255)).max() <= 0.51, "8 bits saturate, they do not wrap"
            straight = straight_alpha(mixed.numpy(), alpha)[..., :3].astype(int)
            full = alpha > 0.99
            assert np.abs(straight - shown)[full].max() <= 3
