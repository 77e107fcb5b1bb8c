"""The recipes in examples/ run as they are, on small data; so do the examples in the help of commands."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from avatar_samples import sample_motion
from filmed import film
from flame_shaped import write_flame
from mannequin import make_mannequin
from small_capture import write_small_capture
from test_help import COMMANDS, PROGRAM, examples_in

from emoga.avatar import load_avatar, save_avatar
from emoga.capture import save_landmarks, save_track
from emoga.head import load_head
from emoga.motion import save_motion
from emoga.video import VideoWriter
from emoga_cli.main import main

RECIPES = Path(__file__).parent.parent / "examples"
FRAMES = 6
SMALL_FIT = "--iterations 12 --gaussians 9000 --sh-degree 0"
SMALL_LESSON = "--frames 1 --iterations 4"
# Filming a performer takes a minute on its own; `make demo` and the studio's own tests do it.
SLOW_EXAMPLES = {"studio", "demo"}


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with landmarks, a capture, tracks and an avatar that moves; tests only read them."""
    folder = tmp_path_factory.mktemp("stock")
    head = load_head("open")
    avatar = make_mannequin(motion=sample_motion(head, FRAMES - 1))
    save_avatar(avatar, folder / "avatar.ply")
    track = film(avatar, folder / "film", 1, FRAMES)
    save_track(track, folder / "film.h5")
    camera = track.cameras[0]
    (folder / "clips").mkdir()
    with VideoWriter(folder / "clips" / "clip.mp4", track.fps, camera.width, camera.height) as writer:
        for frame in range(FRAMES):
            writer.write(track.picture(0, frame))
    save_landmarks(
        folder / "clips" / "clip.npz",
        track.landmarks.points[0],
        track.landmarks.valid[0],
        camera.width,
        camera.height,
        track.fps,
    )
    save_motion(sample_motion(head), folder / "motion.h5")
    write_small_capture(folder / "capture")
    return folder


def recipe(name: str, *arguments: object, **variables: str) -> str:
    """Run a recipe with the program of this environment on the PATH; its stdout."""
    run = ran(name, *arguments, **variables)
    assert run.returncode == 0, run.stderr
    return run.stdout


