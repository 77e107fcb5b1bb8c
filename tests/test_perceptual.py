"""Patch losses: their gradients, what raises them, and the networks they are made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from emoga.errors import InputError
from emoga.optimize.band_pass import band_distance, band_distance_plainly
from emoga.optimize.perceptual import (
    BAND_PASS,
    BandPass,
    Patches,
    draw_patches,
    load_perceptual,
    stack_note,
)
from emoga.optimize.vgg import DEPTHS, FILES, load_vgg, vgg_shapes


def pictures(*shape: int, noise: float = 0.1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth waves with grain, and the same with more of it, float64 [B,H,W,3]."""
    generator = torch.Generator().manual_seed(seed)
    batch, height, width = shape
    y, x = torch.arange(height).double()[:, None], torch.arange(width).double()
    waves = 0.5 + 0.2 * torch.sin(x / 3)[None, :, None] * torch.cos(y / 5 + x / 11)[..., None]
    grain = 0.05 * torch.randn(batch, height, width, 3, generator=generator, dtype=torch.float64)
    more = noise * torch.randn(batch, height, width, 3, generator=generator, dtype=torch.float64)
    return waves + grain, waves + grain + more


def blurred(picture: torch.Tensor, sigma: float) -> torch.Tensor:
    taps = torch.exp(-(torch.arange(-9, 10).double() ** 2) / (2 * sigma**2))
    window = torch.outer(taps, taps) / taps.sum() ** 2
    planes = torch.nn.functional.pad(picture.permute(0, 3, 1, 2), (9, 9, 9, 9), mode="replicate")
    return torch.nn.functional.conv2d(planes, window.expand(3, 1, 19, 19), groups=3).permute(0, 2, 3, 1)


def whole(shape: tuple[int, ...], side: int = 48) -> Patches:
    return draw_patches(np.ones(shape, bool), np.random.default_rng(1), count=8, side=side)


