"""From pictures of a track to their edits: by any editor, once for every emotion, kept for a resumed run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from emoga.capture import Track
from emoga.emotion.acting import Actor
from emoga.emotion.choosing import Choice
from emoga.emotion.edits import EmotionEdits
from emoga.emotion.kept import KeptEdits
from emoga.emotion.masks import MaskKind, head_mask, picture_masks, read_masks
from emoga.emotion.naming import NamedEmotion
from emoga.emotion.shading import light_on
from emoga.emotion.warping import FaceWarp
from emoga.errors import InputError
from emoga.files import atomic_folder, check_output_folder
from emoga.guidance import (
    SUBJECT_SEED,
    EditEstimate,
    Editor,
    EditRequest,
    PictureName,
    open_editor,
    write_exchange,
)
from emoga.guidance.exchange import relative_path
from emoga.images import from_uint8, write_png
from emoga.progress import Note, Reporter, silent

FOLDER = "images:"


@dataclass(frozen=True)
class EditorChoice:
    """Which editor makes the edits, how strongly, from which seed, with which options of its own."""

    text: str = "warp"
    strength: float = 1.0
    seed: int = SUBJECT_SEED
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def invents(self) -> bool:
        """Whether it may change what the emotion has nothing to do with."""
        return self.text != "warp"

    def on(self, device: str) -> EditorChoice:
        """The same on a device, if it computes with a model."""
        if not self.invents or self.text.startswith(FOLDER):
            return self
        return replace(self, options={"device": device, **self.options})


@dataclass(frozen=True, eq=False)
class EditedPictures:
    """The P pictures that every emotion's editor is given.

    pairs: (view, frame) in the track; names: their camera and frame of the media; captured uint8 [P,H,W,3];
    masks uint8 [P,H,W], of a kind.
    """

    pairs: list[tuple[int, int]]
    names: tuple[PictureName, ...]
    captured: np.ndarray
    masks: np.ndarray
    kind: MaskKind | Literal["parser"]

    @classmethod
    def of(
        cls,
        actor: Actor,
        track: Track,
        choice: Choice,
        kind: MaskKind,
        parser: str | Path | None,
        invents: bool,
    ) -> EditedPictures:
        """Read the chosen pictures and mark where they may be edited, by a face parser's folder where one is named.

        invents: of an editor other than warp. Raises InputError for masks that do not fit or leave nothing to edit.
        """
        pairs = choice.pairs
        names = tuple(
            PictureName(track.cameras[view].name, int(track.frames[frame])) for view, frame in pairs
        )
        captured = np.stack([track.picture(view, frame) for view, frame in pairs])
        if parser is None:
            masks = picture_masks(actor, track, pairs, kind, invents)
        else:
            within = np.stack([head_mask(track, view, frame) for view, frame in pairs])
            masks = np.minimum(read_masks(parser, names, *captured.shape[1:3]), within)
        if not masks.any():
            raise InputError("the masks leave nothing to edit; choose another --mask, or other frames")
        return cls(pairs, names, captured, masks, "parser" if parser else kind)

    def request(self, emotion: NamedEmotion, chosen: EditorChoice) -> EditRequest:
        """What an editor is asked to do for one emotion."""
        return EditRequest(
            self.captured, self.names, emotion.prompt, emotion.negative_prompt, from_uint8(self.masks),
            chosen.strength, chosen.seed,
        )  # fmt: skip


class EditMaker:
    """Makes the edits of some emotions of one subject; a model that serves several is loaded once."""

    def __init__(
        self,
        actor: Actor,
        track: Track,
        pictures: EditedPictures,
        emotions: Sequence[NamedEmotion],
        chosen: EditorChoice,
    ) -> None:
        self.actor, self.track, self.chosen = actor, track, chosen
        self.emotions = list(emotions)
        self._shared: Editor | None = None
        self._warps: dict[str, FaceWarp] = {}
        if not chosen.invents:
            light = light_on(actor, track, pictures.pairs)
            places = dict(zip(pictures.names, pictures.pairs, strict=True))
            self._warps = {e.name: FaceWarp(actor, track, e, light, places) for e in self.emotions}
        self.pictures = {emotion.name: self._pictures_of(emotion, pictures) for emotion in self.emotions}

    def estimate(self) -> EditEstimate:
        """What the hardest emotion's editing takes. Raises here what editing would raise early, for every emotion."""
        found = [self._editor(emotion).estimate(self._request(emotion)) for emotion in self.emotions]
        return max(found, key=lambda estimate: estimate.peak_bytes)

    @property
    def keeps(self) -> bool:
        """Whether edits are worth keeping for a resumed run; a folder's are there anyway, and may be others by then."""
        return not self.chosen.text.startswith(FOLDER)

    def make(self, kept: KeptEdits | None = None, report: Reporter = silent) -> list[EmotionEdits]:
        """Every emotion's edits; those that `kept` has from an earlier run are not made again."""
        if not self.keeps:
            kept = None
        edits = []
        for emotion in self.emotions:
            pictures, identity = self.pictures[emotion.name], self._identity(emotion)
            edited = None if kept is None else kept.read(emotion.name, identity, pictures.captured.shape)
            if edited is None:
                edited = self._editor(emotion).edit(self._request(emotion), report)
                if kept is not None:
                    kept.write(emotion.name, identity, edited)
            else:
                report(Note(f"{emotion.name}: edits of the earlier run are used again"))
            views, frames = np.array(pictures.pairs).T
            given = pictures.captured, edited, pictures.masks
            meant = emotion.offset.double().numpy(), emotion.flush
            edits.append(EmotionEdits(emotion.name, views, frames, *given, *meant))
        return edits

    def _pictures_of(self, emotion: NamedEmotion, pictures: EditedPictures) -> EditedPictures:
        """The pictures with masks for this emotion.

        A warp of the whole head may also use where the face goes; edits made elsewhere may bring their masks.
        """
        if self._warps and pictures.kind in ("auto", "none"):
            warp = self._warps[emotion.name]
            reached = [warp.reach(name, self.chosen.strength) for name in pictures.names]
            return replace(pictures, masks=np.where(np.stack(reached), np.uint8(255), pictures.masks))
        if self.chosen.text.startswith(FOLDER) and pictures.kind == "auto":
            folder = self._folder(emotion) / "masks"
            if folder.is_dir():
                masks = read_masks(folder, pictures.names, *pictures.captured.shape[1:3])
                return replace(pictures, masks=masks)
        return pictures

    def _request(self, emotion: NamedEmotion) -> EditRequest:
        return self.pictures[emotion.name].request(emotion, self.chosen)

    def _editor(self, emotion: NamedEmotion) -> Editor:
        text, options = self.chosen.text, self.chosen.options
        if emotion.name in self._warps:
            return open_editor(text, fields=self._warps[emotion.name], **options)
        if text.startswith(FOLDER):
            return open_editor(FOLDER + str(self._folder(emotion)), **options)
        if self._shared is None:
            self._shared = open_editor(text, **options)
        return self._shared

    def _folder(self, emotion: NamedEmotion) -> Path:
        """DIR/<emotion>; DIR itself may hold the pictures of a single emotion."""
        folder = Path(self.chosen.text.removeprefix(FOLDER))
        own = folder / emotion.name
        return folder if len(self.emotions) == 1 and not own.is_dir() else own

    def _identity(self, emotion: NamedEmotion) -> str:
        """A digest of all that decides how the edits come out."""
        chosen = self.chosen
        told = (chosen.text, chosen.strength, chosen.seed, sorted(chosen.options.items()), emotion.prompt)
        digest = hashlib.sha256(repr((told, emotion.negative_prompt, emotion.flush)).encode())
        pictures = self.pictures[emotion.name]
        for name in pictures.names:
            digest.update(str(name).encode())
        for array in (pictures.captured, pictures.masks, emotion.offset.numpy()):
            digest.update(np.ascontiguousarray(array).tobytes())
        gaussians = self.actor.renderer.puppet.gaussians
        for tensor in (self.actor.params.expr, gaussians.means, gaussians.sh, gaussians.logit_opacities):
            digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
        return digest.hexdigest()


