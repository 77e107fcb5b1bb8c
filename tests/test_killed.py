"""`kill -9` in the middle of track and fit: nothing half-written, and --resume ends in the same arrays."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from filmed import film
from mannequin import make_mannequin
from small_capture import write_small_capture

from emoga.avatar import load_avatar
from emoga.capture import load_track, save_track

PROGRAM = [sys.executable, "-m", "emoga_cli.main"]


def kill_at_checkpoint(line: list[str], checkpoint: Path) -> None:
    """Run a command line and kill it as soon as it has saved a checkpoint."""
    process = subprocess.Popen([*PROGRAM, *line, "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 200
    while not checkpoint.exists():
        assert process.poll() is None and time.monotonic() < end, "ended before it saved a checkpoint"
        time.sleep(0.01)
    process.kill()
    process.wait()


def run(line: list[str]) -> None:
    subprocess.run([*PROGRAM, *line, "-q"], check=True, stdout=subprocess.DEVNULL)


def assert_same_tensors(a: object, b: object) -> None:
    compared = 0
    for name, value in vars(a).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(b, name)), name
            compared += 1
    assert compared


def test_a_killed_track_resumes_to_the_same_arrays(tmp_path: Path) -> None:
    capture = write_small_capture(tmp_path / "capture", 1, 3)
    line = ["track", str(capture), "--preset", "fast", "--no-overlay", "-o"]
    run([*line, str(tmp_path / "whole.h5")])
    kill_at_checkpoint([*line, str(tmp_path / "killed.h5")], tmp_path / "killed.checkpoint.h5")
    assert not (tmp_path / "killed.h5").exists()
    run([*line, str(tmp_path / "killed.h5"), "--resume"])
    whole, killed = load_track(tmp_path / "whole.h5"), load_track(tmp_path / "killed.h5")
    assert_same_tensors(whole.params, killed.params)
    assert (whole.masks == killed.masks).all() and (whole.head_masks == killed.head_masks).all()
    assert not (tmp_path / "killed.checkpoint.h5").exists()


@pytest.mark.slow
def test_a_killed_fit_resumes_to_the_same_arrays(tmp_path: Path) -> None:
    save_track(film(make_mannequin(), tmp_path, 2, 4), tmp_path / "track.h5")
    line = ["fit", str(tmp_path / "track.h5"), "--preset", "fast", "--gaussians", "9000"]
    line += ["--iterations", "900", "-o"]
    run([*line, str(tmp_path / "whole.ply")])
    kill_at_checkpoint([*line, str(tmp_path / "killed.ply")], tmp_path / "killed.ply.checkpoint.h5")
    assert not (tmp_path / "killed.ply").exists()
    run([*line, str(tmp_path / "killed.ply"), "--resume"])
    whole, killed = load_avatar(tmp_path / "whole.ply"), load_avatar(tmp_path / "killed.ply")
    assert_same_tensors(whole.gaussians, killed.gaussians)
    assert_same_tensors(whole.motion.params, killed.motion.params)
    assert not (tmp_path / "killed.ply.checkpoint.h5").exists()
