"""`emoga cache`: shows and clears what emoga keeps to be faster next time."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from emoga_cli.session import PLAIN, Session, verb


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "cache", common=PLAIN)
    def cache(
        session: Session,
        clear: Annotated[bool, typer.Option("--clear", help="Delete everything in it.")] = False,
    ) -> None:
        """Show the cache folder and its size, or clear it. It holds only what can be made again.

        Example: emoga cache --clear
        """
        from emoga.files import cache_dir

        folder = cache_dir()
        entries = {child.name: _size(child) for child in sorted(folder.glob("*"))} if folder.is_dir() else {}
        if clear:
            _clear(folder)
        total = sum(entries.values())
        lines = [f"{folder}  {_megabytes(total)}{'  cleared' if clear else ''}"]
        lines += [f"  {name:30} {_megabytes(size)}" for name, size in entries.items()]
        result = {"folder": str(folder), "bytes": total, "entries": entries, "cleared": clear}
        session.finish(result, "\n".join(lines))


def _clear(folder: Path) -> None:
    for child in folder.glob("*"):
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
