"""`emoga doctor`: says what is usable on this machine and how to get the rest."""

from __future__ import annotations

from typing import Annotated

import typer

from emoga_cli.session import PLAIN, Session, verb


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "doctor", common=PLAIN)
    def doctor(
        session: Session,
        warm_up: Annotated[
            bool, typer.Option("--warm-up", help="Compile the kernels now, so that the first run is fast.")
        ] = False,
    ) -> None:
        """Check packages, GPU, memory, disk and optional parts, and say how to get what is missing.

        Example: emoga doctor --warm-up
        """
        from emoga.doctor import examine

        if warm_up:
            from emoga.warm_up import warm_up as compile_kernels

            compile_kernels(session.report)
        found = examine()
        width = max(len(check.name) for check in found)
        lines = [f"{'ok ' if check.usable else '-- '} {check.name:{width}} {check.detail}" for check in found]
        result = {"checks": [vars(check) for check in found]}
        session.finish(result, "\n".join(lines))
