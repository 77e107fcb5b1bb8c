"""Emotions evaluated: a filmed mannequin whose truth is known, from the library and from the command line."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from filmed import film
from mannequin import make_mannequin

from emoga.avatar import save_avatar
from emoga.avatar.conversion import with_color_mlp
from emoga.capture import HeldOut, save_track, write_capture_index
from emoga.errors import InputError
from emoga.evaluation import evaluate_emotion
from emoga.evaluation.emotion_play import Player
from emoga.evaluation.emotion_tables import tables
from emoga.hdf5 import new_hdf5, write_array
from emoga.images import read_image_uint8, write_png
from emoga.motion import Motion
from emoga.motion.motion import motion_of_track
from emoga.optimize.picture import AvatarRenderer
from emoga.progress import Stage, Step
from emoga_cli.main import main

VIEWS, FRAMES = 3, 4
HELD_OUT = HeldOut(views=(1,), frames=(3,))


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """An avatar, its track, and folders: `acted` and `neutral` as studio captures, `edits` as an editor leaves them."""
    folder = tmp_path_factory.mktemp("stage")
    avatar = make_mannequin()
    track = film(avatar, folder / "neutral", VIEWS, FRAMES, HELD_OUT)
    player = Player(AvatarRenderer(avatar), track)
    plays = {"neutral": player.play(None), "acted": player.play("happy")}
    for name, frames in (("neutral", range(FRAMES)), ("acted", (1, 2, 3))):
        play, place = plays[name], folder / name
        for view, camera in enumerate(track.cameras):
            for index, frame in enumerate(frames):
                for kind in ("images", "head_masks"):
                    path = place / kind / camera.name / f"{index:06d}.png"
                    picture = play.picture((view, frame))
                    mask = 255 * play.coverage((view, frame)).astype(np.uint8)
                    write_png(path, picture if kind == "images" else mask)
        with new_hdf5(place / "truth_vertices.h5", "truth_vertices") as file:
            write_array(file, "vertices", np.stack([play.vertices(t) for t in frames]).astype(np.float32))
        chosen = list(frames)
        media = [place / "images" / camera.name for camera in track.cameras]
        true = replace(
            track, params=play.params.select(chosen), frames=np.arange(len(chosen)), media=media,
            masks=None, head_masks=None, landmarks=None, held_out=HeldOut(),
        )  # fmt: skip
        save_track(true, place / "truth.track.h5")
        info = {"only_frames": chosen} if name == "acted" else {}
        write_capture_index(place, track.cameras, len(chosen), track.fps, info)
    rng = np.random.default_rng(0)
    for view, camera in enumerate(track.cameras):
        for frame in range(FRAMES):
            noisy = plays["acted"].picture((view, frame)).astype(float) + rng.normal(0, 20, (96, 96, 3))
            write_png(
                folder / "edits" / camera.name / f"{frame:06d}.png", noisy.clip(0, 255).astype(np.uint8)
            )
    save_track(track, folder / "track.h5")
    save_avatar(avatar, folder / "avatar.ply")
    return SimpleNamespace(folder=folder, avatar=avatar, track=track, player=player, plays=plays)


@pytest.fixture(scope="module")
def perfect(stage):
    """The avatar that was filmed, measured with everything there is."""
    return evaluate_emotion(
        stage.avatar, stage.track, ["happy"], truth={"happy": stage.folder / "acted"},
        edits={"happy": stage.folder / "edits"}, baseline=motion_of_track(stage.track), subject="doll",
    )  # fmt: skip


def test_the_filmed_avatar_is_perfect(perfect):
    figures = perfect.emotions["happy"]
    # Of frames 0 to 3 the truth holds 1 to 3; frame 3 and view 1 are held out of the track.
    counts = {split: methods["avatar"].pictures for split, methods in figures.likeness.items()}
    assert counts == {"training": 4, "views": 2, "frames": 2, "both": 1}
    assert figures.likeness["both"]["avatar"].psnr == 100
    assert figures.displacement.share == pytest.approx(1, abs=1e-3) and figures.displacement.rmse_mm < 0.01
    assert figures.flicker.valid and figures.flicker.ratio < 0.01
    assert figures.outside.effect == pytest.approx(1, abs=0.01) and figures.outside.valid
    assert figures.outside.mean < 0.5


def test_edits_and_neutral_are_further_from_the_truth(perfect):
    methods = perfect.emotions["happy"].likeness["training"]
    assert methods["edits"].psnr == pytest.approx(10 * np.log10(255**2 / 20**2), abs=1.5)
    assert methods["neutral"].psnr < 40 and methods["geometry"].psnr == methods["neutral"].psnr
    assert perfect.emotions["happy"].geometry_displacement.share == pytest.approx(0, abs=1e-6)
    agreement = perfect.emotions["happy"].agreement
    assert agreement["edits"].change.spread > agreement["avatar where edited"].change.spread + 0.03
    assert agreement["avatar where true"].pictures == agreement["truth"].pictures


def test_units_come_back_from_pictures(perfect):
    units = perfect.emotions["happy"].units
    played, found, true = units.by_unit["mouthSmileLeft"]
    # 96 pixels blur what optical flow could see; the sign and the order of size must survive.
    assert played == pytest.approx(0.75) and 0.1 < found < 1 and true == pytest.approx(found, abs=0.05)
    assert units.truth_agreement.correlation > 0.98 and "optical flow" in units.landmarks


def test_exact_landmarks_give_the_units_themselves(stage):
    from emoga.evaluation.retracking import free_units, solve_units
    from emoga.optimize.metrics_landmarks import project_landmarks

    head, neutral, acted = stage.player.head, stage.plays["neutral"], stage.plays["acted"]
    points, facing = project_landmarks(head, acted.params, stage.track.cameras, "mediapipe478")
    found = solve_units(head, neutral.params, stage.track.cameras, points, facing)[:, free_units(head)]
    expected = acted.params.expr.numpy()[:, free_units(head)]
    assert (
        np.abs(found - expected).mean() < 0.02 and np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99
    )


def test_half_an_emotion_reaches_half_the_displacement(stage):
    found = evaluate_emotion(
        stage.avatar, stage.track, ["happy:0.5"], truth={"happy:0.5": [stage.folder / "acted"]},
        edits={"happy:0.5": stage.folder / "edits"}, retrack=False,
    ).emotions["happy:0.5"]  # fmt: skip
    assert found.displacement.share == pytest.approx(0.5, abs=0.03)
    assert not found.flicker.valid and not found.outside.valid
    assert "90 %" in found.not_computed["flicker"] and "80 %" in found.not_computed["change outside"]
    assert found.units is None and found.not_computed["units"] == "not asked for"


def test_without_truth_edits_and_networks_the_rest_is_measured_and_the_gaps_are_named(stage):
    found = evaluate_emotion(stage.avatar, stage.track, ["happy", "sad"], views=[0, 1], frames=[0, 1])
    figures = found.emotions["happy"]
    assert figures.temporal.ratio == pytest.approx(1, abs=0.3) and figures.flicker is None
    assert figures.agreement["avatar"].pictures.points > 500 and figures.units.pictures == 4
    assert figures.deformation.largest > 2 > found.emotions["sad"].deformation.mean
    assert {"likeness", "flicker", "edits", "baseline", "change outside"} <= set(figures.not_computed)
    text = "\n".join("\n".join([title, *notes]) for title, _, notes in tables(found))
    for words in (
        "--features FILE",
        "--recogniser FILE",
        "--arcface",
        "--vggface",
        "--clip",
        "--truth",
        "needs",
    ):
        assert words in text
    blank = [row for title, rows, _ in tables(found) if "Table" in title for row in rows[2:]]
    assert all(set(row[1:]) == {"–"} for row in blank)


def test_a_colour_change_is_seen(stage):
    """An emotion that only reddens the face moves nothing, and shows in the pictures all the same."""
    avatar = with_color_mlp(stage.avatar, ["flushed"])
    torch.manual_seed(0)
    for parameter in avatar.appearance.weights().values():
        parameter += 0.2 * torch.randn_like(parameter)
    found = evaluate_emotion(
        avatar, stage.track, ["flushed"], truth={"flushed": stage.folder / "acted"}, retrack=False
    ).emotions["flushed"]
    assert found.deformation.largest == 0 and found.displacement.share == 0
    assert found.outside.mean > 1, "a network of noise colours the whole head"
    likeness = found.likeness["training"]
    assert likeness["avatar"].psnr < likeness["neutral"].psnr


def test_arrays_serve_as_edits_and_a_track_as_truth(stage):
    from emoga.capture import load_track

    view = np.array([0, 0, 2])
    edits = SimpleNamespace(
        views=view, frames=np.array([1, 2, 1]),
        edited=np.zeros((3, 96, 96, 3), np.uint8), masks=np.full((3, 96, 96), 255, np.uint8),
    )  # fmt: skip
    truth = load_track(stage.folder / "acted" / "truth.track.h5")
    truth.frames, truth.media = np.array([1, 2, 3]), stage.track.media
    found = evaluate_emotion(
        stage.avatar, stage.track, ["happy"], truth={"happy": truth}, edits={"happy": edits}, retrack=False
    ).emotions["happy"]
    assert (
        found.likeness["training"]["edits"].pictures == 3
        and "avatar where edited" in found.likeness["training"]
    )
    assert found.displacement.share == pytest.approx(1, abs=1e-3)


def test_a_folder_of_folders_serves_as_edits(stage, tmp_path):
    (tmp_path / "happy").symlink_to(stage.folder / "edits")
    found = evaluate_emotion(stage.avatar, stage.track, ["happy"], edits=tmp_path, retrack=False)
    assert "edits" in found.emotions["happy"].agreement
    with pytest.raises(InputError, match=r"sad: no such folder"):
        evaluate_emotion(stage.avatar, stage.track, ["happy", "sad"], edits=tmp_path, retrack=False)


def test_networks_fill_the_thesis_tables(stage, tmp_path):
    found = evaluate_emotion(
        stage.avatar, stage.track, ["happy", "angry"],
        edits={"happy": stage.folder / "edits", "angry": stage.folder / "edits"},
        baseline=stage_motion(stage), networks=scripted(tmp_path), subject="doll", retrack=False,
    )  # fmt: skip
    assert found.not_computed == {"clip": "no CLIP folder was named (--clip DIR)"}
    networks = found.emotions["happy"].networks
    assert set(networks.fid) == {(a, b) for a in ("avatar", "geometry") for b in ("edits", "neutral")}
    assert networks.view == "cam1", "the middle camera sees the face from the front"
    assert networks.pictures == {"avatar": FRAMES, "geometry": FRAMES, "edits": FRAMES}
    assert networks.fid["avatar", "edits"].rank_deficient
    assert networks.kid["avatar", "neutral"].value < networks.kid["avatar", "edits"].value
    identity = found.identity()
    assert 0 < identity["arcface"]["avatar"] < identity["arcface"]["edits"]
    report = {title: (rows, notes) for title, rows, notes in tables(found)}
    first = next(rows for title, (rows, _) in report.items() if "5.1" in title)
    assert first[2][0] == "1) doll (happy)" and "–" not in first[2]
    assert sum(cell.endswith("*") for cell in first[2]) >= 4
    assert any("rank" in note for _, notes in report.values() for note in notes)
    second = next(rows for title, (rows, _) in report.items() if "5.2" in title)
    assert [row[0] for row in second[2:]] == ["Geometry", "Diffusion", "EMOGA"]
    # The recogniser says angry of everything: half of its claims are right, and it misses none.
    assert any("sad, surprised: not evaluated" in note for _, notes in report.values() for note in notes)
    assert second[4][1:5] == ["0.50", "1.00", "0.00", "0.00"] and second[4][5:] == ["–"] * 4


class Colours(torch.nn.Module):
    """Coarse colours of a picture and how rough it is there, as its features."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        rough = (picture[:, :, 1:] - picture[:, :, :-1]).abs()
        parts = [torch.nn.functional.adaptive_avg_pool2d(part, 8).flatten(1) for part in (picture, 9 * rough)]
        return torch.cat(parts, 1)


