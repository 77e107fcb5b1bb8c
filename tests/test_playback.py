"""The GPU's way of playing an avatar, run on the CPU: the same pictures as one frame after the other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from filmed import ring
from mannequin import make_mannequin

from emoga.avatar.score import Score
from emoga.head import HeadParams, load_head
from emoga.images import to_uint8
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.playback import Player
from emoga.progress import silent
from emoga.reenactment.outputs import straight_alpha
from emoga.reenactment.playing import play_into

FRAMES = 7


@pytest.fixture(scope="module")
def avatar():
    return make_mannequin()


@pytest.fixture(scope="module")
def params() -> HeadParams:
    head = load_head()
    params = HeadParams.zeros(head, FRAMES)
    params.expr[:, head.unit("jawOpen")] = torch.linspace(0, 0.5, FRAMES)
    params.rotation[:, 1] = torch.linspace(-0.3, 0.3, FRAMES)
    params.eyes[:, 1] = 0.1
    params.translation[:, 0] = torch.linspace(0, 0.02, FRAMES)
    return params


@pytest.mark.parametrize("background", [(0.2, 0.5, 0.9), None])
@pytest.mark.parametrize("batch", [3, 16])
def test_batches_show_what_single_frames_show(avatar, params, batch: int, background) -> None:
    cameras = ring(FRAMES)
    pictures = list(Player(avatar, "cpu", batch=batch).play(params, range(FRAMES), cameras, background))
    assert len(pictures) == FRAMES
    renderer = AvatarRenderer(avatar)
    for frame, (picture, camera) in enumerate(zip(pictures, cameras, strict=True)):
        rendering = renderer.render(params, frame, [camera], background or (0, 0, 0))
        image, alpha = rendering.image[0].numpy(), rendering.alpha[0, ..., 0].numpy()
        expected = to_uint8(image) if background else straight_alpha(image, alpha)
        assert picture.dtype == np.uint8 and picture.shape == expected.shape
        difference = np.abs(picture.astype(int) - expected)
        shown = difference if background else difference[alpha > 0.05]
        assert shown.max() <= 2 and (shown > 0).mean() < 0.01


def test_only_what_the_sink_lacks_is_drawn_and_in_order(avatar, params) -> None:
    written = []

    class Sink:
        def has(self, index: int) -> bool:
            return index in (0, 4)

        def write(self, index: int, picture: np.ndarray) -> None:
            assert picture.shape == (96, 96, 3)
            written.append(index)

    player = Player(avatar, "cpu", batch=2)
    drawn = play_into(Sink(), player, Score(params, 25.0), ring(FRAMES), (1.0, 1.0, 1.0), silent)
    assert drawn == 5 and written == [1, 2, 3, 5, 6]
    assert player.refusal == ""


@pytest.mark.slow
def test_the_gpu_benchmark_rehearses(tmp_path) -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "gpu" / "run_gpu.py"
    done = subprocess.run(
        [sys.executable, script, "--rehearse", "--json", tmp_path / "gpu.json"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert len(rows) == len(done.stdout.splitlines()) - 1, "every row is on stdout, after the machine's"
    assert {"fit on cpu", "bar: fit", "tests marked cuda"} <= {row["case"] for row in rows}
