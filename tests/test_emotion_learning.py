"""Learning an emotion end to end, from pictures of a mannequin that another mannequin's smile was put on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from smiling import FRAMES, SIZE, VIEWS, edits_of, smile, talking_person

from emoga.avatar import Emotion
from emoga.avatar.conversion import with_emotion_rows
from emoga.emotion.edits import EmotionEdits
from emoga.emotion.learning import Learning, learn_emotions
from emoga.emotion.learning.performing import Frames, axes_at
from emoga.emotion.learning.surface import skin_points
from emoga.errors import InputError
from emoga.hdf5 import open_hdf5, read_array
from emoga.head import HeadParams, load_head
from emoga.optimize.picture import AvatarRenderer
from emoga.progress import Stage, Step

SHORT = Learning(iterations=16, cycles=1, batch=4, checkpoint_every=4, warm_up=0.25)


@pytest.fixture(scope="module")
def person():
    return talking_person()


@pytest.fixture(scope="module")
def learnt(person):
    return learn_emotions(*person, [edits_of(person, tint=0.15)], SHORT)


def arrays_of(avatar):
    """Every array that learning makes, by name."""
    found = {f"offset {name}": emotion.offset for name, emotion in avatar.emotions.items()}
    if avatar.appearance is not None:
        found |= avatar.appearance.weights() | {"latents": avatar.gaussians.latents}
    return found


def same(a, b):
    first, second = arrays_of(a), arrays_of(b)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_what_moves_is_found_from_nothing(learnt, person):
    offset, head = learnt[0].emotions["happy"].offset, load_head("open")
    identity = head.identify(person[0].shape)
    still, wanted, found = (identity.pose(expr[None])[0] for expr in (0 * smile(), smile(), offset))
    face = head.regions["face"]
    moved, true = ((mesh - still)[face].flatten() for mesh in (found, wanted))
    assert float(moved @ true / (moved.norm() * true.norm())) > 0.6
    assert offset[head.gaze_units].abs().max() == 0


def test_shade_that_comes_up_is_no_motion(person):
    still = edits_of(person, offset=0 * smile())
    fold = 1 - 0.25 * np.exp(-(((np.arange(SIZE) - 0.55 * SIZE) / 3) ** 2))[:, None, None]
    linear = (still.edited / 255) ** 2.2 * fold
    shaded = replace(still, edited=(255 * linear ** (1 / 2.2) + 0.5).astype(np.uint8))
    avatar, _ = learn_emotions(*person, [shaded], replace(SHORT, texture=False))
    head = load_head("open")
    offset, identity = avatar.emotions["happy"].offset, head.identify(person[0].shape)
    moved = (identity.pose(offset[None]) - identity.pose(0 * offset[None]))[0, head.regions["face"]]
    assert float(moved.norm(dim=-1).mean()) < 2e-4


def test_a_tongue_is_held_back(person):
    head = load_head("open")
    wanted = smile()
    wanted[head.unit("tongueOut")] = 0.8
    avatar, _ = learn_emotions(*person, [edits_of(person, offset=wanted)], replace(SHORT, texture=False))
    assert avatar.emotions["happy"].offset[head.unit("tongueOut")] == 0


def jaws_of(person, opened):
    """Frames in which the person's jaw alone moves, opened by so much in each, and 500 points of his skin."""
    avatar, track = person
    head = load_head("open")
    params = HeadParams.zeros(head, len(opened))
    params.shape = avatar.shape
    params.expr[:, head.unit("jawOpen")] = torch.tensor(opened)
    frames = Frames.of(avatar, params, list(range(len(opened))), track.fps)
    return frames, skin_points(head, frames.puppet.identity.rest.double().numpy(), 500), head.unit("jawOpen")


def moves_in_world(frames, surface, offset):
    """How units move points, metres at one, [T,E,N,3]."""
    axes = axes_at(surface, frames.turns(offset))
    return np.einsum("tnij,tnje->teni", axes, frames.moves(surface, offset, axes))


def test_a_jaw_is_not_fitted_to_lips_that_playback_keeps_shut(person):
    frames, surface, jaw = jaws_of(person, [0.3, 0.0, 0.3])
    moves = np.linalg.norm(moves_in_world(frames, surface, 0 * smile())[:, jaw], axis=-1).max(1)
    assert moves[1] == 0 < min(moves[0], moves[2])


