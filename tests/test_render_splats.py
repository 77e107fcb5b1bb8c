"""Splat backends against the brute-force reference in float64: pictures, every gradient, every branch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from emoga.errors import EmogaError, InputError
from emoga.render import gaussian_contributions, rasterize
from emoga.render.buffers import pool
from emoga.render.reference import blending_weights, project_reference

NAMES = ("means", "quats", "scales", "opacities", "colors", "viewmats", "background")


@dataclass
class Scene:
    """Inputs of one rasterize call, float64."""

    means: torch.Tensor
    quats: torch.Tensor
    scales: torch.Tensor
    opacities: torch.Tensor
    colors: torch.Tensor
    viewmats: torch.Tensor
    Ks: torch.Tensor
    background: torch.Tensor
    width: int
    height: int


def _scene(
    count: int,
    width: int = 70,
    height: int = 45,
    *,
    seed: int = 0,
    scale: tuple[float, float] = (0.01, 0.06),
    opacity: tuple[float, float] = (0.05, 0.98),
    spread: float = 0.35,
    cameras: int = 1,
) -> Scene:
    """Gaussians in a cube of half-width `spread` metres, a metre and a half before each camera."""
    rng = np.random.default_rng(seed)
    viewmats = np.tile(np.eye(4), (cameras, 1, 1))
    for c in range(cameras):
        turn = 0.5 * c - 0.1
        viewmats[c, :3, :3] = [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
        viewmats[c, :3, 3] = [0.05 * c, 0.02, 1.5]
    focal = 1.1 * width
    Ks = np.tile([[focal, 0, 0.47 * width], [0, 1.05 * focal, 0.52 * height], [0, 0, 1]], (cameras, 1, 1))
    arrays = (
        rng.uniform(-spread, spread, (count, 3)),
        rng.normal(size=(count, 4)) * rng.uniform(0.3, 3, (count, 1)),  # far from unit length
        rng.uniform(*scale, (count, 3)),
        rng.uniform(*opacity, count),
        rng.uniform(0, 1, (cameras, count, 3)),
        viewmats,
        Ks,
        rng.uniform(0, 1, (cameras, 3)),
    )
    return Scene(*(torch.from_numpy(np.asarray(a, np.float64)) for a in arrays), width, height)


def _moved(scene: Scene, **changes: torch.Tensor) -> Scene:
    return replace(scene, **changes)


def _needles() -> Scene:
    scene = _scene(120, scale=(0.02, 0.02))
    return _moved(scene, scales=scene.scales * torch.tensor([1.0, 0.05, 8.0], dtype=torch.float64))


def _opaque() -> Scene:
    """Stacks of almost opaque Gaussians: the alpha clamp, then the transmittance stop."""
    scene = _scene(300, spread=0.15, scale=(0.03, 0.1))
    return _moved(scene, opacities=torch.linspace(0.9, 1.2, 300, dtype=torch.float64))


def _around_near() -> Scene:
    """Depths from behind the camera to one metre, so that a quarter is cut and some are huge."""
    scene = _scene(200, scale=(0.01, 0.03))
    means = scene.means.clone()
    means[:, 2] = torch.linspace(-2.0, -0.5, 200, dtype=torch.float64)
    means[:, :2] *= 0.3
    return _moved(scene, means=means)


def _beside() -> Scene:
    """Centres far outside the frame with tails inside: the held Jacobian."""
    scene = _scene(150, scale=(0.1, 0.5))
    means = scene.means.clone()
    side = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(75)
    means[:75, 0] = side[:75] * (0.9 + means[:75, 0].abs())
    means[75:, 1] = side[75:] * (0.7 + means[75:, 1].abs())
    return _moved(scene, means=means)


SCENES = {
    "plain": lambda: _scene(400),
    "several cameras": lambda: _scene(150, cameras=3),
    "one gaussian": lambda: _scene(1, seed=4),
    "smaller than a pixel": lambda: _scene(500, scale=(1e-4, 2e-3), opacity=(0.3, 0.99)),
    "needles": _needles,
    "faint": lambda: _scene(300, opacity=(0.001, 0.03), scale=(0.05, 0.2)),
    "opaque": _opaque,
    "near plane": _around_near,
    "beside the frame": _beside,
    "covering everything": lambda: _scene(30, scale=(2.0, 9.0), opacity=(0.05, 0.5)),
    "one pixel": lambda: _scene(50, 1, 1),
    "a tile and a bit": lambda: _scene(200, 33, 17),
    "whole tiles": lambda: _scene(200, 64, 32),
}


def _safe(scene: Scene) -> torch.Tensor:
    """Pixels [C,H,W] where no Gaussian is so close to a threshold that rounding decides.

    At the 1/255 cut, the 0.999 clamp and the transmittance stop the picture or its gradient jumps; there
    float32 and float64 may rightly differ.
    """
    safe = []
    for c in range(scene.viewmats.shape[0]):
        z = scene.means @ scene.viewmats[c, 2, :3] + scene.viewmats[c, 2, 3]
        seen = torch.nonzero(z > 0.01)[:, 0]
        seen = seen[torch.argsort(z[seen], stable=True)]
        centres, covariances, _ = project_reference(
            scene.means[seen],
            scene.quats[seen],
            scene.scales[seen],
            scene.viewmats[c],
            scene.Ks[c],
            scene.width,
            scene.height,
        )
        pixels = torch.cartesian_prod(torch.arange(scene.height), torch.arange(scene.width)).flip(-1) + 0.5
        offset = pixels[:, None] - centres
        power = torch.einsum("pni,nij,pnj->pn", offset, covariances.inverse(), offset) / 2
        alpha = scene.opacities[seen] * torch.exp(-power)
        weights, _ = blending_weights(centres, covariances, scene.opacities[seen], scene.width, scene.height)
        kept = torch.where(alpha >= 1 / 255, alpha.clamp(max=0.999), 0)
        after = (1 - kept).cumprod(1)
        near_cut = ((alpha - 1 / 255).abs() < 1e-6).any(1) | ((alpha - 0.999).abs() < 1e-6).any(1)
        near_stop = ((after / 1e-4 - 1).abs() < 1e-2).any(1)
        safe.append(~(near_cut | near_stop).reshape(scene.height, scene.width))
        assert weights.shape == alpha.shape
    return torch.stack(safe)


def _render(scene: Scene, backend: str, dtype: torch.dtype, grads: list[torch.Tensor] | None):
    """The rendering and, when grads of image, alpha and depth are given, the gradients of all inputs."""
    inputs = {name: getattr(scene, name).to(dtype).requires_grad_(grads is not None) for name in NAMES}
    background = inputs.pop("background")
    rendering = rasterize(
        **inputs,
        Ks=scene.Ks.to(dtype),
        width=scene.width,
        height=scene.height,
        background=background,
        backend=backend,
        with_depth=True,
    )
    inputs["background"] = background
    if grads is None:
        return rendering, None
    outputs = [rendering.image, rendering.alpha, rendering.depth]
    gradients = torch.autograd.grad(outputs, list(inputs.values()), [g.to(dtype) for g in grads])
    return rendering, dict(zip(inputs, gradients, strict=True))


def _relative(value: torch.Tensor, truth: torch.Tensor) -> float:
    return ((value.double() - truth).norm() / truth.norm().clamp(min=1e-12)).item()


@pytest.mark.parametrize("name", SCENES)
def test_cpu_agrees_with_the_reference(name: str) -> None:
    scene = SCENES[name]()
    safe = _safe(scene)
    assert safe.double().mean() > 0.8, "the scene must leave enough pixels to compare"
    generator = torch.Generator().manual_seed(5)
    shape = (scene.viewmats.shape[0], scene.height, scene.width)
    # No loss on undecidable pixels; a smooth rest, so that gradients do not cancel to nothing.
    grads = [
        (torch.rand(*shape, d, generator=generator, dtype=torch.float64) - 0.3) * safe[..., None]
        for d in (3, 1, 1)
    ]
    expected, expected_grads = _render(scene, "reference", torch.float64, grads)
    actual, actual_grads = _render(scene, "cpu", torch.float32, grads)
    for output in ("image", "alpha", "depth"):
        truth, value = getattr(expected, output).detach(), getattr(actual, output).detach()
        error = ((value - truth).abs() * safe[..., None]).max() / truth.abs().max().clamp(min=1)
        assert error < 2e-5, output
    for key, truth in expected_grads.items():
        assert _relative(actual_grads[key], truth) < 1e-4, key
    radii = expected.statistics.radii
    assert torch.allclose(actual.statistics.radii, radii, rtol=1e-3, atol=1e-3)
    assert torch.equal(actual.statistics.visible, radii > 0)
    assert _relative(actual.statistics.means2d_grad, expected.statistics.means2d_grad.double()) < 1e-4


def test_scenes_reach_every_branch() -> None:
    """The comparison above is worth something only if the thresholds are met in it."""
    opaque, near, beside, faint = (SCENES[n]() for n in ("opaque", "near plane", "beside the frame", "faint"))
    assert (opaque.opacities > 0.999).any() and (faint.opacities < 1 / 255).any()
    z = near.means[:, 2] + 1.5
    assert (z < 0).any() and ((z > 0) & (z < 0.05)).any()
    x_over_z = (beside.means @ beside.viewmats[0, :3, :3].T + beside.viewmats[0, :3, 3])[:, 0] / 1.5
    limit = (beside.width - beside.Ks[0, 0, 2]) / beside.Ks[0, 0, 0] + 0.15 * beside.width / beside.Ks[
        0, 0, 0
    ]
    assert (x_over_z > limit).any()
    rendering, _ = _render(opaque, "reference", torch.float64, None)
    assert (rendering.alpha > 0.999).double().mean() > 0.05


def test_reference_gradients_by_finite_differences() -> None:
    """Away from thresholds: large soft Gaussians that cover every pixel well above the cut."""
    scene = _scene(5, 6, 5, scale=(0.5, 0.8), opacity=(0.2, 0.5), spread=0.1)
    inputs = [getattr(scene, name).clone().requires_grad_() for name in NAMES]

    def render(means, quats, scales, opacities, colors, viewmats, background):
        rendering = rasterize(
            means,
            quats,
            scales,
            opacities,
            colors,
            viewmats,
            scene.Ks,
            scene.width,
            scene.height,
            background=background,
            backend="reference",
            with_depth=True,
        )
        return rendering.image, rendering.alpha, rendering.depth

    assert torch.autograd.gradcheck(render, inputs, eps=1e-6, atol=1e-6, check_undefined_grad=False)


def test_one_gaussian_by_hand() -> None:
    """A round Gaussian on the axis: alpha at the centre is its opacity, its size the projected one."""
    scale, depth, focal = 0.02, 2.0, 200.0
    eye = torch.eye(4)[None]
    K = torch.tensor([[[focal, 0, 20.5], [0, focal, 15.5], [0, 0, 1]]])
    rendering = rasterize(
        torch.tensor([[0.0, 0, depth]]),
        torch.tensor([[1.0, 0, 0, 0]]),
        torch.full((1, 3), scale),
        torch.tensor([0.5]),
        torch.tensor([[1.0, 0.5, 0.25]]),
        eye,
        K,
        41,
        31,
        background=torch.tensor([0.0, 0.0, 1.0]),
        with_depth=True,
    )
    variance = (focal * scale / depth) ** 2 + 0.3
    assert rendering.alpha[0, 15, 20, 0] == pytest.approx(0.5, abs=1e-6)
    assert rendering.alpha[0, 15, 22, 0] == pytest.approx(0.5 * np.exp(-4 / (2 * variance)), abs=1e-6)
    assert rendering.image[0, 15, 20].tolist() == pytest.approx([0.5, 0.25, 0.625], abs=1e-6)
    assert rendering.depth[0, 15, 20, 0] == pytest.approx(0.5 * depth, abs=1e-6)
    reach = np.sqrt(2 * np.log(255 * 0.5) * variance)
    assert rendering.statistics.radii[0, 0] == pytest.approx(reach, rel=1e-5)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_nothing_to_draw(backend: str) -> None:
    for scene in (_scene(0), _moved(_scene(3), means=torch.full((3, 3), -9.0, dtype=torch.float64))):
        generator = [torch.ones(1, scene.height, scene.width, d) for d in (3, 1, 1)]
        rendering, grads = _render(scene, backend, torch.float32, generator)
        assert torch.equal(
            rendering.image, scene.background.float().expand(scene.height, scene.width, 3)[None]
        )
        assert rendering.alpha.abs().max() == 0 and rendering.depth.abs().max() == 0
        assert grads["means"].abs().sum() == 0 and grads["background"].sum() == 3 * 70 * 45


def test_broken_gaussians_are_left_out() -> None:
    scene = _scene(60)
    whole, _ = _render(scene, "cpu", torch.float32, None)
    broken = _scene(60 + 8)
    for name in ("means", "quats", "scales", "opacities"):
        getattr(broken, name)[8:] = getattr(scene, name)
    broken.colors[:, 8:] = scene.colors
    broken.background.copy_(scene.background)
    broken.means[0, 1] = torch.nan
    broken.means[1, 0] = torch.inf
    broken.quats[2] = 0
    broken.quats[3, 1] = torch.nan
    broken.scales[4, 2] = torch.inf
    broken.scales[5] = 1e30
    broken.opacities[6] = torch.nan
    broken.opacities[7] = -torch.inf
    grads = [torch.ones(1, 45, 70, d) for d in (3, 1, 1)]
    rendering, gradients = _render(broken, "cpu", torch.float32, grads)
    assert torch.equal(rendering.image, whole.image)
    assert not rendering.statistics.visible[0, :8].any()
    assert all(torch.isfinite(g).all() for g in gradients.values())


def test_same_bits_on_any_number_of_threads() -> None:
    scene = _scene(900, 130, 90, cameras=2)
    generator = torch.Generator().manual_seed(1)
    grads = [torch.randn(2, 90, 130, d, generator=generator) for d in (3, 1, 1)]
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 3):
            torch.set_num_threads(threads)
            rendering, gradients = _render(scene, "cpu", torch.float32, grads)
            results.append([rendering.image, rendering.alpha, rendering.depth, *gradients.values()])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_cameras_do_not_mix() -> None:
    scene = _scene(150, cameras=3)
    together, _ = _render(scene, "cpu", torch.float32, None)
    for c in range(3):
        part = {n: getattr(scene, n)[c : c + 1] for n in ("colors", "viewmats", "Ks", "background")}
        alone, _ = _render(_moved(scene, **part), "cpu", torch.float32, None)
        assert torch.equal(alone.image[0], together.image[c])


def test_two_renders_may_wait_for_their_backward() -> None:
    """Buffers of the first must not be taken by the second, nor by a repeated backward."""
    scene, other = _scene(200, seed=1), _scene(350, seed=2)
    means = scene.means.float().requires_grad_()

    def render(scene: Scene, means: torch.Tensor) -> torch.Tensor:
        rest = [
            getattr(scene, n).float() for n in ("quats", "scales", "opacities", "colors", "viewmats", "Ks")
        ]
        return rasterize(means, *rest, scene.width, scene.height).image

    (alone,) = torch.autograd.grad(render(scene, means).sum(), means)
    first = render(scene, means)
    render(other, other.means.float().requires_grad_()).sum().backward()
    (once,) = torch.autograd.grad(first.sum(), means, retain_graph=True)
    (twice,) = torch.autograd.grad(first.sum(), means)
    assert torch.equal(alone, once) and torch.equal(alone, twice)


def test_without_gradients_the_same_picture_and_no_state_kept() -> None:
    scene = _scene(300, cameras=2)
    with_state, _ = _render(scene, "cpu", torch.float32, [torch.ones(2, 45, 70, d) for d in (3, 1, 1)])
    without, _ = _render(scene, "cpu", torch.float32, None)
    for name in ("image", "alpha", "depth"):
        assert torch.equal(getattr(without, name), getattr(with_state, name))
        assert getattr(without, name).grad_fn is None
    assert torch.equal(without.statistics.radii, with_state.statistics.radii)
    del with_state
    lent = sum(buffer.size for buffer in pool.free)
    again, _ = _render(scene, "cpu", torch.float32, None)
    assert again is not None and sum(buffer.size for buffer in pool.free) == lent


def test_depth_changes_nothing_else() -> None:
    scene = _scene(200)
    shape = [getattr(scene, n).float() for n in ("means", "quats", "scales", "opacities", "colors")]
    arguments = (*shape, scene.viewmats.float(), scene.Ks.float(), scene.width, scene.height)
    without, with_depth = rasterize(*arguments), rasterize(*arguments, with_depth=True)
    assert without.depth is None
    assert (without.image - with_depth.image).abs().max() < 1e-6


def test_contributions_are_the_sums_of_weights() -> None:
    scene = _scene(80, cameras=2)
    mask = torch.zeros(scene.height, scene.width, dtype=torch.float64)
    mask[10:30, 20:50] = 1
    arguments = [getattr(scene, n) for n in ("means", "quats", "scales", "opacities", "viewmats", "Ks")]
    size = (scene.width, scene.height)
    by_hand = torch.zeros(2, 80, dtype=torch.float64)
    for c in range(2):
        z = scene.means @ scene.viewmats[c, 2, :3] + scene.viewmats[c, 2, 3]
        order = torch.argsort(z)
        shape = (t[order] for t in arguments[:3])
        centres, covariances, _ = project_reference(*shape, scene.viewmats[c], scene.Ks[c], *size)
        weights, _ = blending_weights(centres, covariances, scene.opacities[order], *size)
        by_hand[c, order] = mask.reshape(-1) @ weights
    in_mask = gaussian_contributions(*(a.float() for a in arguments), *size, weights=mask.float())
    assert torch.allclose(in_mask.double(), by_hand, rtol=1e-3, atol=1e-3)
    planes = torch.stack([mask, 1 - mask], -1).expand(2, -1, -1, -1).float()
    both = gaussian_contributions(*(a.float() for a in arguments), *size, weights=planes)
    everywhere = gaussian_contributions(*(a.float() for a in arguments), *size)
    assert torch.allclose(both.sum(-1), everywhere, rtol=1e-4, atol=1e-4)
    assert torch.allclose(both[..., 0], in_mask, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="at most 3"):
        gaussian_contributions(*(a.float() for a in arguments), *size, weights=planes[..., [0, 0, 1, 1]])


def test_wrong_arguments_are_named() -> None:
    scene = _scene(5)
    good = {n: getattr(scene, n).float() for n in NAMES[:-1]} | {"Ks": scene.Ks.float()}
    good |= {"width": 8, "height": 8}
    for change, words in (
        ({"quats": torch.zeros(4, 4)}, "quats has shape"),
        ({"colors": torch.zeros(2, 5, 3)}, "colors has shape"),
        ({"viewmats": torch.eye(4)}, "viewmats has shape"),
        ({"background": torch.zeros(4)}, "background has shape"),
        ({"width": 0}, "width 0"),
        ({"backend": "vulkan"}, "unknown backend"),
        ({"backend": "cuda"}, "needs tensors on cuda"),
    ):
        with pytest.raises(InputError, match=words):
            rasterize(**(good | change))


CUDA_REASON = "NOT RUN: needs an NVIDIA GPU and gsplat"


def _cuda_usable() -> bool:
    if not torch.cuda.is_available():
        return False
    try:
        import gsplat  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.cuda
@pytest.mark.skipif(not _cuda_usable(), reason=CUDA_REASON)
@pytest.mark.parametrize("name", SCENES)
def test_cuda_agrees_with_the_reference(name: str) -> None:
    scene = SCENES[name]()
    safe = _safe(scene)[..., None]
    shape = (scene.viewmats.shape[0], scene.height, scene.width)
    grads = [torch.ones(*shape, d, dtype=torch.float64) * safe for d in (3, 1, 1)]
    expected, expected_grads = _render(scene, "reference", torch.float64, grads)
    on_gpu = Scene(**{k: v.cuda() if torch.is_tensor(v) else v for k, v in vars(scene).items()})
    actual, actual_grads = _render(on_gpu, "cuda", torch.float32, [g.cuda() for g in grads])
    assert ((actual.image.cpu() - expected.image).abs() * safe).max() < 2e-3
    for key in ("means", "quats", "scales", "opacities", "colors", "background"):
        assert _relative(actual_grads[key].cpu(), expected_grads[key]) < 1e-2, key


def test_cuda_without_gsplat_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from emoga.render.cuda import rasterize_cuda
    from emoga.render.rendering import SplatScene

    monkeypatch.setitem(sys.modules, "gsplat", None)
    scene = _scene(3)
    tensors = [getattr(scene, n) for n in ("means", "quats", "scales", "opacities", "colors")]
    with pytest.raises(EmogaError, match="gsplat is not installed") as caught:
        rasterize_cuda(SplatScene(*tensors, scene.viewmats, scene.Ks, 8, 8, scene.background))
    assert caught.value.exit_code == 3
