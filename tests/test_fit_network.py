"""Fitting with colours from a network: where it starts, what it learns, what it leaves behind for every viewer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from painted import make_track
from test_device_step import relative
from typer.testing import CliRunner

from emoga.avatar import load_avatar, with_emotion_rows
from emoga.camera import look_at
from emoga.capture import save_track
from emoga.fitting import fit
from emoga.fitting.network import TRAINED
from emoga.fitting.presets import Preset
from emoga.fitting.session import prepare
from emoga.fitting.trainer_torch import trainer_on
from emoga.head import HeadParams, load_head
from emoga.optimize.emotion_colors import sh_in_training
from emoga.optimize.perceptual import BAND_PASS
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.splats import PARAMETERS
from emoga.optimize.vgg import FILES, vgg_shapes
from emoga.progress import silent
from emoga_cli.main import app

SETTINGS = Preset(iterations=40, gaussians=9000, refine_every=8, checkpoint_every=10, appearance="color_mlp")
SHORT = {"iterations": 60, "gaussians": 9000, "device": "cpu"}


@pytest.fixture(scope="module", autouse=True)
def no_weights(tmp_path_factory):
    """Whatever networks this machine has, patches are compared by bands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EMOGA_WEIGHTS", raising=False)
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
        yield


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    return make_track(tmp_path_factory.mktemp("painted"))


@pytest.fixture(scope="module")
def fitted(track, tmp_path_factory):
    output = tmp_path_factory.mktemp("fit") / "avatar.h5"
    return *fit(track, output, appearance="color_mlp", **SHORT), output


@pytest.fixture
def trainer(track):
    return prepare(track, track.held_out, SETTINGS, "smooth", 0, silent).trainer


def test_the_network_starts_as_the_colours_of_the_first_pictures(track, trainer) -> None:
    plain = prepare(track, track.held_out, replace(SETTINGS, appearance="sh"), "smooth", 0, silent).trainer
    assert plain.network is None and plain.patches is None
    torch.testing.assert_close(trainer.colored().sh, plain.splats.gaussians.sh, atol=1e-5, rtol=0)
    latents = trainer.splats.gaussians.latents
    assert latents.requires_grad and not trainer.splats.gaussians.sh.requires_grad
    assert latents.shape == (len(trainer.splats), 128)


def test_a_step_moves_latents_network_and_embedding_and_nothing_twice(trainer) -> None:
    before = {name: part.detach().clone() for name, part in trainer.network.mlp.weights().items()}
    latents, sh = (getattr(trainer.splats.gaussians, name).detach().clone() for name in ("latents", "sh"))
    for _ in range(3):
        trainer.step()
    for name, part in trainer.network.mlp.weights().items():
        assert not torch.equal(part.detach(), before[name]), name
        assert part.grad is None
    assert not torch.equal(trainer.splats.gaussians.latents.detach(), latents)
    assert torch.equal(trainer.splats.gaussians.sh.detach(), sh), "SH are the network's to give"


def test_density_control_keeps_latents_with_their_gaussians(track) -> None:
    roomy = replace(SETTINGS, gaussians=24_000)
    trainer = prepare(track, track.held_out, roomy, "smooth", 0, silent).trainer
    count = len(trainer.splats)
    for _ in range(2 * SETTINGS.refine_every):
        trainer.step()
    gaussians = trainer.splats.gaussians
    assert len(gaussians) != count and gaussians.latents.shape == (len(gaussians), 128)
    assert trainer.splats.states["latents"].mean.shape == gaussians.latents.shape
    children = gaussians.select(torch.arange(len(gaussians) - 2, len(gaussians)))
    assert gaussians.latents.requires_grad and children.latents.abs().sum() > 0
    trainer.step()


def test_a_fit_says_by_what_patches_were_compared(fitted) -> None:
    avatar, report, _ = fitted
    assert report.appearance == "color_mlp" and report.perceptual == BAND_PASS
    assert any(BAND_PASS in note and "vgg19" in note for note in report.notes)
    assert avatar.appearance.form == "absolute" and avatar.appearance.rows == 1
    assert report.training.psnr > 20 and report.held_out["frames"].psnr > report.baselines["mean"]


