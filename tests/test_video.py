"""Video in and out: rotation, colours, 10 bit, uneven timing and sound."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from emoga.errors import InputError
from emoga.video import VideoReader, VideoWriter

COLOURS = np.array([[220, 40, 40], [40, 200, 60], [50, 60, 210], [200, 190, 40]], np.uint8)


def stripes(height=64, width=128):
    return np.repeat(COLOURS, width // 4, axis=0)[None].repeat(height, 0)


def write_raw(path, codec="libx264", pix_fmt="yuv420p", colorspace=None, times=range(4), crf="4"):
    """A video that other programs might write."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 64, pix_fmt
        stream.options = {"crf": crf, **({"x265-params": "log-level=none"} if codec == "libx265" else {})}
        stream.codec_context.time_base = Fraction(1, 100)
        name, number = {"709": ("ITU709", 1), "601": ("ITU601", 5), None: ("ITU601", 2)}[colorspace]
        stream.codec_context.colorspace = number
        for time in times:
            frame = av.VideoFrame.from_ndarray(stripes(), format="rgb24")
            frame = frame.reformat(format=pix_fmt, dst_colorspace=name)
            frame.colorspace, frame.pts, frame.time_base = number, time, Fraction(1, 100)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def stripe_colours(picture):
    return picture[picture.shape[0] // 2, 16::32].astype(int)


@pytest.mark.parametrize("colorspace", ["709", "601", None])
def test_colours_are_read_by_the_tagged_matrix(tmp_path, colorspace):
    video = VideoReader(write_raw(tmp_path / "v.mp4", colorspace=colorspace))
    assert np.abs(stripe_colours(video.frame(1)) - COLOURS).max() <= 4


def test_ten_bit_hevc_is_read(tmp_path):
    video = VideoReader(write_raw(tmp_path / "v.mp4", codec="libx265", pix_fmt="yuv420p10le"))
    assert len(video) == 4 and np.abs(stripe_colours(video.frame(3)) - COLOURS).max() <= 4


def test_written_video_says_its_matrix(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", 25, 128, 64) as writer:
        writer.write(stripes())
    assert np.abs(stripe_colours(VideoReader(tmp_path / "v.mp4").frame(0)) - COLOURS).max() <= 4
    with av.open(str(tmp_path / "v.mp4")) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.colorspace, codec.color_primaries, codec.color_range) == (1, 1, 1)


def test_uneven_timing_loses_no_frame(tmp_path):
    video = VideoReader(write_raw(tmp_path / "v.mp4", times=(0, 4, 9, 11, 30)))
    assert len(video) == 5 and len(list(video.frames())) == 5


def turn_in_header(path, quarter_turns):
    """Rewrite the display matrix in the track header, as a phone held upright does."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    cos, sin = {1: (0, one), 2: (-one, 0), 3: (0, -one)}[quarter_turns]
    data[start : start + 36] = struct.pack(">9i", cos, sin, 0, -sin, cos, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_rotated_video_is_upright(tmp_path, quarter_turns):
    plain = VideoReader(write_raw(tmp_path / "v.mp4")).frame(0)
    turn_in_header(tmp_path / "v.mp4", quarter_turns)
    turned = VideoReader(tmp_path / "v.mp4").frame(0)
    # The matrix of a quarter turn asks players to turn the picture clockwise.
    assert np.array_equal(turned, np.rot90(plain, -quarter_turns))


def test_frames_in_any_order_are_the_same(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", 25, 32, 32) as writer:
        for index in range(9):
            writer.write(np.full((32, 32, 3), 25 * index, np.uint8))
    video = VideoReader(tmp_path / "v.mp4")
    order = [7, 2, 2, 3, 0, 8]
    found = [int(video.frame(index).mean().round()) for index in order]
    assert np.abs(np.array(found) - 25 * np.array(order)).max() <= 3
    with pytest.raises(InputError, match="frame 9"):
        video.frame(9)


def with_sound(path, codec="aac"):
    with av.open(str(path), "w") as container:
        video, sound = container.add_stream("libx264", rate=10), container.add_stream(codec, rate=44100)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        tone = np.sin(np.arange(44100) * 2 * np.pi * 440 / 44100).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate = 44100
        for packet in [*sound.encode(frame), *sound.encode()]:
            container.mux(packet)
        for _ in range(10):
            picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            for packet in video.encode(picture):
                container.mux(packet)
        for packet in video.encode():
            container.mux(packet)
    return path


def test_sound_is_kept(tmp_path):
    source = with_sound(tmp_path / "source.mp4")
    with VideoWriter(tmp_path / "v.mp4", 10, 32, 32, audio_from=source) as writer:
        for _ in range(10):
            writer.write(np.zeros((32, 32, 3), np.uint8))
    with av.open(str(tmp_path / "v.mp4")) as container:
        samples = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
        assert len(container.streams.video) == 1
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(np.argmax(spectrum) * 44100 / len(samples) - 440) < 5


def test_a_source_without_sound_gives_a_silent_video(tmp_path):
    write_raw(tmp_path / "source.mp4")
    with VideoWriter(tmp_path / "v.mp4", 10, 32, 32, audio_from=tmp_path / "source.mp4") as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert not container.streams.audio


@pytest.mark.parametrize("name", ["missing.mp4", "text.mp4"])
def test_a_bad_sound_source_is_one_line_and_leaves_nothing(tmp_path, name):
    (tmp_path / "text.mp4").write_text("not a video")
    with (
        pytest.raises(InputError, match=name),
        VideoWriter(tmp_path / "v.mp4", 10, 32, 32, audio_from=tmp_path / name) as writer,
    ):
        writer.write(np.zeros((32, 32, 3), np.uint8))
    assert not (tmp_path / "v.mp4").exists()


def test_a_video_that_changes_size_is_refused_where_it_does(tmp_path):
    streams = b""
    for side in (32, 64):
        with av.open(str(tmp_path / f"{side}.h264"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
            picture = av.VideoFrame.from_ndarray(np.zeros((side, side, 3), np.uint8), format="rgb24")
            for packet in [*stream.encode(picture), *stream.encode()]:
                container.mux(packet)
        streams += (tmp_path / f"{side}.h264").read_bytes()
    (tmp_path / "both.h264").write_bytes(streams)
    with pytest.raises(
        InputError, match="the picture size changes from 32x32 to 64x64; cut the video there first"
    ):
        len(VideoReader(tmp_path / "both.h264"))  # before any work is done