class Always(torch.nn.Module):
    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[0.1, 0.9, 0.2]]).expand(picture.shape[0], 3)


def scripted(folder):
    """Tiny networks in TorchScript, the recogniser's labels beside it."""
    from emoga.evaluation import NetworkFiles

    for name, module in (("colours", Colours()), ("always", Always())):
        torch.jit.script(module).save(str(folder / f"{name}.pt"))
    (folder / "always.json").write_text(json.dumps({"size": 48, "labels": ["Happiness", "anger", "neutral"]}))
    (folder / "colours.json").write_text('{"size": 64}')
    colours = folder / "colours.pt"
    return NetworkFiles(colours, folder / "always.pt", colours, colours, allow_torchscript=True)


def stage_motion(stage) -> Motion:
    motion = motion_of_track(stage.track)
    params = replace(motion.params, expr=motion.params.expr.clone())
    params.expr[:, stage.player.head.unit("jawOpen")] = 0.3
    return replace(motion, params=params)


def test_an_emotion_that_the_recogniser_does_not_know_is_named(stage, tmp_path):
    files = replace(scripted(tmp_path), features=None, arcface=None, vggface=None)
    found = evaluate_emotion(stage.avatar, stage.track, ["fear"], networks=files, retrack=False)
    assert found.recognition() == {"avatar": {}}
    notes = "".join(note for _, _, notes in tables(found) for note in notes)
    assert "fear: not among the recogniser's labels (happy, angry, neutral)" in notes
    with pytest.raises(InputError, match="gives 3 scores, 2 labels"):
        short = replace(files, labels=("happy", "fear"))
        evaluate_emotion(stage.avatar, stage.track, ["fear"], networks=short, retrack=False)


