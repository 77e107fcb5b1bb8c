"""The `emoga` program: assembles the verbs, turns every failure into one line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
import typer.completion
import typer.core

import emoga
from emoga.errors import EmogaError
from emoga_cli.commands import (
    assets,
    cache,
    demo,
    doctor,
    edit,
    evaluate,
    evaluate_edit,
    evaluate_emotion,
    export,
    fit,
    info,
    optimize_emotion,
    reenact,
    studio,
    track,
)
from emoga_cli.session import forget_stdout

EXIT_INTERRUPTED = 130
COMPLETE_VARIABLE = "_EMOGA_COMPLETE"


class Verbs(typer.core.TyperGroup):
    """The verbs. `eval emotion` and `eval edit` are verbs in two words, `eval track FILE` is `eval FILE`.

    Files called so are `./emotion`, `./edit` and `./track`.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that the words begin with, and the words after it."""
        if args[:2] in (["eval", "emotion"], ["eval", "edit"]):
            args = [f"eval-{args[1]}", *args[2:]]
        elif args[:2] == ["eval", "track"]:
            args = ["eval", *args[2:]]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="emoga",
    cls=Verbs,
    help="From video of a face to an animatable 3D Gaussian-splat head avatar.",
    epilog="stdout carries results, stderr progress. Exit codes: 0 done, 1 environment, 2 bad input or "
    "usage, 3 optional component missing, 4 quality gate failed, 130 interrupted.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    track, fit, edit, optimize_emotion, reenact, export, evaluate, evaluate_emotion, evaluate_edit, studio, demo, info,
    doctor, assets, cache,
):  # fmt: skip
    module.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"emoga {emoga.__version__}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; never raises for expected failures."""
    if COMPLETE_VARIABLE in os.environ:
        typer.completion.completion_init()
    try:
        # Outside standalone mode the exceptions come through, and a typer.Exit becomes the returned value.
        code = app(arguments, prog_name="emoga", standalone_mode=False, complete_var=COMPLETE_VARIABLE)
        sys.stdout.flush()
        if code == EXIT_INTERRUPTED:
            return _fail("interrupted", EXIT_INTERRUPTED)
        return code if isinstance(code, int) else 0
    except EmogaError as error:
        return _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        return _fail(_usage_line(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        forget_stdout()
        return 0
    except MemoryError:
        return _fail("out of memory; use a smaller size or preset, or a machine with more memory", 1)
    except OSError as error:
        return _fail(_os_error_line(error), 1)
    except Exception as error:
        return _internal_error(error)


def run() -> NoReturn:
    """Entry point of the `emoga` program."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        # File names may hold what the terminal's encoding cannot say.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    code = main()
    # Flushing at interpreter exit would complain about a pipe that closed in the meantime.
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        forget_stdout()
    sys.exit(code)


def _terminate(number: int, frame: object) -> NoReturn:
    # Unwinds the stack, so that temporary files go.
    raise SystemExit(128 + number)


def _fail(message: str, code: int) -> int:
    one_line = " ".join(message.split())
    print(f"emoga: {one_line}", file=sys.stderr)
    return code


def _usage_line(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    return error.format_message().rstrip(".") + hint


def _os_error_line(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"{error.filename or 'output'}: no space left on the disk; free some and run again"
    return str(error)


def _internal_error(error: Exception) -> int:
    if os.environ.get("EMOGA_TRACEBACK"):
        traceback.print_exception(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    origin = f"{os.path.basename(where.filename)}:{where.lineno}"
    if "out of memory" in str(error).lower() or "can't allocate memory" in str(error).lower():
        return _fail(f"out of memory ({error}); use a smaller size or preset", 1)
    return _fail(
        f"internal error: {type(error).__name__}: {error} [{origin}]; "
        "EMOGA_TRACEBACK=1 shows where, please report it",
        1,
    )


if __name__ == "__main__":
    run()
