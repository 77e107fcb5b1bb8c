"""Colours of an avatar follow the light in which its head turns: in play, in files, in fits and under emotions."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from avatar_samples import sample_avatar, sample_light
from mannequin import make_mannequin
from painted import from_the_left, make_track
from plyfile import PlyData
from smiling import edits_of, smile, talking_person

from emoga.avatar import save_avatar
from emoga.avatar.light import STRONGEST, harmonics
from emoga.avatar.posing import make_puppet
from emoga.avatar.score import in_its_light
from emoga.describe import describe
from emoga.emotion.learning import Learning, learn_emotions
from emoga.emotion.learning.learn import _prepare
from emoga.errors import InputError
from emoga.exporting import export_bytes
from emoga.exporting.posed import Pose
from emoga.fitting import fit
from emoga.geometry import axis_angle_to_matrix, vertex_normals
from emoga.head import HeadParams, load_head
from emoga.motion import Motion
from emoga.optimize.picture import AvatarRenderer
from emoga.progress import Step
from emoga.reenactment import reenact
from emoga.render.sh import SH_C0, evaluate_sh

FEW = {"iterations": 150, "gaussians": 9000}


@pytest.fixture(scope="module")
def avatar():
    return replace(make_mannequin(), light=sample_light())


def turned(yaw: float) -> HeadParams:
    """The bind pose, turned."""
    head = load_head()
    params = HeadParams.zeros(head, 1)
    params.expr[:], params.jaw[:], params.rotation[0, 1] = head.bind_expr(), head.bind_jaw(), yaw
    return params


def test_colours_are_as_stored_where_the_head_stands_as_it_was_filmed(avatar):
    shade = make_puppet(avatar).pose(turned(0.3)).shade
    torch.testing.assert_close(shade, torch.ones_like(shade), atol=1e-3, rtol=0)


def test_skin_that_turns_to_the_light_brightens_as_the_light_says(avatar):
    puppet = make_puppet(avatar)
    posed = puppet.pose(turned(0.9))
    normals = vertex_normals(posed.vertices.double(), puppet.head.faces)[puppet.head.faces].mean(1)
    normals = torch.nn.functional.normalize(normals, dim=-1)
    back = axis_angle_to_matrix(torch.tensor([0.0, 0.9 - 0.3, 0.0], dtype=torch.float64))
    light = avatar.light.logarithm.double()
    change = (harmonics(normals) - harmonics(normals @ back))[:, 1:] @ light
    expected = change.exp().clamp(1 / STRONGEST, STRONGEST)
    cheeks = puppet.head.face_regions == puppet.head.region_names.index("cheeks")
    assert expected[cheeks].max() > 1.2 and expected[cheeks].min() < 0.95
    off = (posed.shade - expected)[cheeks].abs()
    assert off.mean() < 0.01 and off.max() < 0.05


def test_pictures_show_it_and_those_of_an_avatar_without_light_do_not(avatar):
    params = turned(0.9)
    lit, plain = (AvatarRenderer(one) for one in (avatar, replace(avatar, light=None)))
    towards = np.zeros((1, 3), np.float32)
    one, other = (renderer.carry(renderer.pose(params, 0, 1)[0], towards) for renderer in (lit, plain))
    shade = make_puppet(avatar).pose(params).shade
    torch.testing.assert_close(one.colors[0], other.colors[0] * shade, atol=2e-5, rtol=1e-4)
    assert torch.equal(one.means, other.means)


def test_posed_splats_elsewhere_wear_the_colours_of_their_pose():
    avatar = sample_avatar(rig="smooth")
    frame = Pose(frame=5)
    vertices = PlyData.read(io.BytesIO(export_bytes(avatar, "3dgs", frame)))["vertex"].data
    plain = PlyData.read(io.BytesIO(export_bytes(replace(avatar, light=None), "3dgs", frame)))["vertex"].data
    shade = make_puppet(avatar).pose(avatar.motion.params, 5).shade
    towards = torch.tensor([[0.6, 0.0, 0.8]]).expand(len(shade), 3)
    shown, bare = (evaluate_sh(_sh(rows), towards) for rows in (vertices, plain))
    bright = bare.amin(1) > 0.05  # below zero colours are cut off
    assert (shade - 1).abs().max() > 0.1
    torch.testing.assert_close(shown[bright], (bare * shade)[bright], atol=1e-4, rtol=1e-4)


def _sh(rows: np.ndarray) -> torch.Tensor:
    """SH [N,4,3] of 3DGS vertices."""
    first = np.stack([rows[f"f_dc_{channel}"] for channel in range(3)], -1)[:, None]
    rest = np.stack([rows[f"f_rest_{i}"] for i in range(9)], -1).reshape(-1, 3, 3).transpose(0, 2, 1)
    return torch.from_numpy(np.concatenate([first, rest], 1).copy())


def test_poses_of_another_world_are_played_without_it(avatar):
    for yaw, kept in ((0.9, True), (2.5, False)):
        assert (in_its_light(avatar, turned(yaw)).light is not None) == kept
    plain = replace(avatar, light=None)
    assert in_its_light(plain, turned(2.5)) is plain


def test_what_was_begun_in_another_light_is_not_gone_on_with(avatar, tmp_path):
    head = load_head()
    motion = Motion(head.name, head.version, head.checksum, HeadParams.zeros(head, 3), 25.0)

    def stop(event):
        if isinstance(event, Step) and list(tmp_path.glob("frames/*.png")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reenact(avatar, tmp_path / "frames", motion=motion, size=(32, 32), report=stop)
    with pytest.raises(InputError, match="other"):
        reenact(replace(avatar, light=None), tmp_path / "frames", motion=motion, size=(32, 32), resume=True)
    person, track = talking_person()
    checkpoint = tmp_path / "state.h5"

    def give_up(event):
        if isinstance(event, Step) and checkpoint.exists():
            raise KeyboardInterrupt

    short = Learning(iterations=8, cycles=1, checkpoint_every=4, texture=False)
    edits = [edits_of((person, track))]
    with pytest.raises(KeyboardInterrupt):
        learn_emotions(person, track, edits, short, checkpoint=checkpoint, report=give_up)
    with pytest.raises(InputError, match="other settings"):
        lit = replace(person, light=sample_light())
        learn_emotions(lit, track, edits, short, checkpoint=checkpoint, resume=True)


def test_info_tells_of_it(tmp_path):
    for light, word in ((sample_light(), "stands still"), (None, "none")):
        save_avatar(replace(sample_avatar(), light=light), tmp_path / "a.h5", overwrite=True)
        assert word in describe(tmp_path / "a.h5").facts["light"]


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    """A painted head that turns in light from one side, before three cameras; the most turned frame is held out."""
    return make_track(tmp_path_factory.mktemp("lit"), views=3, count=8, light=from_the_left)


def test_a_head_turned_further_than_it_was_filmed_is_foretold_better(track):
    lit, plain = (fit(track, None, light=light, **FEW) for light in (None, False))
    assert plain[0].light is None
    assert lit[0].light.logarithm[0].mean() > 0.2, "light comes from +x"
    gains = [part.held_out["frames"].psnr for _, part in (lit, plain)]
    assert gains[0] > gains[1] + 0.5


def test_what_light_does_to_a_smile_is_not_taken_for_colour():
    """A smile turns cheeks in the light; what the avatar's own light will show of it is no colour to be learnt."""
    person, track = talking_person()
    darker = (
        0.6 * (person.gaussians.sh * SH_C0 + 0.5) - 0.5
    ) / SH_C0  # so that nothing in the light is cut off
    plain = person.with_gaussians(replace(person.gaussians, sh=darker))
    lit = replace(plain, light=replace(sample_light(), turn=torch.zeros(3)))
    edits = edits_of((lit, track))
    found = {}
    for learner in (lit, plain):
        trainer = _prepare(learner, track, [edits], Learning(), [None], 0)
        lesson, body = trainer.lessons[0], trainer.body
        lesson.find_colors(Learning(), smile(), np.zeros_like(body.frames.vertices(smile())[0]))
        found[learner.light is None] = lesson.consensus
    body = _prepare(lit, track, [edits], Learning(), [None], 0).body
    before, after = (body.frames.shades(body.skin, body.frames.vertices(o)) for o in (0 * smile(), smile()))
    share = {}
    for unlit, consensus in found.items():
        by_light = consensus.base * (after / before - 1).mean(0)
        weight = np.minimum(consensus.evidence, 4)[:, None]
        share[unlit] = (weight * by_light * consensus.change).sum() / (weight * by_light**2).sum()
    assert share[True] > 0.5, "the pictures show what light does"
    assert abs(share[False]) < 0.6 * share[True]
