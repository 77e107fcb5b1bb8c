"""Edits learnt from edited pictures: what they agree on is found, what words do not name stays."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filmed import film
from mannequin import make_mannequin

import emoga
from emoga.avatar import Avatar, load_avatar, save_avatar
from emoga.capture import HeldOut, save_track
from emoga.editing import PictureChoice
from emoga.editing.contributors import contributions, mask_at, overlap
from emoga.editing.edited_pictures import EditedPictures
from emoga.editing.foretelling import believed_move, foretell
from emoga.editing.masks import part_mask
from emoga.editing.pictures import Originals, originals
from emoga.editing.refit_scene import Scene
from emoga.editing.refit_targets import agreement
from emoga.editing.refitting import RefitOptions, refit
from emoga.editing.shading import shading_change
from emoga.editing.shapes import reshaped
from emoga.editing.subject import make_subject
from emoga.errors import InputError
from emoga.guidance import plan_edit
from emoga.head import load_head
from emoga.images import read_image_uint8, write_png
from emoga.motion import Motion
from emoga.optimize.agreement import Sightings, agree
from emoga.optimize.picture import AvatarRenderer
from emoga.render import SH_C0
from emoga_cli.main import main


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filmed mannequin, its track with frame 4 held out, and its avatar; tests only read them."""
    folder = tmp_path_factory.mktemp("stock")
    avatar = make_mannequin()
    track = film(avatar, folder / "film", views=3, frames=5, held_out=HeldOut((), (4,)))
    avatar.motion = Motion(track.head_name, track.head_version, track.head_checksum, track.params, track.fps)
    save_avatar(avatar, folder / "avatar.ply")
    save_track(track, folder / "film.h5")
    return folder


@pytest.fixture(scope="module")
def taken(stock: Path) -> tuple[Avatar, Originals]:
    """The avatar and renders of it in 3 views and 2 frames."""
    avatar = load_avatar(stock / "avatar.ply")
    track = emoga.load_track(stock / "film.h5")
    return avatar, originals(avatar, track, source="rendered", frames="0,3")


def tinted(avatar: Avatar, region: str, change: tuple[float, float, float]) -> Avatar:
    """The avatar with another colour on a region."""
    rows = avatar.gaussians.labels == load_head("open").region_names.index(region)
    sh = avatar.gaussians.sh.clone()
    sh[rows, 0] += torch.tensor(change) / SH_C0
    return avatar.with_gaussians(replace(avatar.gaussians, sh=sh))


def drawn(avatar: Avatar, taken: Originals) -> EditedPictures:
    """The record of edits that are renders of another avatar in the same places."""
    renderer = AvatarRenderer(avatar)
    pictures = [
        renderer.picture(taken.motion, frame, taken.track.cameras[view]) for view, frame in taken.pairs
    ]
    return taken.edited(np.stack(pictures))


def labelled(avatar: Avatar, region: str) -> np.ndarray:
    return (avatar.gaussians.labels == load_head("open").region_names.index(region)).numpy()


def base(avatar: Avatar) -> np.ndarray:
    """Constant colours [N,3], sRGB."""
    return SH_C0 * avatar.gaussians.sh[:, 0].numpy()


@pytest.mark.parametrize("method", ["edit3dgs", "dynamicavatars"])
def test_colours_are_learnt_though_a_picture_failed(taken, method: str) -> None:
    avatar, pictures = taken
    wanted = (-0.25, 0.1, 0.2)
    edited = drawn(tinted(avatar, "scalp", wanted), pictures)
    edited.edited[2] = np.random.default_rng(0).random(edited.edited[2].shape, np.float32)
    options = RefitOptions(method, geometry=False, iterations=6)
    result = refit(avatar, pictures.motion, edited, options)
    still = torch.zeros_like(load_head("open").template)
    _, agreed = agreement(Scene(avatar, pictures.motion, edited), still)
    seen = labelled(avatar, "scalp") & (agreed.evidence > 1)
    found = (base(result) - base(avatar))[seen].mean(0)
    assert seen.sum() > 200 and np.abs(found - wanted).max() < 0.05
    assert np.abs((base(result) - base(avatar))[labelled(avatar, "nose")]).mean() < 0.02
    assert torch.equal(result.shape, avatar.shape) and result.static_offset is avatar.static_offset


def test_shape_is_found_and_lies_in_the_person_not_in_the_units(taken) -> None:
    avatar, pictures = taken
    true = reshaped(avatar, [("person", "weight", 1.5, "")])
    options = RefitOptions(colors=False, move_steps=10)
    result = refit(avatar, pictures.motion, drawn(true, pictures), options)
    head = load_head("open")
    face = head.regions["cheeks"] | head.regions["jaw"]
    left = (result.static_offset - true.static_offset)[face].norm(dim=-1).mean()
    assert left < 0.6 * true.static_offset[face].norm(dim=-1).mean()
    assert torch.equal(result.neutral, avatar.neutral) and torch.equal(
        result.motion.params.expr, pictures.motion.expr
    )
    assert torch.equal(result.gaussians.sh, avatar.gaussians.sh)


