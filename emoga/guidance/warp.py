"""`warp`, the editor without weights: moves each picture's own pixels, fills what appears, shades what folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from emoga.errors import InputError
from emoga.guidance.editor import EditEstimate, EditRequest, PictureName
from emoga.guidance.sampling import jumps, mend, sample_bicubic, soften
from emoga.images import from_uint8, to_uint8
from emoga.progress import Reporter, silent, tracked

SHADING_RANGE = (0.6, 1.6)
# Share of light that comes back, per channel, at a full flush: blood takes green most, then blue.
FLUSHED = np.array([1.02, 0.80, 0.84], np.float32)
# And at full pallor, where blood leaves: the same change the other way, weaker in red.
PALE = np.array([0.99, 1.14, 1.12], np.float32)
# And at the bottom of the deepest crease, which sees less of the sky; skin lets red through.
CREASED = np.array([0.62, 0.52, 0.48], np.float32)
FEATHER = 0.012
FLOATS_PER_PIXEL = 40


@dataclass(frozen=True)
class WarpFields:
    """How one picture changes, on the edited picture's pixel grid; None leaves that part out.

    flow: float [H,W,2] pixels (x, y): the edited picture shows at p what the captured one shows at p + flow(p).
    fill: uint8 [H,W,3] or float [H,W,3] in 0..1: what appears that the capture never showed (teeth, lids).
    fill_mask: [H,W] in 0..1, 1 where `fill` is shown.
    shading: [H,W,3] ratio in linear light, already low-pass; clamped to 0.6..1.6.
    flush: [H,W] in -1..1: blood that comes (1) or leaves (-1).
    crease: [H,W] in 0..1: depth of creases.
    keep: [H,W] in 0..1, 1 where neither shading nor flush nor crease is applied (hair, eyes, teeth).
    """

    flow: np.ndarray
    fill: np.ndarray | None = None
    fill_mask: np.ndarray | None = None
    shading: np.ndarray | None = None
    flush: np.ndarray | None = None
    crease: np.ndarray | None = None
    keep: np.ndarray | None = None


# Fields of one picture at a strength; made one picture at a time, because a capture's fields fill memory.
FieldSource = Callable[[PictureName, float], WarpFields]


class WarpEditor:
    """Edits pictures by the fields that a verb renders for each of them."""

    name = "warp"

    def __init__(self, fields: FieldSource | None = None) -> None:
        if fields is None:
            raise InputError("editor warp needs the fields of each picture; only a tracked avatar has them")
        self.fields = fields

    def estimate(self, request: EditRequest) -> EditEstimate:
        """Memory for one picture's fields and the results."""
        height, width = request.pictures.shape[1:3]
        return EditEstimate(
            pictures=len(request.names),
            peak_bytes=request.pictures.nbytes + height * width * FLOATS_PER_PIXEL * 4,
            needs="the fields of each picture",
        )

    def edit(self, request: EditRequest, report: Reporter = silent) -> np.ndarray:
        """Each picture warped by its fields at the request's strength; at strength 0 as it was."""
        edited = request.pictures.copy()
        if request.strength == 0:
            return edited
        for index, name in enumerate(tracked(request.names, "warping pictures", report)):
            fields = self.fields(name, request.strength)
            edited[index] = warp_picture(request.pictures[index], fields, request.mask_of(index))
        return edited


def warp_picture(picture: np.ndarray, fields: WarpFields, mask: np.ndarray | None = None) -> np.ndarray:
    """The picture uint8 [H,W,3] changed by its fields; where the mask [H,W] is 0 it keeps its bytes.

    At the mask's edge the flow itself fades, so that the seam stretches instead of showing things twice.
    Raises InputError for a field of another shape or with values that are no numbers.
    """
    _check(picture, fields)
    share = None if mask is None else soft_inside(mask)
    flow = np.asarray(fields.flow, np.float32)
    faded = flow if share is None else flow * share[..., None]
    original = from_uint8(picture)
    moved = sample_bicubic(original, faded)
    filled = np.zeros(picture.shape[:2], np.float32)
    if fields.fill is not None and fields.fill_mask is not None:
        filled = np.clip(fields.fill_mask, 0, 1).astype(np.float32)
    border, front = jumps(flow, filled > 0.5)
    moved = mend(moved, flow, filled > 0.5, front)
    if fields.fill is not None:
        fill = from_uint8(fields.fill) if fields.fill.dtype == np.uint8 else fields.fill
        moved = moved + (fill - moved) * filled[..., None]
    moved = soften(moved, border)
    gain = _gain(fields, picture.shape)
    if gain is not None:
        moved = to_srgb(to_linear(moved) * gain)
    if share is not None:
        moved = original + (moved - original) * _once_moved(share, faded)
    return to_uint8(moved)


