"""Many clips at once: each on its own, whatever becomes of the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emoga.errors import InputError
from emoga.images import write_png
from emoga.tracking import track_many
from emoga.tracking.many import clip_names
from emoga_cli.main import main


def test_a_failing_clip_stops_no_other(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_png(tmp_path / "face.png", np.full((64, 64, 3), 0.5))
    (tmp_path / "text.mp4").write_text("no video")
    sources = [str(tmp_path / "text.mp4"), str(tmp_path / "face.png"), str(tmp_path / "absent.mp4")]
    (tmp_path / "marks").mkdir()
    code = main(
        ["track", *sources, "-o", str(tmp_path / "out"), "--landmarks", str(tmp_path / "marks"), "--jobs", "3",
         "--json"]
    )  # fmt: skip
    result = json.loads(capsys.readouterr().out)
    assert code == 2 and result["failed"] == 3
    errors = [clip["error"] for clip in result["clips"]]
    assert "text.mp4: not a readable video" in errors[0]
    assert "face.npz" in errors[1]  # its own landmarks, which are not there
    assert "absent.mp4: no such file" in errors[2]


def test_clips_get_names_of_their_own() -> None:
    assert clip_names([Path("a.mp4"), Path("take.2")]) == ["a", "take"]
    assert clip_names([Path("p/video.mp4"), Path("q/video.mp4"), Path("c.mp4")]) == [
        "p_video",
        "q_video",
        "c",
    ]
    with pytest.raises(InputError, match="2 of the clips are called p_video"):
        clip_names([Path("p/video.mp4"), Path("p/video.mkv")])


def test_nothing_starts_over_an_existing_track(tmp_path: Path) -> None:
    (tmp_path / "b.h5").touch()
    with pytest.raises(InputError, match=r"b\.h5: exists already"):
        track_many([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path)
    assert (tmp_path / "b.h5").stat().st_size == 0
