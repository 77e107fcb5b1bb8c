"""`emoga demo`: the whole line on a synthetic performer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emoga_cli.options import OverwriteOption, PresetOption, ResumeOption
from emoga_cli.session import Session, verb
from emoga_cli.tables import format_table


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "demo", checkpoints=True)
    def demo(
        session: Session,
        output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path("demo"),
        preset: PresetOption = "default",
        resume: ResumeOption = False,
        overwrite: OverwriteOption = False,
    ) -> None:
        """Film a performer, track, fit, measure, act emotions, be driven, export: everything once.

        Example: emoga demo -o demo
        """
        session.stay_on_cpu()
        from emoga.demo import demo as run_demo

        result = run_demo(
            output,
            preset=preset,
            seed=session.seed,
            resume=resume,
            overwrite=overwrite,
            report=session.report,
        )
        files = {name: str(path) for name, path in result.files.items()}
        width = max(map(len, files), default=0)
        text = [*format_table(result.rows), "", *(f"{name:{width}}  {path}" for name, path in files.items())]
        session.finish({**result.report, "files": files}, "\n".join(text))