def test_what_it_gives_without_emotion_is_stored_as_sh(fitted) -> None:
    avatar, _, output = fitted
    loaded = load_avatar(output)
    assert torch.equal(loaded.gaussians.sh, avatar.gaussians.sh)
    assert torch.equal(loaded.gaussians.latents, avatar.gaussians.latents)
    given = sh_in_training(loaded.appearance, loaded.gaussians, torch.zeros(1))
    assert (given - loaded.gaussians.sh).abs().max() < 0.02  # latents are stored at half precision
    plain = replace(loaded, appearance=None)
    params = HeadParams.zeros(load_head(), 1)
    camera = look_at((0, 0, 0.9), (0, -0.02, -0.05), 0.45, 64, 64)
    pictures = [AvatarRenderer(one).picture(params, 0, camera) for one in (loaded, plain)]
    assert (pictures[0] == pictures[1]).all()


def test_emotions_get_rows_on_top_of_what_was_fitted(fitted) -> None:
    avatar = with_emotion_rows(fitted[0], ["happy", "sly"])
    assert avatar.appearance.rows == 3 and avatar.emotions["sly"].embedding == 2
    one_hot = torch.tensor([0.0, 1.0, 0.0])
    given = sh_in_training(avatar.appearance, avatar.gaussians, one_hot)
    assert (given - avatar.gaussians.sh).abs().max() < 0.02


def test_the_same_seed_gives_the_same_bits_whatever_the_threads(track) -> None:
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(fit(track, None, preset=SETTINGS, device="cpu")[0])
    finally:
        torch.set_num_threads(before)
    for name in ("means", "sh", "latents"):
        assert torch.equal(getattr(found[0].gaussians, name), getattr(found[1].gaussians, name)), name


def test_one_camera_is_enough(tmp_path: Path) -> None:
    single = make_track(tmp_path, views=1)
    avatar, report = fit(single, None, appearance="color_mlp", **SHORT)
    assert avatar.appearance is not None and report.training.psnr > 20


@pytest.mark.parametrize("iteration", [0, 31])
def test_on_a_device_pictures_and_gradients_are_those_of_the_compiled_step(trainer, iteration: int) -> None:
    results = []
    for one in (trainer, trainer_on("cpu", trainer)):
        one.iteration = iteration
        example = one.next_example(iteration / SETTINGS.iterations)
        params = one.motion.of_frame(example.frame, learning=False)
        rendering = one.render(example, one.pose(params))
        loss = one.loss(rendering, example) + one.patches.loss(rendering, example, iteration)
        leaves = [getattr(one.splats.gaussians, name) for name in TRAINED]
        leaves += list(one.network.mlp.weights().values())
        results.append((loss, torch.autograd.grad(loss, leaves, materialize_grads=True)))
    assert results[1][0].item() == pytest.approx(results[0][0].item(), rel=1e-5)
    for one, other in zip(results[1][1], results[0][1], strict=True):
        assert relative(one, other) < 1e-3
    assert set(PARAMETERS) - {"sh"} < set(TRAINED)


def test_on_a_device_it_goes_where_the_compiled_one_goes(trainer) -> None:
    on_device = trainer_on("cpu", trainer)
    losses = [[float(one.step()) for _ in range(20)] for one in (trainer, on_device)]
    torch.testing.assert_close(torch.tensor(losses[1]), torch.tensor(losses[0]), rtol=5e-3, atol=2e-4)


def test_the_command_line_fits_it_and_reports_the_features(track, tmp_path: Path) -> None:
    save_track(track, tmp_path / "track.h5")
    line = ["fit", str(tmp_path / "track.h5"), "-o", str(tmp_path / "a.ply"), "--iterations", "4"]
    line += ["--gaussians", "9000", "--appearance", "color_mlp", "--json", "-q"]
    result = CliRunner().invoke(app, line, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["perceptual"] == BAND_PASS and said["appearance"] == "color_mlp"
    assert load_avatar(tmp_path / "a.ply").appearance is not None


def test_vgg_is_used_where_it_is_a_patch_in_a_step(track, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.randn(shape, generator=generator) * (0.03 if len(shape) > 1 else 0.1)
        for name, shape in vgg_shapes("vgg16").items()
    }
    torch.save(state, tmp_path / FILES["vgg16"][0])
    short = replace(SETTINGS, iterations=2)
    _, report = fit(track, None, preset=short, weights=tmp_path, device="cpu")
    assert report.perceptual == "vgg16" and "1 in a step" in report.notes[0]
