"""Fitting on a tiny painted head: it learns, resumes to the same bits, refuses what it cannot use."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from painted import FRAMES, SIZE, make_track

from emoga.avatar import Avatar, load_avatar
from emoga.avatar.posing import make_puppet
from emoga.camera import look_at
from emoga.capture import HeldOut, Landmarks
from emoga.errors import InputError
from emoga.fitting import fit
from emoga.fitting.anchoring import anchor_shoulders
from emoga.fitting.checkpoint import checkpoint_path
from emoga.fitting.clothing import FOOT, bare_share, skin_beneath
from emoga.fitting.presets import Preset
from emoga.fitting.refinement import MotionRefinement
from emoga.fitting.session import prepare
from emoga.fitting.shown import PosedPictures
from emoga.fitting.visibility import shown_squarely
from emoga.head import BONES, HeadParams, load_head
from emoga.optimize.first_gaussians import FIXED_SHARE, triangle_counts
from emoga.optimize.outline import fit_outline
from emoga.progress import Note, Step, silent

SMALL = {"iterations": 60, "gaussians": 9000}


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    return make_track(tmp_path_factory.mktemp("painted"))


@pytest.fixture(scope="module")
def fitted(track, tmp_path_factory):
    """One short fit that several tests look at: avatar, report, events, output."""
    output, events = tmp_path_factory.mktemp("fit") / "avatar.h5", []
    avatar, report = fit(track, output, report=events.append, **SMALL)
    return avatar, report, events, output


def test_a_short_fit_beats_the_mean_frame_and_writes_a_loadable_avatar(fitted):
    avatar, report, events, output = fitted
    assert report.training.psnr > 20
    assert report.held_out["frames"].psnr > report.baselines["mean"]
    assert report.held_out["views"] is None
    losses = [
        event.figures["loss"] for event in events if isinstance(event, Step) and "loss" in event.figures
    ]
    assert losses[-1] < losses[0]
    loaded = load_avatar(output)
    assert torch.equal(loaded.gaussians.means, avatar.gaussians.means)
    assert loaded.motion.frame_count == FRAMES
    assert not checkpoint_path(output).exists()


def test_the_avatar_has_no_shoulder_layer_and_every_triangle_of_the_head_has_a_gaussian(fitted):
    avatar = fitted[0]
    assert (avatar.gaussians.binding >= 0).all()
    head = load_head()
    foot = torch.tensor([name in FOOT for name in head.region_names])[head.face_regions.long()]
    bound = torch.bincount(avatar.gaussians.binding, minlength=len(head.faces)) > 0
    assert bound[~foot].all()
    assert (avatar.gaussians.labels == load_head().face_regions[avatar.gaussians.binding]).all()


def test_the_report_says_what_was_never_seen(fitted):
    _, report, events, _ = fitted
    assert report.never_seen["back of the head"] > 0.2
    assert report.never_seen["face"] < 0.3
    json = report.as_json()
    assert json["held_out"]["baseline_psnr"] == pytest.approx(report.baseline_psnr, abs=1e-3)
    assert any(isinstance(event, Note) and "never seen" in event.text for event in events) == bool(
        report.notes
    )


def test_frames_without_a_face_teach_nothing(track):
    valid = np.ones((len(track.cameras), FRAMES), bool)
    valid[:, 1] = False
    marks = Landmarks(np.zeros((*valid.shape, 1, 2), np.float32), valid, "mediapipe478")
    marked, notes = replace(track, landmarks=marks), []
    session = prepare(marked, marked.held_out, Preset(1, 9000), "smooth", 0, notes.append)
    taught = {frame for _, frame in session.trainer.pictures.pairs}
    assert taught == set(track.held_out.training_frames(FRAMES)) - {1}
    said = [event.text for event in notes if isinstance(event, Note)]
    assert f"left out: 1 of {FRAMES} frames, which show no face" in said
    others = "frames:" + ",".join(str(f) for f in range(FRAMES) if f != 1)
    with pytest.raises(InputError, match="shows a face"):
        fit(marked, None, hold_out=[others], **SMALL)
    with pytest.raises(InputError, match="shows a face"):
        marked.kept_out(None, [others])


def test_held_out_frames_keep_the_tracked_motion(fitted, track):
    motion = fitted[0].motion.params
    for name in ("expr", "rotation", "neck", "translation"):
        assert torch.equal(getattr(motion, name)[-1], getattr(track.params, name)[-1])
    assert not torch.equal(motion.expr[:-1], track.params.expr[:-1])


class Killed(BaseException):
    """Stands for a signal: no handler of the library may swallow it."""


PRESET = Preset(iterations=40, gaussians=9000, refine_every=8, checkpoint_every=10)


def dying_at(iteration: int):
    """A reporter that stops the fit as a signal would."""

    def die(event):
        if isinstance(event, Step) and "loss" in event.figures and event.done >= iteration:
            raise Killed

    return die


@pytest.mark.parametrize("appearance", ["sh", "color_mlp"])
def test_a_killed_fit_resumes_to_the_same_bits(track, tmp_path, appearance):
    settings = {"preset": PRESET, "appearance": appearance, "device": "cpu"}
    whole, _ = fit(track, tmp_path / "whole.h5", **settings)
    output = tmp_path / "cut.h5"
    with pytest.raises(Killed):
        fit(track, output, report=dying_at(30), **settings)
    assert checkpoint_path(output).exists() and not output.exists()
    resumed, _ = fit(track, output, resume=True, **settings)
    assert (whole.appearance is None) == (appearance == "sh")
    if whole.appearance is not None:
        assert torch.equal(whole.gaussians.latents, resumed.gaussians.latents)
        for name, part in whole.appearance.weights().items():
            assert torch.equal(part, getattr(resumed.appearance, name)), name
    for name in ("means", "quats", "log_scales", "logit_opacities", "sh", "binding", "labels"):
        assert torch.equal(getattr(whole.gaussians, name), getattr(resumed.gaussians, name)), name
    assert torch.equal(whole.motion.params.expr, resumed.motion.params.expr)


def test_a_checkpoint_of_another_fit_or_a_damaged_one_is_refused(track, tmp_path):
    output = tmp_path / "avatar.h5"
    with pytest.raises(Killed):
        fit(track, output, preset=PRESET, report=dying_at(20))
    with pytest.raises(InputError, match="another track"):
        fit(track, output, preset=PRESET, seed=1, resume=True)
    path = checkpoint_path(output)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"not a readable HDF5|damaged"):
        fit(track, output, preset=PRESET, resume=True)
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "slow"}, "unknown preset"),
        ({"iterations": 0}, "iterations 0 is out of range"),
        ({"sh_degree": 4}, "sh_degree 4 is out of range"),
        ({"appearance": "hash"}, "unknown appearance 'hash'; known: sh, color_mlp"),
        ({"rig": "rubber"}, "unknown rig"),
        ({"device": "tpu"}, "device"),
        ({"hold_out": ["frames:0-4"]}, "nothing to train on"),
    ],
)
def test_impossible_requests_are_refused(track, tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        fit(track, tmp_path / "avatar.h5", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_track_of_another_head_version_is_refused(track, tmp_path):
    with pytest.raises(InputError, match="track again"):
        fit(replace(track, head_checksum="0" * 64), tmp_path / "avatar.h5", **SMALL)


def test_existing_outputs_are_kept_unless_told_otherwise(fitted, track):
    before = fitted[3].read_bytes()
    with pytest.raises(InputError, match="exists already"):
        fit(track, fitted[3], **SMALL)
    assert fitted[3].read_bytes() == before


def test_a_track_without_masks_can_be_fitted(track):
    avatar, report = fit(replace(track, masks=None, head_masks=None), None, iterations=4, gaussians=9000)
    assert report.training is None and len(avatar.gaussians) > 9000


def test_eyes_and_teeth_get_their_share_and_every_triangle_at_least_one():
    head = load_head()
    areas = np.full(len(head.faces), 1e-6)
    counts = triangle_counts(head, areas, 60_000)
    assert counts.min() == 1
    for name, share in FIXED_SHARE.items():
        inside = head.face_regions.numpy() == head.region_names.index(name)
        assert counts[inside].sum() == pytest.approx(60_000 * share, rel=0.35)


def test_anchoring_keeps_the_head_in_place_and_the_shoulders_still():
    head = load_head()
    params = HeadParams.zeros(head, 4)
    generator = torch.Generator().manual_seed(0)
    params.rotation[:] = 0.2 * torch.randn(4, 3, generator=generator)
    params.neck[:] = 0.05 * torch.randn(4, 3, generator=generator)
    params.translation[:] = 0.01 * torch.randn(4, 3, generator=generator)
    before, after = head.vertices(params), head.vertices(anchor_shoulders(head, params, [0, 1, 2]))
    face = head.skin_weights[:, BONES.index("root")] == 0
    torch.testing.assert_close(after[:, face], before[:, face], atol=2e-5, rtol=0)
    anchored = anchor_shoulders(head, params, [0, 1, 2])
    assert torch.equal(anchored.rotation[0], anchored.rotation[3])


def test_corrections_are_centred_over_training_frames_only():
    head = load_head()
    motion = MotionRefinement(HeadParams.zeros(head, 4), dict.fromkeys(
        ("expr", "rotation", "neck", "jaw", "eyes", "translation"), 0.01
    ))  # fmt: skip
    for frame in range(3):
        params = motion.of_frame(frame, learning=True)
        (params.rotation.sum() * (frame + 1)).backward()
        motion.update(frame, params, 1.0)
    assert motion.corrections["rotation"][:3].abs().min() > 0
    motion.centre([0, 1, 2])
    torch.testing.assert_close(motion.corrections["rotation"][:3].mean(0), torch.zeros(3))
    assert not motion.corrections["rotation"][3].any()


@pytest.mark.parametrize("refine", [True, False])
def test_training_frames_move_only_where_motion_is_refined(track, refine):
    start = track.params
    chosen = Preset(40, 300, refine_motion=refine)
    avatar, _ = fit(track, None, preset=chosen)
    assert torch.equal(avatar.motion.params.expr, start.expr) != refine
    assert torch.equal(avatar.motion.params.rotation, start.rotation) != refine


def test_one_camera_leaves_the_tracked_motion_alone(track):
    one = replace(
        track, cameras=track.cameras[:1], media=track.media[:1], masks=track.masks[:1],
        head_masks=track.head_masks[:1], landmarks=None, held_out=HeldOut((), ()),
    )  # fmt: skip
    few = {"preset": "fast", "iterations": 40, "gaussians": 300}
    kept, refined = (fit(one, None, refine_motion=how, **few)[0] for how in (None, True))
    assert torch.equal(kept.motion.params.expr, one.params.expr)
    assert not torch.equal(refined.motion.params.expr, one.params.expr)


def test_the_mesh_is_pulled_to_the_outline(track):
    head = load_head()
    wide = np.stack([[widened(mask) for mask in stack] for stack in track.head_masks])
    changed = replace(track, head_masks=wide)
    pairs = [(view, frame) for view in range(2) for frame in range(FRAMES)]
    params = fit_outline(head, changed, track.params, pairs, silent)
    step = params.static_offset.norm(dim=1)
    scalp, eyes = (head.regions[name] for name in ("scalp", "eyeballs"))
    assert step[scalp].mean() > 0.003  # three pixels of about 4 mm were added
    assert step[eyes].max() < 0.001
    assert torch.equal(params.shape, track.params.shape)


def widened(mask: np.ndarray) -> np.ndarray:
    """A mask grown by three pixels."""
    return cv2.dilate(mask, np.ones((7, 7), np.uint8))


@pytest.mark.parametrize(
    ("arguments", "suffix"),
    [({"keep_shoulders": True}, "ply"), ({"rig": "ga"}, "h5"), ({"sh_degree": 3}, "ply")],
)
def test_variants_survive_their_files(track, tmp_path, arguments, suffix):
    path = tmp_path / f"avatar.{suffix}"
    avatar, report = fit(track, path, iterations=30, gaussians=9000, **arguments)
    loaded = load_avatar(path)
    assert report.training.psnr > 20
    assert torch.equal(loaded.gaussians.sh, avatar.gaussians.sh) and loaded.rig == arguments.get(
        "rig", "smooth"
    )
    assert bool((loaded.gaussians.binding < 0).any()) == arguments.get("keep_shoulders", False)
    assert loaded.gaussians.sh_degree == arguments.get("sh_degree", 1)


def test_clothing_stays_out_of_the_avatar_unless_asked_for(track):
    head = load_head()
    dressed, bare = (
        fit(track, None, iterations=20, gaussians=9000, keep_shoulders=keep)[0] for keep in (True, False)
    )
    bound = dressed.gaussians.binding[dressed.gaussians.binding >= 0]
    assert len(bound.unique()) == len(head.faces)  # while fitting, every triangle keeps a Gaussian
    counts = [
        torch.bincount(
            avatar.gaussians.labels[avatar.gaussians.binding >= 0].long(), minlength=len(head.region_names)
        )
        for avatar in (dressed, bare)
    ]
    foot = torch.tensor([name in FOOT for name in head.region_names])
    neck = head.region_names.index("neck")
    assert torch.equal(counts[1][~foot], counts[0][~foot])
    assert counts[1][neck] > 0.5 * counts[0][neck]
    assert (beside_mask(track, bare) > 2).sum() == 0
    assert (beside_mask(track, dressed) > 2).sum() > 50


def test_undressing_takes_what_hangs_on_the_head_and_leaves_what_soaks_up_the_rest(track):
    session = prepare(track, track.held_out, Preset(1, 9000), "smooth", 0, silent)
    before = session.trainer.splats.gaussians.detach()
    session.undress()
    after = session.trainer.splats.gaussians.detach()
    foot = torch.tensor([name in FOOT for name in session.head.region_names] + [True])
    assert len(after) < len(before)
    for kept in (lambda g: g.binding < 0, lambda g: ~foot[g.labels.long()]):
        assert torch.equal(after.means[kept(after)], before.means[kept(before)]) and kept(after).any()
    assert len(session.trainer.splats.states["means"].mean) == len(after)


def test_with_one_camera_what_soaks_up_the_rest_goes_too(tmp_path):
    session = prepare(make_track(tmp_path, 1), HeldOut((), ()), Preset(1, 9000), "smooth", 0, silent)
    assert (session.trainer.splats.gaussians.binding < 0).any()
    session.undress()
    assert (session.trainer.splats.gaussians.binding >= 0).all()
    assert session.trainer.next_example(0.9).head_only


def test_blending_weights_tell_what_shows_beside_the_head(track):
    session = prepare(track, track.held_out, Preset(1, 9000), "smooth", 0, silent)
    trainer = session.trainer
    identity = session.head.identify(track.params.shape, track.params.static_offset)
    gaussians = trainer.splats.gaussians.detach()
    gaussians = gaussians.select(gaussians.binding >= 0)
    pictures = PosedPictures(identity, trainer.rig, track.params, track, trainer.pictures.pairs[:6])
    share, shown = bare_share(gaussians, pictures)
    region = [(gaussians.labels == session.head.region_names.index(name)) & (shown > 1) for name in FOOT]
    assert share[region[0]].mean() > 0.75 > 0.4 > share[region[1]].mean()
    assert float(share.min()) >= 0 and float(share.max()) <= 1 + 1e-5


def test_what_clothing_covered_gets_the_colour_of_the_skin_around_it(track):
    session = prepare(track, track.held_out, Preset(1, 9000), "smooth", 0, silent)
    gaussians = session.trainer.splats.gaussians.detach()
    neck = torch.nonzero(gaussians.labels == session.head.region_names.index("neck"))[:, 0]
    share, shown = torch.ones(len(gaussians)), torch.full((len(gaussians),), 5.0)
    share[neck[::3]], shown[neck[::6]] = 0.2, 0.0  # of these, every other one nobody saw
    gaussians.sh[neck, 0] = torch.tensor([0.3, 0.2, 0.1])
    gaussians.sh[neck[::3], 0] = 9.0
    rows, colors = skin_beneath(gaussians, session.head, gaussians.means, share, shown)
    assert torch.equal(rows, neck[3::6])
    torch.testing.assert_close(colors, torch.tensor([0.3, 0.2, 0.1]).expand(len(colors), 3))


def beside_mask(track, avatar: Avatar) -> np.ndarray:
    """Pixels by which each of the shoulders' Gaussians stays away from the head mask in every training picture."""
    shoulders = avatar.gaussians.labels == load_head().region_names.index("shoulders")
    kept = avatar.gaussians.select(shoulders & (avatar.gaussians.binding >= 0))
    puppet, nearest = make_puppet(replace(avatar, gaussians=kept)), np.full(len(kept), np.inf)
    for view, camera in enumerate(track.cameras):
        for frame in track.held_out.training_frames(track.frame_count):
            distance = cv2.distanceTransform(255 - track.head_masks[view, frame], cv2.DIST_L2, 5)
            pixels, _ = camera.project(puppet.pose(avatar.motion.params, frame).world.means.double().numpy())
            column, line = np.floor(pixels).astype(int).T
            within = (column >= 0) & (column < SIZE) & (line >= 0) & (line < SIZE)
            nearest[within] = np.minimum(nearest[within], distance[line[within], column[within]])
    return nearest[np.isfinite(nearest)]


