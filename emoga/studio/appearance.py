"""What one performer looks like: tones, hair, eyes, marks, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emoga.studio.hair import STYLES

# Linear skin colours from light to dark, and how much each blushes.
SKIN_TONES = (
    (0.70, 0.435, 0.335),
    (0.645, 0.38, 0.275),
    (0.57, 0.315, 0.210),
    (0.45, 0.235, 0.145),
    (0.27, 0.135, 0.075),
    (0.17, 0.085, 0.050),
)
IRIS_COLORS = (
    (0.10, 0.16, 0.24),
    (0.085, 0.13, 0.085),
    (0.11, 0.085, 0.04),
    (0.075, 0.038, 0.018),
    (0.13, 0.15, 0.16),
)
# Melanins of the fibre: (eumelanin, pheomelanin), and a matching linear colour for paint under the hair.
HAIR_COLORS = (
    ((2.6, 0.2), (0.020, 0.014, 0.011)),
    ((1.3, 0.3), (0.045, 0.028, 0.018)),
    ((0.75, 0.4), (0.085, 0.050, 0.030)),
    ((0.42, 0.30), (0.17, 0.11, 0.065)),
    ((0.45, 1.1), (0.13, 0.058, 0.028)),
)


@dataclass(frozen=True)
class Appearance:
    """Everything about a performer's looks that is not shape. Colours are linear."""

    skin: np.ndarray
    blush: float
    freckles: float
    moles: int
    oiliness: float
    age_lines: float
    lips: np.ndarray
    iris: np.ndarray
    pupil: float
    eye_redness: float
    hair_style: str | None
    melanin: tuple[float, float]
    hair_color: np.ndarray
    recede: float
    brow_fullness: float
    stubble: float
    cloth: np.ndarray
    cloth_stripe: np.ndarray

    @staticmethod
    def drawn(rng: np.random.Generator) -> Appearance:
        """A random but plausible performer."""
        tone = rng.choice(len(SKIN_TONES), p=[0.22, 0.26, 0.2, 0.14, 0.1, 0.08])
        skin = np.array(SKIN_TONES[tone]) * (1 + 0.05 * rng.normal()) * (1 + 0.03 * rng.normal(size=3))
        fair = 1 - tone / (len(SKIN_TONES) - 1)
        hair = rng.choice(
            len(HAIR_COLORS), p=[0.15, 0.25, 0.25, 0.2, 0.15] if tone < 2 else [0.65, 0.35, 0, 0, 0]
        )
        melanin, hair_color = HAIR_COLORS[hair]
        iris = IRIS_COLORS[
            rng.choice(5, p=[0.22, 0.18, 0.2, 0.3, 0.1] if tone < 2 else [0, 0.02, 0.18, 0.8, 0])
        ]
        lips = skin * np.array([0.86, 0.56, 0.60]) * (1 + 0.06 * rng.normal())
        style = rng.choice([*STYLES, "bald"], p=[0.27, 0.25, 0.2, 0.15, 0.09, 0.04])
        male = rng.random() < 0.55
        cloth = rng.choice(np.array([[0.05, 0.07, 0.12], [0.12, 0.12, 0.13], [0.16, 0.035, 0.04], [0.05, 0.10, 0.07],
                                     [0.35, 0.34, 0.32], [0.02, 0.022, 0.026]]))  # fmt: skip
        return Appearance(
            skin=np.clip(skin, 0.02, 0.8),
            blush=float(rng.uniform(0.6, 1.3)),
            freckles=float(
                rng.uniform(0.2, 0.7) if fair > 0.7 and rng.random() < 0.5 else rng.uniform(0, 0.12) * fair
            ),
            moles=int(rng.integers(3, 10)),
            oiliness=float(rng.uniform(0.2, 1.0)),
            age_lines=float(rng.uniform(0.1, 1.0)),
            lips=lips,
            iris=np.array(iris) * (1 + 0.15 * rng.normal()),
            pupil=float(rng.uniform(0.30, 0.42)),
            eye_redness=float(rng.uniform(0.2, 0.6)),
            hair_style=None if style == "bald" else str(style),
            melanin=melanin,
            hair_color=np.array(hair_color),
            recede=float(rng.uniform(0.0, 0.5)) if male else 0.0,
            brow_fullness=float(rng.uniform(0.7, 1.25)),
            stubble=float(rng.uniform(0.15, 0.9)) if male else 0.0,
            cloth=np.asarray(cloth) * (1 + 0.1 * rng.normal()),
            cloth_stripe=np.asarray(cloth) * rng.uniform(0.75, 1.6),
        )
