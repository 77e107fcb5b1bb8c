"""Reenactment: what goes in decides the pictures, outputs are whole, bad requests are one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mannequin import make_mannequin
from PIL import Image

from emoga.avatar.emotions import emotion_offsets, emotion_weights
from emoga.avatar.score import person_of
from emoga.errors import InputError
from emoga.head import HeadParams, load_head
from emoga.images import read_image_uint8
from emoga.motion import Motion
from emoga.reenactment import parse_emotion, parse_orbit, portrait_camera, reenact
from emoga.reenactment.outputs import WriteAhead, straight_alpha
from emoga.video import VideoReader

SIZE = (96, 96)


@pytest.fixture(scope="module")
def head():
    return load_head("open")


@pytest.fixture(scope="module")
def motion(head):
    params = HeadParams.zeros(head, 6)
    params.expr[:, head.unit("jawOpen")] = torch.linspace(0, 0.8, 6)
    params.rotation[:, 1] = torch.linspace(-0.4, 0.4, 6)
    return Motion(head.name, head.version, head.checksum, params, 10.0)


@pytest.fixture(scope="module")
def avatar(motion):
    return make_mannequin(motion=motion)


def frames_of(folder):
    return [np.asarray(Image.open(file)) for file in sorted(folder.glob("*.png"))]


def test_emotion_texts():
    curve = parse_emotion("happy:0.6,surprised:0.3")
    assert curve.weights(0) == curve.weights(9) == {"happy": 0.6, "surprised": 0.3}
    curve = parse_emotion("happy@1s:0,happy@3s:1,sad")
    assert curve.seconds == 3 and curve.weights(0)["happy"] == 0 and curve.weights(5)["happy"] == 1
    assert curve.weights(2) == {"happy": pytest.approx(0.5), "sad": 1.0}
    assert parse_emotion(None).weights(1) == {}


@pytest.mark.parametrize("text", ["happy:x", "happy:-1", "happy:9", "happy@a:1", ":1", "happy@1:0,happy@1:1"])
def test_bad_emotion_texts(text):
    with pytest.raises(InputError, match="--emotion"):
        parse_emotion(text)


def test_mixtures_above_one_are_normalised(avatar, head):
    def offset(text):
        curve = parse_emotion(text)
        return (emotion_weights(curve, torch.zeros(1)) @ emotion_offsets(avatar, head, curve))[0]

    assert torch.allclose(offset("happy:1,sad:1"), (head.emotion("happy") + head.emotion("sad")) / 2)
    assert torch.allclose(offset("happy:0.5"), head.emotion("happy") / 2)


def test_unknown_emotion_lists_the_known(avatar, tmp_path):
    with pytest.raises(InputError, match=r"'hapy'.*happy"):
        reenact(avatar, tmp_path / "x.mp4", emotion="hapy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["fast", "30/0", "400", "1/2/3", "30/-1s"])
def test_bad_orbits(text):
    with pytest.raises(InputError, match="--orbit"):
        parse_orbit(text)


def test_orbit_swings_or_goes_round():
    swing, round_ = parse_orbit("45/4s"), parse_orbit("360/8s")
    assert swing.yaw(1) == pytest.approx(np.pi / 4) and swing.yaw(2) == pytest.approx(0, abs=1e-9)
    assert round_.yaw(4) == pytest.approx(np.pi) and round_.yaw(8) == pytest.approx(2 * np.pi)


def test_portrait_holds_the_head(avatar, head):
    camera = portrait_camera(head, person_of(avatar), 200, 300)
    rest = head.identify(avatar.shape).rest[head.regions["face"] | head.regions["scalp"]]
    pixels, depth = camera.project(rest.double().numpy())
    assert (depth > 0).all() and (pixels > 0).all() and (pixels < [200, 300]).all()
    assert np.ptp(pixels[:, 0]) > 80, "and not as a speck"


def test_png_frames_have_straight_alpha(avatar, tmp_path):
    made = reenact(avatar, tmp_path / "f", motion=None, size=SIZE, fps=1, end=1)
    picture = frames_of(tmp_path / "f")[0]
    assert made.frames == 1 and picture.shape == (96, 96, 4)
    assert picture[2, 2, 3] == 0 and picture[48, 48, 3] == 255
    opaque = reenact(avatar, tmp_path / "g", motion=None, size=SIZE, fps=1, end=1, background=(0, 1, 0))
    over = frames_of(Path(opaque.output))[0]
    alpha = picture[..., 3:] / 255.0
    composed = picture[..., :3] * alpha + np.array([0, 255, 0]) * (1 - alpha)
    assert np.abs(composed - over).max() <= 2
    assert "Synthetic" in Image.open(tmp_path / "f" / "000000.png").text["Comment"]


def test_straight_alpha_divides_colour():
    image, alpha = np.full((1, 1, 3), 0.2, np.float32), np.full((1, 1), 0.5, np.float32)
    assert straight_alpha(image, alpha)[0, 0].tolist() == [102, 102, 102, 128]


def test_own_motion_to_mp4_with_mark(avatar, tmp_path):
    made = reenact(avatar, tmp_path / "own.mp4", size=SIZE)
    video = VideoReader(tmp_path / "own.mp4")
    assert (made.frames, len(video), video.fps) == (6, 6, 10.0)
    first, last = video.frame(0).astype(float), video.frame(5).astype(float)
    assert np.abs(first - last).mean() > 3
    with av.open(str(tmp_path / "own.mp4")) as container:
        assert "Synthetic" in container.metadata["comment"]
    reenact(avatar, tmp_path / "plain.mp4", size=SIZE, end=1, mark=False)
    with av.open(str(tmp_path / "plain.mp4")) as container:
        assert "comment" not in container.metadata


def test_emotion_and_blend_change_the_face_where_they_should(avatar, tmp_path):
    for name in ("neutral", "happy", "surprised"):
        reenact(
            avatar, tmp_path / name, motion=None, emotion=name, size=SIZE, fps=1, end=1, background=(1, 1, 1)
        )
    neutral, happy, surprised = (
        frames_of(tmp_path / name)[0].astype(float) for name in ("neutral", "happy", "surprised")
    )
    for changed in (happy, surprised):
        rows = np.abs(changed - neutral).max((1, 2))
        assert rows[:20].max() < 1 and rows.max() > 40
    assert np.abs(happy - surprised).max() > 40


def test_fps_changes_the_count_not_the_duration(avatar, tmp_path):
    made = reenact(avatar, tmp_path / "a.mp4", size=SIZE, fps=20)
    assert (made.frames, made.fps) == (12, 20)


def test_folder_resumes_and_refuses_another_plan(avatar, tmp_path):
    folder = tmp_path / "f"
    reenact(avatar, folder, size=SIZE)
    whole = [file.read_bytes() for file in sorted(folder.glob("*.png"))]
    (folder / "000003.png").unlink()
    assert reenact(avatar, folder, size=SIZE, resume=True).drawn == 1
    assert [file.read_bytes() for file in sorted(folder.glob("*.png"))] == whole
    with pytest.raises(InputError, match="other settings"):
        reenact(avatar, folder, size=SIZE, emotion="happy", resume=True)
    with pytest.raises(InputError, match="--overwrite"):
        reenact(avatar, folder, size=SIZE)
    assert reenact(avatar, folder, size=SIZE, end=2, overwrite=True).frames == 2
    assert len(frames_of(folder)) == 2


@pytest.mark.parametrize(
    ("output", "options", "words"),
    [
        ("a.mov", {}, "write .mp4"),
        ("a.mp4", {"resume": True}, "cannot be resumed"),
        ("folder", {"audio_from": "x.mp4"}, "holds sound"),
        ("a.mp4", {"size": (0, 10)}, "--size"),
        ("a.mp4", {"background": (2, 0, 0)}, "--background"),
        ("a.mp4", {"start": 6}, "frames 6"),
        ("a.mp4", {"fps": -1}, "--fps"),
        ("a.mp4", {"motion": "missing.h5"}, "missing.h5"),
        ("a.mp4", {"pose": "sideways"}, "sideways"),
    ],
)
def test_bad_requests_are_one_line_and_leave_nothing(avatar, tmp_path, output, options, words):
    with pytest.raises(InputError, match=words) as caught:
        reenact(avatar, tmp_path / output, **options)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_avatar_without_motion_says_so(tmp_path):
    with pytest.raises(InputError, match="no motion of its own"):
        reenact(make_mannequin(), tmp_path / "a.mp4")


def test_y4m_on_stdout_is_a_stream(avatar, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from mannequin import make_mannequin; from emoga.reenactment import reenact\n"
        "reenact(make_mannequin(), '-', motion=None, fps=2, size=(32, 16), emotion='happy@1s')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)], capture_output=True, timeout=200, check=True
    )
    header, _, rest = done.stdout.partition(b"\n")
    assert header.startswith(b"YUV4MPEG2 W32 H16 F2:1") and b"C444" in header
    assert len(rest) == 2 * (len(b"FRAME\n") + 32 * 16 * 3)


def test_a_failing_sink_stops_the_rendering():
    class Broken:
        def write(self, index, picture):
            raise BrokenPipeError

        def has(self, index):
            return False

    with pytest.raises(BrokenPipeError), WriteAhead(Broken()) as writer:
        for index in range(1000):
            writer.write(index, np.zeros((2, 2, 3), np.uint8))
    assert index < 999


def test_pictures_of_png_folder_are_readable(avatar, tmp_path):
    reenact(avatar, tmp_path / "f", size=SIZE, end=1, background=(1, 1, 1))
    assert read_image_uint8(tmp_path / "f" / "000000.png").shape == (96, 96, 3)
