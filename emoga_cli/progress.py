"""Draws the library's progress events on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

from emoga.progress import Event, Note, Stage, Step


class Progress:
    """A `Reporter` that draws. Use as a context manager, so that the terminal is left clean.

    quiet: only warnings. verbose: figures at every tenth of a stage, also without a terminal.
    """

    def __init__(self, quiet: bool = False, verbose: bool = False) -> None:
        self._quiet, self._verbose = quiet, verbose
        self._bar = None
        self._task = None
        self._stage = Stage("")
        self._last_tenth = 0

    def __enter__(self) -> Progress:
        if sys.stderr.isatty() and not self._quiet:
            self._bar = _make_bar()
            self._bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop drawing and leave the terminal clean; what comes later appears as plain lines."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        if isinstance(event, Note):
            self._note(event)
        elif self._quiet:
            return
        elif isinstance(event, Stage):
            self._begin(event)
        elif isinstance(event, Step):
            self._advance(event)

    def _note(self, note: Note) -> None:
        if note.warning:
            self._line(f"warning: {note.text}")
        elif not self._quiet:
            self._line(note.text)

    def _begin(self, stage: Stage) -> None:
        self._stage, self._last_tenth = stage, 0
        if self._bar is None:
            self._line(stage.name if stage.total is None else f"{stage.name} ({stage.total})")
            return
        if self._task is not None:
            self._bar.stop_task(self._task)
        self._task = self._bar.add_task(stage.name, total=stage.total, figures="")

    def _advance(self, step: Step) -> None:
        figures = "  ".join(f"{name} {value:.4g}" for name, value in step.figures.items())
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step.done, figures=figures)
        elif self._verbose and self._stage.total:
            tenth = 10 * step.done // self._stage.total
            if tenth > self._last_tenth:
                self._last_tenth = tenth
                self._line(f"{self._stage.name} {step.done}/{self._stage.total}  {figures}".rstrip())

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)


def _make_bar():  # type: ignore[no-untyped-def]
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        console=Console(stderr=True),
        # rich would otherwise send what we print on stdout to its own console, which is stderr.
        redirect_stdout=False,
        redirect_stderr=False,
    )
