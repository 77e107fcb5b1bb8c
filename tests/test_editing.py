"""emoga edit: what a plan names changes, what it does not keeps its bits; things hold on; bad input is one line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from avatar_samples import colored_avatar, sample_motion
from mannequin import make_mannequin
from model_server import reply, says, server
from PIL import Image
from scipy.spatial import cKDTree

import emoga
from emoga.avatar import Avatar, load_avatar, save_avatar
from emoga.avatar.posing import make_puppet
from emoga.editing.abilities import COMPOUNDS, MADE_THINGS, MATERIAL_NAMES, can
from emoga.editing.edit import undo
from emoga.editing.history import THINGS, worn_things
from emoga.editing.masks import part_mask
from emoga.editing.painting import PAINTED_AWAY, PAINTED_THINGS, PAINTS
from emoga.editing.shapes import SHAPES, displacement
from emoga.editing.subject import make_subject
from emoga.editing.vocabulary import vocabulary, vocabulary_text
from emoga.errors import InputError
from emoga.guidance import EditPlan, Operation, plan_edit
from emoga.head import HeadParams, load_head
from emoga.optimize.color_mlp import blend_colors
from emoga.optimize.picture import AvatarRenderer
from emoga.reenactment.stills import still_pictures
from emoga_cli.main import main

ARRAYS = ("means", "quats", "log_scales", "logit_opacities", "sh", "binding", "labels", "latents")


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return make_mannequin(motion=sample_motion(load_head("open")))


def run(avatar: Avatar, prompt: str, **options: object) -> Avatar:
    return emoga.edit(avatar, prompt=prompt, **options)[0]


def avatar_vertices(avatar: Avatar, region: str) -> np.ndarray:
    subject = make_subject(avatar)
    return subject.vertices[subject.head.regions[region].numpy()]


def changed_rows(before: Avatar, after: Avatar) -> torch.Tensor:
    """[N] bool over the Gaussians that were there before."""
    count = len(before.gaussians)
    pairs = [(getattr(before.gaussians, name), getattr(after.gaussians, name)[:count]) for name in ARRAYS]
    return torch.stack([(a != b).reshape(count, -1).any(1) for a, b in pairs]).any(0)


# ---- local by construction -----------------------------------------------------------------------------------


def test_strength_zero_returns_the_file_byte_for_byte(avatar: Avatar, tmp_path: Path) -> None:
    for suffix in (".ply", ".h5"):
        save_avatar(avatar, tmp_path / f"a{suffix}")
        emoga.edit(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}", prompt="make him older", strength=0)
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("part", ["lips", "eyes", "hair", "brows", "teeth"])
def test_a_colour_stays_within_its_part(avatar: Avatar, part: str) -> None:
    after = run(avatar, f"green {part}")
    mask = part_mask(make_subject(avatar), "lips" if part == "lips" else part)
    if part == "eyes":
        mask = make_subject(avatar).labelled("irises", "eyeballs").astype(float)
    changed = changed_rows(avatar, after).numpy()
    assert changed.any() and not changed[mask <= 1e-4].any()
    assert torch.equal(after.shape, avatar.shape) and after.static_offset is None
    green = after.gaussians.sh[changed, 0, 1] - avatar.gaussians.sh[changed, 0, 1]
    red = after.gaussians.sh[changed, 0, 0] - avatar.gaussians.sh[changed, 0, 0]
    assert (green - red).mean() > 0.05


def test_one_side_leaves_the_other_alone(avatar: Avatar) -> None:
    after = run(avatar, "make his left eye green")
    points = make_subject(avatar).points
    changed = changed_rows(avatar, after).numpy()
    assert changed.any() and points[changed, 0].min() > -0.003


def test_what_must_stay_stays(avatar: Avatar) -> None:
    after = run(avatar, "turn him into a marble statue, but keep the lips and the hair")
    subject = make_subject(avatar)
    kept = np.maximum(part_mask(subject, "lips"), part_mask(subject, "hair")) > 0.9999
    changed = changed_rows(avatar, after).numpy()
    assert kept.any() and not changed[kept].any()
    assert changed[subject.labelled("cheeks")].all()
    held = emoga.edit(avatar, prompt="bigger nose", region="ears")[0]
    assert held.static_offset is None or float(held.static_offset.abs().max()) == 0


def test_a_shape_moves_its_region_and_nothing_else(avatar: Avatar) -> None:
    after = run(avatar, "a bigger nose")
    assert not changed_rows(avatar, after).any() and torch.equal(after.shape, avatar.shape)
    moved = after.static_offset.norm(dim=1)
    head = load_head("open")
    assert float(moved[head.regions["nose"]].max()) > 1e-3
    for far in ("ears", "scalp", "neck", "jaw"):
        assert float(moved[head.regions[far]].max()) == 0


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_more_and_less_are_opposite_and_visible(name: tuple[str, str]) -> None:
    head = load_head("open")
    more, less = (displacement(head, *name, amount) for amount in (1.0, -1.0))
    assert np.allclose(more, -less, atol=1e-12)
    assert 0.5e-3 < np.linalg.norm(more, axis=1).max() < 0.03
    collar = head.regions["below_collar"].numpy() & (head.template[:, 1].numpy() < -0.151)
    assert np.abs(more[collar]).max() == 0


def test_pictures_change_inside_and_hardly_outside(avatar: Avatar) -> None:
    after = run(avatar, "dark blue lips")
    for before_picture, picture in zip(
        still_pictures(avatar, ["neutral", "surprised"], [0.0, 40.0], 128),
        still_pictures(after, ["neutral", "surprised"], [0.0, 40.0], 128),
        strict=True,
    ):
        difference = np.abs(picture.astype(float) - before_picture).max(-1)
        rows, columns = np.nonzero(difference > 12)
        assert len(rows) > 10, "the lips did not change"
        outside = np.ones(difference.shape, bool)
        outside[max(rows.min() - 2, 0) : rows.max() + 3, max(columns.min() - 2, 0) : columns.max() + 3] = (
            False
        )
        assert difference[outside].mean() < 1 and np.quantile(difference[outside], 0.999) < 4


# ---- things --------------------------------------------------------------------------------------------------


def things(avatar: Avatar, target: str, **rest: object) -> Avatar:
    plan = EditPlan("", (Operation("add", target, **rest),))
    return emoga.edit(avatar, plan=plan)[0]


@pytest.mark.parametrize("target", sorted(MADE_THINGS))
def test_every_thing_is_made_alike_each_time_and_is_where_heads_are(avatar: Avatar, target: str) -> None:
    after, again = things(avatar, target), things(avatar, target)
    count = len(avatar.gaussians)
    assert len(after.gaussians) > count and not changed_rows(avatar, after).any()
    for name in ARRAYS:
        assert torch.equal(getattr(after.gaussians, name), getattr(again.gaussians, name))
        assert torch.isfinite(getattr(after.gaussians, name).float()).all()
    placed = make_subject(after).means[count:]
    assert np.abs(placed[:, 0]).max() < 0.13 and placed[:, 1].min() > -0.16 and placed[:, 1].max() < 0.2
    assert worn_things(after)[0].count == len(after.gaussians) - count


def frantic_motion() -> HeadParams:
    """Every preset at its strongest, an open jaw, turned head and eyes."""
    head = load_head("open")
    names = sorted(head.presets)
    params = HeadParams.zeros(head, len(names) + 2)
    for frame, name in enumerate(names):
        params.expr[frame] = head.emotion(name)
    params.expr[-1, head.unit("jawOpen")] = 1.0
    params.expr[-2, head.unit("jawOpen")] = 0.7
    params.rotation[:, 1] = torch.linspace(-0.8, 0.8, len(params.rotation))
    params.neck[:, 0] = torch.linspace(-0.3, 0.3, len(params.rotation))
    params.translation[:, 2] = 0.1
    return params


@pytest.mark.parametrize("target", ["earring", "stud", "nose_ring", "nose_stud", "scar", "tattoo"])
def test_things_on_the_skin_hold_on_within_a_millimetre(avatar: Avatar, target: str) -> None:
    after = things(avatar, target, side="left")
    head, count = load_head("open"), len(avatar.gaussians)
    puppet, params = make_puppet(after), frantic_motion()
    rows = after.gaussians.binding[count:]
    rest = puppet.pose(HeadParams.zeros(head, 1))
    corners = head.faces[rows.clamp_min(0)]

    def gap(posed):  # type: ignore[no-untyped-def]
        distance = torch.linalg.norm(posed.world.means[count:] - posed.vertices[corners].mean(1), dim=-1)
        return distance

    nearest = gap(rest) < 0.006
    assert nearest.any()
    for frame in range(len(params.expr)):
        assert float((gap(puppet.pose(params, frame)) - gap(rest))[nearest].abs().max()) < 1e-3


@pytest.mark.parametrize("target", ["glasses", "hat", "headband"])
def test_things_on_the_skull_move_with_it_within_a_millimetre(avatar: Avatar, target: str) -> None:
    after = things(avatar, target)
    head, count = load_head("open"), len(avatar.gaussians)
    puppet, params = make_puppet(after), frantic_motion()
    # Brows and cheeks rise behind glasses without touching them; ears and the bridge of the nose carry them.
    names = ("scalp", "ears", "nose" if target == "glasses" else "forehead")
    skull = torch.stack([head.regions[name] for name in names]).any(0)
    skull &= (head.template[:, 1] > -0.012) | ~head.regions["nose"]
    skull = head.faces[skull[head.faces].all(1)]
    shares = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(3), 24)).float()
    rest = puppet.pose(HeadParams.zeros(head, 1))
    few = torch.arange(count, len(after.gaussians), 23)

    def gap(posed):  # type: ignore[no-untyped-def]
        surface = torch.einsum("sc,fcx->fsx", shares, posed.vertices[skull]).reshape(-1, 3)
        return torch.from_numpy(cKDTree(surface.numpy()).query(posed.world.means[few].numpy())[0])

    resting = gap(rest) < 0.005
    assert resting.sum() > 5
    for frame in range(len(params.expr)):
        assert float((gap(puppet.pose(params, frame)) - gap(rest))[resting].abs().max()) < 1e-3


def sunk(avatar: Avatar, chosen: np.ndarray, depth: float) -> Avatar:
    """Some Gaussians pushed under the surface by metres."""
    subject = make_subject(avatar)
    means, rows = avatar.gaussians.means.clone(), subject.rows[chosen]
    inwards = torch.from_numpy(-depth * subject.normals[chosen]).to(means)
    local = (subject.bind.rotation[rows].mT @ inwards[..., None])[..., 0] / subject.bind.size[rows, None]
    means[chosen] += local
    return avatar.with_gaussians(replace(avatar.gaussians, means=means))


def test_what_fills_the_head_is_no_hair(avatar: Avatar) -> None:
    hair = part_mask(make_subject(avatar), "hair") > 0.9
    assert hair.sum() > 50
    assert part_mask(make_subject(sunk(avatar, hair, 0.04)), "hair")[hair].max() == 0


def test_under_a_hairline_the_filling_is_skins_and_under_the_crown_hairs(avatar: Avatar) -> None:
    subject = make_subject(avatar)
    hair = part_mask(subject, "hair") > 0.9
    forehead = load_head("open").template[load_head("open").regions["forehead"]].numpy()
    far = cKDTree(forehead).query(subject.points)[0]
    rim, crown = hair & (far < 0.012), hair & (far > 0.09) & (subject.points[:, 1] > 0.06)
    assert rim.sum() > 5 and crown.sum() > 5
    under = part_mask(make_subject(sunk(avatar, hair, 0.014)), "hair")
    assert np.median(under[rim]) < 0.1 and np.median(under[crown]) > 0.9


def test_what_shows_through_cheeks_is_skin_and_no_teeth(avatar: Avatar) -> None:
    subject = make_subject(avatar)
    teeth = np.flatnonzero(subject.labelled("teeth"))
    lips = load_head("open").template[load_head("open").regions["lips"]].numpy()
    far = cKDTree(lips).query(subject.points[teeth])[0] > 0.012
    assert far.sum() > 5 and (~far).sum() > 5
    sh = avatar.gaussians.sh.clone()
    cheeks = torch.from_numpy(subject.labelled("cheeks"))
    # Half of them went behind the cheeks when the avatar was fitted, and took their colour.
    sh[teeth[far]] = sh[cheeks].median(0).values
    fitted = make_subject(avatar.with_gaussians(replace(avatar.gaussians, sh=sh)))
    skin, tooth = part_mask(fitted, "skin")[teeth], part_mask(fitted, "teeth")[teeth]
    assert skin[far].min() > 0.9 and tooth[far].max() < 0.1
    assert skin[~far].max() < 0.1 and tooth[~far].min() > 0.9


def test_things_do_not_flush_and_what_is_drawn_on_skin_does(avatar: Avatar) -> None:
    moody = colored_avatar(avatar, "happy", "angry", spread=0.3)
    count = len(moody.gaussians)
    mixture = torch.tensor([-1.0, 0.3, 0.7])
    worn = things(moody, "earring")
    assert worn.gaussians.latents.shape == (len(worn.gaussians), 128)
    shown = blend_colors(worn.appearance, worn.gaussians.latents, mixture)
    assert float(shown[:count].abs().max()) > 0.1
    assert float(shown[count:].abs().max()) < 1e-5
    drawn = things(moody, "scar")
    assert float(blend_colors(drawn.appearance, drawn.gaussians.latents, mixture)[count:].abs().max()) > 0.01


def test_things_come_off_and_move(avatar: Avatar) -> None:
    two = run(avatar, "a gold earring on the left, and round glasses")
    one = run(two, "remove the earring")
    assert [thing.target for thing in worn_things(one)] == ["glasses"]
    for name in ARRAYS:
        assert torch.equal(
            getattr(run(one, "take off the glasses").gaussians, name), getattr(avatar.gaussians, name)
        )
    moved = run(two, "move the earring to the other ear")
    earring = next(thing for thing in worn_things(moved) if thing.target == "earring")
    rows = slice(earring.begin, earring.begin + earring.count)
    assert earring.side == "right" and make_subject(moved).means[rows, 0].max() < 0
    bare = run(run(avatar, "freckles"), "remove the freckles")
    assert torch.equal(bare.gaussians.sh, avatar.gaussians.sh)
    with pytest.raises(InputError, match="comes off with --undo"):
        run(avatar, "remove the lipstick")
    with pytest.raises(InputError, match="wears no hat"):
        run(two, "take off the hat")


def test_later_edits_leave_things_alone_and_kept_parts_free(avatar: Avatar) -> None:
    worn = run(avatar, "a red beanie, round glasses and a stud")
    after = run(worn, "blond hair and green skin, bronze statue")
    new = slice(len(avatar.gaussians), None)
    assert torch.equal(after.gaussians.sh[new], worn.gaussians.sh[new])
    assert changed_rows(avatar, after).any()
    old = run(avatar, "make him older, but keep the forehead")
    labels = old.gaussians.labels[new]
    forehead = load_head("open").region_names.index("forehead")
    assert len(labels) > 100 and not (labels == forehead).any()
    with pytest.raises(InputError, match="outside of --region lips"):
        run(avatar, "a hat", region="lips")


def test_sizes_are_those_of_life(avatar: Avatar) -> None:
    count = len(avatar.gaussians)
    hoop = make_subject(things(avatar, "earring", side="left", style=("hoop",))).means[count:]
    assert 0.018 < np.ptp(hoop[:, 1]) < 0.032 and hoop[:, 0].min() > 0.05
    frame = make_subject(things(avatar, "glasses")).means[count:]
    assert 0.11 < np.ptp(frame[:, 0]) < 0.19


def test_what_a_plan_names_is_not_implied_once_more(avatar: Avatar) -> None:
    hair = part_mask(make_subject(avatar), "hair") > 0.9999
    older = run(avatar, "make him older, with grey hair").gaussians.sh[: len(avatar.gaussians)][hair]
    grey = run(avatar, "grey hair").gaussians.sh[hair]
    assert torch.allclose(older[:, 0], grey[:, 0], atol=0.02)


def test_lips_are_as_black_as_asked_for(avatar: Avatar) -> None:
    lips = part_mask(make_subject(avatar), "lips") > 0.9999
    brightness = [run(avatar, f"{colour} lips").gaussians.sh[lips, 0].mean() for colour in ("black", "plum")]
    assert brightness[0] < brightness[1] - 0.2


def test_a_straw_hat_has_a_brim_and_a_plain_one_none(avatar: Avatar) -> None:
    count = len(avatar.gaussians)
    straw, plain = (
        make_subject(things(avatar, "hat", material=name)).means[count:] for name in ("straw", "")
    )
    assert np.ptp(straw[:, 0]) > np.ptp(plain[:, 0]) + 0.05


@pytest.mark.parametrize("position", [("eyes",), ("brows", "cheeks")])
def test_a_scar_over_an_eye_goes_from_brow_to_cheek(avatar: Avatar, position: tuple[str, ...]) -> None:
    count = len(avatar.gaussians)
    scar = make_subject(things(avatar, "scar", side="left", position=position)).means[count:]
    eyes = avatar_vertices(avatar, "eyeballs")
    assert (
        scar[:, 1].max() > eyes[:, 1].max() and scar[:, 1].min() < eyes[:, 1].min() and scar[:, 0].min() > 0
    )


def test_a_tattoo_on_the_neck_is_no_chin_s_shadow(avatar: Avatar) -> None:
    ink = make_subject(things(avatar, "tattoo", position=("neck",))).means[len(avatar.gaussians) :]
    assert ink[:, 0].min() > 0.02


def test_chance_has_a_seed(avatar: Avatar) -> None:
    one, again, other = (run(avatar, "freckles", seed=seed).gaussians.means for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_a_tattoo_comes_from_a_picture(avatar: Avatar, tmp_path: Path) -> None:
    Image.new("RGB", (40, 20), (200, 30, 30)).save(tmp_path / "logo.png")
    after = run(avatar, "a tattoo on the right cheek", image=tmp_path / "logo.png")
    new = slice(len(avatar.gaussians), None)
    assert after.gaussians.sh[new, 0, 0].mean() > after.gaussians.sh[new, 0, 1].mean() + 0.3
    assert make_subject(after).means[new, 0].max() < 0


# ---- records -------------------------------------------------------------------------------------------------


def test_edits_stack_are_recorded_and_undone(avatar: Avatar, tmp_path: Path) -> None:
    save_avatar(avatar, tmp_path / "a.ply")
    emoga.edit(tmp_path / "a.ply", tmp_path / "b.ply", prompt="redder lips")
    emoga.edit(tmp_path / "b.ply", tmp_path / "c.h5", prompt="a nose ring", keep_parent=True)
    record = load_avatar(tmp_path / "c.h5").provenance["edits"]
    assert [entry["prompt"] for entry in record] == ["redder lips", "a nose ring"]
    assert record[0]["parent"]["file"] == "a.ply" and str(tmp_path) not in json.dumps(record)
    (tmp_path / "b.ply").unlink()
    undo(tmp_path / "c.h5", tmp_path / "back.ply")
    undo(tmp_path / "back.ply", tmp_path / "first.ply")
    assert (tmp_path / "first.ply").read_bytes() == (tmp_path / "a.ply").read_bytes()
    with pytest.raises(InputError, match="no edit is on its record"):
        undo(tmp_path / "first.ply", tmp_path / "x.ply")
    (tmp_path / "a.ply").write_bytes(b"something else")
    with pytest.raises(InputError, match="is not beside it"):
        undo(tmp_path / "back.ply", tmp_path / "y.ply")


@pytest.mark.parametrize(
    "record",
    [3, [3], [{"begin": -5, "count": 9}], [{"begin": 0, "count": 10**9, "amount": 1, "operation": {}}],
     [{"begin": 0, "count": 5, "amount": 1, "operation": {"action": "run", "target": "rm"}}]],
)  # fmt: skip
def test_records_of_strangers_are_not_believed(avatar: Avatar, record: object) -> None:
    odd = replace(avatar, provenance={THINGS: record, "edits": "none"})
    assert worn_things(odd) == []
    assert len(run(odd, "redder lips").provenance["edits"]) == 1


def test_the_result_is_an_avatar_like_any_other(avatar: Avatar, tmp_path: Path) -> None:
    edited = run(avatar, "make him older and give him glasses")
    for name in ("e.ply", "e.h5"):
        save_avatar(edited, tmp_path / name)
        back = load_avatar(tmp_path / name)
        for array in ARRAYS:
            assert torch.equal(getattr(back.gaussians, array), getattr(edited.gaussians, array))
    assert AvatarRenderer(edited) is not None
    assert (
        main(["reenact", str(tmp_path / "e.ply"), "-o", str(tmp_path / "e.mp4"), "--size", "48", "-q"]) == 0
    )


# ---- the vocabulary ------------------------------------------------------------------------------------------


def test_the_vocabulary_is_what_can_be_asked_for() -> None:
    text = vocabulary_text()
    for name in (*MADE_THINGS, *PAINTED_THINGS, *MATERIAL_NAMES):
        assert name in text
    for part, entries in vocabulary().items():
        for attribute, words in entries.items():
            for word in words:
                if word.startswith(("more: ", "less: ")) and part != "whole head":
                    plan = plan_edit(f"{word.split()[1]} {part.split()[0]}")
                    assert [step.attribute for step in plan.operations] == [attribute], (part, word)


def test_everything_that_can_be_done_is_done(avatar: Avatar) -> None:
    steps = [
        Operation("change", part, attribute, "more", colour="red" * (attribute == "colour"))
        for part, attribute in sorted({*PAINTS, *SHAPES})
    ]
    steps += [Operation("change", "person", "material", material=name) for name in MATERIAL_NAMES]
    steps += [Operation("add", name) for name in (*PAINTED_THINGS, "makeup")]
    steps += [Operation("remove", name) for name in PAINTED_AWAY]
    for step in steps:
        assert can(step)
        after, found = emoga.edit(avatar, plan=EditPlan("", (step,)))
        assert found.done and not found.refused, step
        assert torch.isfinite(after.gaussians.sh).all()
        moved = after.static_offset is not None and bool(after.static_offset.abs().max() > 0)
        assert moved or changed_rows(avatar, after).any() or len(after.gaussians) > len(avatar.gaussians), (
            step
        )
    assert all(can(part) for parts in COMPOUNDS.values() for part in parts)


# ---- the command line ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("edit")
    save_avatar(avatar, path / "a.ply")
    gaussians = replace(avatar.gaussians, labels=torch.zeros_like(avatar.gaussians.labels))
    save_avatar(avatar.with_gaussians(gaussians), path / "unlabelled.ply")
    (path / "bad.json").write_text('{"operations": [{"action": "change", "target": "/etc/passwd"}]}')
    (path / "binary.json").write_bytes(b"\xff\xfe\x00")
    (path / "huge.json").write_text(" " * 300_000)
    (path / "text.png").write_text("no picture")
    return path


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (["--prompt", ""], 2, "described in 1 to"),
        (
            ["--prompt", "give him wings"],
            2,
            "'give him wings' cannot be done here: an avatar ends at the neck",
        ),
        (["--prompt", "make him smile"], 2, "emoga reenact --emotion"),
        (["--prompt", "longer hair"], 2, "of hair it can change colour"),
        (["--prompt", "a full beard"], 2, "the nearest is stubble"),
        (["--prompt", "keep the hair"], 2, "nothing of this edit can be done"),
        (["--prompt", "remove his nose"], 2, "not possible"),
        ([], 2, "needs --prompt or --plan-file"),
        (["--prompt", "older", "--plan-file", "bad.json"], 2, "not both"),
        (["--plan-file", "bad.json"], 2, "'/etc/passwd' is not known"),
        (["--plan-file", "binary.json"], 2, "is not a text"),
        (["--plan-file", "huge.json"], 2, "larger than 256 KiB"),
        (["--plan-file", "none.json"], 2, "no such file"),
        (["--prompt", "older", "--strength", "3"], 2, "strength"),
        (["--prompt", "older", "--region", "elbow"], 2, "'elbow' is no part of the head"),
        (["--prompt", "a tattoo", "--image", "text.png"], 2, "text.png"),
        (["--prompt", "older", "--llm", "file:///etc/passwd"], 2, "not an address"),
        (["--undo"], 2, "no edit is on its record"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path, line: list[str], code: int, words: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    assert main(["edit", "a.ply", "-o", "new.ply", "-q", *line]) == code
    err = capsys.readouterr().err
    assert words in err and len(err.strip().splitlines()) == 1
    assert not (folder / "new.ply").exists()


def test_what_would_be_undone_is_told_without_doing_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited, back = tmp_path / "b.ply", tmp_path / "c.ply"
    shutil.copy(folder / "a.ply", tmp_path)
    assert main(["edit", str(tmp_path / "a.ply"), "--prompt", "red lips", "-o", str(edited), "-q"]) == 0
    capsys.readouterr()
    assert main(["edit", str(edited), "--undo", "-o", str(edited), "--dry-run"]) == 2
    assert main(["edit", str(edited), "--undo", "-o", str(back), "--dry-run"]) == 0
    assert str(tmp_path / "a.ply") in capsys.readouterr().out and not back.exists()
    assert main(["edit", str(edited), "--undo", "--write-edits", str(tmp_path / "w"), "-q"]) == 2
    assert "--output" in capsys.readouterr().err


def test_an_avatar_without_labels_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["edit", str(folder / "unlabelled.ply"), "-o", str(folder / "x.ply"), "--prompt", "red lips", "-q"]
    assert main(line) == 2
    assert "carry no region labels" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_exit_3(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with server(lambda handler, _: reply(handler, b"")) as (url, _):
        pass
    line = [
        "edit",
        str(folder / "a.ply"),
        "-o",
        str(folder / "x.ply"),
        "--prompt",
        "older",
        "--llm",
        url,
        "-q",
    ]
    assert main(line) == 3
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_server_plans_and_its_key_stays_out_of_the_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOGA_LLM_KEY", "secret-key")
    answer = {"operations": [{"action": "add", "target": "nose_ring", "material": "silver"}], "keep": [],
              "refused": [], "not_understood": []}  # fmt: skip
    out = tmp_path / "e.h5"
    with server(lambda handler, _: reply(handler, says(answer))) as (url, seen):
        assert (
            main(["edit", str(folder / "a.ply"), "-o", str(out), "--prompt", "bling", "--llm", url, "-q"])
            == 0
        )
    assert seen.headers[0]["Authorization"] == "Bearer secret-key"
    assert load_avatar(out).provenance["edits"][0]["prompt"] == "bling"
    assert "secret-key" not in json.dumps(load_avatar(out).provenance)
    assert b"secret-key" not in out.read_bytes()


@pytest.mark.parametrize(
    "body", [b"garbage", b"x" * 300_000, says({"operations": [{"action": "read", "target": "/etc/passwd"}]})]
)
def test_a_server_that_misbehaves_is_exit_2(
    folder: Path, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with server(lambda handler, _: reply(handler, body)) as (url, _):
        line = [
            "edit",
            str(folder / "a.ply"),
            "-o",
            str(folder / "x.ply"),
            "--prompt",
            "older",
            "--llm",
            url,
            "-q",
        ]
        assert main(line) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (folder / "x.ply").exists()


def test_a_printed_plan_runs(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edit", "--prompt", "slightly redder lips, keep the hair", "--plan", "--json"]) == 0
    (tmp_path / "plan.json").write_text(capsys.readouterr().out)
    out = str(tmp_path / "e.ply")
    assert (
        main(["edit", str(folder / "a.ply"), "-o", out, "--plan-file", str(tmp_path / "plan.json"), "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["plan"]["keep"] == ["hair"] and found["done"] == ["change lips: red colour, strength 0.4"]
    assert main(["edit", "--prompt", "older", "--plan"]) == 0
    assert capsys.readouterr().out == "1. change person: more age\n"
    assert main(["edit", "--vocabulary"]) == 0
    assert "earring" in capsys.readouterr().out


def test_what_cannot_be_done_of_a_longer_prompt_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(folder / "part.ply")
    assert (
        main(
            ["edit", str(folder / "a.ply"), "-o", out, "--prompt", "red lips and wings", "-q", "--overwrite"]
        )
        == 0
    )
    assert "warning: 'wings' cannot be done here" in capsys.readouterr().err
    line = ["edit", str(folder / "a.ply"), "-o", out, "--overwrite", "--json", "-q"]
    assert main([*line, "--prompt", "longer hair, blond hair, and take off the hat"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["done"] == ["change hair: blond colour"] and len(found["refused"]) == 2
