"""Diffusion editors end to end on tiny pipelines, and what is refused before anything is loaded."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import shutil
import socket
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from emoga.errors import EnvironmentFailure, InputError, MissingComponent
from emoga.guidance import EditRequest, PictureName, open_editor
from emoga.guidance.checkpoint import ModelFolder, Part, examine
from emoga.guidance.families import FAMILIES
from emoga.guidance.loading import require_packages
from emoga.guidance.placement import place
from emoga.progress import silent

os.environ.setdefault("HF_HUB_OFFLINE", "1")
NAMES = (PictureName("front", 0), PictureName("side", 3))
QUICK = {"steps": 2, "size": 64, "device": "cpu"}


def request(**changes: object) -> EditRequest:
    y, x = np.mgrid[0:56, 0:40]
    picture = np.stack([x * 6, y * 4, 120 + 0 * x], -1).astype(np.uint8)
    pictures = np.stack([picture, picture])
    return EditRequest(**{"pictures": pictures, "names": NAMES, "prompt": "smile", "seed": 5, **changes})


# ---- without diffusers: folders are examined by emoga itself --------------------------------------------------


def weights_file(path: Path, shape: tuple[int, ...] = (4, 8), cut: int = 0) -> None:
    """A safetensors file of zeros; `cut` bytes are missing at its end."""
    count = int(np.prod(shape))
    header = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * count]}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((struct.pack("<Q", len(header)) + header + bytes(4 * count))[: -cut or None])


def model_folder(folder: Path) -> Path:
    """What an UltraEdit download looks like from outside."""
    folder.mkdir()
    index = {
        "_class_name": "StableDiffusion3InstructPix2PixPipeline",
        "_diffusers_version": "0.30.0",
        "transformer": ["diffusers", "SD3Transformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "text_encoder_3": [None, None],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    for name in ("transformer", "vae"):
        weights_file(folder / name / "diffusion_pytorch_model.safetensors")
        (folder / name / "config.json").write_text('{"block_out_channels": [4, 8]}')
    (folder / "tokenizer").mkdir()
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises((InputError, MissingComponent)) as caught:
        open_editor(f"ultraedit:{folder}", **QUICK)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_examined_folder_tells_what_it_holds(tmp_path: Path) -> None:
    model = examine(model_folder(tmp_path / "m"), FAMILIES["ultraedit"])
    assert model.parameters == 64 and model.largest == 32 and model.variant is None
    assert model.vae_channels == (4, 8)


def test_a_half_precision_download_is_found_by_its_variant(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    for part in ("transformer", "vae"):
        path = folder / part / "diffusion_pytorch_model.safetensors"
        path.rename(path.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert examine(folder, FAMILIES["ultraedit"]).variant == "fp16"


def test_shards_are_added_up(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    weights_file(folder / "vae" / "diffusion_pytorch_model-00001-of-00002.safetensors", (3,))
    weights_file(folder / "vae" / "diffusion_pytorch_model-00002-of-00002.safetensors", (5, 2))
    assert examine(folder, FAMILIES["ultraedit"]).parameters == 32 + 13


@pytest.mark.parametrize(
    ("shard", "words"),
    [
        ("../../stolen.safetensors", "no safetensors file beside it"),
        ("weights.bin", "no safetensors file beside it"),
        (
            "diffusion_pytorch_model-00002-of-00002.safetensors",
            "this file is missing; get it with: hf download",
        ),
    ],
)
def test_an_index_of_shards_lists_only_files_beside_it(tmp_path: Path, shard: str, words: str) -> None:
    folder = model_folder(tmp_path / "m")
    index = folder / "vae" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "diffusion_pytorch_model.safetensors", "v": shard}}))
    assert words in refusal(folder)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(
        folder / "vae" / "diffusion_pytorch_model.bin"
    )
    assert "pickled weights can run code" in refusal(folder)


def test_code_in_a_folder_is_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    (folder / "vae" / "my_vae.py").write_text("raise SystemExit")
    assert "carries code" in refusal(folder)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("_class_name", ["my_pipeline", "Mine"], "code of its own"),
        ("_class_name", "FluxKontextPipeline", "holds a FluxKontextPipeline, ultraedit needs"),
        ("vae", ["os", "system"], "comes from 'os'"),
        ("vae", ["diffusers", "a.b"], "only diffusers and transformers"),
        ("vae", ["diffusers"], "only diffusers and transformers"),
        ("../vae", ["diffusers", "AutoencoderKL"], "only diffusers and transformers"),
        ("absent", ["diffusers", "AutoencoderKL"], "part is missing; get it with: hf download"),
    ],
)
def test_an_index_that_asks_for_more_than_diffusers_is_refused(
    tmp_path: Path, key: str, value: object, words: str
) -> None:
    folder = model_folder(tmp_path / "m")
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert words in refusal(folder)


def test_configurations_that_map_to_code_are_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    (folder / "tokenizer" / "tokenizer_config.json").write_text(
        '{"auto_map": {"AutoTokenizer": "evil.Evil"}}'
    )
    assert "auto_map" in refusal(folder)


@pytest.mark.parametrize("content", ["", "[]", "{" * 100_000, "[" * 100_000, '{"_class_name": 3}', "\xff"])
def test_a_damaged_index_is_refused(tmp_path: Path, content: str) -> None:
    folder = model_folder(tmp_path / "m")
    (folder / "model_index.json").write_bytes(content.encode("latin-1"))
    assert "model_index.json" in refusal(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 1 << 60) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 13) + b'{"w": [1,2]} ',
        struct.pack("<Q", 48) + b'{"w":{"data_offsets":[0,9],"shape":[-1,"a"]}}   ',
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    folder = model_folder(tmp_path / "m")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(content)
    assert "damaged or cut short" in refusal(folder)


def test_weights_cut_short_and_absent_are_told_apart(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights_file(path, cut=3)
    assert "damaged or cut short; download it again" in refusal(folder)
    path.unlink()
    assert "has no weights (*.safetensors); get it with: hf download" in refusal(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    assert "has no model_index.json; get it with: hf download" in refusal(folder)


def test_links_out_are_refused_and_the_hubs_own_links_are_not(tmp_path: Path) -> None:
    blobs = tmp_path / "models--BleachNick--SD3_UltraEdit_w_mask" / "blobs"
    snapshot = blobs.parent / "snapshots" / "abc"
    snapshot.parent.mkdir(parents=True)
    model_folder(snapshot)
    blobs.mkdir()
    path = snapshot / "vae" / "diffusion_pytorch_model.safetensors"
    path.rename(blobs / "123")
    try:
        path.symlink_to(blobs / "123")
    except OSError:
        pytest.skip("this system makes no links here")
    assert examine(snapshot, FAMILIES["ultraedit"]).parameters == 64
    elsewhere = model_folder(tmp_path / "m")
    linked = elsewhere / "vae" / "diffusion_pytorch_model.safetensors"
    linked.unlink()
    linked.symlink_to(blobs / "123")
    assert "is a link that leaves" in refusal(elsewhere)


def test_the_hubs_cache_is_used_when_no_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "hub" / "models--BleachNick--SD3_UltraEdit_w_mask"
    (model / "snapshots").mkdir(parents=True)
    model_folder(model / "snapshots" / "abc")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("EMOGA_WEIGHTS", raising=False)
    editor = open_editor("ultraedit", weights=tmp_path / "nothing", device="cpu")
    assert editor.model.folder == model / "snapshots" / "abc"


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("text_guidance", 7.0, "text guidance 7 must be between 4.5 and 6"),
        ("image_guidance", 1.0, "image guidance 1 must be between 1.5 and 2.5"),
        ("steps", 5000, "steps 5000"),
        ("size", 100_000, "size 100000"),
        ("dtype", "int4", "dtype 'int4' is unknown"),
        ("device", "tpu", "device 'tpu' is unknown"),
        ("offload", "sequential", "cannot be had on cpu"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path: Path, option: str, value: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_editor(f"ultraedit:{model_folder(tmp_path / 'm')}", **{"device": "cpu", option: value})


def test_guidance_is_the_thesiss_and_strength_lessens_it(tmp_path: Path) -> None:
    editor = open_editor(f"ultraedit:{model_folder(tmp_path / 'm')}", device="cpu")
    known = {name: SimpleNamespace(default=1.0) for name in ("guidance_scale", "image_guidance_scale")}
    assert editor.text.arguments(known) == {"guidance_scale": 5.0}
    assert editor.image.arguments(known) == {"image_guidance_scale": 2.0}
    assert editor.text.arguments(known, 0.5) == {"guidance_scale": 3.0}


GIB = 1 << 30


def large_model() -> ModelFolder:
    parts = (Part("transformer", "T", 2 * GIB), Part("text", "T", 4 * GIB), Part("vae", "T", GIB // 10))
    return ModelFolder(Path("m"), "P", parts, None, (128, 256, 512, 512))


@pytest.mark.parametrize(
    ("free", "mode"), [(40, "resident"), (10, "offload"), (2, "sequential")], ids=["room", "less", "little"]
)
def test_weights_move_off_the_device_as_its_memory_gets_short(free: int, mode: str) -> None:
    plan = place(large_model(), 512, "cuda", free_bytes=free * GIB)
    assert plan.mode == mode and plan.peak_bytes <= free * GIB and plan.dtype == "bfloat16"


def test_large_pictures_are_decoded_by_tiles_before_weights_leave_the_device() -> None:
    whole = place(large_model(), 2048, "cuda", mode="offload", free_bytes=40 * GIB)
    tiled = place(large_model(), 2048, "cuda", mode="offload", free_bytes=whole.peak_bytes - 1)
    assert not whole.tiled and tiled.tiled and tiled.mode == "offload"


def test_too_little_memory_is_said_with_figures() -> None:
    assert place(large_model(), 512, "cpu", free_bytes=30 * GIB).dtype == "float32"
    assert place(large_model(), 512, "cpu", free_bytes=16 * GIB).dtype == "bfloat16"
    with pytest.raises(
        EnvironmentFailure, match=r"needs about 12\.5 GiB of memory on cpu, 3\.0 GiB are free"
    ):
        place(large_model(), 512, "cpu", free_bytes=3 * GIB)


def test_without_the_packages_the_way_to_them_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = open_editor(f"ultraedit:{model_folder(tmp_path / 'm')}", device="cpu")
    monkeypatch.setattr("emoga.guidance.loading.PACKAGES", ("diffusers", "surely_not_installed"))
    for use in (lambda: editor.estimate(request()), lambda: editor.edit(request(), silent)):
        with pytest.raises(MissingComponent, match=r"surely_not_installed.*pip install 'emoga\[diffusion\]'"):
            use()


# ---- with diffusers: tiny models, loaded and run for real -----------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("diffusers", reason="diffusers is not here: no diffusion editor was run")
    pytest.importorskip("transformers", reason="transformers is not here: no diffusion editor was run")
    import tiny_models

    folder = tmp_path_factory.mktemp("models")
    tiny_models.save_ultraedit(folder / "ultraedit")
    tiny_models.save_ultraedit(folder / "ultraedit-free-form", channels=32)
    tiny_models.save_instruct_pix2pix(folder / "instruct-pix2pix")
    tiny_models.save_flux_kontext(folder / "flux-kontext")
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an editor went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", ["instruct-pix2pix", "flux-kontext", "qwen-image-edit"])
def test_the_pipelines_of_diffusers_take_what_they_are_given(models: Path, name: str) -> None:
    import diffusers

    family = FAMILIES[name]
    for class_name in family.classes:
        known = inspect.signature(getattr(diffusers, class_name).__call__).parameters
        wanted = {"image", "prompt", "negative_prompt", "generator", "output_type", family.text.argument}
        assert wanted | ({family.image.argument} if family.image else set()) <= set(known)


def test_a_package_of_one_family_alone_is_named_with_it(models: Path) -> None:
    require_packages(FAMILIES["ultraedit"])
    family = dataclasses.replace(FAMILIES["qwen-image-edit"], packages=("surely_not_installed",))
    with pytest.raises(
        MissingComponent, match=r"qwen-image-edit needs surely_not_installed.*pip install surely"
    ):
        require_packages(family)


@pytest.mark.parametrize("name", ["ultraedit", "instruct-pix2pix", "flux-kontext"])
def test_an_editor_edits_within_its_mask_from_one_seed(models: Path, name: str, no_network: None) -> None:
    editor = open_editor(f"{name}:{models / name}", **QUICK)
    mask = np.zeros((2, 56, 40), np.float32)
    mask[:, 10:40, 8:30] = 1
    wanted = request(mask=mask)
    edited = editor.edit(wanted, silent)
    assert edited.shape == wanted.pictures.shape and edited.dtype == np.uint8
    np.testing.assert_array_equal(edited[mask == 0], wanted.pictures[mask == 0])
    assert (edited[mask == 1] != wanted.pictures[mask == 1]).mean() > 0.5
    # Two views of the same pixels: one seed for the subject makes the same edit of both.
    np.testing.assert_array_equal(edited[0], edited[1])
    np.testing.assert_array_equal(editor.edit(wanted, silent), edited)
    assert (editor.edit(request(mask=mask, seed=6), silent) != edited).any()
    np.testing.assert_array_equal(editor.edit(request(strength=0.0), silent), wanted.pictures)
    estimate = editor.estimate(wanted)
    assert estimate.weights_bytes > 0 and estimate.peak_bytes > estimate.weights_bytes


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["ultraedit", "instruct-pix2pix", "flux-kontext"])
def test_weights_off_the_device_make_the_same_picture(models: Path, name: str) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device: no editor was offloaded")
    options = {**QUICK, "device": "cuda", "dtype": "float32"}
    kept, *moved = (
        open_editor(f"{name}:{models / name}", **options, offload=mode).edit(request(), silent)
        for mode in ("resident", "offload", "sequential")
    )
    for edited in moved:
        assert np.abs(edited.astype(int) - kept).max() <= 1


def test_ultraedit_hears_prompt_negative_prompt_mask_and_both_guidances(models: Path) -> None:
    folder = f"ultraedit:{models / 'ultraedit'}"
    usual = open_editor(folder, **QUICK)
    whole = np.ones((2, 56, 40), np.float32)
    base = usual.edit(request(mask=whole), silent)
    half = whole.copy()
    half[:, :, 20:] = 0
    assert (usual.edit(request(mask=half), silent)[:, :, :20] != base[:, :, :20]).any()
    for changed in (
        usual.edit(request(mask=whole, prompt="cry"), silent),
        usual.edit(request(mask=whole, negative_prompt="no teeth"), silent),
        usual.edit(request(mask=whole, strength=0.3), silent),
        open_editor(folder, **QUICK, text_guidance=6.0).edit(request(mask=whole), silent),
        open_editor(folder, **QUICK, image_guidance=1.5).edit(request(mask=whole), silent),
    ):
        assert (changed != base).any()


def test_ultraedit_guides_by_text_and_picture_as_published(models: Path) -> None:
    import torch
    from PIL import Image

    editor = open_editor(f"ultraedit:{models / 'ultraedit'}", **{**QUICK, "steps": 1})
    pipeline = editor.pipeline()
    square = Image.fromarray(np.random.default_rng(7).integers(0, 256, (64, 64, 3), np.uint8))
    white = Image.fromarray(np.full((64, 64, 3), 255, np.uint8))
    calls = []
    handle = pipeline.transformer.register_forward_hook(
        lambda module, args, kwargs, output: calls.append((kwargs, output[0])), with_kwargs=True
    )
    picture = pipeline(
        "smile", square, white, num_inference_steps=1, generator=torch.Generator().manual_seed(1)
    )
    handle.remove()
    (kwargs, flows) = calls[0]
    given = kwargs["hidden_states"]
    assert given.shape == (3, 48, 8, 8)
    pixels = pipeline.image_processor.preprocess(square)
    with torch.no_grad():
        latents = pipeline.vae.encode(pixels).latent_dist.mode()
    torch.testing.assert_close(given[:2, 16:32], latents.expand(2, -1, -1, -1))
    assert (given[2, 16:] == 0).all(), "the third pass sees neither picture nor mask"
    noise = torch.randn((1, 16, 8, 8), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(given[:1, :16], noise)
    text, image, none = flows.chunk(3)
    flow = none + 5.0 * (text - image) + 2.0 * (image - none)
    # One step of the flow from pure noise (sigma 1) to the picture (sigma 0).
    with torch.no_grad():
        decoded = pipeline.vae.decode((noise - flow) / pipeline.vae.config.scaling_factor).sample
    expected = pipeline.image_processor.postprocess(decoded, output_type="np")
    np.testing.assert_allclose(picture.images, expected, atol=1e-5)


def test_ultraedit_without_mask_channels_edits_too(models: Path) -> None:
    editor = open_editor(f"ultraedit:{models / 'ultraedit-free-form'}", **QUICK)
    assert (editor.edit(request(), silent) != request().pictures).any()


def test_a_plain_folder_opens_by_its_own_class(models: Path, tmp_path: Path) -> None:
    import tiny_models

    folder = models / "instruct-pix2pix"
    plain = open_editor(str(folder), **QUICK).edit(request(), silent)
    named = open_editor(f"instruct-pix2pix:{folder}", **QUICK).edit(request(), silent)
    np.testing.assert_array_equal(plain, named)
    shutil.copytree(folder, tmp_path / "other")
    tiny_models.rename_class(tmp_path / "other", "StableDiffusionPipeline")
    with pytest.raises(InputError, match="does not edit pictures by text"):
        open_editor(str(tmp_path / "other"), **QUICK).edit(request(), silent)
    for name in ("NoSuchPipeline", "AutoencoderKL", "logging"):
        tiny_models.rename_class(tmp_path / "other", name)
        with pytest.raises(InputError, match=f"has no {name}"):
            open_editor(str(tmp_path / "other"), **QUICK).edit(request(), silent)


def test_weights_of_another_shape_are_refused_in_one_line(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(models / "instruct-pix2pix", folder)
    weights_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        open_editor(f"instruct-pix2pix:{folder}", **QUICK).edit(request(), silent)
    assert "\n" not in str(caught.value)


def test_pictures_larger_than_the_models_square_keep_their_size(models: Path) -> None:
    editor = open_editor(f"ultraedit:{models / 'ultraedit'}", **QUICK)
    pictures = np.random.default_rng(8).integers(0, 256, (1, 100, 70, 3), np.uint8)
    assert editor.edit(EditRequest(pictures, NAMES[:1], "smile"), silent).shape == (1, 100, 70, 3)
