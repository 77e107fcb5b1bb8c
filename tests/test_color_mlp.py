"""Colours that depend on emotion: the compiled network equals the plain one; nothing changes without emotion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from avatar_samples import colored_avatar, sample_avatar
from filmed import ring
from mannequin import make_mannequin

from emoga.avatar import Avatar, with_color_mlp, with_emotion_rows
from emoga.avatar.appearance import ColorMLP, blend_plainly, blend_weights, start_color_mlp
from emoga.avatar.emotions import emotion_mixtures, parse_emotion
from emoga.avatar.rig import world_at_bind
from emoga.avatar.score import Score
from emoga.errors import InputError
from emoga.exporting.posed import Pose, posed_rows
from emoga.head import HeadParams, load_head
from emoga.optimize.color_mlp import PART, ROWS, blend_colors
from emoga.optimize.density import Density, refine
from emoga.optimize.emotion_colors import EmotionColors, residual_sh, sh_in_training
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.playback import Player
from emoga.optimize.splats import Splats
from emoga.progress import silent
from emoga.reenactment import reenact, still_pictures
from emoga.reenactment.playing import play_into
from emoga.render import evaluate_sh

TERMS = (1, 4, 9, 16)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def some_network(terms: int, emotions: int = 4, seed: int = 0) -> ColorMLP:
    """Every array random, biases included, so that no gradient vanishes by chance."""
    generator = torch.Generator().manual_seed(seed)
    mlp = start_color_mlp(emotions, terms, "absolute", seed)
    for name, value in mlp.weights().items():
        setattr(mlp, name, value + 0.05 * torch.randn(value.shape, generator=generator))
    return mlp


def some_latents(count: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 128, generator=torch.Generator().manual_seed(seed))


def gradients(call, mlp: ColorMLP, latents: torch.Tensor, blend: torch.Tensor, dtype: torch.dtype) -> dict:
    """Colours and the gradients of a fixed weighting of them, in `dtype`."""
    leaves = {name: part.to(dtype, copy=True).requires_grad_() for name, part in mlp.weights().items()}
    z = latents.to(dtype, copy=True).requires_grad_()
    colors = call(ColorMLP(**leaves, form=mlp.form), z, blend.to(dtype))
    pull = torch.randn(colors.shape, generator=torch.Generator().manual_seed(2))
    (colors * pull.to(dtype)).sum().backward()
    grads = {name: leaf.grad for name, leaf in {**leaves, "latents": z}.items()}
    return {"colors": colors.detach(), **grads}


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("count", [1, 67, 3 * ROWS, PART * ROWS + 5])
def test_the_compiled_network_equals_the_plain_one_in_float64(terms: int, count: int) -> None:
    mlp, latents = some_network(terms), some_latents(count)
    blend = torch.tensor([-0.7, 0.6, 0.0, 0.4, -0.1])
    compiled = gradients(blend_colors, mlp, latents, blend, torch.float32)
    exact = gradients(blend_plainly, mlp, latents, blend, torch.float64)
    for name, value in exact.items():
        assert compiled[name].dtype == torch.float32 and compiled[name].shape == value.shape
        error = (compiled[name] - value).abs().max() / value.abs().max()
        assert error < 2e-5, f"{name}: {error}"


def test_the_number_of_threads_changes_no_bit_of_colours_and_gradients() -> None:
    mlp, latents, blend = (
        some_network(16),
        some_latents(5 * PART * ROWS + 9),
        torch.tensor([-1.0, 0.5, 0, 0.5, 0]),
    )
    results = []
    for count in (1, 3, 4):
        with threads(count):
            results.append(gradients(blend_colors, mlp, latents, blend, torch.float32))
    # The embedding is tiny and torch's own.
    for name in ("colors", "latents", "hidden", "out", "out_bias"):
        for other in results[1:]:
            assert results[0][name].numpy().tobytes() == other[name].numpy().tobytes(), name


def test_the_network_is_that_of_the_thesis() -> None:
    """One emotion, one Gaussian, written out: embedding, concatenation, two layers with one ReLU each."""
    mlp, z = some_network(4), some_latents(1)[0]
    feature = torch.relu(mlp.embed_in[2] + mlp.embed_in_bias) @ mlp.embed_out + mlp.embed_out_bias
    units = torch.relu(torch.cat([z, feature]) @ mlp.hidden + mlp.hidden_bias)
    expected = (units @ mlp.out + mlp.out_bias).reshape(4, 3)
    one_hot = torch.tensor([0.0, 0, 1, 0, 0])
    torch.testing.assert_close(blend_colors(mlp, z[None], one_hot)[0], expected, atol=1e-5, rtol=1e-5)


def test_a_fresh_network_adds_nothing_and_learns_at_once() -> None:
    avatar = with_color_mlp(sample_avatar(), ["happy", "angry"], seed=3)
    mlp, latents = avatar.appearance, avatar.gaussians.latents.clone().requires_grad_()
    leaves = {name: part.requires_grad_() for name, part in mlp.weights().items()}
    mixture = torch.tensor([0.0, 1.0, 0.0])
    target = 0.2 * torch.sin(20 * torch.from_numpy(world_at_bind(avatar).means))
    optimiser = torch.optim.Adam([*leaves.values(), latents], lr=3e-3)
    losses = []
    for step in range(60):
        residual = residual_sh(mlp, latents, mixture)
        assert step or not residual.any()
        loss = (residual[:, 0] - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        assert leaves["out"].grad.abs().max() > 0
        if step:
            assert all(part.grad.abs().max() > 0 for name, part in leaves.items() if name != "out_bias")
            assert latents.grad.abs().max() > 0
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_the_same_seed_gives_the_same_conversion_and_neighbours_are_alike() -> None:
    avatar = make_mannequin()
    one, again, other = (with_color_mlp(avatar, ["sad"], seed) for seed in (1, 1, 2))
    for name, part in one.appearance.weights().items():
        assert torch.equal(part, getattr(again.appearance, name))
    assert not torch.equal(one.appearance.hidden, other.appearance.hidden)
    latents = one.gaussians.latents
    assert torch.equal(latents, again.gaussians.latents) and not torch.equal(latents, other.gaussians.latents)
    assert latents.dtype == torch.float32 and abs(float(latents.square().mean()) - 1) < 0.1
    places = torch.from_numpy(world_at_bind(avatar).means)
    distance = torch.cdist(places[::7], places)
    distance[distance == 0] = 1
    apart = (latents[::7] - latents[distance.argmin(1)]).square().mean()
    assert apart < 0.5 < (latents[::7] - latents.roll(1234, 0)[::7]).square().mean()


def test_conversion_keeps_what_there_was_and_names_rows() -> None:
    avatar = sample_avatar()
    converted = with_color_mlp(avatar, ["angry", "wistful", "happy"])
    rows = {name: emotion.embedding for name, emotion in converted.emotions.items()}
    assert rows == {"happy": 3, "ärgerlich": 0, "angry": 1, "wistful": 2}
    assert torch.equal(converted.emotions["happy"].offset, avatar.emotions["happy"].offset)
    assert torch.equal(converted.emotions["angry"].offset, load_head("open").emotion("angry"))
    assert not converted.emotions["wistful"].offset.any()
    assert converted.gaussians.sh is avatar.gaussians.sh and avatar.appearance is None
    for names in ([], ["happy", "happy"], ["neutral"], [""]):
        with pytest.raises(InputError, match="name each once"):
            with_color_mlp(avatar, names)
    with pytest.raises(InputError, match="already"):
        with_color_mlp(converted, ["sad"])


def test_further_emotions_leave_what_was_learnt_and_begin_without_effect() -> None:
    avatar = colored_avatar(sample_avatar(), spread=0.2)
    rows, mlp = avatar.appearance.rows, avatar.appearance
    more = with_emotion_rows(avatar, ["wistful", "happy", "sly"])
    assert {name: emotion.embedding for name, emotion in more.emotions.items() if name in ("wistful", "sly")} == {
        "wistful": rows, "sly": rows + 1,
    }  # fmt: skip
    assert more.emotions["happy"].embedding == avatar.emotions["happy"].embedding > 0
    assert not more.emotions["sly"].offset.any() and torch.equal(
        more.gaussians.latents, avatar.gaussians.latents
    )
    assert more.appearance.form == mlp.form and avatar.appearance.rows == rows
    for name, part in mlp.weights().items():
        assert torch.equal(getattr(more.appearance, name)[: len(part)], part)
    before, after = (EmotionColors(one.appearance, one.gaussians) for one in (avatar, more))
    torch.testing.assert_close(before.residual(1), after.residual(1), atol=1e-5, rtol=0)
    assert after.residual(rows).abs().max() < 1e-5 < 0.1 < after.residual(1).abs().max()
    latents = more.gaussians.latents.clone().requires_grad_()
    leaves = ColorMLP(
        **{name: part.clone().requires_grad_() for name, part in more.appearance.weights().items()}
    )
    mixture = torch.zeros(rows + 2)
    mixture[rows] = 1
    residual_sh(leaves, latents, mixture).square().sum().add(
        residual_sh(leaves, latents, mixture).sum()
    ).backward()
    assert leaves.embed_in.grad[rows].any() and not leaves.embed_in.grad[rows + 1].any()
    fresh = with_emotion_rows(sample_avatar(), ["sad"])
    assert fresh.emotions["sad"].embedding == 1 and not fresh.emotions["sad"].offset.any()
    with pytest.raises(InputError, match="name each once"):
        with_emotion_rows(avatar, ["neutral"])


def test_mixtures_follow_the_curve_and_sum_to_one_at_most() -> None:
    avatar = colored_avatar(sample_avatar())
    curve = parse_emotion("happy@0s:0,happy@2s:1,angry:1,surprised:0.5")
    mixtures = emotion_mixtures(avatar, curve, torch.tensor([0.0, 1.0, 2.0]))
    expected = [[0.5, 0, 1], [0.5, 0.5, 1], [0.5, 1, 1]]
    expected = torch.tensor([[value / sum(row) for value in row] for row in expected])
    torch.testing.assert_close(mixtures, expected)


@pytest.mark.parametrize("degree", [0, 3])
def test_what_emotions_add_is_linear_in_their_weights(degree: int) -> None:
    avatar = colored_avatar(sample_avatar(sh_degree=degree), spread=0.2)
    mlp, gaussians = avatar.appearance, avatar.gaussians
    colors = EmotionColors(mlp, gaussians)
    mixture = torch.tensor([0.0, 0.6, 0.3])
    mixed = colors.mixed(mixture)
    expected = gaussians.sh + 0.6 * colors.residual(1) + 0.3 * colors.residual(2)
    torch.testing.assert_close(mixed, expected, atol=1e-6, rtol=0)
    at_once = gaussians.sh + residual_sh(mlp, gaussians.latents, mixture)
    torch.testing.assert_close(mixed, at_once, atol=2e-5, rtol=0)
    assert (mixed - gaussians.sh).abs().mean() > 0.01


def test_mixtures_stay_between_their_emotions() -> None:
    """Colours are linear in the weights: inside the range that pure emotions and the face at rest span."""
    avatar = colored_avatar(sample_avatar(sh_degree=1), spread=0.2)
    colors = EmotionColors(avatar.appearance, avatar.gaussians)
    directions = torch.nn.functional.normalize(some_latents(len(avatar.gaussians))[:, :3], dim=1)
    pure = torch.stack(
        [evaluate_sh(colors.mixed(mixture).clone(), directions) for mixture in torch.eye(3)]
    )  # fmt: skip
    for text in ("happy:0.6,angry:0.3", "happy:2,angry:2", "happy:0.1,angry:0.9,surprised:1"):
        curve = parse_emotion(text)
        mixture = emotion_mixtures(avatar, curve, torch.zeros(1))[0]
        shown = evaluate_sh(colors.mixed(mixture), directions)
        assert (shown >= pure.amin(0) - 1e-5).all() and (shown <= pure.amax(0) + 1e-5).all()
        assert not torch.equal(shown, pure[0])


def test_without_emotion_stored_colours_are_used_to_the_bit() -> None:
    avatar = colored_avatar(sample_avatar())
    gaussians = avatar.gaussians
    colors = EmotionColors(avatar.appearance, gaussians)
    for mixture in (torch.zeros(3), torch.tensor([0.7, 0, 0])):
        assert colors.mixed(mixture).data_ptr() == gaussians.sh.data_ptr()
        assert sh_in_training(avatar.appearance, gaussians, mixture) is gaussians.sh
    assert not colors._residuals, "the network was evaluated for nothing"


def test_a_network_trained_as_absolute_is_played_like_any_other() -> None:
    avatar = colored_avatar(sample_avatar())
    mlp = replace(avatar.appearance, form="absolute")
    gaussians = replace(avatar.gaussians, sh=sh_in_training(mlp, avatar.gaussians, torch.zeros(3)))
    mixture = torch.tensor([0.0, 0.3, 0.5])
    trained = sh_in_training(mlp, gaussians, mixture)
    torch.testing.assert_close(trained, blend_plainly(mlp, gaussians.latents, torch.tensor([0.2, 0.3, 0.5])))
    torch.testing.assert_close(EmotionColors(mlp, gaussians).mixed(mixture), trained, atol=2e-5, rtol=0)
    assert blend_weights(mixture).sum().abs() < 1e-6 and blend_weights(mixture, "absolute").sum() == 1


def test_latents_follow_gaussians_that_split_and_go() -> None:
    gaussians = colored_avatar(sample_avatar(200)).gaussians
    gaussians = replace(
        gaussians, latents=torch.arange(200.0)[:, None].expand(-1, 128), sh=gaussians.sh.clone()
    )
    gaussians.sh[:, 0, 0] = torch.arange(200)  # what each Gaussian is known by
    gaussians.logit_opacities[:80] = -9
    splats = Splats.start(gaussians, len(load_head("open").faces))
    splats.observe(
        torch.rand(200, generator=torch.Generator().manual_seed(0)), torch.ones(200, dtype=torch.bool)
    )
    refined = refine(splats, Density(budget=1000), torch.zeros(200, dtype=torch.bool)).gaussians
    assert len(refined) != 200 and len(set(refined.sh[:, 0, 0].tolist())) < len(refined)
    assert torch.equal(refined.latents[:, 5], refined.sh[:, 0, 0])
    with pytest.raises(InputError, match="no latents"):
        colored_avatar(sample_avatar()).with_gaussians(sample_avatar().gaussians)


@pytest.fixture(scope="module")
def actor() -> Avatar:
    """A mannequin that flushes when happy and pales when sad."""
    return colored_avatar(make_mannequin(), "happy", "sad", spread=0.3)


def played(avatar: Avatar, path, **options) -> bytes:
    reenact(avatar, path, motion=None, size=(48, 48), fps=4, overwrite=True, **options)
    return path.read_bytes()


def test_at_zero_pictures_are_those_of_the_input_avatar_byte_for_byte(actor: Avatar, tmp_path) -> None:
    plain = replace(actor, appearance=None)
    before = played(plain, tmp_path / "a.y4m")
    for emotion in (None, "happy:0", "happy:0,sad:0", "neutral"):
        assert played(actor, tmp_path / "b.y4m", emotion=emotion) == before, emotion
    moved = played(plain, tmp_path / "a.y4m", emotion="happy")
    assert played(actor, tmp_path / "b.y4m", emotion="happy") != moved
    fresh = with_color_mlp(make_mannequin(), ["happy", "sad"])
    assert played(fresh, tmp_path / "b.y4m", emotion="happy") == moved


def test_colours_follow_keyframes_in_playback_whatever_the_number_of_threads(actor: Avatar, tmp_path) -> None:
    emotion, results = "happy@0s:0,happy@1s:0.6,sad@0.5s:0,sad@1.5s:0.4", []
    for count in (1, 3):
        with threads(count):
            results.append(played(actor, tmp_path / "a.y4m", emotion=emotion))
    assert results[0] == results[1]
    assert results[0] != played(replace(actor, appearance=None), tmp_path / "a.y4m", emotion=emotion)


def test_a_folder_begun_with_other_colours_is_not_continued(actor: Avatar, tmp_path) -> None:
    options = {"motion": None, "size": (16, 16), "fps": 2, "emotion": "happy"}
    reenact(actor, tmp_path / "frames", **options)
    again = reenact(actor, tmp_path / "frames", resume=True, **options)
    assert again.drawn == 0
    changed = replace(actor, appearance=replace(actor.appearance, out=2 * actor.appearance.out))
    with pytest.raises(InputError, match="other settings"):
        reenact(changed, tmp_path / "frames", resume=True, **options)


def test_batches_show_the_colours_of_single_frames(actor: Avatar) -> None:
    """The GPU's way of playing, run on the CPU."""
    head, count = load_head("open"), 5
    params, cameras = HeadParams.zeros(head, count), ring(count)
    mixtures = torch.rand(count, 3, generator=torch.Generator().manual_seed(0)) / 3
    mixtures[2] = 0
    pictures = []

    class Sink:
        def has(self, index: int) -> bool:
            return False

        def write(self, index: int, picture: np.ndarray) -> None:
            pictures.append(picture)

    player, renderer = Player(actor, "cpu", batch=2), AvatarRenderer(actor)
    play_into(Sink(), player, Score(params, 25.0, mixtures), cameras, (1.0, 1.0, 1.0), silent)
    for frame, (picture, camera) in enumerate(zip(pictures, cameras, strict=True)):
        expected = renderer.picture(params, frame, camera, mixture=mixtures[frame])
        assert np.abs(picture.astype(int) - expected).max() <= 2
        plain = renderer.picture(params, frame, camera)
        assert (np.abs(expected.astype(int) - plain).max() > 5) == (frame != 2)
    assert Score(params, 25.0, mixtures).digest() != Score(params, 25.0).digest()


def test_stills_show_the_colours_of_the_emotion(actor: Avatar) -> None:
    shown, rest = still_pictures(actor, ["happy", "neutral"], [0], 32)
    plain, same = still_pictures(replace(actor, appearance=None), ["happy", "neutral"], [0], 32)
    assert np.abs(shown.astype(int) - plain).max() > 5 and np.array_equal(rest, same)


def test_posed_files_hold_the_colours_of_the_emotion() -> None:
    avatar = replace(colored_avatar(sample_avatar(sh_degree=0), spread=0.2), light=None)
    plain = replace(avatar, appearance=None)
    pose = Pose(emotion="happy:0.5,angry:0.25")
    added = posed_rows(avatar, pose).sh - posed_rows(plain, pose).sh
    mixture = torch.tensor([0.0, 0.5, 0.25])
    expected = residual_sh(avatar.appearance, avatar.gaussians.latents, mixture)
    np.testing.assert_allclose(added, expected.numpy(), atol=1e-5)
    for untouched in (Pose(), Pose(emotion="neutral"), Pose(emotion="surprised")):
        assert posed_rows(avatar, untouched).sh.tobytes() == posed_rows(plain, untouched).sh.tobytes()
