"""The shell: exit codes, one line per failure, what goes to which stream, nothing overwritten."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from avatar_samples import sample_avatar

from emoga.avatar import save_avatar
from emoga.capture import save_landmarks
from emoga.images import write_png
from emoga.video import VideoWriter
from emoga_cli.main import main

PROGRAM = [sys.executable, "-m", "emoga_cli.main"]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one good file of several kinds; tests only read it."""
    folder = tmp_path_factory.mktemp("stock")
    save_avatar(sample_avatar(), folder / "avatar.ply")
    save_avatar(sample_avatar(), folder / "avatar.h5")
    with VideoWriter(folder / "clip.mp4", 10, 64, 48) as writer:
        for shade in range(5):
            writer.write(np.full((48, 64, 3), 40 * shade, np.uint8))
    write_png(folder / "face.png", np.zeros((48, 64, 3), np.uint8))
    save_landmarks(folder / "clip.npz", np.full((5, 478, 2), 20.0), np.ones(5, bool), 64, 48, 10)
    return folder


@pytest.fixture
def here(stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder in which the stock's files appear under their names."""
    for file in stock.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def failed(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    """Run a command line that must fail with `code`, one line on stderr and nothing on stdout."""
    assert main(arguments) == code
    streams = capsys.readouterr()
    assert streams.out == ""
    lines = streams.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("emoga: "), streams.err
    return lines[0]


def truncated_ply(here: Path) -> None:
    data = (here / "avatar.ply").read_bytes()
    (here / "bad.ply").write_bytes(data[: len(data) // 2])


def trillion_ply(here: Path) -> None:
    data = (here / "avatar.ply").read_bytes()
    (here / "bad.ply").write_bytes(data.replace(b"vertex 500", b"vertex 1000000000000", 1))


def text_as(name: str) -> Callable[[Path], None]:
    return lambda here: (here / name).write_text("I am only text.\n" * 50) and None


def landmarks(frames: int = 5, nan: bool = False, found: bool = True) -> Callable[[Path], None]:
    def make(here: Path) -> None:
        points = np.full((frames, 478, 2), 20.0)
        if nan:
            points[2, 7, 1] = np.nan
        size = (64, 48)
        save_landmarks(here / "bad.npz", points, np.full(frames, found), *size, 10)

    return make


def nothing(here: Path) -> None:
    """No preparation."""


BAD_INPUT = {
    "truncated PLY": (truncated_ply, "export bad.ply -o out.h5", "truncated"),
    "truncated PLY to info": (truncated_ply, "info bad.ply", "truncated"),
    "PLY of 10^12 vertices": (trillion_ply, "export bad.ply -o out.h5", "claims 1000000000000"),
    "PLY of 10^12 vertices drawn": (trillion_ply, "reenact bad.ply -o out.mp4", "claims 1000000000000"),
    "avatar as track": (nothing, "fit avatar.h5 -o out.ply", "is an emoga avatar file"),
    "PLY as track": (nothing, "fit avatar.ply -o out.ply", "not a readable HDF5 file"),
    "avatar as motion": (nothing, "reenact avatar.ply -o out.mp4 --motion avatar.h5", "expected an emoga mo"),
    "text as avatar": (text_as("bad.ply"), "export bad.ply -o out.h5", "neither PLY nor HDF5"),
    "text as video": (text_as("bad.mp4"), "track bad.mp4 -o o.h5 --landmarks clip.npz", "not a readable v"),
    "text as picture": (text_as("bad.png"), "track bad.png -o o.h5 --landmarks clip.npz", "not a readable p"),
    "text as landmarks": (text_as("bad.npz"), "track clip.mp4 -o o.h5 --landmarks bad.npz", "not readable"),
    "landmarks too long": (landmarks(7), "track clip.mp4 -o o.h5 --landmarks bad.npz", "has 7 frames"),
    "landmarks with NaN": (landmarks(nan=True), "track clip.mp4 -o o.h5 --landmarks bad.npz", "frame 2"),
    "no face anywhere": (
        landmarks(1, found=False), "track face.png -o o.h5 --landmarks bad.npz", "no frame has a face",
    ),
    "output folder is a file": (
        text_as("out"), "reenact avatar.ply -o out --overwrite", "is a file, the output must be a folder",
    ),
    "output inside a file": (text_as("out"), "export avatar.ply -o out/a.h5", "is a file, not a folder"),
    "output is a folder": (
        lambda here: (here / "out.h5").mkdir(), "export avatar.ply -o out.h5 --overwrite", "is a folder",
    ),
    "output exists": (text_as("out.h5"), "export avatar.ply -o out.h5", "--overwrite"),
    "unknown emotion": (nothing, "reenact avatar.ply -o out.mp4 --emotion bored", "bored"),
    "unknown emotion exported": (nothing, "export avatar.ply -o out.splat --emotion happy,bored", "bored"),
    "unknown head": (nothing, "track clip.mp4 -o o.h5 --landmarks clip.npz --head robot", "robot"),
    "no such file": (nothing, "info nowhere.ply", "no such file"),
    "no such command": (nothing, "frobnicate", "No such command"),
    "no such option": (nothing, "info avatar.ply --frob", "No such option"),
    "bad choice": (nothing, "export avatar.ply -o out.x --format usdz", "usdz"),
    "missing option": (nothing, "export avatar.ply", "--output"),
    "frame out of range": (nothing, "export avatar.ply -o out.splat --frame 99", "frames 0 to 5"),
    "two results for stdout": (nothing, "export avatar.ply -o - --format h5 --json", "both want stdout"),
    "avatar without a track": (nothing, "eval avatar.ply", "--track"),
    "bad size": (nothing, "reenact avatar.ply -o out.mp4 --size big", "--size"),
    "bad colour": (nothing, "reenact avatar.ply -o out.mp4 --background sky", "--background"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_one_line_exit_2_and_nothing_written(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare, line, message = BAD_INPUT[name]
    prepare(here)
    before = snapshot(here)
    assert message in failed(line.split(), capsys)
    assert snapshot(here) == before


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, with its content."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}


def test_cuda_that_is_not_there_is_a_missing_component(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    assert "doctor" in failed(["reenact", "avatar.ply", "-o", "out.mp4", "--device", "cuda"], capsys, code=3)


def test_json_is_one_object_with_the_figures_of_the_run(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "avatar.ply", "-o", "out.splat", "--json"]) == 0
    streams = capsys.readouterr()
    result = json.loads(streams.out)
    assert {"seconds", "peak_rss_mb", "version", "device", "threads", "seed"} <= result.keys()
    assert result["bytes"] == (here / "out.splat").stat().st_size
    assert "bind pose" in streams.err


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    from emoga_cli.session import plain

    tree = {"a": float("nan"), "b": [np.float32("inf"), (1.5, None)], "c": np.arange(2), "d": Path("x")}
    assert plain(tree) == {"a": None, "b": [None, [1.5, None]], "c": [0, 1], "d": "x"}


def test_quiet_says_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "avatar.ply", "-o", "out.splat", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_results_stream_through_a_pipe(here: Path) -> None:
    line = "emoga export avatar.ply -o - --format h5 -q | emoga export - -o - --format ply -q"
    shell = line.replace("emoga", " ".join(PROGRAM))
    run = subprocess.run(shell, shell=True, capture_output=True, check=True)
    assert run.stdout == (here / "avatar.ply").read_bytes()
    assert run.stderr == b""


def test_a_closed_pipe_ends_quietly(here: Path) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "export", "avatar.ply", "-o", "-", "--format", "ply", "-q"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


def test_colours_stay_off_where_they_are_not_wanted(here: Path) -> None:
    run = subprocess.run(
        [*PROGRAM, "info", "avatar.ply"], capture_output=True, env={**os.environ, "NO_COLOR": "1"}, check=True
    )
    assert b"\x1b" not in run.stdout + run.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
def test_results_stay_on_stdout_while_a_bar_is_drawn_on_a_terminal(here: Path) -> None:
    import pty

    leader, follower = pty.openpty()
    line = ["reenact", "avatar.ply", "-o", "frames", "--size", "24", "--end", "2", "--json"]
    process = subprocess.Popen([*PROGRAM, *line], stdout=subprocess.PIPE, stderr=follower)
    os.close(follower)
    drawn = b""
    # Reading a pseudo terminal whose other side is closed is an error on Linux.
    with contextlib.suppress(OSError):
        while chunk := os.read(leader, 4096):
            drawn += chunk
    os.close(leader)
    assert json.loads(process.stdout.read())["frames"] == 2
    assert process.wait() == 0
    assert b"reenact" in drawn and b'"frames"' not in drawn


def test_interrupting_is_130_and_leaves_nothing_half_written(here: Path) -> None:
    # Started in the background of a script, these tests ignore Ctrl-C, and what they start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*PROGRAM, "reenact", "avatar.ply", "-o", "out.mp4", "--motion", "none", "--orbit", "360/60s",
         "--size", "128"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    while process.stderr.readline().strip()[:7] != "reenact":
        assert process.poll() is None
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.strip().splitlines()[-1] == "emoga: interrupted"
    assert not [path for path in here.iterdir() if not path.is_symlink()]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB; skipped aloud where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounting.returncode != 0:
        pytest.skip("no right to mount a small tmpfs here; the file size limit test covers most of it")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    "line",
    ["export big.h5 -o {disk}/out.ply", "export big.h5 -o {disk}/out.h5", "reenact avatar.ply -o {disk}/png"],
)
def test_a_full_disk_is_exit_1_and_nothing_is_lost(
    line: str, here: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_avatar(sample_avatar(5000), here / "big.h5")
    kept = small_disk / line.split("/")[-1]
    if "png" not in line:
        kept.write_bytes(b"precious")
    message = failed([*line.format(disk=small_disk).split(), "--overwrite", "-q"], capsys, code=1)
    assert "no space left" in message
    if "png" not in line:
        assert kept.read_bytes() == b"precious"
        assert list(small_disk.iterdir()) == [kept], "a half-written file stayed behind"


def test_a_file_size_limit_is_exit_1_and_nothing_is_lost(here: Path) -> None:
    (here / "out.ply").write_bytes(b"precious")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    run = subprocess.run(
        [*PROGRAM, "export", "avatar.h5", "-o", "out.ply", "--overwrite", "-q"],
        capture_output=True, text=True, preexec_fn=limit, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stderr.startswith("emoga: out.ply: ") and len(run.stderr.splitlines()) == 1
    assert (here / "out.ply").read_bytes() == b"precious"
    assert not list(here.glob(".out*"))


def test_a_moved_cache_is_shown_and_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EMOGA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "kernels").mkdir(parents=True)
    (tmp_path / "cache" / "kernels" / "a.nbc").write_bytes(b"x" * 1000)
    (tmp_path / "mine").write_text("keep")
    (tmp_path / "cache" / "link").symlink_to(tmp_path / "mine")
    assert main(["cache", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == 1000
    assert main(["cache", "--clear"]) == 0
    assert list((tmp_path / "cache").iterdir()) == []
    assert (tmp_path / "mine").read_text() == "keep"


@pytest.mark.parametrize(
    "line", ["studio -o new", "track clip.mp4 -o new.h5"], ids=lambda line: line.partition(" ")[0]
)
def test_what_computes_on_the_cpu_says_so_where_a_gpu_is_asked_for(
    line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for device, told in (("cuda", True), ("auto", False)):
        assert main([*line.split(), "--dry-run", "--device", device]) == 0
        assert ("computes on the CPU" in capsys.readouterr().err) == told


def test_doctor_knows_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["torch"]["usable"] and checks["processors"]["detail"]
    assert all(check["detail"] and "\n" not in check["detail"] for check in checks.values())


@pytest.mark.parametrize("name", ["avatar.ply", "avatar.h5", "clip.mp4", "clip.npz", "face.png"])
def test_info_knows_every_kind(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", name, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    kinds = {
        "avatar.ply": "avatar (PLY)", "avatar.h5": "avatar (HDF5)", "clip.mp4": "video",
        "clip.npz": "landmarks", "face.png": "picture",
    }  # fmt: skip
    assert found["kind"] == kinds[name]
    assert {"avatar.ply": found.get("splats") == 500, "clip.mp4": found.get("frames") == 5}.get(name, True)
