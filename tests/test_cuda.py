"""What only a GPU can show: gsplat in the whole path, graphs that are recorded, steps that do not wait."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from avatar_samples import colored_avatar
from filmed import ring
from mannequin import make_mannequin
from test_device_step import SETTINGS, relative
from test_fit import make_track

from emoga.evaluation import evaluate
from emoga.fitting import fit, trainer_torch
from emoga.fitting.checkpoint import checkpoint_path
from emoga.fitting.presets import Preset
from emoga.fitting.session import prepare
from emoga.fitting.trainer_torch import trainer_on
from emoga.head import HeadParams, load_head
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.playback import Player
from emoga.optimize.splats import PARAMETERS
from emoga.progress import Step, silent
from emoga.reenactment import reenact
from emoga.render import cuda, rasterize
from emoga.render.gsplat_kernels import why_unusable

DEVICE = "cuda"
REASON = why_unusable() if torch.cuda.is_available() else "no GPU"
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(bool(REASON), reason=f"NOT RUN: needs an NVIDIA GPU and gsplat ({REASON})"),
]


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    return make_track(tmp_path_factory.mktemp("painted"))


def talking(frames: int) -> HeadParams:
    head = load_head()
    params = HeadParams.zeros(head, frames)
    params.expr[:, head.unit("jawOpen")] = torch.linspace(0, 0.5, frames)
    params.rotation[:, 1] = torch.linspace(-0.3, 0.3, frames)
    return params


def test_playback_shows_what_the_cpu_shows_and_is_a_graph() -> None:
    avatar, params, cameras = make_mannequin(), talking(9), ring(9)
    player = Player(avatar, DEVICE, batch=4)
    played = list(player.play(params, range(9), cameras))
    assert player.refusal == ""
    single = Player(avatar, DEVICE, batch=4)
    single._posed = single._pose
    renderer = AvatarRenderer(avatar)
    for frame, picture in enumerate(single.play(params, range(9), cameras)):
        assert np.abs(picture.astype(int) - played[frame]).max() <= 1, "the graph changes nothing"
        expected = renderer.picture(params, frame, cameras[frame])
        assert (np.abs(picture.astype(int) - expected) > 2).mean() < 1e-3


def test_colours_of_emotions_are_those_of_the_cpu() -> None:
    avatar, params, cameras = colored_avatar(make_mannequin(), "happy", spread=0.3), talking(6), ring(6)
    mixtures = torch.linspace(0, 1, 6)[:, None] * torch.tensor([0.0, 1.0])
    player = Player(avatar, DEVICE, batch=4)
    pictures = list(player.play(params, range(6), cameras, mixtures=mixtures))
    on_gpu, on_cpu = AvatarRenderer(avatar, DEVICE), AvatarRenderer(avatar)
    for frame, camera in enumerate(cameras):
        expected = on_cpu.picture(params, frame, camera, mixture=mixtures[frame]).astype(int)
        for picture in (pictures[frame], on_gpu.picture(params, frame, camera, mixture=mixtures[frame])):
            assert (np.abs(picture.astype(int) - expected) > 2).mean() < 1e-3
    assert player.refusal == ""


@pytest.mark.parametrize("iteration", [0, 31])
def test_a_training_step_agrees_with_the_cpu(track, iteration: int) -> None:
    compiled = prepare(track, track.held_out, SETTINGS, "smooth", 0, silent).trainer
    results = []
    for trainer in (compiled, trainer_on(DEVICE, compiled)):
        trainer.iteration = iteration
        example = trainer.next_example(iteration / SETTINGS.iterations)
        params = trainer.motion.of_frame(example.frame, iteration > 0)
        rendering = trainer.render(example, trainer.pose(params))
        loss = trainer.loss(rendering, example)
        leaves = [getattr(trainer.splats.gaussians, name) for name in PARAMETERS]
        leaves += [params.expr, params.rotation, params.translation] if iteration else []
        gradients = torch.autograd.grad(loss, leaves)
        results.append(
            (rendering.image.detach().cpu(), float(loss.detach()), [part.cpu() for part in gradients])
        )
        if trainer is not compiled:
            assert not trainer.refusals, "posing, carrying and the loss are graphs"
    (image, loss, gradients), (same_image, same_loss, same_gradients) = results
    assert ((same_image - image).abs() > 2e-3).double().mean() < 1e-3
    assert same_loss == pytest.approx(loss, rel=1e-3)
    for one, other in zip(same_gradients, gradients, strict=True):
        assert relative(one, other) < 1e-2


@contextmanager
def syncs_are_errors():
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_only_gsplat_waits_for_the_gpu(track, monkeypatch) -> None:
    def draw(*arguments, **options):
        torch.cuda.set_sync_debug_mode("default")
        try:
            return rasterize(*arguments, **options)
        finally:
            torch.cuda.set_sync_debug_mode("error")

    trainer = trainer_on(DEVICE, prepare(track, track.held_out, SETTINGS, "smooth", 0, silent).trainer)
    for first in (0, 30):
        trainer.iteration = first
        for _ in range(4):
            trainer.step()
    monkeypatch.setattr(trainer_torch, "rasterize", draw)
    for first in (0, 30):
        trainer.iteration = first
        with syncs_are_errors():
            for _ in range(4):
                trainer.step()


def test_packed_is_the_same_picture(monkeypatch) -> None:
    avatar, params, cameras = make_mannequin(), talking(3), ring(3)
    pictures = []
    for above in (10**9, 0):
        monkeypatch.setattr(cuda, "PACK_ABOVE", above)
        pictures.append(Player(avatar, DEVICE, batch=3).draw(params, range(3), cameras).cpu().int())
    assert (pictures[0] - pictures[1]).abs().max() <= 1


def test_a_fit_on_the_gpu_learns_resumes_and_is_drawn_there(track, tmp_path) -> None:
    losses = []

    def watch(event) -> None:
        if isinstance(event, Step) and "loss" in event.figures:
            losses.append(event.figures["loss"])
            if event.done == 50 and len(losses) == 2:
                raise KeyboardInterrupt

    output = tmp_path / "avatar.h5"
    preset = Preset(iterations=100, gaussians=9000, refine_every=20, checkpoint_every=25)
    with pytest.raises(KeyboardInterrupt):
        fit(track, output, preset=preset, device=DEVICE, report=watch)
    assert checkpoint_path(output).exists()
    avatar, report = fit(track, output, preset=preset, device=DEVICE, resume=True, report=watch)
    assert losses[-1] < losses[0] and report.training.psnr > 20
    assert avatar.gaussians.means.device.type == "cpu"
    assert avatar.motion.params.expr.device.type == "cpu"
    reenact(avatar, tmp_path / "frames", size=(64, 64), device=DEVICE)
    assert len(list((tmp_path / "frames").glob("*.png"))) == avatar.motion.frame_count
    scores = [
        evaluate(avatar, track, device=device, baseline=False, max_pictures=2).training.psnr
        for device in (DEVICE, "cpu")
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.05)
