"""What teaches the own detector: lips that hide a gap are shut, and areas are painted as wide as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from emoga.capture.face_details import PARTS
from emoga.studio.lips import INNER_LOWER, INNER_UPPER
from tools.face_detector.mouths import seen_rims
from tools.face_detector.painting import Canvas

GAP = (100.0, 110.0)  # pixels
INSIDE = 0.5  # metres from the camera of the rims; teeth lie behind


@pytest.mark.parametrize(
    ("lip", "expected"),
    [(None, GAP), ((90, 120), (105.0, 105.0)), ((90, 104), (104.0, 110.0)), ((106, 120), (100.0, 106.0))],
    ids=["open", "lips touch in front", "the upper lip hangs", "the lower lip stands"],
)
def test_a_gap_ends_where_the_eye_sees_it_end(lip, expected):
    pixels = np.zeros((478, 2))
    pixels[:, 0] = np.linspace(20, 180, 478)
    pixels[list(INNER_UPPER), 1], pixels[list(INNER_LOWER), 1] = GAP
    pixels[list(INNER_LOWER), 0] = pixels[list(INNER_UPPER), 0]
    seen = np.full((478, 3), INSIDE)
    depth = np.full((200, 200), INSIDE + 0.01)
    if lip is not None:
        depth[lip[0] : lip[1]] = INSIDE - 0.003
    rims = seen_rims(pixels, seen, depth)
    for ids, where in zip((INNER_UPPER, INNER_LOWER), expected, strict=True):
        assert rims[list(ids[1:-1]), 1] == pytest.approx(where, abs=0.7)
    rest = np.setdiff1d(np.arange(478), [*INNER_UPPER[1:-1], *INNER_LOWER[1:-1]])
    assert np.array_equal(rims[rest], pixels[rest])


def test_a_painted_area_is_as_wide_as_its_outline():
    part = PARTS["mouth"]
    canvas = Canvas(np.zeros((64, 64, 3), np.float32), part, np.zeros((len(part.points), 2)))
    narrow = np.array([[10, 30], [50, 30], [50, 31.5], [10, 31.5]], float)
    assert canvas.area(narrow, 0.3).sum() == pytest.approx(40 * 1.5, rel=0.2)
    assert canvas.area(np.repeat(narrow[:2], 2, 0), 0.3).sum() < 40 * 0.4
