"""Avatars whose colours depend on emotion, in files: exact round trips, edits by other programs, damage."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from avatar_samples import colored_avatar, sample_avatar
from filmed import ring
from mannequin import make_mannequin
from plyfile import PlyElement
from test_avatar_files import assert_same, edited_ply, written

from emoga.avatar import Avatar, avatar_bytes, load_avatar, save_avatar
from emoga.describe import describe
from emoga.errors import InputError
from emoga.head import HeadParams, load_head
from emoga.optimize.picture import AvatarRenderer
from emoga_cli.main import main


@pytest.fixture
def avatar() -> Avatar:
    return colored_avatar(sample_avatar(sh_degree=2))


@pytest.mark.parametrize("suffix", ["ply", "h5"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_is_saved_is_loaded_to_the_bit(
    avatar: Avatar, tmp_path: Path, suffix: str, dtype: torch.dtype
) -> None:
    avatar = avatar.with_gaussians(replace(avatar.gaussians, latents=avatar.gaussians.latents.to(dtype)))
    avatar = replace(avatar, appearance=replace(avatar.appearance, form="absolute"))
    save_avatar(avatar, tmp_path / f"a.{suffix}")
    assert_same(load_avatar(tmp_path / f"a.{suffix}"), avatar)


def test_ply_to_h5_to_ply_gives_the_same_bytes(avatar: Avatar, tmp_path: Path) -> None:
    first, middle, last = (tmp_path / name for name in ("1.ply", "2.h5", "3.ply"))
    save_avatar(avatar, first)
    save_avatar(load_avatar(first), middle)
    save_avatar(load_avatar(middle), last)
    assert first.read_bytes() == last.read_bytes()


def test_files_of_avatars_without_it_stay_as_they_were() -> None:
    with h5py.File(io.BytesIO(avatar_bytes(sample_avatar(), "h5"))) as file:
        assert list(file["appearance"]) == ["sh"] and not file["appearance"].attrs
        assert all(list(group) == ["offset"] and not group.attrs for group in file["emotions"].values())
        assert list(file["gaussians"]) == ["log_scales", "logit_opacities", "means", "quats"]


def test_splats_reordered_and_deleted_elsewhere_keep_their_latents(avatar: Avatar, tmp_path: Path) -> None:
    keep = np.random.default_rng(0).permutation(500)[:250]
    elements, vertices = edited_ply(avatar, keep)
    vertices["x"][:9] += 0.01
    loaded = load_avatar(written(elements, tmp_path / "edited.ply"))
    assert_same(loaded.gaussians.latents, avatar.gaussians.latents[torch.from_numpy(keep)])
    assert_same(loaded.appearance, avatar.appearance)
    bare = written([PlyElement.describe(vertices, "vertex")], tmp_path / "bare.ply")
    assert_same(load_avatar(bare, avatar).gaussians.latents, loaded.gaussians.latents)


def test_half_precision_latents_show_the_same_pictures() -> None:
    avatar = colored_avatar(make_mannequin(), "happy", spread=0.3)
    rough = avatar.with_gaussians(replace(avatar.gaussians, latents=avatar.gaussians.latents.half()))
    params, mixture = HeadParams.zeros(load_head("open"), 1), torch.tensor([0.0, 1.0])
    fine, coarse, plain = (
        AvatarRenderer(one).render(params, 0, ring(1), mixture=weights).image
        for one, weights in ((avatar, mixture), (rough, mixture), (avatar, None))
    )
    assert (fine - coarse).abs().max() < 0.5 / 255 and (fine - plain).abs().max() > 20 / 255


def _set(name: str, value: object):
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = value

    return change


def _attribute(group: str, name: str, value: object):
    return lambda file: file[group].attrs.create(name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_attribute("appearance", "kind", np.bytes_(b"magic")), "update emoga"),
        (_attribute("appearance", "form", np.bytes_(b"loose")), "update emoga"),
        (lambda file: file["appearance"].attrs.__delitem__("form"), "form is missing"),
        (lambda file: file.__delitem__("appearance/latents"), "missing"),
        (lambda file: file.__delitem__("appearance/embed_out"), "missing"),
        (_set("appearance/latents", np.zeros((499, 128), np.float32)), "shape"),
        (_set("appearance/latents", np.zeros((500, 127), np.float32)), "shape"),
        (_set("appearance/latents", np.full((500, 128), np.nan, np.float32)), "NaN"),
        (_set("appearance/latents", np.full((500, 128), np.inf, np.float16)), "NaN or infinite"),
        (_set("appearance/latents", np.full((500, 128), 1e5, np.float32)), "beyond 1000"),
        (_set("appearance/latents", np.zeros((500, 128), np.int32)), "type"),
        (_set("appearance/embed_in", np.zeros((0, 32), np.float32)), "not even neutral"),
        (_set("appearance/embed_in", np.zeros((1001, 32), np.float32)), "32000 allowed"),
        (_set("appearance/embed_in", np.zeros((3, 31), np.float32)), "shape"),
        (_set("appearance/embed_in", np.zeros((2, 32), np.float32)), "no row"),
        (_set("appearance/hidden", np.zeros((160, 63), np.float32)), "shape"),
        (_set("appearance/hidden", np.full((160, 64), -1e4, np.float32)), "beyond 1000"),
        (_set("appearance/out", np.zeros((64, 48), np.float32)), "shape"),
        (_set("appearance/out_bias", np.zeros(12, np.float32)), "shape"),
        (_set("appearance/sh", np.zeros((500, 4, 3), np.float32)), "shape"),
        (_attribute("emotions/happy", "embedding", 3), "no row"),
        (_attribute("emotions/happy", "embedding", -1), "no row"),
        (_attribute("emotions/happy", "embedding", 1.0), "no row"),
        (_attribute("emotions/happy", "embedding", np.bytes_(b"1")), "no row"),
    ],
)
def test_damage_is_refused_in_one_line(avatar: Avatar, tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "a.h5"
    save_avatar(avatar, path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=message) as caught:
        load_avatar(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_an_emotion_cannot_colour_where_there_is_no_appearance(tmp_path: Path) -> None:
    save_avatar(sample_avatar(), tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["emotions/happy"].attrs["embedding"] = 1
    with pytest.raises(InputError, match="no row"):
        load_avatar(tmp_path / "a.h5")


def test_latents_of_gigabytes_are_refused_before_memory_is_taken(avatar: Avatar, tmp_path: Path) -> None:
    save_avatar(avatar, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["appearance/latents"]
        file.create_dataset("appearance/latents", (2**40, 128), "f2", chunks=(2**9, 128), compression="gzip")
    with pytest.raises(InputError, match="stores almost none"):
        load_avatar(tmp_path / "a.h5")


def test_info_names_the_appearance_and_its_emotions(avatar: Avatar, tmp_path: Path) -> None:
    for name, one in (("plain.ply", sample_avatar()), ("colored.ply", avatar), ("colored.h5", avatar)):
        save_avatar(one, tmp_path / name)
        facts = describe(tmp_path / name).facts
        assert facts["appearance"] == ("sh" if name == "plain.ply" else "color_mlp, residual")
        assert facts.get("appearance_emotions") == (None if name == "plain.ply" else ["angry", "happy"])


def test_info_tells_what_each_emotion_moves_and_colours(avatar: Avatar, tmp_path: Path, capsys) -> None:
    save_avatar(avatar, tmp_path / "colored.ply")
    emotions = describe(tmp_path / "colored.ply").facts["emotions"]
    assert list(emotions) == ["angry", "happy", "ärgerlich"]
    assert [emotions[name]["row"] for name in emotions] == [avatar.emotions[n].embedding for n in emotions]
    assert len(emotions["happy"]["units"]) == 6
    assert emotions["happy"]["units"]["mouthSmileLeft"] == max(emotions["happy"]["units"].values()) == 0.75
    assert emotions["happy"]["colours_255"] > 1 and emotions["ärgerlich"]["colours_255"] == 0
    assert main(["info", str(tmp_path / "colored.ply")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("mouthSmileLeft 0.75" in line and "row" in line for line in lines) == 1
    save_avatar(replace(avatar, head_checksum="0" * 64), tmp_path / "of_another_head.h5")
    units = describe(tmp_path / "of_another_head.h5").facts["emotions"]["happy"]["units"]
    assert set(units) == {
        f"unit {number}" for number in avatar.emotions["happy"].offset.abs().topk(6).indices
    }