def test_how_squarely_a_triangle_is_shown():
    head = load_head()
    front = look_at([0, -0.03, 0.8], [0, -0.03, -0.04], 0.45, SIZE, SIZE)
    left = look_at([0.8, -0.03, -0.04], [0, -0.03, -0.04], 0.45, SIZE, SIZE)
    centres = head.template[head.faces].mean(1)
    behind = (centres[:, 2] < centres[:, 2].min() + 0.02).numpy()
    once = shown_squarely(head, [(head.template, front)])
    twice = shown_squarely(head, [(head.template, front), (head.template, left)])
    assert once.min() >= 0
    assert 0.9 < once.max() <= 1
    assert not once[behind].any()
    assert (twice >= once).all()
    ears = (head.face_regions == head.region_names.index("ears")).numpy() & (centres[:, 0] > 0).numpy()
    assert twice[ears].mean() > once[ears].mean() + 0.1


def test_hair_that_a_single_camera_never_shows_lies_flat(tmp_path):
    session = prepare(make_track(tmp_path, 1), HeldOut((), ()), Preset(1, 9000), "smooth", 0, silent)
    gaussians, head = session.trainer.splats.gaussians.detach(), session.head
    hair = gaussians.labels == head.region_names.index("scalp")
    centres = head.template[head.faces].mean(1)[gaussians.binding.clamp_min(0)]
    behind = hair & (centres[:, 2] < centres[:, 2].min() + 0.03)
    shown = hair & (centres[:, 2] > centres[hair][:, 2].max() - 0.03)
    assert not gaussians.means[behind, 2].any()
    assert (gaussians.log_scales[behind, 2] < gaussians.log_scales[behind, 1]).all()
    assert (gaussians.log_scales[shown, 2] == gaussians.log_scales[shown, 1]).float().mean() > 0.5


def test_what_no_outline_of_a_single_camera_shows_moves_less_than_the_outline(tmp_path):
    track, head = make_track(tmp_path, 1), load_head()
    grown = np.stack([widened(mask) for mask in track.head_masks[0]])
    track = replace(track, head_masks=grown[None])
    offset = fit_outline(head, track, track.params, [(0, f) for f in range(FRAMES)], silent).static_offset
    length, depth = offset.norm(dim=1), head.template[:, 2]
    scalp = torch.zeros(len(length), dtype=torch.bool)
    scalp[head.regions["scalp"]] = True
    behind = scalp & (depth < depth[scalp].quantile(0.1))
    assert length[scalp].max() > 0.004
    assert length[behind].mean() < 0.5 * length[scalp].max()
