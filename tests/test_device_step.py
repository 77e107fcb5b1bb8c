"""The GPU's way of fitting, run on the CPU: same numbers as the compiled way, and nothing that waits for a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace

import pytest
import torch
from avatar_samples import sample_avatar, sample_light
from painted import from_the_left, make_track
from test_optimize_splats import TRIANGLES, some_frames, some_gaussians
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from emoga.avatar.frames import TriangleFrames
from emoga.avatar.frames_torch import FrameMaker
from emoga.avatar.posing import MOTION
from emoga.avatar.rig import bind_pose, rig_of
from emoga.fitting import trainer_torch
from emoga.fitting.checkpoint import load_checkpoint, save_checkpoint
from emoga.fitting.presets import Preset
from emoga.fitting.session import prepare
from emoga.fitting.trainer import Trainer
from emoga.fitting.trainer_torch import DeviceTrainer, trainer_on
from emoga.head import Identity, load_head
from emoga.optimize.adam import AdamState, _adam_torch, adam_step
from emoga.optimize.carry import carry, sort_bindings
from emoga.optimize.carry_torch import carry_frames
from emoga.optimize.graphs import Captured
from emoga.optimize.regularise import Tether, _add_tether_torch, add_tether
from emoga.optimize.splats import PARAMETERS, Splats
from emoga.optimize.ssim import ssim_map, ssim_map_reference
from emoga.optimize.ssim_torch import ssim_map_banded
from emoga.optimize.training_pictures import Example
from emoga.progress import silent
from emoga.render import Rendering, Statistics


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return ((actual - expected).norm() / expected.norm().clamp_min(1e-12)).item()


@pytest.mark.parametrize("name", ["smooth", "ga"])
def test_frames_of_many_heads_are_the_rigs(name: str) -> None:
    head = load_head()
    identity = head.identify(torch.zeros(len(head.shape_names), dtype=torch.float64))
    bind = bind_pose(sample_avatar(rig=name))
    rig = rig_of(head, name).lit(sample_light(), bind)
    generator = torch.Generator().manual_seed(0)
    expr = torch.rand(3, len(head.expr_names), generator=generator, dtype=torch.float64)
    expr[0, head.unit("eyeBlinkLeft")] = 1.0  # folds lids away
    turn = 0.2 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
    vertices, bones = identity.pose(expr, turn), identity.bones(expr, turn)
    maker = FrameMaker.of(rig, "cpu", torch.float64)
    for item in fields(TriangleFrames):
        leaves = [vertices.detach().requires_grad_(), bones.detach().requires_grad_()]
        expected = getattr(rig.frames(*leaves), item.name)
        actual = getattr(maker.frames(*leaves), item.name)
        torch.testing.assert_close(actual, expected, atol=1e-9, rtol=1e-9)
        if item.name in ("fade", "shade"):
            continue
        weights = torch.rand(expected.shape, generator=generator, dtype=torch.float64)
        ours, theirs = (
            torch.autograd.grad((part * weights).sum(), leaves, materialize_grads=True)
            for part in (actual, expected)
        )
        for one, other in zip(ours, theirs, strict=True):
            assert relative(one, other) < 1e-9
    if name == "smooth":
        assert maker.frames(vertices, bones).fade[0].min() < 0.5


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_carrying_many_frames_agrees_with_the_compiled_carry(degree: int) -> None:
    gaussians = Splats.start(some_gaussians(300, degree), TRIANGLES).gaussians
    bindings = sort_bindings(gaussians.binding, TRIANGLES)
    bind, posed = some_frames(5), [some_frames(1), some_frames(2)]
    positions = torch.tensor([[[0.3, 0.1, 1.0], [0.0, 0.2, -1.0]], [[0.5, 0.0, 0.9], [-0.4, 0.1, 0.8]]])
    names = ("means", "quats", "scales", "opacities", "colors")
    generator = torch.Generator().manual_seed(7)
    leaves = [getattr(gaussians, name) for name in PARAMETERS]
    leaves += [getattr(frames, name).requires_grad_() for frames in posed for name in ("origin", "size")]
    weights = {name: torch.randn(300, 3, generator=generator) for name in names}
    weights["quats"] = torch.randn(300, 4, generator=generator)
    weights["opacities"] = torch.randn(300, generator=generator)

    stacked = TriangleFrames(
        *(torch.stack([getattr(f, i.name) for f in posed]) for i in fields(TriangleFrames))
    )
    many = carry_frames(gaussians, bindings.rows, stacked, bind, positions)
    one_by_one = [
        [carry(gaussians, bindings, frames, bind, position) for position in positions[b]]
        for b, frames in enumerate(posed)
    ]
    ours = theirs = 0
    for name in names:
        for b in range(2):
            for camera in range(2):
                expected = getattr(one_by_one[b][camera], name)
                actual = getattr(many, name)[b]
                actual = actual[camera] if name == "colors" else actual
                torch.testing.assert_close(actual, expected, atol=2e-6, rtol=2e-5)
                ours = ours + (actual * weights[name]).sum()
                theirs = theirs + (expected * weights[name]).sum()
    for one, other in zip(
        torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True
    ):
        assert relative(one, other) < 1e-5


def test_adam_without_picking_rows_agrees_with_the_compiled_one() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(60, 4, 3, generator=generator)
    values = [start.clone(), start.clone()]
    states = [AdamState.zeros_like(value) for value in values]
    rates = torch.tensor([[0.01], [0.001], [0.001], [0.0]]).expand(4, 3)
    for _ in range(5):
        rows = torch.rand(60, generator=generator) > 0.6
        gradient = torch.randn(60, 4, 3, generator=generator) * rows[:, None, None]
        adam_step(values[0], gradient, states[0], rates, rows)
        _adam_torch(values[1], gradient, states[1], rates, rows)
    torch.testing.assert_close(values[1], values[0], atol=1e-6, rtol=1e-5)
    assert torch.equal(states[1].steps, states[0].steps)
    assert (states[0].steps == 0).any(), "the case of a row never seen is worth having"


def test_tether_without_kernels_agrees_with_the_compiled_one() -> None:
    gaussians = Splats.start(some_gaussians(200), TRIANGLES).gaussians
    visible = torch.rand(200, generator=torch.Generator().manual_seed(1)) > 0.4
    tether = Tether(torch.linspace(0.5, 3, 200), scale=0.4)
    outcomes = []
    for add in (add_tether, _add_tether_torch):
        for value in (gaussians.means, gaussians.log_scales):
            value.grad = torch.full_like(value, 0.1)
        add(gaussians, visible, tether)
        outcomes.append((gaussians.means.grad, gaussians.log_scales.grad))
    for one, other in zip(*outcomes, strict=True):
        torch.testing.assert_close(other, one, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(40, 33), (7, 50)])
def test_banded_ssim_is_ssim(height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, height, width, 3, generator=generator) for _ in range(2))
    torch.testing.assert_close(ssim_map_banded(a, b), ssim_map(a, b), atol=2e-5, rtol=1e-4)
    a, b = a.double().requires_grad_(), b.double().requires_grad_()
    ours, theirs = ssim_map_banded(a, b), ssim_map_reference(a, b)
    torch.testing.assert_close(ours, theirs)
    weights = torch.rand(ours.shape, generator=generator, dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad((ours * weights).sum(), (a, b)),
        torch.autograd.grad((theirs * weights).sum(), (a, b)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


SETTINGS = Preset(iterations=40, gaussians=9000, refine_every=8, sh_degree=1, checkpoint_every=10)


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    return make_track(tmp_path_factory.mktemp("painted"), light=from_the_left)


@pytest.fixture
def trainers(track) -> tuple[Trainer, DeviceTrainer]:
    """The same fit twice, just begun: compiled, and in torch."""
    compiled = prepare(track, track.held_out, SETTINGS, "smooth", 0, silent).trainer
    return compiled, trainer_on("cpu", compiled)


def undecided(trainer: Trainer, example: Example, frames: TriangleFrames) -> torch.Tensor:
    """bool [H,W]: pixels that change when triangles move by their last digits.

    There two Gaussians lie as near as each other, or one is just about drawn, and no two ways of adding up agree.
    """
    generator = torch.Generator().manual_seed(0)
    image, found = trainer.render(example, frames).image[0], False
    for _ in range(8):
        nudge = torch.randn(frames.origin.shape, generator=generator).clamp(-2, 2)
        moved = replace(frames, origin=frames.origin.detach() * (1 + torch.finfo(torch.float32).eps * nudge))
        found |= (trainer.render(example, moved).image[0] - image).abs().amax(-1) > 2e-5
    return found


@pytest.mark.parametrize("iteration", [0, 31])
def test_pictures_and_gradients_are_those_of_the_compiled_step(trainers, iteration: int) -> None:
    learning, results, unclear = iteration > 0, [], None
    for trainer in trainers:
        trainer.iteration = iteration
        example = trainer.next_example(iteration / SETTINGS.iterations)
        params = trainer.motion.of_frame(example.frame, learning)
        frames = trainer.pose(params)
        if unclear is None:
            unclear = undecided(trainer, example, frames)
        # What SSIM's windows reach from an undecided pixel says nothing in the loss either.
        near = torch.nn.functional.max_pool2d(unclear[None, None].float(), 11, 1, 5)[0, 0] > 0
        clear = replace(example, weight=example.weight * ~near, alpha_weight=example.alpha_weight * ~near)
        rendering = trainer.render(example, frames)
        losses = trainer.loss(rendering, example), trainer.loss(rendering, clear)
        leaves = [getattr(trainer.splats.gaussians, name) for name in PARAMETERS]
        leaves += [getattr(params, name) for name in MOTION] if learning else []
        results.append((example, rendering.image, losses[0], torch.autograd.grad(losses[1], leaves)))
    (example, image, loss, gradients), (on_device, same_image, same_loss, same_gradients) = results
    for name in ("target", "backdrop", "weight", "alpha", "alpha_weight"):
        assert torch.equal(getattr(on_device, name), getattr(example, name)), name
    assert (example.view, example.frame, example.head_only) == (
        on_device.view, on_device.frame, on_device.head_only,
    )  # fmt: skip
    assert unclear.float().mean() < 1e-3
    assert (same_image - image)[0, ~unclear].abs().max() < 1e-4
    assert same_loss.item() == pytest.approx(loss.item(), rel=1e-5)
    for one, other in zip(same_gradients, gradients, strict=True):
        assert relative(one, other) < 1e-4


def test_a_whole_fit_in_torch_goes_where_the_compiled_one_goes(trainers) -> None:
    losses = [[float(trainer.step()) for _ in range(SETTINGS.iterations)] for trainer in trainers]
    torch.testing.assert_close(torch.tensor(losses[1]), torch.tensor(losses[0]), rtol=2e-3, atol=1e-4)
    counts = [len(trainer.splats) for trainer in trainers]
    assert counts[0] > 9000 * 0.5 and abs(counts[1] - counts[0]) < 0.002 * counts[0]


def test_a_turned_picture_teaches_both_ways_the_same(tmp_path) -> None:
    track = make_track(tmp_path, views=1)
    compiled = prepare(track, track.held_out, replace(SETTINGS, turn_every=1), "smooth", 0, silent).trainer
    on_device = trainer_on("cpu", compiled)
    before = compiled.splats.gaussians.sh.detach().clone()
    learnt = []
    for trainer in (compiled, on_device):
        trainer._learn_turned(0.5)
        learnt.append(trainer.splats.gaussians.sh.detach() - before)
    assert learnt[0].abs().max() > 1e-3
    assert relative(learnt[1], learnt[0]) < 0.02  # a first step of Adam tells the sign of tiny gradients


def test_a_checkpoint_goes_back_to_the_trainers_device(trainers, track, tmp_path) -> None:
    _, trainer = trainers
    for _ in range(10):
        trainer.step()
    save_checkpoint(trainer, "x", tmp_path / "c.h5")
    fresh = trainer_on("cpu", prepare(track, track.held_out, SETTINGS, "smooth", 0, silent).trainer)
    load_checkpoint(fresh, "x", tmp_path / "c.h5")
    assert float(fresh.step()) == float(trainer.step())
    for name in PARAMETERS:
        assert torch.equal(getattr(fresh.splats.gaussians, name), getattr(trainer.splats.gaussians, name))


class OnDevice(TorchDispatchMode):
    """Fails when an operation mixes devices; counts what is copied to the device.

    The meta device knows shapes only: whatever asks it for a number fails by itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.uploads: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, torch.Tensor)]
        devices = {part.device.type for part in tensors if part.ndim}
        copies = function in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
        result = function(*args, **(kwargs or {}))
        if copies and devices == {"cpu"} and result.device.type == "meta":
            self.uploads.append(tuple(result.shape))
        else:
            assert len(devices) < 2, f"{function} mixes {devices}"
        return result


