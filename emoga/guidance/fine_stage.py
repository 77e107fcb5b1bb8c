"""The second stage of editing views (DynamicAvatars 4.3): one operation at a time, in latents, only where it acts.

What an operation removes or moves is first laid out in the latents: a hole is filled from around it, a thing is put
down elsewhere. All views are held to one such change of what they share; then the place is denoised again under the
operation's own words, by the views together, while the rest keeps its latents at every step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, interpolate

from emoga.errors import InputError
from emoga.guidance.carrying import EVEN, DepthCarrier, agreed_edit
from emoga.guidance.correspondence import ViewScene
from emoga.guidance.edit_plan import Operation
from emoga.guidance.prompts import SUBJECT_SEED
from emoga.guidance.view_editing import ViewEditor, ViewRequest
from emoga.images import from_uint8, to_uint8
from emoga.progress import Reporter, silent

# Share of the noise under which a place is drawn again: a new thing from noise alone, what only lies elsewhere hardly.
NOISE = {"add": 1.0, "change": 0.8, "remove": 0.5, "move": 0.3}
# Share of a latent's pixels from which it belongs to a mask.
INSIDE = 0.3


@dataclass(frozen=True)
class FineStep:
    """One operation on V edited views. where [V,S,S] in 0..1: what it acts on; onto [V,S,S]: where that moves to."""

    operation: Operation
    where: np.ndarray
    onto: np.ndarray | None = None

    def __post_init__(self) -> None:
        if (self.operation.action == "move") != (self.onto is not None):
            raise InputError("a second stage of `move` needs the place to move to, and no other action does")

    @property
    def place(self) -> np.ndarray:
        """[V,S,S]: all that may change."""
        return self.where if self.onto is None else np.maximum(self.where, self.onto)


def refined(
    editor: ViewEditor, pictures: np.ndarray, scene: ViewScene, step: FineStep, seed: int = SUBJECT_SEED,
    strength: float = 1.0, report: Reporter = silent,
) -> np.ndarray:  # fmt: skip
    """Edited views uint8 [V,S,S,3] after one operation more. Pixels outside of the step's place keep their values.

    Raises InputError for an editor that cannot, MissingComponent without its packages.
    """
    place = np.asarray(step.place, np.float32)
    if place.shape != pictures.shape[:3]:
        raise InputError(f"the place of a second stage is {place.shape}, the views are {pictures.shape[:3]}")
    if not place.any():
        return pictures
    laid = pictures
    if step.operation.action in ("remove", "move"):
        laid = _blended(
            editor.rewritten(pictures, lambda latents: _aligned(scene, latents, step), report),
            pictures,
            place,
        )
    steady = ViewEditor(editor.editor, replace(editor.settings, late=0.0))
    request = ViewRequest(
        laid, scene, instruction(step.operation), keep=1 - place, seed=seed, start=laid,
        start_noise=NOISE[step.operation.action], strength=strength,
    )  # fmt: skip
    return _blended(steady.edit(request, report), laid, place)


def laid_out(latents: torch.Tensor, where: torch.Tensor, onto: torch.Tensor | None) -> torch.Tensor:
    """Latents [V,C,h,w] whose content in masks bool [V,h,w] is gone, filled from around, and now lies in `onto`."""
    result = filled(latents, where)
    if onto is None:
        return result
    for view in range(len(latents)):
        if not (where[view].any() and onto[view].any()):
            continue
        middles = [mask[view].nonzero().float().mean(0) for mask in (where, onto)]
        shift = (middles[1] - middles[0]).round().long().tolist()
        content = torch.roll(latents[view], shift, (1, 2))
        there = _shifted(where[view], shift)
        result[view] = torch.where(there, content, result[view])
    return result


def filled(latents: torch.Tensor, holes: torch.Tensor) -> torch.Tensor:
    """Latents [V,C,h,w] whose holes bool [V,h,w] take the mean of their neighbours, from the rim inwards."""
    known = (~holes)[:, None].to(latents)
    result = latents * known
    while bool((known == 0).any()) and bool((known > 0).any((1, 2, 3)).all()):
        share = avg_pool2d(known, 3, 1, 1)
        mean = avg_pool2d(result * known, 3, 1, 1) / share.clamp(min=1e-6)
        fresh = (known == 0) & (share > 0)
        result = torch.where(fresh, mean, result)
        known = torch.where(fresh, torch.ones_like(known), known)
    return torch.where(known > 0, result, latents)


def instruction(step: Operation) -> str:
    """The operation in an editor's words."""
    looks = " ".join(word for word in (*step.style, step.colour, step.material) if word)
    name = step.target.replace("_", " ")
    thing = f"{looks} {name}".strip()
    side = f"{step.side} " if step.side in ("left", "right") else ""
    place = f" on the {side}{', '.join(step.position)}" if step.position else ""
    if step.action == "add":
        return f"add a {thing}{place}"
    if step.action in ("remove", "move"):
        return f"{step.action} the {side}{name}{place}"
    how = looks or f"{step.direction} {step.attribute}".strip()
    return f"make the {side}{name} {how}"


def _aligned(scene: ViewScene, latents: torch.Tensor, step: FineStep) -> torch.Tensor:
    """The step laid out in the latents of all views, which then agree on the change of what they share."""
    where, onto = (_at_latents(mask, latents) for mask in (step.where, step.onto))
    change = laid_out(latents, where, onto) - latents
    together = agreed_edit(DepthCarrier(scene, latents.device, EVEN), change, list(range(len(latents))))
    place = where if onto is None else where | onto
    return latents + together * place[:, None].to(latents)


def _at_latents(mask: np.ndarray | None, latents: torch.Tensor) -> torch.Tensor | None:
    if mask is None:
        return None
    fine = torch.from_numpy(np.asarray(mask, np.float32))[:, None].to(latents.device)
    return interpolate(fine, latents.shape[-2:], mode="area")[:, 0] > INSIDE


def _shifted(mask: torch.Tensor, shift: list[int]) -> torch.Tensor:
    """A mask [h,w] moved by whole latents; what leaves the picture does not come in on the other side."""
    rows, columns = (mask.nonzero() + torch.tensor(shift, device=mask.device)).T
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    moved = torch.zeros_like(mask)
    moved[rows[inside], columns[inside]] = True
    return moved


def _blended(inner: np.ndarray, outer: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Pictures uint8 [V,S,S,3]: `inner` where place [V,S,S] is 1, `outer` where it is 0."""
    share = place[..., None]
    return to_uint8(share * from_uint8(inner) + (1 - share) * from_uint8(outer))
