"""The demo: its bookkeeping, and (slow) the whole line on a tiny performer."""

from __future__ import annotations

import importlib
import json

import pytest

from emoga.demo import demo
from emoga.errors import InputError
from emoga.progress import silent

# The package offers the function under the module's own name.
line = importlib.import_module("emoga.demo.demo")

TINY = line.Scale(
    size=64, views=3, frames=4, samples=2, track_preset="fast", fit_preset="fast", video=48,
    hold_out=("views:1", "frames:last:1"),
)  # fmt: skip


SPLIT = {
    "pictures": 3, "psnr": 31.5, "ssim": 0.91, "mouth_psnr": 27.0, "eyes_psnr": None, "mask_fraction": 0.4,
}  # fmt: skip
FIGURES = {
    "training": SPLIT,
    "held_out": {"views": SPLIT, "frames": SPLIT, "both": None, "baseline_psnr": 20.0},
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "capture").mkdir()
    (tmp_path / "capture" / "capture.json").write_text('{"info": {"size": 64}}')
    (tmp_path / "evaluation.json").write_text(json.dumps(FIGURES))
    return tmp_path


def run(folder, stages, resume=True, seed=0):
    """The demo's bookkeeping around stages of our own."""
    state = line.State.open(folder, "fast", seed, resume)
    work = line.Line(folder, line.SCALES["fast"], seed, silent)
    line.run_stages(stages, work, state)
    return line.conclude(work, state)


def test_report_has_the_promised_keys_and_a_table(folder):
    result = run(folder, {"film": lambda work: work.path("emotions.png").write_text("")})
    report = json.loads((folder / "report.json").read_text())
    assert report["held_out"]["views"]["psnr"] == 31.5 and report["held_out"]["frames"]["ssim"] == 0.91
    assert {"seconds", "peak_rss_mb", "version", "device", "threads", "seed"} <= set(report)
    names = [row[0] for row in result.rows]
    splits = ["training", "held-out views", "held-out frames"]
    assert names == ["pictures", *splits, "best guess without an avatar"]
    assert result.rows[1] == ("training", "3", "31.50", "0.9100", "27.00", "")
    assert set(result.files) == {"report.json", "emotions.png"}


def test_finished_stages_are_skipped_on_resume(folder):
    ran = []

    def interrupted(work):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder, {"film": lambda work: ran.append("film"), "track": interrupted})
    run(folder, {name: (lambda work, name=name: ran.append(name)) for name in ("film", "track")})
    assert ran == ["film", "track"]


def test_another_plan_or_damage_is_refused(folder):
    run(folder, {"film": lambda work: None})
    with pytest.raises(InputError, match="other settings"):
        demo(folder, preset="fast", seed=1, resume=True)
    with pytest.raises(InputError, match="not empty"):
        demo(folder)
    (folder / line.STATE_FILE).write_text("[1]")
    with pytest.raises(InputError, match="damaged"):
        demo(folder, preset="fast", resume=True)


def test_bad_requests(tmp_path):
    with pytest.raises(InputError, match="fast, default, best"):
        demo(tmp_path / "demo", preset="huge")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        demo(tmp_path / "file")


@pytest.mark.slow
def test_the_whole_line_on_a_tiny_performer(tmp_path, monkeypatch):
    monkeypatch.setitem(line.SCALES, "fast", TINY)
    result = demo(tmp_path / "demo", preset="fast")
    assert result.report["held_out"]["views"]["psnr"] > 12
    assert {"report.json", "emotions.mp4", "reenactment.mp4", "orbit.mp4", "exports"} <= set(result.files)
    assert all(path.exists() for path in result.files.values())
    assert demo(tmp_path / "demo", preset="fast", resume=True).report["seconds"] == result.report["seconds"]
