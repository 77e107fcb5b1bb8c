"""Every way emoga can fail, each with the exit code the command line returns for it."""

from __future__ import annotations


class EmogaError(Exception):
    """Base of all expected failures; the message is one line written for the user."""

    exit_code = 1


class EnvironmentFailure(EmogaError):
    """The machine could not do it: disk full, out of memory, a file that cannot be written."""

    exit_code = 1


class InputError(EmogaError):
    """Bad input or usage. The message names the file, what is wrong and what to do."""

    exit_code = 2


class MissingComponent(EmogaError):
    """An optional package or a user-supplied file is absent. The message says how to get it."""

    exit_code = 3


class QualityError(EmogaError):
    """Work finished but did not converge or stayed below the requested quality."""

    exit_code = 4


class Interrupted(EmogaError):
    """Stopped by the user; a checkpoint lets `--resume` go on."""

    exit_code = 130
