"""Views of one moment edited so that they agree, the avatar learnt from them, the next moment drawn by it.

Edit3DGS 3.3 and 3.4. The pictures an editor is shown are always those of the avatar before the edit. From the second
moment on it does not begin from noise alone but from the avatar as learnt so far, so that what it chose once, a hue, a
pattern, stays chosen; what all moments agree on is then learnt from the start. With a second stage (DynamicAvatars 4.3)
every operation of the plan is done once more, in the latents of the place where it acts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emoga.avatar import Avatar
from emoga.capture import Track, load_track
from emoga.editing.correspondence import rendered_scene
from emoga.editing.edited_pictures import EditedPictures
from emoga.editing.moments import (
    MOMENTS,
    Moments,
    moments_of_avatar,
    moments_of_track,
    posed_vertices,
    square_views,
)
from emoga.editing.pictures import chosen_pairs
from emoga.editing.places import fine_steps
from emoga.editing.refitting import RefitMethod, RefitOptions, refit
from emoga.errors import InputError
from emoga.guidance import SUBJECT_SEED, EditPlan, open_editor
from emoga.guidance.correspondence import ViewScene
from emoga.guidance.diffusion import DiffusionEditor
from emoga.guidance.fine_stage import refined
from emoga.guidance.view_editing import Correspondence, ViewEditor, ViewRequest, ViewSettings
from emoga.head import Head
from emoga.images import from_uint8, to_uint8
from emoga.optimize.picture import AvatarRenderer
from emoga.optimize.regions import EYES, MOUTH, region_mask, visible_faces
from emoga.progress import Note, Reporter, silent

# Share of the noise that hides the avatar as learnt so far when a later moment is edited.
AGAIN = 0.8
MARGIN = 0.03  # of the height: how far around the head an edit is learnt from
# Pixels on a side that an avatar learns from at least: in smaller pictures most of its Gaussians are seen by no pixel.
FINE = 256
# What plans call the parts that are kept unless they name them.
MOUTH_NAMES, EYE_NAMES = {"lips", "mouth", "teeth"}, {"eyes", "lashes", "eyelids"}


@dataclass(frozen=True)
class TogetherChoice:
    """What is edited together, by what and how.

    editor: a diffusion editor; options: its own. track: None draws the avatar's own motion from a ring of views.
    views, frames: numbers in the track, or of the ring and the motion, None for a spread. correspondence: None edits
    every view by itself; keep: whether eyes and mouth are re-injected; keys: views that attend to each other at a
    step; fine: whether a second stage follows.
    """

    editor: str = "instruct-pix2pix"
    track: Track | str | Path | None = None
    media: str | Path | None = None
    views: str | None = None
    frames: str | None = None
    correspondence: Correspondence | None = "depth"
    keep: bool = True
    keys: int = 4
    fine: bool = False
    believe: str = "plan"
    seed: int = SUBJECT_SEED
    options: dict[str, Any] = field(default_factory=dict)


def edited_together(
    avatar: Avatar, plan: EditPlan, prompt: str, choice: TogetherChoice, strength: float = 1.0, seed: int = 0,
    report: Reporter = silent, method: RefitMethod = "edit3dgs",
) -> tuple[Avatar, dict[str, Any]]:  # fmt: skip
    """The avatar learnt from views edited together, moment by moment, and figures of it for a report.

    method: how it learns from them.

    Raises InputError for an editor that cannot edit views together or edits that change nothing, MissingComponent for
    one that is not here.
    """
    editor = open_editor(choice.editor, **choice.options)
    if not isinstance(editor, DiffusionEditor):
        raise InputError(
            f"{choice.editor}: is no diffusion editor; views are edited together by one in a local folder"
        )
    views = ViewEditor(editor, ViewSettings(choice.correspondence, choice.keys))
    work = _Work(avatar, plan, prompt, choice, views, min(strength, 1.0))
    moments = chosen_moments(avatar, work.renderer.puppet.head, choice, work.size)
    options = RefitOptions(method, plan if choice.believe == "plan" else None, seed=seed)
    brief = replace(options, geometry=False, iterations=0)
    learnt, batches = avatar, []
    for number, frame in enumerate(moments.frames):
        report(Note(f"moment {number + 1} of {len(moments.frames)}"))
        batches.append(work.edit(moments, frame, None if number == 0 else learnt, report))
        if number + 1 < len(moments.frames):
            learnt = refit(avatar, moments.motion, _joined(batches), brief, silent)
    edits = _joined(batches)
    change = float(np.abs(edits.edited - edits.originals)[edits.masks > 0].mean())
    if change == 0:
        raise InputError(
            f"{choice.editor}: the edits are the pictures as they were; there is nothing to learn"
        )
    result = refit(avatar, moments.motion, edits, options, report)
    facts = {"pictures": len(edits.frames), "change": round(255 * change, 3)}
    return result, facts | work.held_out(moments, result, report)


def chosen_moments(avatar: Avatar, head: Head, choice: TogetherChoice, size: int) -> Moments:
    """The moments that are edited, of the choice's track or of the avatar alone; size: pixels of the editor's side."""
    track = choice.track
    if track is None:
        return moments_of_avatar(avatar, head, size, choice.views, choice.frames)
    track = track if isinstance(track, Track) else load_track(track, choice.media)
    pairs = chosen_pairs(avatar, track, choice.views, choice.frames)
    views, frames = (sorted(set(numbers)) for numbers in zip(*pairs, strict=True))
    if choice.frames is None:
        spread = np.linspace(0, len(frames) - 1, min(len(frames), MOMENTS + 1))
        frames = [frames[at] for at in spread.round().astype(int)]
    return moments_of_track(avatar, track, views, frames)


@dataclass(eq=False)
class _Work:
    """What one edit needs at every moment."""

    avatar: Avatar
    plan: EditPlan
    prompt: str
    choice: TogetherChoice
    editor: ViewEditor
    strength: float

    def __post_init__(self) -> None:
        self.renderer = AvatarRenderer(self.avatar)
        self.size = self.editor.editor.size

    def edit(
        self,
        moments: Moments,
        frame: int,
        begun: Avatar | None,
        report: Reporter,
        only: list[int] | None = None,
    ) -> EditedPictures:
        """Edits of the seen views of one frame (or of `only` some); begun: the avatar as learnt before."""
        cameras = square_views(self.renderer, moments, frame, self.size)
        chosen = moments.seen if only is None else only
        cameras = [cameras[at] for at in chosen]
        pose = self.renderer.pose(moments.motion, frame, frame + 1)[0]
        pictures, scene = rendered_scene(self.renderer, pose, cameras)
        start = None
        if begun is not None:
            start = to_uint8(AvatarRenderer(begun).draw(pose, cameras).image.numpy())
        request = ViewRequest(
            to_uint8(pictures), scene, self.prompt, keep=self._kept(moments, frame, cameras),
            seed=self.choice.seed, start=start, start_noise=AGAIN, strength=self.strength,
        )  # fmt: skip
        edited = self._refined(self.editor.edit(request, report), moments, frame, cameras, scene, report)
        masks = np.stack([_grown(depth > 0) for depth in scene.depth])
        originals, change = from_uint8(request.pictures), from_uint8(edited) - from_uint8(request.pictures)
        if self.size < FINE:
            side = self.size * -(-FINE // self.size)
            cameras = [camera.resized(side, side) for camera in cameras]
            originals = self.renderer.draw(pose, cameras).image.numpy()
            change = _enlarged(change, side, cv2.INTER_CUBIC)
            masks = _enlarged(masks, side, cv2.INTER_NEAREST)
        # Outside the head an editor has nothing to say.
        learnt = np.clip(originals + change * masks[..., None], 0, 1).astype(np.float32)
        return EditedPictures(
            learnt, originals, masks, cameras,
            np.full(len(cameras), frame), np.array([moments.views[at] for at in chosen]),
        )  # fmt: skip

    def _refined(
        self,
        edited: np.ndarray,
        moments: Moments,
        frame: int,
        cameras: list,
        scene: ViewScene,
        report: Reporter,
    ) -> np.ndarray:
        """Edited views after the second stage, if one is wanted."""
        if not self.choice.fine:
            return edited
        vertices = posed_vertices(self.renderer, moments.motion, frame)
        for step in fine_steps(self.plan, self.renderer.puppet.head, vertices, cameras):
            report(Note(f"second stage: {step.operation.words()}"))
            edited = refined(self.editor, edited, scene, step, self.choice.seed, self.strength, report)
        return edited

    def held_out(self, moments: Moments, result: Avatar, report: Reporter) -> dict[str, Any]:
        """How near the edited avatar is to edits it has not seen: of one moment, and of one view in it."""
        if moments.held_frame is None:
            return {}
        every = list(range(len(moments.cameras)))
        edits = self.edit(moments, moments.held_frame, result, report, every)
        pose = AvatarRenderer(result)
        drawn = pose.render(moments.motion, moments.held_frame, edits.cameras).image.numpy()
        errors = [
            float(((one - other)[mask > 0] ** 2).mean())
            for one, other, mask in zip(drawn, edits.edited, edits.masks, strict=True)
        ]
        psnr = [round(-10 * float(np.log10(max(error, 1e-10))), 2) for error in errors]
        figures = {"held_out_moment_psnr": round(float(np.mean(psnr)), 2)}
        if moments.held_view is not None:
            figures["held_out_view_psnr"] = psnr[moments.held_view]
        return figures

    def _kept(self, moments: Moments, frame: int, cameras: list) -> np.ndarray | None:
        """[V,S,S]: where eyes and mouth must survive, but for what the plan itself names."""
        named = {step.target for step in self.plan.operations}
        parts = (() if named & MOUTH_NAMES else MOUTH) + (() if named & EYE_NAMES else EYES)
        if not self.choice.keep or not parts:
            return None
        head = self.renderer.puppet.head
        vertices = posed_vertices(self.renderer, moments.motion, frame)
        masks = [region_mask(head, visible_faces(head, vertices, camera), parts) for camera in cameras]
        return np.stack(masks).astype(np.float32)


def _grown(inside: np.ndarray) -> np.ndarray:
    """float32 [S,S]: 1 inside and a margin around."""
    reach = max(1, round(MARGIN * len(inside)))
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(inside.astype(np.float32), brush)


def _enlarged(pictures: np.ndarray, side: int, way: int) -> np.ndarray:
    """float32 [V,S,S] or [V,S,S,3] with `side` pixels on a side."""
    return np.stack([cv2.resize(np.float32(one), (side, side), interpolation=way) for one in pictures])


def _joined(batches: list[EditedPictures]) -> EditedPictures:
    """The pictures of several moments as one record."""
    parts = {
        name: np.concatenate([getattr(batch, name) for batch in batches])
        for name in ("edited", "originals", "masks", "frames", "views")
    }
    return EditedPictures(**parts, cameras=[camera for batch in batches for camera in batch.cameras])