def soft_inside(mask: np.ndarray) -> np.ndarray:
    """The mask [H,W] with its edge softened inwards only: 0 stays 0, so what is outside is not touched."""
    mask = np.asarray(mask, np.float32)
    radius = max(1, round(FEATHER * max(mask.shape)))
    inside = cv2.erode(mask, np.ones((2 * radius + 1,) * 2, np.uint8), borderType=cv2.BORDER_REPLICATE)
    soft = cv2.blur(inside, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REPLICATE)
    return np.minimum(soft, mask)


def _once_moved(share: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Weight [H,W,1] of the edited picture: where flow has faded already, colours alone fade with the mask.

    Mixing a moved picture with itself unmoved would show every edge twice, so the mix is as narrow as possible.
    """
    still = np.clip(1 - np.linalg.norm(flow, axis=2), 0, 1)
    steep = np.clip(share * 4, 0, 1)
    return (still * share + (1 - still) * steep)[..., None]


def _gain(fields: WarpFields, shape: tuple[int, ...]) -> np.ndarray | None:
    """Factor [H,W,3] on linear light of shading, flush and creases together; None when there is none."""
    if fields.shading is None and fields.flush is None and fields.crease is None:
        return None
    gain = np.ones(shape, np.float32)
    if fields.shading is not None:
        gain *= np.clip(fields.shading, *SHADING_RANGE)
    if fields.flush is not None:
        gain *= blood_gain(fields.flush)
    if fields.crease is not None:
        gain *= CREASED ** np.clip(fields.crease, 0, 1).astype(np.float32)[..., None]
    if fields.keep is not None:
        gain = 1 + (gain - 1) * (1 - np.clip(fields.keep, 0, 1).astype(np.float32)[..., None])
    return gain


def blood_gain(flush: np.ndarray) -> np.ndarray:
    """Factor [...,3] on linear light where blood comes (1) to the skin or leaves it (-1), [...]."""
    flush = np.clip(flush, -1, 1).astype(np.float32)[..., None]
    return FLUSHED ** np.maximum(flush, 0) * PALE ** np.maximum(-flush, 0)


def flushed(base: np.ndarray, blood: np.ndarray) -> np.ndarray:
    """Change [N,3] of colours [N,3], sRGB 0..1, where blood [N] comes to the skin (above 0) or leaves it."""
    return to_srgb(to_linear(base) * blood_gain(blood)) - np.clip(base, 0, 1)


def _check(picture: np.ndarray, fields: WarpFields) -> None:
    height, width = picture.shape[:2]
    sizes = {
        "flow": (2,),
        "fill": (3,),
        "fill_mask": (),
        "shading": (3,),
        "flush": (),
        "crease": (),
        "keep": (),
    }
    for name, rest in sizes.items():
        field = getattr(fields, name)
        if field is None:
            continue
        if field.shape != (height, width, *rest):
            raise InputError(f"{name} is {list(field.shape)}, the picture needs {[height, width, *rest]}")
        if not np.isfinite(field).all():
            raise InputError(f"{name} has values that are no numbers")
    if (fields.fill is None) != (fields.fill_mask is None):
        raise InputError("fill and fill_mask come together")


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """Linear light of sRGB values in 0..1."""
    srgb = np.clip(srgb, 0, 1)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """The inverse of `to_linear`, clipped to 0..1."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
