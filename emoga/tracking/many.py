"""Many clips at once: each tracked by a process of its own, so that one that fails stops no other."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from emoga.errors import EmogaError, EnvironmentFailure, InputError
from emoga.files import check_output
from emoga.progress import Event, Note, Reporter, Stage, Step, silent
from emoga.tracking.tracking import track

THREAD_VARIABLES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Outcome:
    """What became of one clip: figures of its track, or an error with its exit code."""

    source: Path
    output: Path
    figures: dict[str, Any] | None = None
    error: str = ""
    exit_code: int = 0


def track_many(
    sources: Sequence[str | Path],
    folder: str | Path,
    *,
    landmarks: str | Path | None = None,
    masks: str | Path | None = None,
    jobs: int = 1,
    threads: int | None = None,
    overwrite: bool = False,
    report: Reporter = silent,
    **options: Any,
) -> list[Outcome]:
    """Track every source as `emoga.track` would, `jobs` at a time, into `folder`/NAME.h5.

    NAME is the source's name without suffix, with its folder's before it where several are called alike. landmarks,
    masks: folders in which NAME.npz or NAME/ belongs to each source. threads: of all jobs together; options: of
    `emoga.track`, the same for all. Raises InputError, before anything starts, for sources of one name and for
    outputs that exist.
    """
    folder, outputs = Path(folder), outputs_of(sources, folder)
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: give 1 or more")
    for output in outputs:
        check_output(output, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    share = max(1, (threads or os.cpu_count() or 1) // min(jobs, len(outputs)))
    calls = [
        {
            "source": Path(source), "output": output, "landmarks": _own(landmarks, output.stem, ".npz"),
            "masks": _own(masks, output.stem, ""), "overwrite": overwrite, **options,
        }
        for source, output in zip(sources, outputs, strict=True)
    ]  # fmt: skip
    return _run_all(calls, jobs, share, report)


def outputs_of(sources: Sequence[str | Path], folder: str | Path) -> list[Path]:
    """The file each source's track is written to. Raises InputError for sources of one name and for a file."""
    folder = Path(folder)
    if folder.is_file():
        raise InputError(f"{folder}: is a file; of several clips --output is a folder")
    return [folder / f"{name}.h5" for name in clip_names([Path(source) for source in sources])]


def clip_names(sources: Sequence[Path]) -> list[str]:
    """A name for each source. Raises InputError when two cannot be told apart."""
    names = [source.stem if source.suffix else source.name for source in sources]
    alike = Counter(names)
    names = [
        f"{source.absolute().parent.name}_{name}" if alike[name] > 1 else name
        for source, name in zip(sources, names, strict=True)
    ]
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{count} of the clips are called {name}; track them one by one")
    return names


def _own(folder: str | Path | None, name: str, suffix: str) -> Path | None:
    """What a folder holds for one clip."""
    if folder is None:
        return None
    folder = Path(folder)
    return folder / name if (folder / name).is_dir() else folder / f"{name}{suffix}"


def _run_all(calls: list[dict[str, Any]], jobs: int, threads: int, report: Reporter) -> list[Outcome]:
    waiting, outcomes = list(enumerate(calls)), {}
    running: dict[Connection, tuple[int, Any]] = {}
    report(Stage("clips", len(calls)))
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number, call = waiting.pop(0)
                receiver, process = _start(call, threads)
                running[receiver] = (number, process)
            for receiver in wait(list(running)):
                number, process = running[receiver]
                message = _message(receiver, process)
                if isinstance(message, Note):
                    report(Note(f"{calls[number]['source']}: {message.text}", message.warning))
                    continue
                del running[receiver]
                outcomes[number] = Outcome(calls[number]["source"], calls[number]["output"], *message)
                report(_note(outcomes[number]))
                report(Step(len(outcomes)))
    finally:
        for _, process in running.values():
            process.terminate()
    return [outcomes[number] for number in range(len(calls))]


def _start(call: dict[str, Any], threads: int) -> tuple[Connection, Any]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_track_one, args=(call, sender), daemon=True)
    kept = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    # The child reads these when it imports its libraries.
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        process.start()
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    sender.close()
    return receiver, process


def _track_one(call: dict[str, Any], sender: Connection) -> None:
    """The work of one process: what it has to say, then its track's figures or what went wrong."""

    def report(event: Event) -> None:
        if isinstance(event, Note):
            sender.send(event)

    try:
        found = track(**call, report=report)
        figures = {"cameras": len(found.cameras), "frames": found.frame_count, **found.provenance}
        sender.send((figures, "", 0))
    except EmogaError as error:
        sender.send((None, str(error), error.exit_code))
    except MemoryError:
        sender.send((None, "out of memory; use fewer --jobs", EnvironmentFailure.exit_code))
    except Exception as error:
        sender.send((None, f"internal error: {type(error).__name__}: {error}", EmogaError.exit_code))


def _message(receiver: Connection, process: Any) -> Note | tuple[dict[str, Any] | None, str, int]:
    """What a process says next: a note, or figures, error and exit code of its clip."""
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        return (
            None,
            f"its process was killed (code {process.exitcode}), perhaps for its memory; use fewer --jobs",
            EnvironmentFailure.exit_code,
        )


def _note(outcome: Outcome) -> Note:
    if outcome.figures is None:
        return Note(f"{outcome.source}: {outcome.error}", warning=True)
    return Note(f"{outcome.source}: tracked to {outcome.output}")