@contextmanager
def on_meta(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeviceTrainer]:
    """The trainer on a device without memory, with something differentiable in gsplat's place."""

    def moved(value):
        return value.to("meta")

    def identify(head, shape, offset) -> Identity:
        person = trainer.identity
        return replace(person, **{item.name: moved(getattr(person, item.name)) for item in fields(Identity)})

    def draw(*arguments, background) -> Rendering:
        *parts, width, height = arguments
        value = sum(part.sum() for part in (*parts, background))
        statistics = Statistics(torch.zeros(1, len(parts[0]), device="meta"))
        centres = (2 * parts[0][:, :2])[None]
        centres.register_hook(statistics.keep_pixel_gradients)
        value = value + centres.sum()
        return Rendering(
            value.expand(1, height, width, 3), value.expand(1, height, width, 1), None, statistics
        )

    with monkeypatch.context() as patched:
        patched.setattr(trainer_torch, "rasterize", draw)
        patched.setattr("emoga.head.model.Head.identify", identify)
        there = trainer_on("meta", trainer)
        bindings = trainer.splats.bindings
        there.splats._bindings = replace(bindings, rows=moved(bindings.rows))
        there._sink_of = (there.splats, True)
        yield there


def test_a_step_neither_waits_for_the_device_nor_leaves_it(trainers, monkeypatch) -> None:
    with on_meta(trainers[0], monkeypatch) as trainer:
        for first in (0, 30):  # without and with corrections to the motion
            for again in (False, True):
                trainer.iteration = first
                for _ in range(4):
                    with OnDevice() as seen:
                        assert trainer.step().device.type == "meta"
                    # Cameras and constants are copied once; only a backdrop's colour is new in every step.
                    assert not again or set(seen.uploads) <= {(3,)}


def test_pulling_at_colours_neither_waits_for_the_device_nor_leaves_it(tmp_path, monkeypatch) -> None:
    track = make_track(tmp_path, views=1)
    compiled = prepare(track, track.held_out, SETTINGS, "smooth", 0, silent).trainer
    assert compiled.likely is not None
    with on_meta(compiled, monkeypatch) as trainer, OnDevice():
        assert trainer.likely.doubt.device.type == "meta"
        assert trainer.step().device.type == "meta"


def test_what_cannot_be_a_graph_is_called_as_it_is() -> None:
    calls = []

    def double(value: torch.Tensor) -> tuple[torch.Tensor]:
        calls.append(value)
        return (2 * value,)

    captured = Captured(double, learning=True)
    value = torch.ones(3, requires_grad=True)
    captured(value)[0].sum().backward()
    assert torch.equal(captured(value + 1)[0], torch.full((3,), 4.0))
    assert torch.equal(value.grad, torch.full((3,), 2.0))
    assert len(calls) == 2 and not captured.refusal