def test_what_the_words_do_not_name_is_held_against_the_editor(taken) -> None:
    avatar, pictures = taken
    edited = drawn(tinted(avatar, "scalp", (0.3, 0.25, 0.15)), pictures)
    tint = np.float32([0.10, 0.08, 0.06])
    spoilt = replace(edited, edited=np.clip(edited.edited + tint * edited.masks[..., None], 0, 1))
    plan = plan_edit("make his hair lighter")
    options = RefitOptions(plan=plan, iterations=0)
    believing, wary = (
        refit(avatar, pictures.motion, spoilt, o) for o in (replace(options, plan=None), options)
    )
    nose = labelled(avatar, "nose")
    hair = labelled(avatar, "scalp") & (part_mask(make_subject(avatar), "hair") > 0.8)
    change = [np.abs(base(result) - base(avatar)) for result in (believing, wary)]
    assert change[0][nose].mean() > 0.04 and change[1][nose].mean() < 0.005
    assert hair.sum() > 50 and change[1][hair].mean() > 0.5 * change[0][hair].mean()


def test_a_move_is_held_against_what_the_words_foretell(taken) -> None:
    avatar, _ = taken
    plan = plan_edit("make him heavier")
    foretold = foretell(avatar, plan)
    head = load_head("open")
    stranger = torch.zeros_like(head.template)
    stranger[head.regions["nose"]] = torch.tensor([1e-3, 0.0, 0.0])
    true = 0.8 * foretold.move
    found = believed_move(true + stranger, foretold)
    nose, cheeks = head.regions["nose"], head.regions["cheeks"]
    assert (found - true)[nose].norm(dim=-1).mean() < 0.2e-3
    assert (found - true)[cheeks].norm(dim=-1).mean() < 0.1 * true[cheeks].norm(dim=-1).mean()
    beyond = true.clone()
    beyond[cheeks, 0] *= 1.5
    kept = (believed_move(beyond, foretold) - true)[cheeks].norm(dim=-1)
    assert kept.mean() > 0.5 * (beyond - true)[cheeks].norm(dim=-1).mean()
    assert torch.equal(believed_move(beyond, None), beyond)


def test_light_follows_the_shape(taken) -> None:
    avatar, _ = taken

    def lit(person: Avatar) -> np.ndarray:
        return 0.5 * (0.8 + 0.3 * make_subject(person).normals[:, 1:2] * np.float32([1.0, 0.9, 0.8]))

    sh = torch.zeros_like(avatar.gaussians.sh)
    sh[:, 0] = torch.from_numpy((lit(avatar) - 0.5) / SH_C0)
    before = avatar.with_gaussians(replace(avatar.gaussians, sh=sh))
    after = reshaped(before, [("person", "weight", 2.0, "")])
    skin = labelled(avatar, "cheeks") | labelled(avatar, "jaw")
    wanted, found = (lit(after) - lit(before))[skin], shading_change(before, after)[skin]
    assert np.abs(wanted).mean() > 0.002
    assert np.abs(found - wanted).mean() < 0.3 * np.abs(wanted).mean()


def test_a_mask_chooses_gaussians_that_are_the_mask_elsewhere(taken) -> None:
    avatar, pictures = taken
    scene = Scene(avatar, pictures.motion, drawn(avatar, pictures))
    lips = labelled(avatar, "lips").astype(np.float32)
    parsed = np.stack([mask_at(scene, lips, p) for p in range(len(scene))]) > 0.5
    assert parsed[0].sum() > 20
    share, seen = contributions(scene, parsed.astype(np.float32), pictures=[0, 2])
    elsewhere = np.stack([mask_at(scene, (share > 0.5).astype(np.float32), p) > 0.5 for p in (3, 4)])
    assert overlap(elsewhere, parsed[3:5]) > 0.6
    assert not (share[labelled(avatar, "ears")] > 0.1).any() and (seen[lips > 0] > 0).any()


def test_agreement_takes_out_drift_and_pictures_that_failed() -> None:
    rng = np.random.default_rng(1)
    count, points = 8, 400
    true = rng.normal(0, 0.05, (points, 3)).astype(np.float32)
    base_colors = rng.uniform(0.3, 0.8, (count, points, 3)).astype(np.float32)
    places = rng.uniform(-0.5, 0.5, (count, points, 2)).astype(np.float32)
    drifts = rng.normal(0, 0.2, (count, 1, 3)).astype(np.float32)
    drifts -= drifts[1:].mean(0)
    values = true + drifts * base_colors
    values[0] = rng.normal(0, 0.5, (points, 3))
    found = agree(Sightings(values, base_colors, places, np.ones((count, points), np.float32)))
    assert found.trust[0] < 0.05 and found.trust[1:].min() > 0.5
    assert np.abs(found.agreed - true).mean() < 0.01
    plain = agree(Sightings(values, base_colors, places, np.ones((count, points), np.float32)), drift=False)
    assert np.abs(plain.agreed - true).mean() > 2 * np.abs(found.agreed - true).mean()


