"""The verb from words to an avatar that acts them: report, sheet, hand-over to other tools, resuming, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from filmed import film
from mannequin import make_mannequin

import emoga
from emoga.avatar import load_avatar, save_avatar
from emoga.capture import HeldOut, save_track
from emoga.emotion import Learning
from emoga.errors import InputError, MissingComponent
from emoga.head import load_head
from emoga.images import read_image_uint8, write_png
from emoga.motion import Motion
from emoga.progress import Event, Note, Stage
from emoga_cli.main import main

QUICK = Learning(iterations=8, texture=False)
SKEPTICAL = "skeptical: one brow raised, lips pressed"


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filmed mannequin, its track with frame 4 held out, and its avatar; tests only read them."""
    folder = tmp_path_factory.mktemp("stock")
    avatar = make_mannequin()
    track = film(avatar, folder / "film", views=2, frames=5, held_out=HeldOut((), (4,)))
    avatar.motion = Motion(track.head_name, track.head_version, track.head_checksum, track.params, track.fps)
    save_avatar(avatar, folder / "avatar.ply")
    save_track(track, folder / "film.h5")
    return folder


@pytest.fixture(scope="module")
def learnt(stock: Path, tmp_path_factory: pytest.TempPathFactory):
    """What one run of two emotions gave: its folder, the avatar and the report."""
    folder = tmp_path_factory.mktemp("learnt")
    result = emoga.optimize_emotion(
        stock / "avatar.ply", stock / "film.h5", ["happy", SKEPTICAL], folder / "out.ply",
        views=[0], frames=[1, 3], learning=QUICK, sheet=folder / "sheet.png", keep_edits=folder / "edits",
    )  # fmt: skip
    return folder, *result


def test_the_avatar_gets_the_emotions_and_keeps_itself(stock: Path, learnt) -> None:
    folder, avatar, _ = learnt
    before, after = load_avatar(stock / "avatar.ply"), load_avatar(folder / "out.ply")
    assert set(after.emotions) == {"happy", "skeptical"}
    assert torch.equal(after.emotions["happy"].offset, avatar.emotions["happy"].offset)
    for name in ("means", "sh", "quats", "log_scales", "logit_opacities"):
        assert torch.equal(getattr(before.gaussians, name), getattr(after.gaussians, name)), name
    assert after.provenance["optimize_emotion"]["emotions"] == {"happy": "happy", "skeptical": SKEPTICAL}
    assert {path.name for path in folder.iterdir()} == {"out.ply", "sheet.png", "edits"}


def test_the_report_says_what_was_done_and_compares_with_the_preset(learnt) -> None:
    report = learnt[2].as_json()
    assert json.loads(json.dumps(report, allow_nan=False))["editor"] == "warp"
    assert (report["editor"], report["frames"], report["views"]) == ("warp", [1, 3], [0])
    happy, skeptical = report["emotions"]
    assert happy["asked"]["mouthSmileLeft"] == 0.75 and happy["pictures"] == 2 and happy["change"] > 0.5
    assert happy["compared"]["preset"] == "preset" and skeptical["compared"]["preset"] == "words"
    for emotion in (happy, skeptical):
        compared = emotion["compared"]
        assert compared["preset_mm"] > 0.3 and compared["psnr_preset"] > 20 and compared["psnr_result"] > 20
        assert abs(compared["result_mm"] - compared["preset_mm"]) <= compared["apart_mm"] + 1e-6


def test_the_sheet_has_a_row_per_emotion(learnt) -> None:
    height, width = read_image_uint8(learnt[0] / "sheet.png").shape[:2]
    assert width == 9 * 256 and height == 2 * (256 + 14)


def test_kept_edits_teach_the_same(stock: Path, learnt, tmp_path: Path) -> None:
    folder, avatar, _ = learnt
    other, _ = emoga.optimize_emotion(
        stock / "avatar.ply", stock / "film.h5", ["happy", SKEPTICAL], tmp_path / "out.h5",
        views="0", frames="1,3", learning=QUICK, editor=f"images:{folder / 'edits'}",
    )  # fmt: skip
    for name, emotion in avatar.emotions.items():
        assert torch.equal(emotion.offset, other.emotions[name].offset)