def test_pictures_beyond_what_is_kept_are_drawn_again(stage, monkeypatch):
    monkeypatch.setattr("emoga.evaluation.emotion_play.KEPT_BYTES", 3 * 96 * 96 * 3)
    play = stage.player.play("happy")
    first = play.picture((0, 0))
    for frame in range(FRAMES):
        for view in range(VIEWS):
            play.picture((view, frame))
    assert len(play._drawn) <= 4
    np.testing.assert_array_equal(play.picture((0, 0)), first)


def test_a_baseline_moves_the_face_and_not_the_head(stage):
    motion = stage_motion(stage)
    other = replace(
        motion.params, translation=motion.params.translation + 0.3, rotation=motion.params.rotation * 3
    )
    play = stage.player.play_motion(replace(motion, params=other))
    np.testing.assert_array_equal(play.vertices(1), stage.player.play_motion(motion).vertices(1))
    scalp = stage.player.head.regions["scalp"].numpy()
    moved = np.linalg.norm(play.vertices(0) - stage.plays["neutral"].vertices(0), axis=-1)
    assert moved[scalp].max() < 1e-3 < 5e-3 < moved.max()


def test_every_step_is_reported(stage):
    events = []
    evaluate_emotion(
        stage.avatar,
        stage.track,
        ["happy", "sad"],
        views=[0],
        frames=[0, 1],
        retrack=False,
        report=events.append,
    )
    stages = [event for event in events if isinstance(event, Stage)]
    assert [stage.name for stage in stages] == ["evaluate happy", "evaluate sad"]
    assert sum(isinstance(event, Step) for event in events) == sum(stage.total for stage in stages)


