"""Several views of one moment edited so that they agree: key views together, the others from their features.

Edit3DGS, sections 3.3 and 3.4. At each step of denoising some views are drawn by lot as key views; they attend to each
other, and the features that come of it are carried into the other views along correspondences. At late steps what
must survive the edit, eyes and mouth, takes the latents of the original picture at the step's own noise.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.nn.functional import interpolate

from emoga.errors import EnvironmentFailure, InputError
from emoga.guidance.carrying import EVEN, DepthCarrier, EpipolarCarrier, agreed_edit
from emoga.guidance.correspondence import ViewScene
from emoga.guidance.denoisers import BRANCHES, Denoiser, denoiser_class
from emoga.guidance.diffusion import DiffusionEditor
from emoga.guidance.injection import Carrier, Injection
from emoga.guidance.loading import require_packages
from emoga.guidance.prompts import SUBJECT_SEED
from emoga.guidance.shared_attention import Exchange, install
from emoga.images import to_uint8
from emoga.progress import Reporter, Stage, Step, silent

Correspondence = Literal["depth", "epipolar"]
CORRESPONDENCES: tuple[Correspondence, ...] = ("depth", "epipolar")
KEYS = 4
# Share of the steps after which what is kept takes the original's latents.
LATE = 0.5
# Share of the steps during which views are held to one edit of what they share; the rest make it sharp.
AGREE = 0.7
# Share of the steps during which more than what attention adds is carried; the rest draws each view's own edges.
WHOLE = 0.7
# What the contrast of features blended from several tokens is multiplied by at most, to be what theirs was.
CONTRAST = 2.0


@dataclass(frozen=True)
class ViewRequest:
    """Views to edit together. Raises InputError when the parts do not fit together.

    pictures: uint8 [V,S,S,3], S the editor's size; scene: their depth and cameras; keep [V,S,S] in 0..1: where the
    original must survive, or None. start: pictures to begin from, under a share `start_noise` of the steps' noise,
    instead of from noise alone. strength: 0 … 1, how far the text is followed.
    """

    pictures: np.ndarray
    scene: ViewScene
    prompt: str
    negative_prompt: str = ""
    keep: np.ndarray | None = None
    seed: int = SUBJECT_SEED
    start: np.ndarray | None = None
    start_noise: float = 1.0
    strength: float = 1.0

    def __post_init__(self) -> None:
        views, height, width = self.pictures.shape[:3]
        if self.scene.depth.shape != (views, height, width) or height != width:
            raise InputError("views to edit together must be square pictures with depth of the same size")
        if self.start is not None and self.start.shape != self.pictures.shape:
            raise InputError("pictures to begin from must be as many and as large as those to edit")
        if self.keep is not None and self.keep.shape != self.scene.depth.shape:
            raise InputError("the mask of what is kept must have the size of the pictures")


@dataclass(frozen=True)
class ViewSettings:
    """How views are made to agree. None as correspondence: each is edited by itself, as a baseline.

    keys: how many views attend to each other at a step. late: share of the steps after which what is kept is
    re-injected. agree: with "depth", share of the steps in which what the key views take a point's edit for, latents
    without noise less the original's, holds for every view that shows the point: ours, beyond the paper; 0: never.
    attend: whether views attend to the key views' tokens; inject: share of the steps in which what attention adds to
    the key views' tokens is added in the others too; whole: the same of what the layers behind attention add; contrast:
    what that of a blend of several tokens is multiplied by at most, to be what theirs was; 1: never. Without each,
    what the others are good for can be told.
    """

    correspondence: Correspondence | None = "depth"
    keys: int = KEYS
    late: float = LATE
    agree: float = AGREE
    attend: bool = True
    inject: float = 1.0
    whole: float = WHOLE
    contrast: float = CONTRAST


class ViewEditor:
    """A diffusion editor over several views at once.

    Raises InputError for a pipeline that cannot, MissingComponent without the packages.
    """

    def __init__(self, editor: DiffusionEditor, settings: ViewSettings | None = None) -> None:
        self.editor, self.settings = editor, settings or ViewSettings()
        self._make = denoiser_class(editor.model)
        require_packages(editor.family)

    def edit(self, request: ViewRequest, report: Reporter = silent) -> np.ndarray:
        """The edited views uint8 [V,S,S,3]; the same request gives the same pictures."""
        if request.pictures.shape[1] != self.editor.size:
            raise InputError(
                f"{self.editor.name}: edits squares of {self.editor.size} pixels, not {request.pictures.shape[1]}"
            )
        denoiser = self._opened(request.strength, report)
        settings = self.settings
        exchange = Exchange(BRANCHES)
        injection = Injection(exchange)
        injection.contrast = settings.contrast
        shared = settings.correspondence is not None and settings.attend
        put_back = [install(denoiser.model, exchange), injection.install(denoiser.model)] if shared else []
        try:
            with torch.no_grad():
                latents = self._denoised(denoiser, injection, request, report)
                made = denoiser.decode(latents)
        except torch.OutOfMemoryError as error:
            raise EnvironmentFailure(
                f"{self.editor.name}: out of memory on {self.editor.device}; take fewer key views or a smaller size"
            ) from error
        finally:
            for end in put_back:
                end()
        if not np.isfinite(made).all():
            raise InputError(f"{self.editor.name}: made no usable pictures; try dtype float32")
        return to_uint8(made)

    def rewritten(
        self, pictures: np.ndarray, change: Callable[[torch.Tensor], torch.Tensor], report: Reporter = silent
    ) -> np.ndarray:
        """Pictures uint8 [V,S,S,3] whose latents [V,C,h,w] were changed, without any denoising."""
        denoiser = self._opened(1.0, report)
        with torch.no_grad():
            return to_uint8(denoiser.decode(change(denoiser.encode(pictures))))

    def round_trip(self, pictures: np.ndarray, report: Reporter = silent) -> np.ndarray:
        """Pictures uint8 [V,S,S,3] through the autoencoder alone: what no edit at all would return."""
        return self.rewritten(pictures, lambda latents: latents, report)

    def _opened(self, strength: float, report: Reporter) -> Denoiser:
        pipeline = self.editor.pipeline(report)
        known = inspect.signature(pipeline.__call__).parameters
        text, image = self.editor.text.arguments(known, strength), self.editor.image.arguments(known)
        return self._make(pipeline, next(iter(text.values()), 1.0), next(iter(image.values()), 1.0))

    def _denoised(
        self, denoiser: Denoiser, injection: Injection, request: ViewRequest, report: Reporter
    ) -> torch.Tensor:
        """Latents [V,C,h,w] after the last step."""
        views = len(request.pictures)
        originals = denoiser.begin(
            request.pictures, request.prompt, request.negative_prompt, self.editor.steps
        )
        # The same noise for every view: with the cameras' difference it is all that would set them apart.
        chance = [torch.Generator("cpu").manual_seed(request.seed) for _ in range(views)]
        noise = torch.stack([torch.randn(originals.shape[1:], generator=one) for one in chance])
        noise = noise.to(originals.device, originals.dtype)
        scheduler = denoiser.scheduler
        times, latents = scheduler.timesteps, noise * getattr(scheduler, "init_noise_sigma", 1.0)
        if request.start is not None:
            first = min(round((1 - request.start_noise) * len(times)), len(times) - 1)
            times = times[first:]
            _begin_at(scheduler, first)
            latents = denoiser.noised(denoiser.encode(request.start), noise, times[0])
        keep = _at_latents(request.keep, originals)
        lots = np.random.default_rng(request.seed)
        extra = _step_arguments(scheduler, chance)
        report(Stage("editing views", len(times)))
        carrier = _carrier(self.settings.correspondence, request.scene, denoiser)
        together = None
        if self.settings.correspondence == "depth":
            together = DepthCarrier(request.scene, originals.device, EVEN)
        for at, time in enumerate(times):
            injection.carrier = carrier if at < self.settings.inject * len(times) else None
            injection.whole = at < self.settings.whole * len(times)
            found, keys = self._predicted(denoiser, injection.exchange, latents, time, lots)
            if together is not None and at < self.settings.agree * len(times):
                edits = denoiser.clean(latents, found, time) - originals
                found = denoiser.told(latents, originals + agreed_edit(together, edits, keys), time)
            latents = scheduler.step(found, time, latents, return_dict=False, **extra)[0]
            if keep is not None and at + 1 >= self.settings.late * len(times):
                last = at + 1 == len(times)
                known = originals if last else denoiser.noised(originals, noise, times[at + 1])
                latents = latents + (known - latents) * keep
            report(Step(at + 1))
        return latents

    def _predicted(
        self, denoiser: Denoiser, exchange: Exchange, latents: torch.Tensor, time: torch.Tensor,
        lots: np.random.Generator,
    ) -> tuple[torch.Tensor, list[int]]:  # fmt: skip
        """One step's prediction of all views, the key views first, then the others, as many at a time; and the keys."""
        count, size = len(latents), max(1, self.settings.keys)
        if self.settings.correspondence is None:
            groups = [list(range(at, min(at + size, count))) for at in range(0, count, size)]
            return torch.cat([denoiser.predict(latents[group], group, time) for group in groups]), []
        order = lots.permutation(count)
        keys = sorted(order[:size].tolist())
        others = sorted(order[size:].tolist())
        found = torch.empty_like(latents)
        exchange.begin(keys, None)
        found[keys] = denoiser.predict(latents[keys], keys, time).to(found.dtype)
        for at in range(0, len(others), size):
            group = others[at : at + size]
            exchange.begin(group, keys)
            found[group] = denoiser.predict(latents[group], group, time).to(found.dtype)
        return found, keys


def _begin_at(scheduler: Any, first: int) -> None:
    """Schedulers that count their steps must know how many are left out."""
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)


def _carrier(correspondence: Correspondence | None, scene: ViewScene, denoiser: Any) -> Carrier | None:
    if correspondence is None:
        return None
    return (DepthCarrier if correspondence == "depth" else EpipolarCarrier)(scene, denoiser.device)


def _step_arguments(scheduler: Any, chance: list[torch.Generator]) -> dict[str, Any]:
    """Schedulers that add noise of their own add the same to every view."""
    known = inspect.signature(scheduler.step).parameters
    return {"generator": chance} if "generator" in known else {}


def _at_latents(keep: np.ndarray | None, latents: torch.Tensor) -> torch.Tensor | None:
    """[V,1,h,w]: the mean of a mask over each latent."""
    if keep is None:
        return None
    mask = torch.from_numpy(np.asarray(keep, np.float32))[:, None]
    return interpolate(mask, latents.shape[-2:], mode="area").to(latents.device, latents.dtype)
