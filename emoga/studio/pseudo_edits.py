"""Pseudo-edits: true emotion pictures spoilt as diffusion editors spoil them, at fixed and known levels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np

from emoga.camera import Camera
from emoga.capture import open_capture
from emoga.errors import InputError
from emoga.hdf5 import open_hdf5, read_array
from emoga.head import Head, load_head
from emoga.images import from_uint8
from emoga.studio.anatomy import Anatomy, distance_to_curve
from emoga.studio.creases import facial_lines
from emoga.studio.noise import gradient_noise
from emoga.studio.visibility import Shown, show

PATTERNS = ("spread", "frontal clean", "frontal failed")
FAILURES = ("unedited", "stranger", "smeared")


@dataclass(frozen=True)
class Levels:
    """The one table. Fixed before any method is tuned; change it and every figure made with it is void.

    psnr: of all pictures that did not fail, in the head mask, dB. shared, view_color, creases, ants: shares of
    what error is left beside the emotion's own over- or underplaying. strength: mean and spread of how much
    of the emotion is played, per picture. failed: share of pictures that failed.
    """

    psnr: float = 23.5
    shared: float = 0.70
    view_color: float = 0.11
    creases: float = 0.06
    ants: float = 0.13
    strength_mean: float = 0.8
    strength_spread: float = 0.15
    failed: float = 0.10
    shared_motion_mm: float = 0.9  # how far the edits' face is another's face
    crease_shift_mm: float = 5.0  # how far a view's own creases miss the true places


LEVELS = Levels()


@dataclass(frozen=True)
class Film:
    """Pictures of C views and T frames with what is true about them.

    images [C,T,H,W,3] sRGB 0..1; masks [C,T,H,W] head alpha 0..1; vertices [T,V,3] true, head topology.
    """

    images: np.ndarray
    masks: np.ndarray
    vertices: np.ndarray
    cameras: list[Camera]


@dataclass(frozen=True)
class PseudoEdits:
    """images [C,T,H,W,3]; failed [C,T] bool; strength [C,T]; report: shares of error energy, PSNR, levels."""

    images: np.ndarray
    failed: np.ndarray
    strength: np.ndarray
    report: dict


def load_film(path: str | Path, views: list[int], frames: list[int]) -> Film:
    """Some views and frames of a studio capture. Raises InputError when it is none or lacks them."""
    path = Path(path)
    capture = open_capture(path)
    if capture.cameras is None or not (path / "truth_vertices.h5").exists():
        raise InputError(f"{path}: not a studio capture; make one with emoga studio")
    if max(views) >= len(capture.cameras) or max(frames) >= capture.frame_count:
        raise InputError(f"{path}: has {len(capture.cameras)} views and {capture.frame_count} frames")
    with open_hdf5(path / "truth_vertices.h5", "truth_vertices") as file:
        vertices = _vertices(file)[frames]
    images = np.stack([np.stack([capture.image(view, frame) for frame in frames]) for view in views])
    masks = np.stack([np.stack([capture.head_mask(view, frame) for frame in frames]) for view in views])
    return Film(images, from_uint8(masks), vertices, [capture.cameras[view] for view in views])


def _vertices(file: h5py.File) -> np.ndarray:
    return read_array(file, "vertices", (None, None, 3)).astype(np.float64)


def pseudo_edits(
    emotion: Film, neutral: Film, seed: int = 0, pattern: str = "spread", levels: Levels = LEVELS
) -> PseudoEdits:
    """Spoil the `emotion` film of a performer; `neutral` is the same speech from the same cameras.

    pattern: which pictures fail. Raises InputError for an unknown pattern or films that do not match.
    """
    if pattern not in PATTERNS:
        raise InputError(f"unknown pattern {pattern!r}; known: {', '.join(PATTERNS)}")
    if emotion.images.shape != neutral.images.shape:
        raise InputError("the emotion and the neutral film must have the same views, frames and size")
    rng = np.random.default_rng([seed, 51])
    views, frames = emotion.images.shape[:2]
    brush = _Brush.of(load_head(), rng)
    failed = _failures(rng, emotion.cameras, frames, pattern, levels.failed)
    strength = np.clip(rng.normal(levels.strength_mean, levels.strength_spread, (views, frames)), 0.3, 1.3)
    errors = _errors(emotion, neutral, strength, brush, levels, rng)
    good = ~failed
    mask = emotion.masks[..., None]
    energy = {name: _energy(error, mask, good) for name, error in errors.items()}
    scale = _scales(energy, levels)
    factor = _reach(emotion.images, errors, scale, mask, good, levels.psnr)
    images = _add(emotion.images, errors, scale, factor)
    for view, frame in np.argwhere(failed):
        images[view, frame] = _fail(emotion, neutral, images[view, frame], view, frame, rng)
    spoilt = {
        name: energy[name] * (1.0 if name == "strength" else (factor * scale[name]) ** 2) for name in energy
    }
    total = sum(spoilt.values())
    report = {
        "psnr": _psnr(images - emotion.images, mask, good),
        "psnr_with_failed": _psnr(images - emotion.images, mask, np.ones_like(good)),
        "shares": {name: value / total for name, value in spoilt.items()},
        "failed": float(failed.mean()),
        "pattern": pattern,
        "seed": seed,
        "levels": asdict(levels),
    }
    return PseudoEdits(images.astype(np.float32), failed, strength, report)


@dataclass(frozen=True)
class _Brush:
    """What the editor gets wrong everywhere alike, on the template's surface.

    color [V,3] and motion [V,3] are per vertex; lines are where creases may be drawn; all are one draw.
    """

    head: Head
    faces: np.ndarray
    template: np.ndarray
    color: np.ndarray
    motion: np.ndarray
    anatomy: Anatomy

    @staticmethod
    def of(head: Head, rng: np.random.Generator) -> _Brush:
        template = head.template.double().numpy()
        seeds = rng.integers(0, 1_000_000, 9)
        # Editors brighten, darken and warm; they do not turn people green.
        warm = np.array([1.0, 0.15, -0.8])
        light = 0.9 * rng.normal() + gradient_noise(template, 0.060, int(seeds[0]), 2)
        light = light + 0.8 * gradient_noise(template, 0.018, int(seeds[1]), 2)
        hue = 0.5 * rng.normal() + 0.4 * gradient_noise(template, 0.050, int(seeds[2]), 2)
        for region, strength in (("lips", 1.4), ("brows", 1.6), ("eyelids", 0.9), ("cheeks", 0.6)):
            inside = head.regions[region].numpy()
            light[inside] += rng.normal(0, strength)
            hue[inside] += rng.normal(0, 0.5 * strength)
        color = light[:, None] + hue[:, None] * warm
        motion = np.stack([gradient_noise(template, 0.045, int(seeds[6 + k])) for k in range(3)], -1)
        return _Brush(head, head.faces.numpy(), template, color, motion, Anatomy.of(head))


def _errors(
    emotion: Film,
    neutral: Film,
    strength: np.ndarray,
    brush: _Brush,
    levels: Levels,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Additive errors [C,T,H,W,3] by name, in raw units save for `strength`, which is what it is."""
    names = ("strength", "shared", "view_color", "creases", "ants")
    errors = {name: np.zeros_like(emotion.images) for name in names}
    size = emotion.images.shape[2]
    for view, camera in enumerate(emotion.cameras):
        lines = _own_lines(brush, levels, rng)
        gain, slope = rng.normal(0, 1, 3) + rng.normal(0, 0.8), rng.normal(0, 1, (2, 3))
        for frame in range(emotion.images.shape[1]):
            image, posed = emotion.images[view, frame], emotion.vertices[frame]
            shown = show(posed, brush.faces, camera)
            errors["strength"][view, frame] = _played(emotion, neutral, brush, view, frame, strength) - image
            errors["shared"][view, frame] = _stranger(image, posed, shown, brush, camera, levels)
            y, x = np.mgrid[:size, : image.shape[1]] / size - 0.5
            errors["view_color"][view, frame] = (
                gain + y[..., None] * slope[0] + x[..., None] * slope[1]
            ) * image
            errors["creases"][view, frame] = _draw_lines(shown, brush, lines)
            errors["ants"][view, frame] = _ants(image.shape, rng)
    return errors


