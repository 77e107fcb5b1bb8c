"""The cuda backend around gsplat, with a stand-in for gsplat; and how a gsplat that cannot work is named."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import gsplat_stand_in
import pytest
import torch
from test_render_splats import NAMES, SCENES, Scene, _safe, _scene

from emoga.errors import InputError, MissingComponent
from emoga.render import cuda, gsplat_kernels, rasterize
from emoga.render.cuda import rasterize_cuda
from emoga.render.gsplat_kernels import load_gsplat, resolve_device, why_not_compilable
from emoga.render.rendering import SplatScene


@pytest.fixture(autouse=True)
def forgotten():
    """What was found out about gsplat does not outlive a test."""
    caches = (load_gsplat, gsplat_kernels.why_unusable)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module, kernels, backend = gsplat_stand_in.gsplat_module(), ModuleType("cuda"), ModuleType("_backend")
    backend._C, kernels._backend = object(), backend
    for name, part in (("gsplat", module), ("gsplat.cuda", kernels), ("gsplat.cuda._backend", backend)):
        monkeypatch.setitem(sys.modules, name, part)
    return module


def drawn(scene: Scene, leaves: dict[str, torch.Tensor], with_depth: bool = True):
    parts = [leaves[name] for name in ("means", "quats", "scales", "opacities", "colors", "viewmats")]
    size = (scene.width, scene.height)
    return rasterize_cuda(
        SplatScene(*parts, scene.Ks.to(parts[0]), *size, leaves["background"], 0.01, with_depth)
    )


def float_leaves(scene: Scene) -> dict[str, torch.Tensor]:
    return {name: getattr(scene, name).float().requires_grad_() for name in NAMES}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["plain", "several cameras", "near plane", "opaque", "faint"])
def test_the_adapter_gives_what_the_reference_gives(stand_in, monkeypatch, name: str, packed: bool) -> None:
    monkeypatch.setattr(cuda, "PACK_ABOVE", 0 if packed else 10**9)
    scene, results = SCENES[name](), []
    safe = _safe(scene)[..., None].float()
    for draw in (lambda leaves: drawn(scene, leaves), lambda leaves: rasterize(
        **leaves, Ks=scene.Ks.float(), width=scene.width, height=scene.height, with_depth=True,
        backend="reference",
    )):  # fmt: skip
        leaves = float_leaves(scene)
        rendering = draw(leaves)
        ((rendering.image + rendering.alpha + rendering.depth) * safe).sum().backward()
        results.append((rendering, leaves))
    (ours, our_leaves), (theirs, their_leaves) = results
    for part in ("image", "alpha", "depth"):
        torch.testing.assert_close(
            getattr(ours, part) * safe, getattr(theirs, part) * safe, atol=1e-4, rtol=1e-4
        )
    for key in NAMES:
        difference = (our_leaves[key].grad - their_leaves[key].grad).norm()
        assert difference < 1e-3 * their_leaves[key].grad.norm().clamp_min(1e-6), key
    assert torch.equal(ours.statistics.visible, theirs.statistics.visible)
    assert (ours.statistics.radii - theirs.statistics.radii).abs().max() <= 1
    torch.testing.assert_close(
        ours.statistics.means2d_grad, theirs.statistics.means2d_grad, atol=1e-4, rtol=1e-2
    )


@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_of_frames_is_one_call(stand_in, monkeypatch, packed: bool) -> None:
    monkeypatch.setattr(cuda, "PACK_ABOVE", 0 if packed else 10**9)
    scenes = [_scene(60, seed=seed, cameras=2) for seed in range(3)]
    each = [drawn(scene, float_leaves(scene)) for scene in scenes]
    calls = []
    monkeypatch.setattr(
        stand_in, "rasterization", lambda *a, **k: calls.append(1) or gsplat_stand_in.rasterization(*a, **k)
    )
    names = ("means", "quats", "scales", "opacities", "colors", "viewmats", "Ks")
    stacked = [torch.stack([getattr(scene, name).float() for scene in scenes]) for name in names]
    ground = torch.stack([scene.background.float() for scene in scenes])
    size = (scenes[0].width, scenes[0].height)
    many = rasterize_cuda(SplatScene(*stacked, *size, ground, 0.01, True))
    assert len(calls) == 1
    for b, one in enumerate(each):
        for part in ("image", "alpha", "depth"):
            torch.testing.assert_close(getattr(many, part)[b], getattr(one, part), atol=1e-5, rtol=1e-5)
        assert torch.equal(many.statistics.radii[b], one.statistics.radii)


def test_gaussians_that_are_not_finite_never_reach_gsplat(stand_in) -> None:
    scene = _scene(40)
    for index, (name, value) in enumerate(
        (("means", torch.nan), ("quats", torch.inf), ("scales", torch.nan), ("opacities", torch.inf))
    ):
        getattr(scene, name)[index] = value
    scene.colors[0, 3] = torch.nan
    leaves = float_leaves(scene)
    rendering = drawn(scene, leaves)
    rendering.image.sum().backward()
    without = Scene(**{k: v[4:] if k in NAMES[:4] else v for k, v in vars(scene).items()})
    without.colors = scene.colors[:, 4:]
    torch.testing.assert_close(rendering.image, drawn(without, float_leaves(without)).image)
    assert all(leaf.grad.isfinite().all() for leaf in leaves.values())


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that puts a gsplat of some version, with some `_backend.py`, on the path."""

    def install(version: str = "1.5.3", backend: str = "_C = None", package: str = "") -> None:
        (tmp_path / f"gsplat-{version}.dist-info").mkdir()
        meta = f"Metadata-Version: 2.1\nName: gsplat\nVersion: {version}\n"
        (tmp_path / f"gsplat-{version}.dist-info" / "METADATA").write_text(meta)
        (tmp_path / "gsplat" / "cuda").mkdir(parents=True)
        (tmp_path / "gsplat" / "__init__.py").write_text(f"{package}\n__version__ = '{version}'\n")
        (tmp_path / "gsplat" / "cuda" / "__init__.py").write_text("")
        (tmp_path / "gsplat" / "cuda" / "_backend.py").write_text(backend)
        monkeypatch.syspath_prepend(tmp_path)

    for name in [name for name in sys.modules if name.partition(".")[0] == "gsplat"]:
        monkeypatch.delitem(sys.modules, name)
    yield install
    for name in [name for name in sys.modules if name.partition(".")[0] == "gsplat"]:
        del sys.modules[name]


