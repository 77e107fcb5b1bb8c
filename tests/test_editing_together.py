"""emoga edit --method edit3dgs with a diffusion editor: end to end on a tiny pipeline, and what is refused."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from avatar_samples import sample_motion
from mannequin import make_mannequin
from test_guidance_diffusion import model_folder

import emoga
from emoga.avatar import Avatar, load_avatar, save_avatar
from emoga.editing import TogetherChoice
from emoga.editing.moments import RING, moments_of_avatar, posed_vertices, square_views
from emoga.editing.places import fine_steps
from emoga.guidance import plan_edit
from emoga.head import load_head
from emoga.optimize.picture import AvatarRenderer
from emoga_cli.main import main

os.environ.setdefault("HF_HUB_OFFLINE", "1")
PROMPT = "turn him into a marble statue"
QUICK = {"steps": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return make_mannequin(motion=sample_motion(load_head("open")))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip(
        "diffusers", reason="diffusers is not here: no avatar was edited by a diffusion editor"
    )
    pytest.importorskip("transformers", reason="transformers is not here: no avatar was edited by one")
    import tiny_models

    return tiny_models.save_instruct_pix2pix(tmp_path_factory.mktemp("models") / "instruct-pix2pix")


def test_views_of_an_avatars_own_motion_hold_its_head(avatar: Avatar) -> None:
    renderer = AvatarRenderer(avatar)
    moments = moments_of_avatar(avatar, renderer.puppet.head, 64)
    assert len(moments.cameras) == len(RING) and moments.held_frame not in moments.frames
    assert moments.held_view not in moments.seen and len(moments.seen) == len(RING) - 1
    for frame in (*moments.frames, moments.held_frame):
        face = posed_vertices(renderer, moments.motion, frame)[renderer.puppet.head.regions["face"]]
        for camera in square_views(renderer, moments, frame, 64):
            assert (camera.width, camera.height) == (64, 64)
            at, depth = camera.project(face.double().numpy())
            assert (depth > 0).all() and at.min() > 2 and at.max() < 62
            assert np.ptp(at, axis=0).max() > 20


def test_an_avatar_without_motion_shows_expressions(avatar: Avatar) -> None:
    head = load_head("open")
    moments = moments_of_avatar(replace(avatar, motion=None), head, 64)
    shown = moments.motion.expr[list((*moments.frames, moments.held_frame))]
    assert len(torch.unique(shown, dim=0)) == len(moments.frames) + 1


def test_a_diffusion_editor_makes_an_avatar_that_says_how(avatar: Avatar, tiny: Path, tmp_path: Path) -> None:
    choice = TogetherChoice(str(tiny), views="0,3", frames="0,3,5", keys=1, options=QUICK)
    made, found = emoga.edit(
        avatar, tmp_path / "statue.ply", prompt=PROMPT, method="edit3dgs", pictures=choice
    )
    assert found.pictures == 4 and found.change > 1
    assert set(found.held_out) == {"held_out_moment_psnr"} and np.isfinite(
        found.held_out["held_out_moment_psnr"]
    )
    loaded = load_avatar(tmp_path / "statue.ply")
    record = loaded.provenance["edits"][-1]
    assert record["method"] == "edit3dgs" and record["editor"] == tiny.name and record["prompt"] == PROMPT
    assert (made.gaussians.sh - avatar.gaussians.sh).abs().max() > 0.1
    torch.testing.assert_close(loaded.gaussians.sh, made.gaussians.sh)
    assert torch.equal(made.gaussians.binding, avatar.gaussians.binding)
    # The editor's pictures have 64 pixels a side: learnt from those alone, one Gaussian in a hundred is missed.
    changed = (made.gaussians.sh - avatar.gaussians.sh).abs().amax((1, 2)) > 1e-6
    face = avatar.gaussians.labels == load_head("open").region_names.index("face")
    assert changed[face].float().mean() > 0.997


def test_operations_act_where_the_head_shows_their_parts(avatar: Avatar) -> None:
    renderer = AvatarRenderer(avatar)
    head = renderer.puppet.head
    moments = moments_of_avatar(avatar, head, 64)
    frame = moments.frames[0]
    cameras, vertices = (
        square_views(renderer, moments, frame, 64),
        posed_vertices(renderer, moments.motion, frame),
    )
    plan = plan_edit("older, redder lips, his left eye green, and move the earring to the right ear")
    lips, eye, earring = fine_steps(plan, head, vertices, cameras)
    assert [step.operation.target for step in (lips, eye, earring)] == ["lips", "eyes", "earring"]

    def middle(mask: np.ndarray) -> np.ndarray:
        return np.argwhere(mask > 0).mean(0)[::-1]

    front = 6 - 1 - 1
    for step, name, side in ((lips, "lips", 0), (eye, "eyelids", 1), (earring, "ears", 1)):
        points = vertices[head.regions[name] & ((side == 0) | (head.template[:, 0] > 0))].double().numpy()
        place, _ = cameras[front].project(points.mean(0)[None])
        assert np.linalg.norm(middle(step.where[front]) - place[0]) < 4, name
    assert middle(earring.onto[front])[0] < middle(earring.where[front])[0] - 10


def test_a_second_stage_runs_through_to_an_avatar(avatar: Avatar, tiny: Path, tmp_path: Path) -> None:
    choice = TogetherChoice(str(tiny), views="0,3", frames="0", keys=1, fine=True, options=QUICK)
    made, found = emoga.edit(
        avatar, tmp_path / "red.ply", prompt="redder lips", method="dynamicavatars", pictures=choice
    )
    plain = TogetherChoice(str(tiny), views="0,3", frames="0", keys=1, options=QUICK)
    before, _ = emoga.edit(avatar, prompt="redder lips", method="dynamicavatars", pictures=plain)
    assert found.method == "dynamicavatars" and not torch.equal(made.gaussians.sh, before.gaussians.sh)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = main([str(argument) for argument in arguments])
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return code, lines[0]


def test_wrong_folders_and_missing_packages_end_in_one_line(
    avatar: Avatar, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "a.ply", tmp_path / "out.ply"
    save_avatar(avatar, source)
    edit = ("edit", source, "--prompt", PROMPT, "--method", "edit3dgs", "-o", output, "--editor")
    (tmp_path / "empty").mkdir()
    code, line = refused(capsys, *edit, tmp_path / "empty")
    assert code == 2 and "has no model_index.json" in line
    code, line = refused(capsys, *edit, tmp_path / "nothing")
    assert code == 2 and "unknown editor" in line
    monkeypatch.setenv("EMOGA_WEIGHTS", str(tmp_path))
    code, line = refused(capsys, *edit, "ultraedit")
    assert code == 3 and "hf download" in line
    code, line = refused(capsys, *edit, "ultraedit", "--guidance", "much")
    assert code == 2 and "--guidance much" in line
    code, line = refused(capsys, *edit, "images:nowhere")
    assert code == 2 and "--track" in line
    code, line = refused(capsys, *edit, "images:nowhere", "--fine")
    assert code == 2 and "--fine" in line
    folder = model_folder(tmp_path / "weights")
    monkeypatch.setattr("emoga.guidance.loading.PACKAGES", ("surely_not_installed",))
    code, line = refused(capsys, *edit, f"ultraedit:{folder}")
    assert code == 3 and "pip install 'emoga[diffusion]'" in line
    assert not output.exists()
