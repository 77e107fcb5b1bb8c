"""Video in and out through PyAV: rotation, 10 bit and variable frame rate read right; mp4 and y4m written."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from emoga.errors import EnvironmentFailure, InputError
from emoga.files import atomic_output, require_file, translate_os_errors
from emoga.images import to_uint8

VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".y4m"}
MAX_SIDE = 16384
KEPT = 2**27  # bytes of decoded frames that a reader holds on to
BT709, LIMITED_RANGE = 1, 1  # numbers of ITU-T H.273
# x264 writes other bits for every number of threads, and with more than one now and then on a busy machine.
ENCODER_THREADS = 1


class VideoReader:
    """Sequential and random access to the frames of a video file, uint8 [H,W,3] sRGB, upright.

    Raises InputError when the file is not a video or holds no frames.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = require_file(path, "a video")
        first = next(self.frames(), None)
        if first is None:
            raise InputError(f"{self.path}: holds no video frames")
        self.height, self.width = first.shape[:2]
        self._kept: dict[int, np.ndarray] = {0: first}
        self._last = (0, first)
        self._count: int | None = None
        self._iterator: Iterator[Any] | None = None
        self._next = 0

    @property
    def fps(self) -> float:
        """Average frame rate in frames per second."""
        with self._open() as container:
            rate = container.streams.video[0].average_rate or container.streams.video[0].guessed_rate
        return float(rate) if rate else 25.0

    def __len__(self) -> int:
        if self._count is None:
            self._count = sum(1 for _ in self._decoded())
        return self._count

    def frames(self) -> Iterator[np.ndarray]:
        """All frames in order of presentation."""
        for frame in self._decoded():
            yield _upright(frame)

    def frame(self, index: int) -> np.ndarray:
        """One frame, not to be written into; cheap when frames are asked for in order.

        The first ones asked for, as many as KEPT bytes hold, are decoded once.
        """
        if index in self._kept:
            return self._kept[index]
        if index == self._last[0]:
            return self._last[1]
        if self._iterator is None or index < self._next:
            self._iterator, self._next = self._decoded(), 0
        for coded in self._iterator:
            self._next += 1
            if self._next == index + 1:
                self._last = (index, _upright(coded))
                # Who reads a video many times does so in order: dropping the oldest would drop each before its turn.
                if (len(self._kept) + 1) * self._last[1].nbytes <= KEPT:
                    self._kept[index] = self._last[1]
                return self._last[1]
        raise InputError(f"{self.path}: has {self._next} frames, frame {index} was asked for")

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            with av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise InputError(f"{self.path}: holds no video stream")
                yield container
        except (av.error.FFmpegError, UnicodeDecodeError) as error:
            raise InputError(f"{self.path}: not a readable video ({error.__class__.__name__})") from error

    def _decoded(self) -> Iterator[Any]:
        """Frames as they are coded, all of one size: whoever counts them knows."""
        size = None
        for frame in self._packets_decoded():
            found = (frame.width, frame.height)
            if size is not None and found != size:
                raise InputError(
                    f"{self.path}: the picture size changes from {size[0]}x{size[1]} to {found[0]}x{found[1]}; "
                    "cut the video there first"
                )
            size = found
            yield frame

    def _packets_decoded(self) -> Iterator[Any]:
        with self._open() as container:
            stream = container.streams.video[0]
            if max(stream.codec_context.width, stream.codec_context.height) > MAX_SIDE:
                raise InputError(f"{self.path}: pictures larger than {MAX_SIDE} pixels are not supported")
            stream.thread_type = "AUTO"
            yield from container.decode(stream)


def _upright(frame: Any) -> np.ndarray:
    picture = frame.to_ndarray(format="rgb24")
    quarter_turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, quarter_turns)) if quarter_turns else picture


