"""Typed progress events: the library emits them, the command line decides how to draw them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Stage:
    """A named piece of work begins; `total` steps, or None when unknown."""

    name: str
    total: int | None = None


@dataclass(frozen=True)
class Step:
    """`done` steps of the current stage are finished; `figures` are values worth showing."""

    done: int
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Note:
    """A sentence for the user; `warning` marks what he should not miss."""

    text: str
    warning: bool = False


Event = Stage | Step | Note
Reporter = Callable[[Event], None]


def silent(event: Event) -> None:
    """The reporter of callers who want no progress."""


def tracked(items: Iterable[Item], name: str, report: Reporter, total: int | None = None) -> Iterator[Item]:
    """Yield `items` and report one step after each."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    report(Stage(name, total))
    for done, item in enumerate(items, start=1):
        yield item
        report(Step(done))