def test_the_exchange_is_written_read_and_checked(stock: Path, tmp_path: Path, capsys) -> None:
    command = [
        "edit", str(stock / "avatar.ply"), "--track", str(stock / "film.h5"), "--method", "edit3dgs",
        "--prompt", "make his hair lighter", "--views", "0,2", "--frames", "0,3",
    ]  # fmt: skip
    assert main([*command, "--write-edits", str(tmp_path / "out")]) == 0
    with pytest.raises(InputError, match="not empty"):  # before even the avatar is looked for
        emoga.edit(tmp_path / "none.ply", None, prompt="make him older", write_edits=tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "edit.json").read_text())
    assert facts["prompt"] == "make his hair lighter" and len(facts["pictures"]) == 4
    folder = tmp_path / "edited"
    shutil.copytree(tmp_path / "out" / "images", folder)
    for path in folder.rglob("*.png"):
        picture = read_image_uint8(path).astype(np.int16)
        picture[:40] += 40
        write_png(path, picture.clip(0, 255).astype(np.uint8), overwrite=True)
    learn = [*command, "--editor", f"images:{folder}", "-o", str(tmp_path / "lighter.ply"), "--json"]
    capsys.readouterr()
    assert main(learn) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pictures"] == 4 and found["change"] > 1 and found["method"] == "edit3dgs"
    entry = load_avatar(tmp_path / "lighter.ply").provenance["edits"][-1]
    assert (entry["method"], entry["editor"]) == ("edit3dgs", "images")
    wrong = folder / "cam2" / "000003.png"
    write_png(wrong, np.zeros((8, 8, 3), np.uint8), overwrite=True)
    assert main([*learn, "--overwrite"]) == 2
    assert "cam2/000003.png: is 8x8, the captured picture is 96x96" in capsys.readouterr().err.replace(
        "\\", "/"
    )
    wrong.unlink()
    assert main([*learn, "--overwrite"]) == 2
    assert "no such picture" in capsys.readouterr().err


def test_choices_that_do_not_fit_are_refused(stock: Path, taken) -> None:
    avatar, pictures = taken
    path = stock / "avatar.ply"
    with pytest.raises(InputError, match="name a --track"):
        emoga.edit(path, None, prompt="make him older", method="edit3dgs")
    choice = PictureChoice(stock / "film.h5", "images:nowhere", frames="4")
    with pytest.raises(InputError, match="held out"):
        emoga.edit(path, None, prompt="make him older", method="edit3dgs", pictures=choice)
    with pytest.raises(InputError, match="by formulas"):
        emoga.edit(path, None, prompt="make him older", pictures=choice)
    with pytest.raises(InputError, match="unknown method 'splat'"):
        refit(avatar, pictures.motion, drawn(avatar, pictures), RefitOptions("splat"))
    short = replace(drawn(avatar, pictures), masks=pictures.masks[:2])
    with pytest.raises(InputError, match="must match"):
        refit(avatar, pictures.motion, short)


def test_eval_edit_tells_an_edit_from_none(stock: Path, tmp_path: Path, capsys) -> None:
    redder = tinted(load_avatar(stock / "avatar.ply"), "lips", (0.2, -0.1, -0.1))
    save_avatar(redder, tmp_path / "red.ply")
    common = ["--original", str(stock / "avatar.ply"), "--track", str(stock / "film.h5"), "--region", "lips"]
    common += ["--truth", str(stock / "film.h5")]
    assert (
        main(["eval", "edit", str(tmp_path / "red.ply"), *common, "--csv", str(tmp_path / "e.csv"), "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["outside"][1] < 4 < found["outside"][2]
    # The unedited avatar is the truth to the bit here: no finite figure for it.
    assert found["likeness"]["edited"]["psnr"] < 40 and found["likeness"]["unedited"]["psnr"] is None
    assert found["missing"]["clip"] == "no CLIP folder was named (--clip DIR)" and found["clip"] == {}
    assert len((tmp_path / "e.csv").read_text().splitlines()) == 1 + found["likeness"]["edited"]["pictures"]
    assert main(["eval", "edit", str(stock / "avatar.ply"), *common]) == 0
    outside = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("change outside"))
    assert outside.split()[3:6] == ["0.000", "99.9", "%"]
