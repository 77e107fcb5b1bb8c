"""Which pictures of a track are edited, where in them, and what warp makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filmed import film
from mannequin import make_mannequin

from emoga.avatar import Avatar
from emoga.capture import HeldOut, Track
from emoga.emotion.acting import Actor
from emoga.emotion.choosing import Choice, angles, choose_pictures
from emoga.emotion.making import EditedPictures
from emoga.emotion.masks import head_mask, picture_masks
from emoga.emotion.naming import NamedEmotion, name_emotions
from emoga.emotion.shading import crease_depth, light_on
from emoga.emotion.warping import FaceWarp
from emoga.errors import InputError
from emoga.guidance import EditRequest, PictureName, open_editor
from emoga.head import Head, load_head
from emoga.images import write_png
from emoga.motion import Motion
from emoga.optimize.metrics import binary_mask, masked_psnr
from emoga.optimize.picture import AvatarRenderer

FRAMES = 6


@pytest.fixture(scope="module")
def head() -> Head:
    return load_head()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Avatar, Track, Actor]:
    """A filmed mannequin that knows the motion it was filmed in."""
    avatar = make_mannequin()
    track = film(avatar, tmp_path_factory.mktemp("scene"), views=3, frames=FRAMES)
    avatar.motion = Motion(track.head_name, track.head_version, track.head_checksum, track.params, track.fps)
    return avatar, track, Actor(avatar, track)


def changed(track: Track, **units: torch.Tensor) -> Track:
    """The track with other unit weights [T]."""
    head = load_head()
    params = replace(track.params, expr=track.params.expr.clone())
    for name, weights in units.items():
        params.expr[:, head.unit(name)] = weights
    return replace(track, params=params)


def test_held_out_pictures_are_never_chosen(scene: tuple[Avatar, Track, Actor], head: Head) -> None:
    _, track, _ = scene
    chosen = choose_pictures(track, head, track.params, HeldOut((1,), (0, 5)))
    assert set(chosen.views) == {0, 2} and set(chosen.frames) <= {1, 2, 3, 4}
    assert len(chosen.pairs) == len(chosen.views) * len(chosen.frames)
    for views, frames, words in (([1], None, "view is held out"), (None, [5], "frame is held out")):
        with pytest.raises(InputError, match=words):
            choose_pictures(track, head, track.params, HeldOut((1,), (0, 5)), views, frames)
    with pytest.raises(InputError, match="views 0 to 2"):
        choose_pictures(track, head, track.params, HeldOut(), [3])


def test_blinks_are_not_chosen(scene: tuple[Avatar, Track, Actor], head: Head) -> None:
    blink = torch.tensor([0.0, 0.9, 0.0, 0.0, 0.8, 0.0])
    track = changed(scene[1], eyeBlinkLeft=blink)
    assert set(choose_pictures(track, head, track.params, HeldOut()).frames) == {0, 2, 3, 5}


def test_frames_are_spread_over_expression(scene: tuple[Avatar, Track, Actor], head: Head) -> None:
    track = scene[1]
    count = 40
    params = track.params.select([0] * count)
    params.expr = params.expr.clone()
    params.expr[30, head.unit("mouthSmileLeft")] = 1
    still = replace(track, params=params, frames=np.arange(count), quality={})
    chosen = choose_pictures(still, head, params, HeldOut()).frames
    assert len(chosen) == 8 and 30 in chosen
    assert max(chosen) - min(chosen) > count / 2


def test_the_frontal_view_is_among_the_chosen(scene: tuple[Avatar, Track, Actor], head: Head) -> None:
    track = scene[1]
    turned = angles(head, track.params, track.cameras)
    assert turned[1].mean() < min(turned[0].mean(), turned[2].mean())
    many = replace(track, cameras=track.cameras * 5, media=track.media * 5)
    views = choose_pictures(many, head, track.params, HeldOut()).views
    assert len(views) == 10 and {view % 3 for view in views} == {0, 1, 2}


def test_masks_keep_to_the_regions_and_to_the_head(scene: tuple[Avatar, Track, Actor]) -> None:
    _, track, actor = scene
    pairs = [(view, 2) for view in range(3)]
    hard, soft, none, auto = (
        picture_masks(actor, track, pairs, kind, True) > 0 for kind in ("hard", "soft", "none", "auto")
    )
    head = np.stack([head_mask(track, *pair) for pair in pairs]) > 0
    for mask in (hard, soft, none, auto):
        assert mask.any((1, 2)).all() and not (mask & ~head).any()
    assert not (hard & ~soft).any() and not (soft & ~none).any()
    assert 1.1 * hard.sum() < soft.sum() < none.sum()
    assert (none == head).all()
    # The middle camera sees the face from the front; of the others, those it looks away from are hard.
    assert (auto[1] == soft[1]).all() and (auto[0] == hard[0]).all()
    assert (picture_masks(actor, track, pairs, "auto", False) > 0).sum() == head.sum()
    with pytest.raises(InputError, match="hard, soft, none"):
        picture_masks(actor, track, pairs, "wide", True)


def test_a_hard_mask_lies_on_lips_and_eyes(scene: tuple[Avatar, Track, Actor]) -> None:
    _, track, actor = scene
    mask = picture_masks(actor, track, [(1, 2)], "hard", True)[0]
    marks = actor.head.landmarks["mediapipe478"].points(actor.vertices(actor.params, 2).double())
    for mark, inside in (
        (0, True),
        (17, True),
        (4, True),
        (468, True),
        (50, False),
        (10, False),
        (152, False),
    ):
        column, row = np.floor(track.cameras[1].project(marks[mark].numpy())[0]).astype(int)
        assert (mask[row, column] > 0) == inside, mark


def test_a_parsers_masks_are_read_by_name(scene: tuple[Avatar, Track, Actor], tmp_path: Path) -> None:
    _, track, actor = scene
    choice = Choice((0, 2), (1,))
    for camera in ("cam0", "cam2"):
        write_png(tmp_path / camera / "000001.png", np.full((96, 96), 255, np.uint8))

    def read() -> np.ndarray:
        return EditedPictures.of(actor, track, choice, "auto", tmp_path, True).masks

    assert (read()[1] == head_mask(track, 2, 1)).all()
    write_png(tmp_path / "cam2" / "000001.png", np.zeros((48, 96), np.uint8))
    with pytest.raises(InputError, match=r"cam2.000001\.png: is 96x48, the picture is 96x96"):
        read()
    (tmp_path / "cam0" / "000001.png").unlink()
    with pytest.raises(InputError, match="cam0, frame 1"):
        read()


def warped(scene: tuple[Avatar, Track, Actor], emotion: NamedEmotion, pair: tuple[int, int]) -> np.ndarray:
    _, track, actor = scene
    name = PictureName(track.cameras[pair[0]].name, pair[1])
    light = light_on(actor, track, [pair])
    editor = open_editor("warp", fields=FaceWarp(actor, track, emotion, light, {name: pair}))
    return editor.edit(EditRequest(track.picture(*pair)[None], (name,)))[0]


@pytest.mark.parametrize("name", ["happy", "surprised", "sad"])
def test_a_warped_picture_is_like_the_person_acting(
    name: str, scene: tuple[Avatar, Track, Actor], head: Head
) -> None:
    avatar, track, actor = scene
    # Light and blood are no part of the mannequin: only what moves can be compared with it.
    emotion = replace(name_emotions([name], head)[0], flush=0.0)
    acted = actor.acted(emotion.offset)
    renderer = AvatarRenderer(avatar)
    for pair in ((0, 3), (1, 3), (2, 3)):
        truth = renderer.picture(acted, pair[1], track.cameras[pair[0]])
        mask = binary_mask(head_mask(track, *pair))
        before = masked_psnr(track.picture(*pair), truth, mask)
        after = masked_psnr(warped(scene, emotion, pair), truth, mask)
        assert after > before + 2


def test_warp_touches_nothing_without_an_emotion(scene: tuple[Avatar, Track, Actor], head: Head) -> None:
    emotion = replace(name_emotions(["happy"], head)[0], offset=torch.zeros(len(head.expr_names)), flush=0.0)
    before = scene[1].picture(1, 3)
    assert np.abs(warped(scene, emotion, (1, 3)).astype(int) - before).max() <= 1


def test_blood_and_creases_keep_off_eyes_and_hair(scene: tuple[Avatar, Track, Actor], head: Head) -> None:
    _, track, actor = scene
    emotion = replace(name_emotions(["happy"], head)[0], offset=torch.zeros(len(head.expr_names)), flush=1.0)
    before = track.picture(1, 2).astype(int)
    change = before - warped(scene, emotion, (1, 2))
    marks = actor.head.landmarks["mediapipe478"].points(actor.vertices(actor.params, 2).double())
    columns, rows = np.floor(track.cameras[1].project(marks.numpy())[0]).astype(int).T
    # Red stays, green and blue go, on a cheek; not in the eye.
    red, green, blue = change[rows[50], columns[50]]
    assert abs(red) <= 3 and green >= 8 and blue >= 8
    assert np.abs(change[rows[468], columns[468]]).max() <= 3
    assert np.abs(change[binary_mask(head_mask(track, 1, 2)) == 0]).max() == 0


def test_creases_deepen_where_and_when_their_muscles_act(head: Head) -> None:
    marks = head.landmarks["mediapipe478"].points(head.template.double()).numpy()
    rest, smile, frown = torch.zeros(3, len(head.expr_names))
    for side in ("Left", "Right"):
        smile[head.unit(f"mouthSmile{side}")] = 1
        frown[head.unit(f"browDown{side}")] = 1
    fold = np.linspace(marks[358], marks[291], 50) + [0.010, 0, -0.004]
    brows = marks[9] + np.stack([np.linspace(-0.008, 0.008, 50), np.zeros(50), np.zeros(50)], 1)
    assert (
        crease_depth(head, fold, rest, smile).max() > 0.2 > 0.05 > crease_depth(head, fold, rest, frown).max()
    )
    assert (
        crease_depth(head, brows, rest, frown).max()
        > 0.2
        > 0.05
        > crease_depth(head, brows, rest, smile).max()
    )
    assert crease_depth(head, fold, smile, smile).max() == 0 == crease_depth(head, fold, smile, rest).max()


def test_light_is_found_on_skin(scene: tuple[Avatar, Track, Actor], tmp_path: Path) -> None:
    _, track, actor = scene
    even = light_on(actor, track, [(1, 2)])
    assert even[0, 0] == pytest.approx(1, abs=0.1) and even[1:].abs().max() < 0.15
    # The same pictures with the right half of the picture, the subject's left, in shadow.
    dark = replace(track, media=[tmp_path / f"cam{view}" for view in range(3)], opened={})
    for view in range(3):
        for frame in range(FRAMES):
            picture = track.picture(view, frame).copy()
            picture[:, 48:] = picture[:, 48:] * 0.7
            write_png(tmp_path / f"cam{view}" / f"{frame:06d}.png", picture)
    assert light_on(actor, dark, [(1, 2)])[1, 0] < even[1, 0] - 0.1


def test_words_become_units_looks_and_prompts(head: Head) -> None:
    happy, skeptical, pale = name_emotions(
        ["happy", "skeptical: one brow raised, lips pressed", "very pale"], head, prompts={"happy": "Smile!"}
    )
    assert torch.equal(happy.offset, head.emotion("happy")) and torch.equal(happy.preset, happy.offset)
    assert happy.prompt == "Smile!" and "extra teeth" in happy.negative_prompt
    assert skeptical.name == "skeptical" and skeptical.preset is None
    assert (
        skeptical.offset[head.unit("browOuterUpLeft")] > 0.5 > skeptical.offset[head.unit("browOuterUpRight")]
    )
    assert skeptical.offset[head.unit("mouthPressRight")] > 0.5 and "one brow raised" in skeptical.prompt
    assert pale.flush < 0 and pale.offset.abs().max() == 0
    with pytest.raises(InputError, match=r"known are: angry.*surprised"):
        name_emotions(["blorf"], head)
    with pytest.raises(InputError, match="two emotions are named happy"):
        name_emotions(["happy", "happy: smiling"], head)
    with pytest.raises(InputError, match="'sad' belongs to no emotion"):
        name_emotions(["happy"], head, prompts={"sad": "Cry"})
