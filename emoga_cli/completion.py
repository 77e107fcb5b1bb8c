"""Writes the completion scripts in `completions/`: `python -m emoga_cli.completion FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from typer.completion import get_completion_script

SHELLS = {"bash": "emoga.bash", "zsh": "_emoga", "fish": "emoga.fish"}


def completion_scripts() -> dict[str, str]:
    """The script of every shell, by file name."""
    return {
        name: get_completion_script(prog_name="emoga", complete_var="_EMOGA_COMPLETE", shell=shell).rstrip()
        + "\n"
        for shell, name in SHELLS.items()
    }


def main() -> None:
    """Write all scripts into the folder named on the command line."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, script in completion_scripts().items():
        (folder / name).write_text(script, encoding="utf-8")


if __name__ == "__main__":
    main()