def test_a_jaw_moves_as_much_as_playback_lets_through(person):
    """A wide emotion over lips that speech parts by little: a unit tells of what shows, not of what it would move."""
    frames, surface, jaw = jaws_of(person, [0.0, 0.1, 0.0])
    wide, wider, step = 0 * smile(), 0 * smile(), 0.05
    wide[jaw], wider[jaw] = 0.6, 0.6 + step
    shown = moves_in_world(frames, surface, wide)[1, jaw]
    meshes = frames.vertices(wide)[1], frames.vertices(wider)[1]
    true = surface.on_mesh((meshes[1] - meshes[0]) / step)
    free = moves_in_world(frames, surface, 0 * wide)[1, jaw]
    assert np.linalg.norm(true) < 0.7 * np.linalg.norm(free), "this frame holds the emotion back"
    assert np.linalg.norm(shown - true) < 0.25 * np.linalg.norm(free)


@pytest.mark.parametrize("name", ["browInnerUp", "mouthSmileLeft", "noseSneerRight"])
def test_skin_carries_its_units_where_head_and_jaw_turn_it(person, name):
    frames, surface, _ = jaws_of(person, [0.5])
    frames.params.rotation[0] = torch.tensor([0.2, -0.5, 0.1])
    frames.params.neck[0] = torch.tensor([-0.1, 0.3, 0.2])
    nothing, step = 0 * smile(), 0.1
    little, unit = 0 * smile(), frames.puppet.head.unit(name)
    little[unit] = step
    true = surface.on_mesh((frames.vertices(little)[0] - frames.vertices(nothing)[0]) / step)
    told = moves_in_world(frames, surface, nothing)[0, unit]
    assert np.linalg.norm(true) > 0.005
    assert np.linalg.norm(told - true) < 0.02 * np.linalg.norm(true)


def test_without_the_emotion_every_byte_is_as_before(learnt, person):
    avatar, track = person
    before, after = AvatarRenderer(avatar), AvatarRenderer(learnt[0])
    mixture = torch.zeros(learnt[0].appearance.rows)
    for camera in track.cameras:
        first = before.render(track.params, 1, [camera]).image
        assert torch.equal(first, after.render(track.params, 1, [camera], mixture=mixture).image)
        assert torch.equal(first, after.render(track.params, 1, [camera]).image)


def test_what_is_frozen_stays(learnt, person):
    for name in ("means", "quats", "log_scales", "logit_opacities", "sh", "binding"):
        assert torch.equal(getattr(learnt[0].gaussians, name), getattr(person[0].gaussians, name))
    assert torch.equal(learnt[0].neutral, person[0].neutral)


def test_two_runs_are_one(learnt, person):
    again, _ = learn_emotions(*person, [edits_of(person, tint=0.15)], SHORT)
    assert same(again, learnt[0])


def test_a_run_that_was_stopped_goes_on_to_the_same_arrays(learnt, person, tmp_path):
    checkpoint = tmp_path / "state.h5"
    edits = [edits_of(person, tint=0.15)]

    def stop(event):
        if isinstance(event, Step) and event.done >= 8 and checkpoint.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn_emotions(*person, edits, SHORT, checkpoint=checkpoint, report=stop)
    assert checkpoint.exists()
    stages = []
    resumed, _ = learn_emotions(
        *person, edits, SHORT, checkpoint=checkpoint, resume=True, report=stages.append
    )
    assert same(resumed, learnt[0])
    assert not checkpoint.exists()
    names = [event.name for event in stages if isinstance(event, Stage)]
    assert names == ["learn emotions"], "what was registered and lengthened is not done again"


def test_a_run_that_was_stopped_keeps_the_face_that_all_its_edits_wear(person, tmp_path):
    checkpoint, head = tmp_path / "state.h5", load_head("open")
    habit, short = 0 * smile(), replace(SHORT, lengthened=False)
    habit[head.unit("cheekPuff")] = 0.6
    edits = [
        replace(edits_of(person, name, preset + habit), meant=preset.numpy())
        for name, preset in ((name, head.emotion(name)) for name in ("happy", "sad"))
    ]

    def stop(event):
        if isinstance(event, Step) and checkpoint.exists():
            raise KeyboardInterrupt

    whole, _ = learn_emotions(*person, edits, short)
    with pytest.raises(KeyboardInterrupt):
        learn_emotions(*person, edits, short, checkpoint=checkpoint, report=stop)
    with open_hdf5(checkpoint, "emotion checkpoint") as file:
        worn = read_array(file, "habit", tuple(habit.shape), kind="fi")
    assert worn[head.unit("cheekPuff")] > 0.4
    resumed, _ = learn_emotions(*person, edits, short, checkpoint=checkpoint, resume=True)
    assert same(resumed, whole)


