"""Open an editor from its text: `warp`, `images:DIR`, `ultraedit:DIR`, ... or a diffusers folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emoga.errors import InputError
from emoga.guidance.diffusion import DiffusionEditor
from emoga.guidance.editor import Editor
from emoga.guidance.exchange import FolderEditor
from emoga.guidance.families import FAMILIES
from emoga.guidance.warp import WarpEditor

KNOWN_EDITORS = ("warp", "images:DIR", *(f"{name}:DIR" for name in FAMILIES), "a local diffusers folder")


def open_editor(text: str, **options: Any) -> Editor:
    """The editor that `text` names.

    options: `fields` for `warp`; for models `weights` (the folder that holds the models' folders), `device`,
        `dtype`, `steps`, `size`, `text_guidance`, `image_guidance`, `offload`.
    Raises InputError for an unknown editor or option, MissingComponent for weights or packages not here.
    """
    kind, _, rest = text.partition(":")
    if (Path(text) / "model_index.json").is_file():
        return _made(text, DiffusionEditor, family=None, folder=Path(text), **options)
    if text == "warp":
        return _made(text, WarpEditor, **options)
    if kind == "images":
        if not rest:
            raise InputError("images: names no folder; write images:DIR")
        return _made(text, FolderEditor, folder=rest, **options)
    if kind in FAMILIES:
        return _made(text, DiffusionEditor, family=kind, folder=Path(rest) if rest else None, **options)
    if Path(text).is_dir():
        raise InputError(f"{text}: has no model_index.json; expected a folder that diffusers saved")
    raise InputError(f"unknown editor {text!r}; known are: {', '.join(KNOWN_EDITORS)}")


def _made(text: str, make: Callable[..., Editor], **options: Any) -> Editor:
    try:
        inspect.signature(make).bind(**options)
    except TypeError as error:
        raise InputError(f"editor {text}: {error}") from error
    return make(**options)
