"""Soft studio light: one environment picture with soft boxes, which is one emitter and so little noise."""

from __future__ import annotations

import numpy as np

from emoga.studio.mitsuba_scene import mitsuba

# azimuth and elevation in degrees (0, 0 is straight in front), half width and half height, radiance, warmth
SOFT_BOXES = (
    (40.0, 34.0, 34.0, 30.0, 3.5, 1.03),
    (-50.0, 16.0, 36.0, 36.0, 1.05, 0.97),
    (15.0, 24.0, 6.5, 6.5, 22.0, 1.0),  # small and bright: the spark in the eyes
    (4.0, 66.0, 45.0, 20.0, 1.1, 1.0),
    (158.0, 30.0, 26.0, 34.0, 0.95, 0.98),
    (-150.0, 25.0, 26.0, 34.0, 0.95, 0.98),
)


def light_picture(rng: np.random.Generator | None = None, height: int = 96) -> np.ndarray:
    """Radiance [H,2H,3] over directions; row 0 is up, column by azimuth. `rng` varies the set a little."""
    elevation = 90 - (np.arange(height) + 0.5) * 180 / height
    azimuth = (np.arange(2 * height) + 0.5) * 180 / height - 180
    azimuth, elevation = np.meshgrid(azimuth, elevation)
    ambient = 0.42 + 0.20 * np.sin(np.radians(elevation))
    picture = ambient[..., None] * np.array([1.0, 1.0, 1.02])
    for box_azimuth, box_elevation, half_width, half_height, radiance, warmth in SOFT_BOXES:
        if rng is not None:
            box_azimuth = box_azimuth + rng.normal(0, 5)
            radiance = radiance * (1 + 0.12 * rng.normal())
        across = (azimuth - box_azimuth + 180) % 360 - 180
        inside = _edge(np.abs(across) / half_width) * _edge(np.abs(elevation - box_elevation) / half_height)
        picture = picture + (radiance * inside)[..., None] * np.array([warmth, 1.0, 2 - warmth])
    return picture.astype(np.float32)


def _edge(ratio: np.ndarray) -> np.ndarray:
    t = np.clip((1.15 - ratio) / 0.3, 0, 1)
    return t * t * (3 - 2 * t)


def environment(picture: np.ndarray, exposure: float):
    """The emitter of a light picture; its azimuth 0 shines from +z, +90 from +x."""
    mi = mitsuba()
    # Mitsuba's map has +z in its middle, as ours, but its columns run from the subject's left to the right.
    bitmap = mi.Bitmap(np.ascontiguousarray(picture[:, ::-1]))
    return mi.load_dict({"type": "envmap", "bitmap": bitmap, "scale": exposure})