def write_requests(
    folder: str | Path,
    pictures: EditedPictures,
    emotions: Sequence[NamedEmotion],
    chosen: EditorChoice,
    overwrite: bool = False,
    report: Reporter = silent,
) -> list[Path]:
    """Write DIR/<emotion>/{images,masks,edit.json} for tools outside, and return those folders.

    A tool that edits DIR/<emotion>/images into EDITED/<emotion> has made what `images:EDITED` reads.
    """
    folder = check_output_folder(folder, overwrite)
    written = []
    for emotion in emotions:
        request = pictures.request(emotion, chosen)
        written.append(write_exchange(folder / emotion.name, request, overwrite, report))
    return written


def write_edited(
    folder: str | Path, edits: Sequence[EmotionEdits], names: Sequence[PictureName], overwrite: bool = False
) -> None:
    """Write DIR/<emotion>/<camera>/<frame>.png and their masks in DIR/<emotion>/masks, as `images:DIR` reads them."""
    folder = check_output_folder(folder, overwrite)
    for edit in edits:
        with atomic_folder(folder / edit.name, overwrite) as temporary:
            for name, picture, mask in zip(names, edit.edited, edit.masks, strict=True):
                for path, image in ((relative_path(name), picture), ("masks" / relative_path(name), mask)):
                    (temporary / path).parent.mkdir(parents=True, exist_ok=True)
                    write_png(temporary / path, image)
