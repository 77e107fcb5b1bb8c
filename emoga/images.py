"""Pictures: float32 [H,W,3] sRGB in 0..1 inside emoga, 8-bit only in files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from emoga.errors import InputError
from emoga.files import atomic_output, require_file

MAX_PIXELS = 200_000_000
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Floats in 0..1 to rounded 8-bit values; uint8 passes through."""
    image = np.asarray(image)
    if image.dtype == np.uint8:
        return image
    return (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def from_uint8(image: np.ndarray) -> np.ndarray:
    """8-bit values to float32 in 0..1."""
    return image.astype(np.float32) * np.float32(1 / 255)


def color_dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sum [...] over the channels of the product of two pictures [...,3].

    Channel by channel, as are the two below: numpy takes many times longer over a last axis of three.
    """
    total = first[..., 0] * second[..., 0] + first[..., 1] * second[..., 1]
    return total + first[..., 2] * second[..., 2]


def color_length(difference: np.ndarray) -> np.ndarray:
    """Euclidean length [...] of colours [...,3]."""
    return np.sqrt(color_dot(difference, difference))


def color_mean(picture: np.ndarray) -> np.ndarray:
    """Mean [...] of the channels of a picture [...,3]."""
    return (picture[..., 0] + picture[..., 1] + picture[..., 2]) / 3


def read_image_uint8(path: str | Path, mode: str = "RGB") -> np.ndarray:
    """An image file as uint8 [H,W,3], or [H,W] with mode "L"; EXIF rotation applied."""
    path = require_file(path, "a picture")
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise InputError(
                    f"{path}: {picture.width}x{picture.height} pixels is more than emoga accepts"
                )
            return np.asarray(ImageOps.exif_transpose(picture).convert(mode))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a readable picture; expected PNG or JPEG") from error


def image_files(folder: Path) -> list[Path]:
    """Image files of a folder in alphabetical order, without hidden ones: who is killed while writing leaves those."""
    found = (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(file for file in found if not file.name.startswith("."))


def picture_size(path: str | Path) -> tuple[int, int]:
    """Width and height of an image file from its header alone, so that a huge picture costs nothing."""
    path = require_file(path, "a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return picture.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a readable picture; expected PNG or JPEG") from error


def read_image(path: str | Path) -> np.ndarray:
    """An image file as float32 [H,W,3] sRGB in 0..1."""
    return from_uint8(read_image_uint8(path))


def write_png(path: str | Path, image: np.ndarray, overwrite: bool = True) -> None:
    """Write [H,W], [H,W,3] or [H,W,4], floats in 0..1 or uint8, atomically."""
    with atomic_output(path, overwrite) as temporary:
        Image.fromarray(to_uint8(image)).save(temporary, format="PNG", compress_level=4)


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Area-filtered (down) or Lanczos (up) resampling of float [H,W,3] or [H,W]."""
    shrinking = width < image.shape[1]
    method = Image.Resampling.BOX if shrinking else Image.Resampling.LANCZOS
    picture = Image.fromarray(to_uint8(image)).resize((width, height), method)
    return from_uint8(np.asarray(picture))


def contact_sheet(
    pictures: Sequence[np.ndarray],
    labels: Sequence[str] | None = None,
    columns: int = 6,
    cell: int | None = None,
) -> np.ndarray:
    """Lay pictures [H,W,3] of one size out in a labelled grid, uint8 [rows*h, columns*w, 3]."""
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    cells = [Image.fromarray(to_uint8(picture)[..., :3]) for picture in pictures]
    if cell is not None:
        cells = [image.resize((cell, round(cell * image.height / image.width))) for image in cells]
    width, height = cells[0].size
    caption = 14 if labels else 0
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * width, rows * (height + caption)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, image in enumerate(cells):
        corner = (index % columns * width, index // columns * (height + caption))
        sheet.paste(image, (corner[0], corner[1] + caption))
        if labels:
            draw.text((corner[0] + 3, corner[1] + 1), labels[index], fill="black")
    return np.asarray(sheet)