def nvcc_of(folder: Path, release: str) -> str:
    """A CUDA_HOME whose compiler says it is `release`."""
    compiler = folder / "toolkit" / "bin" / "nvcc"
    compiler.parent.mkdir(parents=True)
    compiler.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V{release}.88'\n")
    compiler.chmod(0o755)
    return str(compiler.parents[1])


needs_a_shell = pytest.mark.skipif(sys.platform == "win32", reason="the test's compiler is a shell script")


@needs_a_shell
def test_versions_that_do_not_go_together_are_named_before_anything_is_compiled(
    installed, tmp_path, monkeypatch
) -> None:
    installed()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr("torch.utils.cpp_extension.CUDA_HOME", nvcc_of(tmp_path, "12.4"))
    assert "is 12.4 but torch" in why_not_compilable() and "install the toolkit 13.0" in why_not_compilable()
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert why_not_compilable() == ""
    monkeypatch.setattr("torch.utils.cpp_extension.CUDA_HOME", None)
    assert "no CUDA compiler" in why_not_compilable()


def test_an_old_gsplat_is_named(installed) -> None:
    installed("1.4.0")
    assert why_not_compilable() == "gsplat 1.4.0 is too old: pip install 'gsplat>=1.5.3'"


BROKEN_BUILD = """
print("gsplat: Setting up CUDA")
raise RuntimeError('''Error building extension 'gsplat_cuda': [1/31] /usr/local/cuda/bin/nvcc -c AdamCUDA.cu
AdamCUDA.cu(7): error: namespace "cub" has no member "Max"
1 error detected''')
"""


BROKEN_TWICE = """
try:
    raise OSError("CUDA_HOME environment variable is not set")
except OSError:
    raise ImportError("gsplat_cuda.so: cannot open shared object file")
"""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backend": BROKEN_TWICE}, "CUDA_HOME environment variable is not set"),
        ({"backend": BROKEN_BUILD}, r'AdamCUDA.cu\(7\): error: namespace "cub" has no member "Max"'),
        ({"backend": "_C = None"}, "no CUDA toolkit found"),
        ({"backend": "raise ImportError('x.so: undefined symbol: _ZN')"}, "compiled for another torch"),
        ({"backend": "raise ImportError('libc10_cuda.so: cannot open')"}, "libc10_cuda.so"),
        ({"package": "import jaxtyping_is_not_here"}, "gsplat needs jaxtyping_is_not_here"),
    ],
)
def test_kernels_that_cannot_be_had_are_one_line(installed, capsys, arguments, words) -> None:
    installed(**arguments)
    with pytest.raises(MissingComponent, match=words) as caught:
        load_gsplat()
    assert "\n" not in str(caught.value) and "--device cpu" in str(caught.value)
    assert capsys.readouterr().out == "", "stdout carries results only"


def test_auto_is_the_cpu_where_cuda_cannot_work(monkeypatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert resolve_device("auto") == resolve_device("cpu") == "cpu"
    with pytest.raises(MissingComponent, match=r"--device cuda: torch .* is built without CUDA") as caught:
        resolve_device("cuda")
    assert caught.value.exit_code == 3
    with pytest.raises(InputError, match="unknown device 'tpu'"):
        resolve_device("tpu")