def test_it_resumes_with_the_edits_it_made(stock: Path, tmp_path: Path) -> None:
    def stages(ends_at: str, count: int, **options: object) -> list[Event]:
        """Events of a run that is interrupted at a stage when it comes for the `count`-th time."""
        events: list[Event] = []

        def report(event: Event) -> None:
            events.append(event)
            names = [one.name for one in events if isinstance(one, Stage)]
            if names.count(ends_at) == count:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            emoga.optimize_emotion(
                stock / "avatar.ply", stock / "film.h5", ["happy", SKEPTICAL], tmp_path / "out.ply",
                frames=[1, 3], report=report, **options,
            )  # fmt: skip
        assert not (tmp_path / "out.ply").exists()
        return events

    stages("warping pictures", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["out.ply.happy.edits.h5"]
    events = stages("learn emotions", 1, resume=True)
    assert sum(isinstance(event, Stage) and event.name == "warping pictures" for event in events) == 1
    assert any(
        isinstance(event, Note) and "happy: edits of the earlier run" in event.text for event in events
    )
    assert len(list(tmp_path.glob("*.edits.h5"))) == 2


def test_pictures_for_another_editor(stock: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["optimize-emotion", str(stock / "avatar.ply"), "--track", str(stock / "film.h5"), "-q"]
    line += ["--emotion", "happy", "--emotion", "sad", "--frames", "1,3"]
    assert main([*line, "--write-edits", str(tmp_path / "out")]) == 0
    assert "--editor images:EDITED" in capsys.readouterr().out
    for name in ("happy", "sad"):
        pictures = sorted((tmp_path / "out" / name / "images").rglob("*.png"))
        assert len(pictures) == 4
        # Who knows what the tool invents: the masks are those for a face, not for the whole head.
        mask = read_image_uint8(tmp_path / "out" / name / "masks" / "cam0" / "000001.png", "L")
        assert 0 < (mask > 0).mean() < 0.1
        for path in pictures:
            to = tmp_path / "edited" / name / path.relative_to(tmp_path / "out" / name / "images")
            write_png(to, np.minimum(read_image_uint8(path).astype(int) + 9, 255).astype(np.uint8))
    line += [
        "--editor",
        f"images:{tmp_path / 'edited'}",
        "--iterations",
        "4",
        "-o",
        str(tmp_path / "out.ply"),
    ]
    assert main([*line, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [emotion["name"] for emotion in found["emotions"]] == ["happy", "sad"] and found["seconds"] > 0
    shutil.rmtree(tmp_path / "edited" / "sad" / "cam1")
    assert main([*line, "--overwrite"]) == 2
    assert "sad/cam1/000001.png: no such picture" in capsys.readouterr().err.replace("\\", "/")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("--emotion blorf -o new.ply", 2, "known are: angry, contempt, disgust, fear, happy, sad, surprised"),
        ("--emotion happy", 2, "-o is missing"),
        ("--emotion happy -o new.obj", 2, "new.obj"),
        ("--emotion happy -o new.ply --frames 4", 2, "held out"),
        ("--emotion happy -o new.ply --frames 9", 2, "there are 5 (0 to 4)"),
        ("--emotion happy -o new.ply --views a", 2, "--views views:a"),
        ("--emotion happy -o new.ply --editor images:nowhere", 2, "nowhere: no such folder"),
        ("--emotion happy -o new.ply --editor ultraedit --weights w", 3, "hf download BleachNick"),
        ("--emotion happy -o new.ply --editor crayons", 2, "known are: warp"),
        ("--emotion happy -o new.ply --steps 3", 2, "warp"),
        ("--emotion happy -o new.ply --prompt happy", 2, "NAME=TEXT"),
        ("--emotion happy -o new.ply --strength 2", 2, "strength"),
        ("--emotion happy -o new.ply --parser-masks nowhere", 2, "no such mask"),
        ("--emotion happy -o new.ply --llm http://127.0.0.1:9/v1", 3, "cannot be reached"),
    ],
)
def test_bad_input_is_one_line(
    words: str, code: int, says: str, stock: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["optimize-emotion", str(stock / "avatar.ply"), "--track", str(stock / "film.h5"), *words.split()]
    assert main([*line, "-q"]) == code
    errors = capsys.readouterr().err.strip()
    assert says in errors and "\n" not in errors
    assert not list(tmp_path.iterdir())


def test_words_that_are_not_heeded_are_said(stock: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    emoga.optimize_emotion(
        stock / "avatar.ply", stock / "film.h5", ["sad, tears, zorgly brows raised"], None, frames=[1],
        write_edits=tmp_path / "out", report=events.append,
    )  # fmt: skip
    warnings = [event.text for event in events if isinstance(event, Note) and event.warning]
    assert any("zorgly" in text for text in warnings) and any("tears" in text for text in warnings)


def test_another_head_is_refused(stock: Path, tmp_path: Path) -> None:
    avatar = load_avatar(stock / "avatar.ply")
    avatar.head_name = "flame2020"
    with pytest.raises((InputError, MissingComponent)):
        emoga.optimize_emotion(avatar, stock / "film.h5", ["happy"], tmp_path / "out.ply")
    assert load_head().presets.keys() >= {"happy"}