class VideoWriter:
    """Write pictures to `path` (.mp4) atomically, or as y4m to stdout with `-`. Use as a context manager.

    audio_from: a video whose first audio stream is copied into the mp4; metadata: written as container tags.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float,
        width: int,
        height: int,
        *,
        overwrite: bool = False,
        crf: int = 16,
        metadata: dict[str, str] | None = None,
        audio_from: str | Path | None = None,
    ) -> None:
        self.path, self.fps, self.crf = str(path), Fraction(fps).limit_denominator(1001), crf
        self.width, self.height = width, height
        self._overwrite, self._metadata, self._audio_from = overwrite, metadata or {}, audio_from
        self._stack = contextlib.ExitStack()
        self._y4m: BinaryIO | None = None
        self._container: Any = None
        self._converters = threading.local()

    def __enter__(self) -> VideoWriter:
        try:
            self._open()
        except BaseException:
            # What was begun goes, since nobody will call __exit__.
            if self._container is not None:
                self._container.close()
            self._stack.__exit__(*sys.exc_info())
            raise
        return self

    def _open(self) -> None:
        if self.path == "-" or self.path.endswith(".y4m"):
            self._open_y4m()
        else:
            self._stack.enter_context(translate_os_errors(self.path))
            temporary = self._stack.enter_context(atomic_output(self.path, self._overwrite))
            self._open_mp4(temporary)

    def write(self, picture: np.ndarray) -> None:
        """Append one picture [H,W,3], floats in 0..1 or uint8."""
        self.write_prepared(self.prepare(picture))

    def prepare(self, picture: np.ndarray) -> Any:
        """The picture as `write_prepared` takes it, in the colours of the video; may run in any thread."""
        picture = np.ascontiguousarray(to_uint8(picture))
        if picture.shape != (self.height, self.width, 3):
            raise ValueError(f"frame {picture.shape} in a {self.width}x{self.height} video")
        if self._y4m is not None:
            return self._reformatted(picture, "yuv444p").to_ndarray().tobytes()
        frame = self._reformatted(_padded_to_even(picture), "yuv420p")
        frame.colorspace, frame.color_range = BT709, LIMITED_RANGE
        return frame

    def write_prepared(self, prepared: Any) -> None:
        """Append one picture that `prepare` has returned."""
        if self._y4m is not None:
            self._y4m.write(b"FRAME\n")
            self._y4m.write(prepared)
            return
        with _encoder_errors(self.path):
            for packet in self._video.encode(prepared):
                self._container.mux(packet)

    def _reformatted(self, picture: np.ndarray, pixels: str) -> Any:
        """An uint8 picture in YUV; every thread keeps its own converter, which takes long to set up."""
        if not hasattr(self._converters, "own"):
            self._converters.own = VideoReformatter()
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        return self._converters.own.reformat(frame, format=pixels, dst_colorspace="ITU709")

    def __exit__(self, *error: Any) -> bool | None:
        try:
            if self._container is not None:
                if error[0] is None:
                    with _encoder_errors(self.path):
                        for packet in self._video.encode():
                            self._container.mux(packet)
                        if self._audio_from:
                            _copy_audio(self._container, self._audio_from, self._audio_stream)
                self._container.close()
            if self._y4m is not None:
                self._y4m.flush()
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise
        return self._stack.__exit__(*error)

    def _open_y4m(self) -> None:
        if self.path == "-":
            self._y4m = sys.stdout.buffer
        else:
            temporary = self._stack.enter_context(atomic_output(self.path, self._overwrite))
            self._y4m = self._stack.enter_context(open(temporary, "wb"))
        rate = f"F{self.fps.numerator}:{self.fps.denominator}"
        self._y4m.write(f"YUV4MPEG2 W{self.width} H{self.height} {rate} Ip A1:1 C444\n".encode())

    def _open_mp4(self, temporary: Path) -> None:
        self._container = av.open(
            str(temporary), "w", format="mp4", options={"movflags": "use_metadata_tags"}
        )
        self._container.metadata.update(self._metadata)
        stream = self._container.add_stream("libx264", rate=self.fps)
        stream.width, stream.height = self.width + self.width % 2, self.height + self.height % 2
        stream.pix_fmt = "yuv420p"
        # Players guess the matrix of untagged video by its size; say it instead.
        codec = stream.codec_context
        codec.colorspace, codec.color_primaries, codec.color_trc = BT709, BT709, BT709
        codec.color_range = LIMITED_RANGE
        codec.thread_type, codec.thread_count = "FRAME", ENCODER_THREADS
        stream.options = {"crf": str(self.crf), "preset": "veryfast"}
        self._video = stream
        if self._audio_from:
            self._audio_stream = _mirror_audio_stream(self._container, self._audio_from)


def _padded_to_even(picture: np.ndarray) -> np.ndarray:
    """yuv420p needs even sides; the last row or column is repeated."""
    height, width = picture.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return picture
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


@contextlib.contextmanager
def _encoder_errors(path: str) -> Iterator[None]:
    try:
        yield
    except av.error.FFmpegError as error:
        if error.errno == 28:
            raise EnvironmentFailure(f"{path}: no space left on the disk; free some and run again") from error
        raise EnvironmentFailure(f"{path}: the video encoder failed ({error})") from error


def _mirror_audio_stream(container: Any, source: str | Path) -> Any:
    try:
        with av.open(str(source)) as reader:
            if not reader.streams.audio:
                return None
            return container.add_stream_from_template(reader.streams.audio[0])
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError(f"{source}: its sound cannot be used ({error.__class__.__name__})") from error


def _copy_audio(container: Any, source: str | Path, stream: Any) -> None:
    if stream is None:
        return
    with av.open(str(source)) as reader:
        for packet in reader.demux(reader.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
