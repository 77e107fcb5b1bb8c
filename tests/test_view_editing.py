"""Several views edited together: correspondence, key views, what is kept; on tiny pipelines where diffusers is here."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from emoga.camera import Camera, look_at
from emoga.errors import InputError
from emoga.guidance import EditRequest, Operation, PictureName, open_editor
from emoga.guidance.correspondence import ViewScene, epipolar_lines, epipolar_matches, token_centres
from emoga.guidance.fine_stage import FineStep, filled, instruction, laid_out, refined
from emoga.guidance.view_editing import ViewEditor, ViewRequest, ViewSettings
from emoga.progress import silent

os.environ.setdefault("HF_HUB_OFFLINE", "1")
SIDE = 64
BALL = 0.1


def camera(yaw: float) -> Camera:
    return look_at((np.sin(yaw), 0.0, np.cos(yaw)), (0.0, 0.0, 0.0), 0.3, SIDE, SIDE)


def ball(cameras: list[Camera]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 of a ball painted by place, and its depth."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    pictures, depths = [], []
    for one in cameras:
        rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(one.K).T
        rays = rays @ one.w2c[:3, :3]
        a, b = (rays**2).sum(-1), rays @ one.position
        inside = b**2 - a * (one.position @ one.position - BALL**2)
        depth = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, 0)
        place = one.position + depth[..., None] * rays
        picture = np.where((inside > 0)[..., None], 128 + 1000 * place, 255)
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
        depths.append(depth)
    return np.stack(pictures), np.stack(depths)


def scene(*yaws: float) -> tuple[np.ndarray, ViewScene]:
    cameras = [camera(yaw) for yaw in yaws]
    pictures, depth = ball(cameras)
    return pictures, ViewScene(depth, cameras)


@pytest.mark.parametrize("grid", [8, 16, 32])
def test_tokens_are_found_by_depth_where_the_surface_turns_to(grid: int) -> None:
    _, views = scene(0.0, 0.5)
    matches = views.matches(0, 1, grid)
    shown = views.foreground(0, grid)
    pixels = token_centres(grid) * SIDE / grid
    rays = np.concatenate([pixels, np.ones((grid * grid, 1))], 1) @ np.linalg.inv(views.cameras[0].K).T
    rays = rays @ views.cameras[0].w2c[:3, :3]
    eye = views.cameras[0].position
    a, b = (rays**2).sum(1), rays @ eye
    inside = b**2 - a * (eye @ eye - BALL**2)
    points = eye + (((-b - np.sqrt(np.maximum(inside, 0))) / a)[:, None]) * rays
    towards = views.cameras[1].position - points
    facing = (points * towards).sum(1) / np.linalg.norm(points, axis=1) / np.linalg.norm(towards, axis=1)
    aslant = (points * (eye - points)).sum(1) / BALL < 0.3
    clear = shown & (inside > 0) & (np.abs(facing) > 0.15) & ~aslant
    assert clear.sum() > 10
    np.testing.assert_array_equal(matches.seen[clear], facing[clear] > 0)
    true = views.cameras[1].project(points)[0] * grid / SIDE
    assert np.linalg.norm(matches.at - true, axis=1)[clear & matches.seen].max() < 0.5
    assert not matches.seen[~shown].any()


def test_the_epipolar_line_goes_through_the_true_place() -> None:
    _, views = scene(0.1, -0.4)
    points = np.random.default_rng(1).normal(0, 0.05, (50, 3))
    first, second = (np.c_[one.project(points)[0], np.ones(50)] for one in views.cameras)
    lines = first @ views.fundamental(0, 1).T
    lines /= np.linalg.norm(lines[:, :2], axis=1, keepdims=True)
    assert np.abs((lines * second).sum(1)).max() < 1e-6
    grid = 16
    matches = views.matches(0, 1, grid)
    places = np.c_[matches.at, np.ones(grid * grid)]
    away = np.abs((epipolar_lines(views, 0, 1, grid) * places).sum(1))
    assert matches.seen.sum() > 20 and away[matches.seen].max() < 1e-6


def test_along_the_line_the_most_similar_token_wins() -> None:
    pictures, views = scene(0.0, 0.4)
    grid = 16
    tokens = (
        pictures.reshape(2, grid, SIDE // grid, grid, SIDE // grid, 3).mean((2, 4)).reshape(2, -1, 3) - 160
    )
    found = epipolar_matches(views, 0, 1, grid, (tokens[0], tokens[1]))
    true = views.matches(0, 1, grid)
    error = np.linalg.norm(found.at - true.at, axis=1)[true.seen]
    assert np.median(error) < 1


def boxes(*places: tuple[int, int]) -> torch.Tensor:
    """bool [V,8,8]: a box of 2 x 2 latents in each view."""
    masks = torch.zeros(len(places), 8, 8, dtype=torch.bool)
    for view, (row, column) in enumerate(places):
        masks[view, row : row + 2, column : column + 2] = True
    return masks


def test_a_hole_is_filled_from_around_it() -> None:
    latents = torch.arange(8.0).expand(2, 3, 8, 8).clone()
    holes = boxes((2, 3), (6, 6))
    spoilt = torch.where(holes[:, None], 99.0, latents)
    made = filled(spoilt, holes)
    torch.testing.assert_close(
        made[~holes[:, None].expand_as(made)], latents[~holes[:, None].expand_as(made)]
    )
    assert float(made.max()) <= 7
    torch.testing.assert_close(made[0, 0, 2:4, 3:5].mean(), torch.tensor(3.5))
    nowhere = torch.ones(2, 8, 8, dtype=torch.bool)
    assert torch.equal(filled(spoilt, nowhere), spoilt)


def test_what_moves_lies_elsewhere_and_leaves_no_trace() -> None:
    latents = torch.zeros(2, 4, 8, 8)
    old, new = boxes((2, 1), (3, 5)), boxes((2, 5), (0, 0))
    thing = torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(1))
    latents[0, :, 2:4, 1:3] = thing
    latents[1, :, 3:5, 5:7] = thing
    made = laid_out(latents, old, new)
    assert torch.equal(made[0, :, 2:4, 5:7], thing) and torch.equal(made[1, :, 0:2, 0:2], thing)
    assert float(made[old[:, None].expand_as(made)].abs().max()) == 0
    gone = laid_out(latents, old, None)
    assert float(gone.abs().max()) == 0
    with pytest.raises(InputError, match="place to move to"):
        FineStep(Operation("move", "earring"), np.zeros((2, 64, 64)))


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            Operation("add", "earring", material="gold", side="left", style=("thin",)),
            "add a thin gold earring",
        ),
        (Operation("add", "scar", side="right", position=("cheeks",)), "add a scar on the right cheeks"),
        (Operation("change", "lips", "colour", colour="red"), "make the lips red"),
        (Operation("change", "nose", "size", "less"), "make the nose less size"),
        (Operation("remove", "age_spots"), "remove the age spots"),
    ],
)
def test_an_operation_is_told_an_editor_in_words(step: Operation, words: str) -> None:
    assert instruction(step) == words


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("diffusers", reason="diffusers is not here: no views were edited together")
    pytest.importorskip("transformers", reason="transformers is not here: no views were edited together")
    import tiny_models

    folder = tmp_path_factory.mktemp("models")
    tiny_models.save_ultraedit(folder / "ultraedit")
    tiny_models.save_instruct_pix2pix(folder / "instruct-pix2pix")
    return folder


def editor_of(models: Path, name: str, **settings: object) -> ViewEditor:
    opened = open_editor(f"{name}:{models / name}", steps=3, size=SIDE, device="cpu")
    return ViewEditor(opened, ViewSettings(**{"keys": 2, **settings}))


FAMILIES = ("instruct-pix2pix", "ultraedit")


@pytest.mark.parametrize("name", FAMILIES)
def test_views_by_themselves_are_what_the_pipeline_makes_of_them(models: Path, name: str) -> None:
    pictures, views = scene(0.0, 0.4, -0.4)
    editor = editor_of(models, name, correspondence=None)
    together = editor.edit(ViewRequest(pictures, views, "marble", seed=4))
    names = tuple(PictureName("c", frame) for frame in range(3))
    request = EditRequest(pictures, names, "marble", mask=np.ones(pictures.shape[:3]), seed=4)
    alone = editor.editor.edit(request, silent)
    assert np.abs(together.astype(int) - alone).max() <= 1


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("correspondence", ["depth", "epipolar"])
def test_key_views_make_the_others_agree_with_them(models: Path, name: str, correspondence: str) -> None:
    pictures, views = scene(0.0, 0.3, -0.3, 0.6)
    editor = editor_of(models, name, correspondence=correspondence)
    request = ViewRequest(pictures, views, "marble", seed=4)
    edited = editor.edit(request)
    assert edited.shape == pictures.shape and edited.dtype == np.uint8
    np.testing.assert_array_equal(editor.edit(request), edited)
    assert (editor.edit(ViewRequest(pictures, views, "marble", seed=5)) != edited).any()
    alone = editor_of(models, name, correspondence=None).edit(request)
    assert (alone != edited).any()
    pipeline = editor.editor.pipeline()
    model = getattr(pipeline, "unet", None) or pipeline.transformer
    assert not any(type(one).__name__ == "SharedAttention" for one in model.attn_processors.values())
    assert not any(part._forward_hooks for part in model.modules())


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_kept_ends_as_the_originals_own_latents(models: Path, name: str) -> None:
    pictures, views = scene(0.0, 0.4)
    keep = np.zeros(pictures.shape[:3])
    keep[:, 16:40, 16:48] = 1
    editor = editor_of(models, name)
    latents = {}

    def decoded(module: object, args: tuple) -> None:
        latents.setdefault("last", []).append(args[0])

    pipeline = editor.editor.pipeline()
    handle = pipeline.vae.decoder.register_forward_pre_hook(decoded)
    before = pipeline.vae.post_quant_conv
    editor.edit(ViewRequest(pictures, views, "marble", keep=keep))
    handle.remove()
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        known = pipeline.vae.encode(pixels).latent_dist.mode()
        known = known if before is None else before(known)
    ended = torch.cat(latents["last"])
    inside = torch.zeros(known.shape[-2:], dtype=torch.bool)
    inside[2:5, 2:6] = True
    torch.testing.assert_close(ended[..., inside], known[..., inside], atol=1e-4, rtol=1e-4)
    assert (ended[..., ~inside] - known[..., ~inside]).abs().mean() > 1e-2


def test_what_is_left_out_leaves_its_part_out(models: Path) -> None:
    pictures, views = scene(0.0, 0.3, -0.3, 0.6)
    request = ViewRequest(pictures, views, "marble", seed=4)
    alone, nothing, attention, of_attention, injection = (
        editor_of(models, "instruct-pix2pix", **settings).edit(request)
        for settings in (
            {"correspondence": None}, {"agree": 0, "attend": False}, {"agree": 0, "inject": 0},
            {"agree": 0, "whole": 0}, {"agree": 0},
        )
    )  # fmt: skip
    assert np.abs(nothing.astype(int) - alone).max() <= 1
    assert (
        (attention != alone).any() and (of_attention != attention).any() and (injection != of_attention).any()
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_view_carries_to_its_like_is_what_it_has(models: Path, name: str) -> None:
    """Three times the same view: each takes its own tokens, so nothing is blurred and nothing is out of place."""
    pictures, views = scene(0.2, 0.2, 0.2)
    request = ViewRequest(pictures, views, "marble", seed=4)
    carried, not_carried = (
        editor_of(models, name, agree=0, inject=share, whole=1).edit(request).astype(int) for share in (1, 0)
    )
    assert np.abs(carried - not_carried).max() <= 1


def disagreement(edited: np.ndarray, pictures: np.ndarray, views: ViewScene, grid: int = 16) -> float:
    """Mean difference of the edits of tokens that show the same."""
    cell = SIDE // grid
    edits = (edited.astype(float) - pictures).reshape(len(edited), grid, cell, grid, cell, 3).mean((2, 4))
    edits = edits.reshape(len(edited), grid * grid, 3)
    apart = []
    for one in range(len(edits)):
        for other in range(len(edits)):
            if one != other:
                matches = views.matches(one, other, grid)
                there = edits[other][matches.nearest(grid)]
                apart.append(np.abs(edits[one] - there)[matches.seen])
    return float(np.concatenate(apart).mean())


def test_by_depth_views_end_nearer_to_one_edit_than_by_themselves(models: Path) -> None:
    pictures, views = scene(0.0, 0.3, -0.3, 0.6)
    request = ViewRequest(pictures, views, "marble", seed=4)
    together, alone = (
        editor_of(models, "instruct-pix2pix", correspondence=way).edit(request) for way in ("depth", None)
    )
    assert disagreement(together, pictures, views) < 0.85 * disagreement(alone, pictures, views)


@pytest.mark.parametrize("name", FAMILIES)
def test_edits_may_begin_from_pictures_under_part_of_the_noise(models: Path, name: str) -> None:
    pictures, views = scene(0.0, 0.4)
    editor = editor_of(models, name, correspondence=None)
    fresh = editor.edit(ViewRequest(pictures, views, "marble"))
    begun = editor.edit(ViewRequest(pictures, views, "marble", start=pictures, start_noise=0.4))
    again = editor.edit(ViewRequest(pictures, views, "marble", start=255 - pictures, start_noise=0.4))
    assert (begun != fresh).any() and (begun != again).any()


def test_pipelines_of_other_kinds_are_named(models: Path, tmp_path: Path) -> None:
    import tiny_models

    folder = tiny_models.save_flux_kontext(tmp_path / "flux")
    with pytest.raises(InputError, match="a FluxKontextPipeline cannot edit several views together"):
        ViewEditor(open_editor(f"flux-kontext:{folder}", size=SIDE, device="cpu"))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("action", ["add", "change", "remove", "move"])
def test_a_second_stage_changes_its_place_alone(models: Path, name: str, action: str) -> None:
    pictures, views = scene(0.0, 0.3, -0.3)
    where, onto = np.zeros((2, *pictures.shape[:3]), np.float32)
    where[:, 24:40, 16:32], onto[:, 24:40, 40:56] = 1, 1
    step = FineStep(Operation(action, "lips", "colour"), where, onto if action == "move" else None)
    made = refined(editor_of(models, name), pictures, views, step, seed=3)
    changed = (made != pictures).any(-1)
    assert changed[where > 0].mean() > 0.5 and not changed[step.place == 0].any()
    assert (action == "move") == bool(changed[onto > 0].any())
    np.testing.assert_array_equal(refined(editor_of(models, name), pictures, views, step, seed=3), made)


def test_a_second_stage_that_acts_nowhere_changes_nothing(models: Path) -> None:
    pictures, views = scene(0.0, 0.3)
    step = FineStep(Operation("change", "lips", "colour"), np.zeros(pictures.shape[:3]))
    assert refined(editor_of(models, "ultraedit"), pictures, views, step) is pictures
    with pytest.raises(InputError, match="place of a second stage"):
        refined(editor_of(models, "ultraedit"), pictures, views, FineStep(step.operation, np.ones((1, 8, 8))))