def test_what_does_not_fit_is_refused(stage, tmp_path):
    def evaluate(**arguments):
        return evaluate_emotion(stage.avatar, stage.track, ["happy"], retrack=False, **arguments)

    with pytest.raises(InputError, match="no emotion"):
        evaluate_emotion(stage.avatar, stage.track, [])
    with pytest.raises(InputError, match=r"bored.*knows: angry"):
        evaluate_emotion(stage.avatar, stage.track, ["bored"])
    with pytest.raises(InputError, match="'sad' is given"):
        evaluate(truth={"sad": stage.folder / "acted"})
    with pytest.raises(InputError, match="view 7 is out of range"):
        evaluate(views=[7])
    with pytest.raises(InputError, match="has 2 frames, the track 4"):
        motion = motion_of_track(stage.track)
        evaluate(baseline=replace(motion, params=motion.params.select([0, 1])))
    with pytest.raises(InputError, match="knows no cameras"):
        evaluate(truth={"happy": stage.track.media[0]})
    with pytest.raises(InputError, match="no edit of this track, such as cam0/000000"):
        evaluate(edits={"happy": tmp_path})
    write_png(tmp_path / "cam0" / "000000.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match=r"000000\.png: is 8x8"):
        evaluate(edits={"happy": tmp_path})
    with pytest.raises(InputError, match="no studio capture"):
        evaluate(truth={"happy": stage.folder / "acted"}, neutral_truth=stage.track.media[0])
    moved = replace(stage.track.cameras[0], w2c=stage.track.cameras[1].w2c)
    elsewhere = replace(stage.track, cameras=[moved, *stage.track.cameras[1:]])
    with pytest.raises(InputError, match="cam0 stands elsewhere"):
        evaluate_emotion(stage.avatar, elsewhere, ["happy"], truth={"happy": stage.folder / "acted"})
    renamed = [replace(camera, name=f"x{i}") for i, camera in enumerate(stage.track.cameras)]
    with pytest.raises(InputError, match="shares no camera"):
        evaluate_emotion(
            stage.avatar,
            replace(stage.track, cameras=renamed),
            ["happy"],
            truth={"happy": stage.folder / "acted"},
        )


def test_a_damaged_truth_is_refused(stage, tmp_path):
    shutil.copytree(stage.folder / "acted", tmp_path / "acted")
    index = tmp_path / "acted" / "capture.json"
    good = json.loads(index.read_text())

    def refused(words):
        with pytest.raises(InputError, match=words):
            evaluate_emotion(stage.avatar, stage.track, ["happy"], truth={"happy": tmp_path / "acted"})

    for frames in (7, [1, 2], [1, 2, -3], "123"):
        index.write_text(json.dumps({**good, "info": {"only_frames": frames}}))
        refused("only_frames")
    index.write_text(json.dumps(good))
    with new_hdf5(tmp_path / "acted" / "truth_vertices.h5", "truth_vertices") as file:
        write_array(file, "vertices", np.zeros((3, 10, 3), np.float32))
    refused("3 frames and 10 vertices")


def run(stage, tmp_path, monkeypatch, *words: str) -> int:
    monkeypatch.chdir(tmp_path)
    files = [str(stage.folder / "avatar.ply"), "--track", str(stage.folder / "track.h5")]
    return main(["eval", "emotion", *files, *words])


def test_the_command_writes_what_it_says(stage, tmp_path, monkeypatch, capsys):
    words = [
        "--emotion", "happy", "--emotion", "angry", "--truth", f"happy={stage.folder / 'acted'}",
        "--edits", f"happy={stage.folder / 'edits'}", "--baseline", str(stage.folder / "track.h5"),
        "--no-retrack", "-o", "r.json", "--csv", "r.csv", "--sheet", "s.png", "--heat-map", "h.png", "--json", "-q",
    ]  # fmt: skip
    assert run(stage, tmp_path, monkeypatch, *words) == 0
    printed, written = json.loads(capsys.readouterr().out), json.loads((tmp_path / "r.json").read_text())
    assert printed["emotions"] == written["emotions"] and printed["seconds"] > 0
    assert written["emotions"]["happy"]["flicker"]["valid"] is True
    assert written["emotions"]["angry"]["flicker"] is None
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert len(rows) == 9 and {row["emotion"] for row in rows} == {"happy"}
    sheet, heat = (read_image_uint8(tmp_path / name) for name in ("s.png", "h.png"))
    assert sheet.shape[1] == 6 * 224 and heat.std() > 20
    assert run(stage, tmp_path, monkeypatch, *words) == 2 and "--overwrite" in capsys.readouterr().err


def test_the_command_prints_the_tables(stage, tmp_path, monkeypatch, capsys):
    words = (
        "--emotion",
        "happy",
        "--views",
        "0-1",
        "--frames",
        "0,2",
        "--subject",
        "306",
        "--no-retrack",
        "-q",
    )
    assert run(stage, tmp_path, monkeypatch, *words) == 0
    out = capsys.readouterr().out
    assert "EMOGA vs. Diff" in out and "1) 306 (happy)" in out and "VGG-Face" in out and "Precision" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--emotion happy --emotion sad --truth x", "write EMOTION=PATH"),
        ("--emotion happy --truth sad=x", "with one of: happy"),
        ("--emotion happy --edits a --edits b", "name one"),
        ("--emotion happy --views 3-1", "--views 3-1: write"),
        ("--emotion happy --features none.onnx", "none.onnx: no such file"),
        ("--emotion happy --baseline none.h5", "none.h5"),
        ("--emotion happy --clip .", "config.json"),
    ],
)
def test_bad_input_is_one_line(stage, tmp_path, monkeypatch, capsys, words, message):
    assert run(stage, tmp_path, monkeypatch, *words.split(), "-q") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]
    assert not list(tmp_path.iterdir())
