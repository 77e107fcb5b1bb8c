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
        lines += [f"  {name:{width}}  {_short(value)}" for name, value in found.facts.items()]
        session.finish({"path": found.path, "kind": found.kind, **found.facts}, "\n".join(lines))


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (dict, list)):
        return json.dumps(plain(value)) if value else "none"
    return str(value)
