"""Every command explains itself and shows an example of itself that parses; help is quick."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from emoga_cli.main import app

ROOT = Path(__file__).parent.parent
PROGRAM = typer.main.get_command(app)
COMMANDS = sorted(PROGRAM.commands)


def help_of(name: str) -> str:
    command = PROGRAM.commands[name]
    return command.get_help(command.make_context(name, [], resilient_parsing=True))


def examples_in(text: str) -> list[str]:
    """Command lines of emoga in a text, continuation lines joined."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return re.findall(r"^(?: {4}|Example: )(emoga [a-z].*)$", joined, flags=re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    command = PROGRAM.commands[name]
    assert command.help and command.help.strip()
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"emoga {name}: {parameter.name} has no help"
    assert "Show this message" in help_of(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example_that_parses(name: str) -> None:
    examples = examples_in(PROGRAM.commands[name].help)
    assert examples, f"emoga {name} shows no example"
    for example in examples:
        parse(example)


def parse(example: str) -> None:
    """Parse a command line without running it; raises for anything the program would refuse."""
    words = shlex.split(example.split(" | ")[0].split(" > ")[0], comments=True)
    if words[1:3] == ["eval", "track"]:  # in two words
        del words[2]
    assert words[1] in PROGRAM.commands, example
    PROGRAM.commands[words[1]].make_context(words[1], words[2:])


def test_the_readme_shows_every_command_and_its_lines_and_those_of_docs_parse() -> None:
    lines = examples_in((ROOT / "README.md").read_text(encoding="utf-8"))
    for page in (ROOT / "docs").glob("*.md"):
        lines += examples_in(page.read_text(encoding="utf-8"))
    for line in lines:
        parse(line)
    assert {line.split()[1] for line in lines} >= set(COMMANDS)


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['emoga', '--help']\n"
        "from emoga_cli.main import main; main()\n"
        "heavy = {'torch', 'numpy', 'h5py', 'numba', 'cv2', 'av'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
