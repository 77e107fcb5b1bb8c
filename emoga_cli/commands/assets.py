"""`emoga assets`: keeps what users supply (FLAME, detectors, networks, weights) where emoga finds it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from emoga_cli.session import PLAIN, Session, verb

if TYPE_CHECKING:
    from emoga.assets import Asset


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @verb(app, "assets", common=PLAIN)
    def assets(
        session: Session,
        action: Annotated[
            Literal["add", "list", "remove"], typer.Argument(help="add, list or remove.")
        ] = "list",
        item: Annotated[
            str | None,
            typer.Argument(metavar="FILE", help="File or folder to add, or a listed name to remove."),
        ] = None,
        kind: Annotated[
            str | None, typer.Option("--as", help="What the file is, where its content does not tell.")
        ] = None,
    ) -> None:
        """Keep files that you obtained, so that emoga finds them: FLAME models are checked and converted.

        Known: flame2020, flame2023, flame2023-open and FLAME's masks, landmark embeddings and head_template.obj;
        MediaPipe's face_landmarker.task; an ArcFace network (.onnx); VGG and AlexNet; diffusers folders.
        Pickles are read as data: nothing in them runs.

        Example: emoga assets add generic_model.pkl --as flame2020
        """
        from emoga.assets import list_assets
        from emoga.errors import InputError
        from emoga.files import data_dir

        if action == "list":
            if item is not None:
                raise InputError("`emoga assets list` takes no file; to keep one: emoga assets add FILE")
            found = list_assets()
        elif item is None:
            raise InputError(f"`emoga assets {action}` needs a file or name after it")
        elif action == "add":
            from emoga.supply import add_asset

            found = [add_asset(Path(item), kind)]
        else:
            from emoga.supply import drop_asset

            found = [drop_asset(item)]
        lines = [_line(asset) for asset in found] or [f"{data_dir()}: nothing added yet"]
        result = {
            "folder": str(data_dir()), "action": action,
            "assets": [{**vars(asset), "usable": asset.usable} for asset in found],
        }  # fmt: skip
        session.finish(result, "\n".join(lines))


def _line(asset: Asset) -> str:
    return f"{asset.name:24} {asset.kind:12} {asset.file:32} {asset.sha256[:12]}".rstrip()
