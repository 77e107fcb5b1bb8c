"""`emoga info`: describes any file that emoga reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from emoga_cli.session import PLAIN, Session, plain, verb


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "info", common=PLAIN)
    def info(
        session: Session,
        file: Annotated[Path, typer.Argument(help="A file or folder.")],
    ) -> None:
        """Say what a file is and what is in it.

        Example: emoga info avatar.ply
        """
        from emoga.describe import describe

        found = describe(file)
        width = max((len(name) for name in found.facts), default=0)
        lines = [f"{found.path}: {found.kind}"]
        for name, value in found.facts.items():
            lines += _lines(f"  {name:{width}}  ", value)
        session.finish({"path": found.path, "kind": found.kind, **found.facts}, "\n".join(lines))


def _lines(label: str, value: Any) -> list[str]:
    """A fact; one that has entries with facts of their own gets a line for each of them."""
    if not (isinstance(value, dict) and value and all(isinstance(entry, dict) for entry in value.values())):
        return [label + _short(value)]
    width = max(map(len, value))
    lines = [f"{name:{width}}  {', '.join(_pairs(entry))}" for name, entry in value.items()]
    return [label + lines[0], *(" " * len(label) + line for line in lines[1:])]


def _pairs(facts: dict[str, Any]) -> list[str]:
    return [
        f"{name} " + (" ".join(_pairs(value)) if isinstance(value, dict) and value else _short(value))
        for name, value in facts.items()
    ]


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (dict, list)):
        return json.dumps(plain(value)) if value else "none"
    return str(value)
