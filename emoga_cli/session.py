"""What surrounds every verb: progress, threads, measuring, and the result on stdout."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import typer

import emoga
from emoga.errors import InputError, Interrupted
from emoga_cli.options import DeviceOption, JsonOption, QuietOption, SeedOption, ThreadsOption, VerboseOption
from emoga_cli.progress import Progress

if TYPE_CHECKING:
    from emoga_cli.plans import Plan

COMMON: dict[str, tuple[Any, Any]] = {
    "device": (DeviceOption, "auto"),
    "seed": (SeedOption, 0),
    "threads": (ThreadsOption, None),
    "json": (JsonOption, False),
    "quiet": (QuietOption, False),
    "verbose": (VerboseOption, False),
}
PLAIN = ("json", "quiet", "verbose")


class Session:
    """One run of a verb: hands out `report`, `device` and `seed`, collects the result, prints it once.

    The result is a mapping; `--json` prints it whole with the run's figures, else `text` is printed.
    """

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self.json: bool = options["json"]
        self.device: str = options.get("device", "cpu")
        self._computed_on = "cpu"
        self.seed: int = options.get("seed", 0)
        self.threads: int = options.get("threads") or os.cpu_count() or 1
        self.report = Progress(options["quiet"], options["verbose"])
        self._started = time.perf_counter()
        # Matrices here are small: BLAS threads gain nothing, and on a busy machine they wait for each other, spinning.
        # Read once, when NumPy is first imported, which has not happened yet.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        if options.get("threads"):
            _limit_threads(self.threads)

    def finish(self, result: Mapping[str, Any], text: str = "") -> None:
        """Print the verb's result: one JSON object, or `text` when there is some."""
        self.report.close()
        if self.json:
            print(json.dumps(plain({**result, **self.figures()}), indent=1, allow_nan=False))
        elif text:
            print(text)

    def plan(self, plan: Plan) -> None:
        """Print a plan instead of running it."""
        self.finish({"plan": vars(plan)}, plan.text())

    def torch_device(self) -> str:
        """ "cpu" or "cuda", found out now. Raises MissingComponent when CUDA is asked for and not usable."""
        from emoga.progress import Note
        from emoga.render.gsplat_kernels import no_gpu, resolve_device, why_unusable

        self._computed_on = resolve_device(self.device)
        if self.device == "auto" and self._computed_on == "cpu" and not no_gpu():
            self.report(Note(f"there is a GPU, but the CPU computes: {why_unusable()}"))
        return self._computed_on

    def stay_on_cpu(self) -> None:
        """Say so where CUDA was asked of a verb that has nothing to do there."""
        if self.device == "cuda":
            from emoga.progress import Note

            self.report(Note(f"{self.name} computes on the CPU, whatever --device says", warning=True))

    def refuse_json_with_stream(self, output: object) -> None:
        """stdout can carry the result file or the JSON object, not both."""
        if self.json and str(output) == "-":
            raise InputError("--json and --output - both want stdout; write the result to a file")

    def figures(self) -> dict[str, Any]:
        """What every verb's JSON carries."""
        return {
            "seconds": round(time.perf_counter() - self._started, 3),
            "peak_rss_mb": peak_rss_mb(),
            "version": emoga.__version__,
            "device": self._computed_on,
            "threads": self.threads,
            "seed": self.seed,
        }


def verb(
    app: typer.Typer, name: str, common: tuple[str, ...] = tuple(COMMON), checkpoints: bool = False
) -> Callable[[Callable], Callable]:
    """Register `function(session, ...)` as command `name`, adding the options every verb has.

    The function's docstring is its help. typer reads signatures, so the common options are added to it here
    instead of being repeated in every verb. checkpoints: the verb can always be resumed when interrupted.
    """

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function, eval_str=True)
        own = [p for p in signature.parameters.values() if p.name != "session"]
        shared = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for key, (annotation, default) in COMMON.items()
            if key in common
        ]

        @functools.wraps(function)
        def command(**arguments: Any) -> None:
            options = {key: arguments.pop(key) for key in common}
            session = Session(name, options)
            try:
                with session.report:
                    function(session=session, **arguments)
            except BrokenPipeError:
                forget_stdout()
                raise typer.Exit(0) from None
            except KeyboardInterrupt:
                raise Interrupted(
                    "interrupted" + ("; run again with --resume to go on" if checkpoints else "")
                ) from None

        command.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in [*own, *shared]}
        app.command(name)(command)
        return function

    return decorate


def forget_stdout() -> None:
    """The reader of our stdout has gone: nothing is wrong, and nothing more can be said there."""
    sys.stdout = open(os.devnull, "w")


def plain(value: Any) -> Any:
    """The same data in JSON's own types; numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return str(value)


def peak_rss_mb() -> float | None:
    """Largest resident memory of this process so far, in MB; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _limit_threads(count: int) -> None:
    # Read once, when the libraries are first imported, which has not happened yet.
    for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[variable] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
    if "numba" in sys.modules:
        numba = sys.modules["numba"]
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