def ran(name: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """A recipe that has run, whatever came of it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(RECIPES / name), *map(str, arguments)],
        env={**os.environ, "PATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")


@pytest.mark.parametrize(
    "line",
    [
        "track capture -o new.h5",
        "track clips/clip.mp4 -o new.h5 --preset best --start 2 --no-overlay",
        "fit film.h5 -o new.ply --preset fast",
        "optimize-emotion avatar.ply --track film.h5 --emotion happy -o new.ply --frames 1,3",
        "optimize-emotion avatar.ply --track film.h5 --emotion happy --write-edits new --frames 1,3",
        "reenact avatar.ply -o new.mp4 --size 64",
        "reenact avatar.ply -o new.mp4 --motion motion.h5 --end 3",
        "studio -o new --size 128 --views 4",
        "edit avatar.ply --prompt older -o new.ply",
        "edit avatar.ply --prompt older --method edit3dgs --track film.h5 --editor images:film -o new.ply",
        "edit avatar.ply --prompt older --method edit3dgs --track film.h5 --write-edits new",
    ],
)
def test_a_dry_run_plans_and_does_nothing(
    line: str, stock: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(stock)
    assert main([*line.split(), "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["seconds"] > 0 and plan["memory_mb"] > 100 and plan["disk_mb"] >= 0
    assert any("new" in step for step in plan["steps"])
    assert not list(stock.glob("new*"))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("reenact avatar.ply -o new.mp4 --motion none --orbit 90/2s --fps 10", "draw 20 frames of 512x512"),
        ("reenact avatar.ply -o new.mp4 --motion none --emotion happy@0s:0,happy@4s:1", "draw 100 frames"),
        ("reenact avatar.ply -o new.mp4 --camera film.h5:0 --end 2", "draw 2 frames of 96x96"),
        ("fit film.h5 -o new.ply --gaussians 5000 --keep-motion", "on up to 5000 Gaussians"),
        (
            "edit avatar.ply --prompt older --method edit3dgs --track film.h5 --write-edits new --views 0 --frames 1,2",
            "2 pictures and masks",
        ),
    ],
)
def test_a_plan_knows_what_was_asked_for(
    line: str, told: str, stock: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(stock)
    assert main([*line.split(), "--dry-run"]) == 0
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (
            "edit avatar.ply --prompt older --method edit3dgs --track film.h5 -o new.ply",
            3,
            "instruct-pix2pix",
        ),
        ("edit avatar.ply --prompt older --write-edits new", 2, "name --method and --track"),
        ("reenact avatar.ply -o new.mp4 --emotion grumpy:1", 2, "grumpy"),
        ("reenact avatar.ply -o new.mp4 --camera film.h5:7", 2, "cameras"),
        ("track capture -o film.h5", 2, "film.h5: exists already; pass --overwrite"),
        ("track capture clips/clip.mp4 -o avatar.ply", 2, "avatar.ply: is a file"),
        ("fit film.h5 -o avatar.ply", 2, "avatar.ply: exists already"),
        ("fit film.h5 -o new.xyz", 2, "new.xyz: avatars are written as .ply or .h5"),
        ("optimize-emotion avatar.ply --track film.h5 --emotion happy -o avatar.ply", 2, "exists already"),
        ("optimize-emotion avatar.ply --track film.h5 --emotion happy --write-edits clips", 2, "not empty"),
        ("reenact avatar.ply -o clips", 2, "clips: the folder is not empty"),
        ("studio -o clips", 2, "clips: the folder is not empty"),
        ("edit avatar.ply --prompt older -o avatar.ply", 2, "avatar.ply: exists already"),
    ],
)
def test_a_plan_that_could_not_be_carried_out_is_refused(
    line: str,
    code: int,
    told: str,
    stock: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(stock)
    assert main([*line.split(), "--dry-run"]) == code
    err = capsys.readouterr().err.strip()
    assert told in err and len(err.splitlines()) == 1


def test_an_unwritable_avatar_is_refused_before_the_fit(stock: Path, tmp_path: Path) -> None:
    assert main(["fit", str(stock / "film.h5"), "-o", str(tmp_path / "avatar.obj"), "-q"]) == 2
    assert not list(tmp_path.iterdir())


def test_a_result_below_the_bar_is_exit_4(
    stock: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(stock)
    line = ["eval", "avatar.ply", "--track", "film.h5", "--json", "-q", "--max-pictures", "2"]
    assert main([*line, "--fail-below", "20"]) == 0
    psnr = json.loads(capsys.readouterr().out)["training"]["psnr"]
    assert main([*line, "--fail-below", str(psnr + 1)]) == 4
    streams = capsys.readouterr()
    assert json.loads(streams.out)["training"]["psnr"] == psnr
    assert "--fail-below" in streams.err


@needs_bash
def test_video_to_avatar(stock: Path, tmp_path: Path) -> None:
    clip = stock / "clips" / "clip.mp4"
    words = recipe(
        "video_to_avatar.sh", clip, tmp_path, "--landmarks", clip.with_suffix(".npz"),
        PRESET="fast", FIT_OPTIONS=SMALL_FIT, VIEW_OPTIONS="--size 48 --end 4",
    )  # fmt: skip
    assert "held-out frames" in words
    for name in ("track.h5", "track.overlay.mp4", "avatar.ply", "worst.png", "pictures.csv", "orbit.mp4"):
        assert (tmp_path / name).stat().st_size > 0
    assert load_avatar(tmp_path / "avatar.ply").motion.frame_count == FRAMES


@needs_bash
def test_emotions(stock: Path, tmp_path: Path) -> None:
    recipe("emotions.sh", stock / "avatar.ply", tmp_path / "out", "happy", "sad")
    happy, sad = sorted((tmp_path / "out").iterdir())
    assert happy.name == "happy.ply" and happy.read_bytes() != sad.read_bytes()


@needs_bash
def test_teach_emotions(stock: Path, tmp_path: Path) -> None:
    recipe(
        "teach_emotions.sh", stock / "avatar.ply", stock / "film.h5", tmp_path / "out",
        "skeptical: one brow raised, lips pressed",
        LEARN_OPTIONS=SMALL_LESSON, VIEW_OPTIONS="--size 48 --end 2",
    )  # fmt: skip
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [emotion["name"] for emotion in report["emotions"]] == ["skeptical"]
    assert set(load_avatar(tmp_path / "out" / "avatar.ply").emotions) == {"skeptical"}
    for name in ("sheet.png", "skeptical.mp4"):
        assert (tmp_path / "out" / name).stat().st_size > 0


@needs_bash
def test_moods(stock: Path, tmp_path: Path) -> None:
    recipe("moods.sh", stock / "avatar.ply", tmp_path, VIEW_OPTIONS="--size 32 --fps 2")
    videos = {path.stem: path.read_bytes() for path in tmp_path.iterdir()}
    assert videos.keys() == {"rising", "mixed", "changing", "moods"}
    assert all(videos.values()) and len(set(videos.values())) == 4


@needs_bash
def test_measure_emotions(stock: Path, tmp_path: Path) -> None:
    words = recipe(
        "measure_emotions.sh", stock / "avatar.ply", stock / "film.h5", tmp_path, "happy", "sad",
        EVAL_OPTIONS="--frames 0,3",
    )  # fmt: skip
    assert "Table 5.3" in words
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["emotions"]) == {"happy", "sad"}
    assert all((tmp_path / name).stat().st_size > 0 for name in ("emotions.png", "moved.png"))


@needs_bash
def test_edits(stock: Path, tmp_path: Path) -> None:
    recipe("edits.sh", stock / "avatar.ply", tmp_path, "redder lips", "a nose ring", VIEW_OPTIONS="--size 48")
    first, second = (load_avatar(tmp_path / f"{stage}.ply") for stage in (1, 2))
    assert len(second.gaussians) > len(first.gaussians)
    assert len(second.provenance["edits"]) == 2
    assert list((tmp_path / "2").iterdir())


@needs_bash
def test_drive_each_other(stock: Path, tmp_path: Path) -> None:
    one, track = stock / "avatar.ply", stock / "film.h5"
    recipe("drive_each_other.sh", one, track, one, track, tmp_path, VIEW_OPTIONS="--size 48 --end 3")
    assert (tmp_path / "a_as_b.mp4").read_bytes() == (tmp_path / "b_as_a.mp4").read_bytes()


@needs_bash
def test_through_pipes(stock: Path, tmp_path: Path) -> None:
    words = recipe("through_pipes.sh", stock / "avatar.ply", tmp_path).splitlines()
    assert words[-1].startswith("YUV4MPEG2 W64 H64")
    assert any(line.endswith(" splats") for line in words)


@needs_bash
def test_many_videos(stock: Path, tmp_path: Path) -> None:
    lines = recipe("many_videos.sh", stock / "clips", tmp_path, PRESET="fast").splitlines()
    assert [json.loads(line)["frames"] for line in lines] == [FRAMES]
    assert recipe("many_videos.sh", stock / "clips", tmp_path) == ""


@needs_bash
def test_videos_that_cannot_be_tracked_are_each_named_in_the_end(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_text("no video")
    run = ran("many_videos.sh", tmp_path, tmp_path / "tracks")
    assert run.returncode == 1 and run.stdout == ""
    assert [name in line for name, line in zip("ab", run.stderr.splitlines(), strict=True)] == [True, True]


@needs_bash
@pytest.mark.slow
def test_measured_performer(tmp_path: Path) -> None:
    pytest.importorskip("mitsuba")
    recipe(
        "measured_performer.sh", tmp_path, PRESET="fast", BAR="15",
        FIT_OPTIONS="--iterations 200 --gaussians 12000",
        STUDIO_OPTIONS="--size 96 --views 3 --frames 3 --samples 4",
    )  # fmt: skip
    assert json.loads((tmp_path / "report.json").read_text())["held_out"]["views"]["psnr"] > 15


def test_every_recipe_is_tested() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    for script in RECIPES.glob("*.sh"):
        assert f'"{script.name}"' in tested, f"examples/{script.name} is run by no test"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in SLOW_EXAMPLES])
def test_the_example_in_the_help_runs(
    name: str, stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for entry in ("avatar.ply", "capture", "motion.h5"):
        (tmp_path / entry).symlink_to(stock / entry)
    (tmp_path / "track.h5" if name != "track" else tmp_path / "other.h5").symlink_to(stock / "film.h5")
    if name == "fit":
        (tmp_path / "avatar.ply").unlink()
    if name == "eval-edit":
        (tmp_path / "older.ply").symlink_to(stock / "avatar.ply")
    if name == "assets":
        write_flame(tmp_path / "generic_model.pkl")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMOGA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EMOGA_ASSETS", str(tmp_path / "assets"))
    for example in examples_in(PROGRAM.commands[name].help):
        words = shlex.split(example)[1:]
        words += {"fit": SMALL_FIT, "optimize-emotion": SMALL_LESSON}.get(name, "").split()
        assert main(words) == 0