def test_a_run_that_was_stopped_while_it_measured_what_it_found_begins_anew(learnt, person, tmp_path):
    checkpoint, stages = tmp_path / "state.h5", []
    edits = [edits_of(person, tint=0.15)]

    def stop(event):
        stages.extend([event.name] if isinstance(event, Stage) else [])
        if isinstance(event, Step) and stages[-1] == "how much of it is found" and event.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn_emotions(*person, edits, SHORT, checkpoint=checkpoint, report=stop)
    assert stages == ["what the edits move", "how much of it is found"]
    resumed, _ = learn_emotions(*person, edits, SHORT, checkpoint=checkpoint, resume=True)
    assert same(resumed, learnt[0])


def test_a_checkpoint_of_other_edits_is_refused(person, tmp_path):
    checkpoint = tmp_path / "state.h5"

    def stop(event):
        if isinstance(event, Step) and checkpoint.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn_emotions(*person, [edits_of(person)], SHORT, checkpoint=checkpoint, report=stop)
    with pytest.raises(InputError, match="other settings"):
        learn_emotions(*person, [edits_of(person, tint=0.1)], SHORT, checkpoint=checkpoint, resume=True)


def test_geometry_alone_adds_no_colours_and_texture_alone_no_motion(person):
    edits = [edits_of(person, tint=0.15)]
    moved, _ = learn_emotions(*person, edits, replace(SHORT, texture=False))
    colored, _ = learn_emotions(*person, edits, replace(SHORT, geometry=False))
    assert moved.appearance is None
    assert moved.emotions["happy"].offset.abs().max() > 0.1
    assert colored.emotions["happy"].offset.abs().max() == 0
    assert colored.appearance is not None


def test_edits_that_changed_nothing_teach_nothing(person):
    more, _ = learn_emotions(*person, [edits_of(person, "sad", 0 * smile())], SHORT)
    assert set(more.emotions) == {"sad"}
    assert all(bool(torch.isfinite(array).all()) for array in arrays_of(more).values())
    assert more.emotions["sad"].offset.abs().max() < 0.15


def test_an_avatar_that_learnt_can_learn_more(learnt, person):
    more, _ = learn_emotions(learnt[0], person[1], [edits_of(person, "sad", 0.5 * smile())], SHORT)
    assert {name: emotion.embedding for name, emotion in more.emotions.items()} == {"happy": 1, "sad": 2}
    assert torch.equal(more.emotions["happy"].offset, learnt[0].emotions["happy"].offset)
    assert more.appearance.rows == 3
    with pytest.raises(InputError, match="form"):
        learn_emotions(*person, [edits_of(person)], replace(SHORT, form="absolute"))


def test_a_network_that_was_fitted_with_the_avatar_learns_on(person):
    started = with_emotion_rows(person[0], ["happy"])
    fitted = replace(started, appearance=replace(started.appearance, form="absolute"))
    learnt, _ = learn_emotions(fitted, person[1], [edits_of(person, tint=0.2)], SHORT)
    assert learnt.appearance.form == "absolute"
    camera, params = person[1].cameras[0], person[1].params
    still, before = (AvatarRenderer(one).render(params, 0, [camera]).image for one in (learnt, fitted))
    assert torch.equal(still, before), "without an emotion nothing changes"


def test_an_avatar_keeps_what_it_knew(person):
    known = replace(person[0], emotions={"wry": Emotion(0.1 * smile())})
    both, _ = learn_emotions(known, person[1], [edits_of(person)], replace(SHORT, texture=False))
    assert torch.equal(both.emotions["wry"].offset, 0.1 * smile())


def test_the_report_says_what_was_found(learnt):
    found = learnt[1].emotions[0]
    assert found.name == "happy"
    assert len(found.strengths) == len(found.weights) == VIEWS * FRAMES
    assert found.units
    assert found.color_max >= found.color_mean >= 0
    assert learnt[1].to_dict()["emotions"][0]["name"] == "happy"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda e: EmotionEdits(e.name, e.views + 7, e.frames, e.captured, e.edited, e.masks), "not in the track"),
        (lambda e: EmotionEdits(e.name, e.views, e.frames, e.captured[:, :40], e.edited[:, :40], e.masks[:, :40]),
         "pictures are 96x40"),
    ],
)  # fmt: skip
def test_edits_that_do_not_fit_the_track_are_refused(person, wrong, words):
    with pytest.raises(InputError, match=words):
        learn_emotions(*person, [wrong(edits_of(person))], SHORT)


def test_weights_must_be_given_where_they_are_asked_for_and_only_there(person):
    edits = [edits_of(person)]
    with pytest.raises(InputError, match="needs weights"):
        learn_emotions(*person, edits, replace(SHORT, weighting="given"))
    with pytest.raises(InputError, match="takes no weights"):
        learn_emotions(*person, edits, SHORT, weights=[np.ones((12, SIZE, SIZE), np.float32)])