def _played(
    emotion: Film, neutral: Film, brush: _Brush, view: int, frame: int, strength: np.ndarray
) -> np.ndarray:
    """The emotion picture [H,W,3] as it would look acted with another strength, by moving surface points."""
    s = strength[view, frame]
    camera = emotion.cameras[view]
    before, after = neutral.vertices[frame], emotion.vertices[frame]
    between = before + s * (after - before)
    shown = show(between, brush.faces, camera)
    source_emotion = camera.project(shown.sample(after, brush.faces))[0]
    source_neutral = camera.project(shown.sample(before, brush.faces))[0]
    mixed = s * _look_up(emotion.images[view, frame], source_emotion)
    mixed += (1 - s) * _look_up(neutral.images[view, frame], source_neutral)
    on_mesh = (shown.face >= 0).astype(np.float32)
    # Mesh edges do not carry hair: the picture takes over softly there.
    weight = cv2.GaussianBlur(cv2.erode(on_mesh, np.ones((3, 3), np.uint8)), (0, 0), 1.0)[..., None]
    return emotion.images[view, frame] * (1 - weight) + np.clip(mixed, 0, 1) * weight


def _look_up(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Bilinear colours at pixel positions [H,W,2], centres at +0.5."""
    at = (pixels - 0.5).astype(np.float32)
    return cv2.remap(
        np.ascontiguousarray(image), at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _stranger(
    image: np.ndarray, posed: np.ndarray, shown: Shown, brush: _Brush, camera: Camera, levels: Levels
) -> np.ndarray:
    """The identity and colour bias [H,W,3] that every view and frame shares, for it sits on the surface."""
    moved = posed + brush.motion * levels.shared_motion_mm * 1e-3
    shift = shown.sample(camera.project(posed)[0] - camera.project(moved)[0], brush.faces)
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    on_mesh = cv2.GaussianBlur((shown.face >= 0).astype(np.float32), (0, 0), 2.0)[..., None]
    warped = _look_up(image, np.stack([x, y], -1) + shift * on_mesh)
    # Editors polish: fine skin detail goes, the same everywhere.
    smooth = cv2.GaussianBlur(warped, (0, 0), camera.height / 300)
    tint = shown.sample(brush.color, brush.faces) * on_mesh
    return 1.4 * (smooth - image) + 0.055 * tint


def _own_lines(
    brush: _Brush, levels: Levels, rng: np.random.Generator
) -> list[tuple[np.ndarray, float, float]]:
    """A view's own creases: polylines on the template, half widths and depths, off the true places."""
    grooves = facial_lines(brush.anatomy, rng)
    chosen = rng.random(len(grooves)) < 0.6
    return [
        (
            groove.line + rng.normal(0, levels.crease_shift_mm * 1e-3, 3),
            groove.width * 1.2,
            rng.uniform(0.4, 1.2),
        )
        for groove, take in zip(grooves, chosen, strict=True)
        if take
    ]


def _draw_lines(shown: Shown, brush: _Brush, lines: list[tuple[np.ndarray, float, float]]) -> np.ndarray:
    """Dark strokes [H,W,3] where the surface runs along the lines."""
    points = shown.sample(brush.template, brush.faces)
    seen = shown.face >= 0
    total = np.zeros(seen.shape, np.float32)
    for line, width, depth in lines:
        box = seen & np.all((points > line.min(0) - 0.008) & (points < line.max(0) + 0.008), -1)
        near = np.flatnonzero(box)
        if len(near) == 0:
            continue
        distance, along = distance_to_curve(points.reshape(-1, 3)[near], line)
        fade = np.clip(np.minimum(along, 1 - along) / 0.15, 0, 1)
        total.ravel()[near] -= (depth * fade * np.exp(-((distance / width) ** 2))).astype(np.float32)
    return total[..., None] * np.array([0.8, 1.0, 1.0], np.float32)


def _ants(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Crawling grain [H,W,3] between one and four pixels, mostly in brightness."""
    grain = rng.normal(size=shape).astype(np.float32) * 0.5 + rng.normal(size=(*shape[:2], 1)).astype(
        np.float32
    )
    return cv2.GaussianBlur(grain, (0, 0), 0.7) - cv2.GaussianBlur(grain, (0, 0), 2.2)


def _energy(error: np.ndarray, mask: np.ndarray, good: np.ndarray) -> float:
    """Mean squared error over the masks of the pictures in `good` [C,T]."""
    weight = mask * good[:, :, None, None, None]
    return float((error**2 * weight).sum() / (3 * weight.sum()))


def _psnr(error: np.ndarray, mask: np.ndarray, good: np.ndarray) -> float:
    """Mean over pictures of PSNR in the mask."""
    squared = (error**2 * mask).sum((2, 3, 4)) / (3 * mask.sum((2, 3, 4)))
    return float((-10 * np.log10(np.maximum(squared, 1e-12)))[good].mean())


def _scales(energy: dict[str, float], levels: Levels) -> dict[str, float]:
    """Factors that give the raw errors energies in the table's proportion."""
    return {
        name: float(np.sqrt(getattr(levels, name) / max(energy[name], 1e-12)))
        for name in energy
        if name != "strength"
    }


def _add(
    images: np.ndarray, errors: dict[str, np.ndarray], scale: dict[str, float], factor: float
) -> np.ndarray:
    total = images + errors["strength"]
    for name, value in scale.items():
        total = total + np.float32(factor * value) * errors[name]
    return np.clip(total, 0, 1)


def _reach(
    images: np.ndarray, errors: dict[str, np.ndarray], scale: dict[str, float], mask: np.ndarray, good: np.ndarray,
    psnr: float,
) -> float:  # fmt: skip
    """The common factor at which the edits, clipped to valid colours, have the wanted PSNR."""
    low, high = 0.0, 0.5
    for _ in range(14):
        middle = 0.5 * (low + high)
        reached = _psnr(_add(images, errors, scale, middle) - images, mask, good)
        low, high = (middle, high) if reached > psnr else (low, middle)
    return 0.5 * (low + high)


def _failures(
    rng: np.random.Generator, cameras: list[Camera], frames: int, pattern: str, share: float
) -> np.ndarray:
    """Which pictures [C,T] failed: anywhere, only away from the front, or the frontal views first."""
    azimuth = np.array([abs(np.arctan2(camera.position[0], camera.position[2])) for camera in cameras])
    frontal = azimuth <= np.quantile(azimuth, 0.3)
    count = max(1, round(share * len(cameras) * frames))
    order = {"spread": 0.0, "frontal clean": 1.0, "frontal failed": -1.0}[pattern] * frontal
    rank = order[:, None] + rng.random((len(cameras), frames)) * 0.9
    failed = np.zeros(len(cameras) * frames, bool)
    failed[np.argsort(rank, axis=None)[:count]] = True
    return failed.reshape(len(cameras), frames)


def _fail(
    emotion: Film, neutral: Film, edited: np.ndarray, view: int, frame: int, rng: np.random.Generator
) -> np.ndarray:
    """A picture the editor got wrong: left as it was, turned into a stranger, or smeared out of place."""
    kind = rng.choice(FAILURES)
    if kind == "unedited":
        return neutral.images[view, frame]
    height, width = edited.shape[:2]
    if kind == "stranger":
        coarse = rng.normal(0, 0.22, (6, 6, 3)).astype(np.float32)
        return np.clip(edited + cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    coarse = rng.normal(0, 0.02 * height, (7, 7, 2)).astype(np.float32)
    shift = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:height, :width] + 0.5
    smeared = _look_up(emotion.images[view, frame], np.stack([x, y], -1) + shift)
    return cv2.GaussianBlur(smeared, (0, 0), height / 120)
