"""The completion scripts in the repository are those the program would write, and they complete."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emoga_cli.completion import completion_scripts

FOLDER = Path(__file__).parent.parent / "completions"


@pytest.mark.parametrize("name", ["emoga.bash", "_emoga", "emoga.fish"])
def test_scripts_are_current(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    assert written == completion_scripts()[name], "run `make completions`"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("emoga re", {"reenact"}),
        ("emoga export --format s", {"splat"}),
        ("emoga track --pre", {"--preset"}),
    ],
)
def test_bash_gets_answers(words: str, expected: set[str]) -> None:
    variables = {"_EMOGA_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    run = subprocess.run(
        [sys.executable, "-m", "emoga_cli.main"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(run.stdout.split()) == expected, run.stderr