@pytest.fixture
def vgg_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a VGG16 of random weights; nothing else of the machine's is found."""
    monkeypatch.delenv("EMOGA_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in vgg_shapes("vgg16").items():
        spread = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.05
        state[name] = torch.randn(shape, generator=generator) * spread
    state["classifier.0.weight"] = torch.zeros(3, 3)
    torch.save(state, tmp_path / FILES["vgg16"][0])
    return tmp_path


@pytest.mark.parametrize("shape", [(1, 64, 64), (2, 37, 53), (1, 5, 3), (1, 1, 1), (1, 17, 200), (1, 200, 9)])
def test_the_compiled_bands_equal_the_plain_ones(shape: tuple[int, int, int]) -> None:
    a, b = pictures(*shape)
    worth = torch.rand(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    a.requires_grad_()
    exact = band_distance_plainly(a, b, worth)
    (slope,) = torch.autograd.grad(exact, a)
    x = a.detach().float().requires_grad_()
    compiled = band_distance(x, b.float(), worth.float())
    (own,) = torch.autograd.grad(compiled, x)
    assert compiled.item() == pytest.approx(exact.item(), rel=1e-5, abs=1e-6)
    assert (own - slope).norm() <= 1e-4 * slope.norm() + 1e-6


def test_the_gradient_of_bands_is_that_of_finite_differences() -> None:
    a, b = pictures(1, 19, 22)
    worth = torch.rand(1, 19, 22, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = a.float().requires_grad_()
    (own,) = torch.autograd.grad(band_distance(x, b.float(), worth.float()), x)
    generator = torch.Generator().manual_seed(5)
    for _ in range(12):
        away = torch.randn(a.shape, generator=generator, dtype=torch.float64)
        ahead, behind = (band_distance_plainly(a + step * away, b, worth) for step in (1e-5, -1e-5))
        expected = (ahead - behind).item() / 2e-5
        assert (own * away).sum().item() == pytest.approx(expected, rel=1e-3, abs=1e-4 * own.norm().item())


def test_equal_pictures_do_not_differ_and_what_lies_outside_patches_does_not_count() -> None:
    a, b = (part.float() for part in pictures(1, 96, 96))
    patches = Patches(np.zeros(1, np.int64), np.array([8]), np.array([16]), 24)
    loss = BandPass()
    assert loss(a, a, patches).item() < 1e-9
    mixed = a.clone()
    mixed[:, 60:, 60:] = b[:, 60:, 60:]
    assert loss(mixed, a, patches).item() < 0.02 < loss(b, a, patches).item()
    x = b.clone().requires_grad_()
    weights = torch.zeros(1, 96, 96)
    assert loss(x, a, patches, weights).item() == 0
    weights[:, :20] = 1
    assert 0 < loss(x, a, patches, weights).item() < loss(x, a, patches).item()
    assert loss(x, a, draw_patches(np.zeros((1, 96, 96), bool), np.random.default_rng())).item() == 0


def test_blur_raises_it_brightness_hardly_does() -> None:
    a, _ = pictures(1, 96, 96)
    patches, loss = whole((1, 96, 96)), BandPass()
    a = a.float()
    soft, softer = (loss(blurred(a.double(), sigma).float(), a, patches).item() for sigma in (0.6, 1.5))
    brighter = loss(a + 0.1, a, patches).item()
    assert brighter < 1e-3 and 0.1 < soft < softer
    contrast = loss(0.5 + 0.7 * (a - 0.5), a, patches).item()
    assert brighter < contrast < softer
    # Grain elsewhere is nearer to grain than no grain at all.
    other = pictures(1, 96, 96, seed=9)[0].float()
    assert loss(other, a, patches).item() < 2.5
    half = 0.5 * (other + a)  # the best a plain L1 can do where two pictures have different grain
    assert loss(half, a, patches).item() > 0.1


def test_patches_are_drawn_around_the_mask_and_inside_the_picture() -> None:
    masks = np.zeros((3, 60, 100), bool)
    masks[0, 50:60, 90:100] = True
    masks[2, 20:30, 40:50] = True
    patches = draw_patches(masks, np.random.default_rng(4), count=5, side=128)
    assert patches.side == 30 and patches.picture.tolist() == [0] * 5 + [2] * 5
    assert (patches.top[:5] == 30).all() and (patches.left[:5] == 70).all()
    assert (abs(patches.top[5:] + 15 - 25) <= 5).all() and (abs(patches.left[5:] + 15 - 45) <= 5).all()
    again = draw_patches(masks, np.random.default_rng(4), count=5, side=128)
    assert np.array_equal(patches.top, again.top) and np.array_equal(patches.left, again.left)


def test_overlapping_patches_count_as_their_mean() -> None:
    a, b = (part.float() for part in pictures(2, 80, 80))
    patches = draw_patches(np.ones((2, 80, 80), bool), np.random.default_rng(2), count=3)
    parts = [Patches(*(part[j : j + 1] for part in (patches.picture, patches.top, patches.left)), patches.side)
             for j in range(len(patches))]  # fmt: skip
    expected = np.mean([BandPass()(a, b, part).item() for part in parts])
    # A patch by itself is cut out with less around it.
    assert BandPass()(a, b, patches).item() == pytest.approx(expected, rel=1e-2)


def test_without_weights_there_are_bands(vgg_folder: Path, tmp_path: Path) -> None:
    loss = load_perceptual(tmp_path / "empty")
    assert loss.name == BAND_PASS and FILES["vgg19"][0] in stack_note(loss)


def test_vgg_is_found_named_and_differentiable(vgg_folder: Path) -> None:
    loss = load_perceptual(vgg_folder)
    assert loss.name == "vgg16" and "vgg16" in stack_note(loss)
    a, b = (part.float() for part in pictures(1, 48, 40))
    patches = whole((1, 48, 40), side=20)
    assert loss(a, a, patches).item() == 0
    x = b.clone().requires_grad_()
    value = loss(x, a, patches)
    (slope,) = torch.autograd.grad(value, x)
    assert value.item() > 0 and slope.abs().max() > 0
    assert loss(x, a, patches, torch.full((1, 48, 40), 0.5)).item() == pytest.approx(
        value.item() / 2, rel=1e-5
    )
    assert loss(x - 0.01 * slope / slope.norm(), a, patches).item() < value.item()


def test_vgg_is_the_network_in_torch_modules(vgg_folder: Path) -> None:
    """The same stack assembled from layers as torchvision lists them, read off at the first ReLU of each stage."""
    state = torch.load(vgg_folder / FILES["vgg16"][0], weights_only=True)
    layers, inputs = [], 3
    for depth, width in zip(DEPTHS["vgg16"], (64, 128, 256, 512, 512), strict=True):
        for _ in range(depth):
            layers += [torch.nn.Conv2d(inputs, width, 3, padding=1), torch.nn.ReLU()]
            inputs = width
        layers.append(torch.nn.MaxPool2d(2))
    network = torch.nn.Sequential(*layers)
    own_names = {name.removeprefix("features."): part for name, part in state.items() if "features" in name}
    network.load_state_dict(own_names)
    picture = pictures(1, 32, 32)[0].float()
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    value = ((picture - mean) / deviation).permute(0, 3, 1, 2)
    expected = []
    for number, layer in enumerate(network):
        value = layer(value)
        if number in (1, 6, 11, 18, 25):
            expected.append(value)
    for own, other in zip(load_vgg(vgg_folder).features(picture), expected, strict=True):
        torch.testing.assert_close(own, other)


def test_files_that_are_not_vgg_are_refused_in_one_line(vgg_folder: Path) -> None:
    path = vgg_folder / FILES["vgg16"][0]
    state = torch.load(path, weights_only=True)
    state["features.2.weight"] = torch.zeros(64, 64, 5, 5)
    torch.save(state, path)
    with pytest.raises(InputError, match=r"features.2.weight is \[64, 64, 5, 5\]"):
        load_perceptual(vgg_folder)
    del state["features.2.weight"]
    torch.save(state, path)
    with pytest.raises(InputError, match=r"features.2.weight is missing"):
        load_perceptual(vgg_folder)
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match="no readable weights") as caught:
        load_perceptual(vgg_folder)
    assert "\n" not in str(caught.value)


def test_shapes_that_do_not_fit_are_refused() -> None:
    a = torch.zeros(1, 20, 20, 3)
    with pytest.raises(InputError, match="must be"):
        BandPass()(a, torch.zeros(1, 20, 21, 3), whole((1, 20, 20)))
    with pytest.raises(InputError, match="must be"):
        BandPass()(a, a, whole((1, 20, 20)), torch.zeros(1, 20))
