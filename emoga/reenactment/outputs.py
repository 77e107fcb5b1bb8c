"""Where rendered frames go: a video, y4m on stdout, or a folder of PNG; written in a thread of their own."""

from __future__ import annotations

import contextlib
import io
import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from emoga.errors import InputError
from emoga.files import atomic_output, check_output, check_output_folder, write_bytes
from emoga.images import to_uint8
from emoga.video import VIDEO_SUFFIXES, VideoWriter

AHEAD = 8
MARK = "Synthetic: rendered by emoga from a head avatar, not a recording"
PLAN_FILE = "reenact.json"
WRITABLE = (".mp4", ".y4m")


class FrameSink(Protocol):
    """Takes pictures one after the other.

    `prepare` does to a picture [H,W,3] or [H,W,4] uint8 what needs no order, in any thread; `write` takes
    its result.
    """

    def prepare(self, picture: np.ndarray) -> Any: ...

    def write(self, index: int, prepared: Any) -> None: ...

    def has(self, index: int) -> bool: ...


def is_video(output: str | Path) -> bool:
    """Whether an output name means a video or a stream rather than a folder of pictures."""
    return str(output) == "-" or Path(output).suffix.lower() in WRITABLE


def check_reenact_output(output: str | Path, overwrite: bool, resume: bool, sound: bool = False) -> None:
    """Refuse an unusable output before any work starts. Raises InputError."""
    suffix = Path(output).suffix.lower()
    if sound and suffix != ".mp4":
        raise InputError(f"{output}: only .mp4 holds sound; leave out --audio or write an .mp4")
    if str(output) == "-":
        return
    if is_video(output):
        if resume:
            raise InputError(f"{output}: a video cannot be resumed; name a folder to get pictures that can")
        check_output(output, overwrite)
    elif suffix in VIDEO_SUFFIXES or suffix in (".png", ".gif"):
        raise InputError(
            f"{output}: write .mp4, .y4m, - for y4m on stdout, or the name of a folder for PNG pictures"
        )
    else:
        check_output_folder(output, overwrite or resume)


@contextlib.contextmanager
def open_sink(
    output: str | Path,
    fps: float,
    size: tuple[int, int],
    *,
    mark: bool,
    overwrite: bool,
    resume: bool,
    plan: str,
    audio_from: str | Path | None = None,
) -> Iterator[FrameSink]:
    """The sink that `output` names, for pictures of `size` (width, height).

    plan: a digest of everything that decides the pictures; a folder is only resumed under the same plan.
    """
    if is_video(output):
        metadata = {"comment": MARK, "synthetic": "true"} if mark else {}
        with VideoWriter(
            output, fps, *size, overwrite=overwrite, metadata=metadata, audio_from=audio_from
        ) as writer:
            yield VideoSink(writer)
        return
    yield PngSink(Path(output), mark, plan, resume)


class VideoSink:
    """Frames into a VideoWriter, which must come in order."""

    def __init__(self, writer: VideoWriter) -> None:
        self._writer = writer

    def prepare(self, picture: np.ndarray) -> Any:
        return self._writer.prepare(picture)

    def write(self, index: int, prepared: Any) -> None:
        self._writer.write_prepared(prepared)

    def has(self, index: int) -> bool:
        return False


class PngSink:
    """Frames into numbered PNG files, each written whole or not at all."""

    def __init__(self, folder: Path, mark: bool, plan: str, resume: bool) -> None:
        self._folder, self._resume = folder, resume
        self._info = PngInfo()
        if mark:
            self._info.add_text("Comment", MARK)
        plan_file = folder / PLAN_FILE
        if resume and plan_file.exists() and _read_plan(plan_file) != plan:
            raise InputError(f"{folder}: was begun with other settings; pass --overwrite instead of --resume")
        if not resume:
            _remove_frames(folder)
        with atomic_output(plan_file, overwrite=True) as temporary:
            temporary.write_text(json.dumps({"plan": plan}))

    def prepare(self, picture: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, format="PNG", compress_level=4, pnginfo=self._info)
        return buffer.getvalue()

    def write(self, index: int, prepared: bytes) -> None:
        write_bytes(self._path(index), prepared, overwrite=True)

    def has(self, index: int) -> bool:
        return self._resume and self._path(index).exists()

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:06d}.png"


def _read_plan(path: Path) -> str | None:
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("plan")
    except (ValueError, AttributeError):
        return None


def _remove_frames(folder: Path) -> None:
    """Frames of an earlier, longer run must not stay behind the new ones; other files are left alone."""
    for file in folder.glob("[0-9]" * 6 + ".png"):
        file.unlink()


def straight_alpha(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """uint8 [H,W,4] with straight alpha from a picture [H,W,3] rendered over black and its alpha [H,W]."""
    colour = image / np.maximum(alpha, 1e-4)[..., None]
    return np.concatenate([to_uint8(colour), to_uint8(alpha)[..., None]], -1)


class WriteAhead:
    """A context in which `write` hands frames to a sink's thread, so that rendering does not wait for it.

    A failure of the sink is raised by the next `write` or at the end of the context.
    """

    def __init__(self, sink: FrameSink) -> None:
        self._sink = sink
        self._queue: queue.Queue[tuple[int, Any] | None] = queue.Queue(AHEAD)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="emoga-writer", daemon=True)

    def __enter__(self) -> WriteAhead:
        self._thread.start()
        return self

    def write(self, index: int, prepared: Any) -> None:
        """Queue one frame; waits while the sink is far behind."""
        if self._error is not None:
            raise self._error
        self._queue.put((index, prepared))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            # What is queued no longer matters; the sink's own exit removes what it wrote.
            with contextlib.suppress(queue.Empty):
                while True:
                    self._queue.get_nowait()
        self._queue.put(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._sink.write(*item)
                except BaseException as error:
                    self._error = error
