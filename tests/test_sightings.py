"""Places nobody saw are told by near ones that were seen, on either side of the face."""

from __future__ import annotations

import numpy as np

from emoga.head import load_head
from emoga.optimize.sightings import told_by_seen


def centres() -> np.ndarray:
    head = load_head("open")
    return head.template.double().numpy()[head.faces.numpy()].mean(1)


def test_the_other_side_of_the_face_tells() -> None:
    places = centres()
    left, right = np.flatnonzero(places[:, 0] > 0.03), np.flatnonzero(places[:, 0] < -0.03)
    told = told_by_seen(load_head("open"), right, left, places[left, 1:])
    # Mirrored, left and right lie on each other: what is told is the height and depth of the place itself.
    assert np.median(np.linalg.norm(told - places[right, 1:], axis=1)) < 0.004


def test_the_nearest_tell_most() -> None:
    places = centres()
    order = np.argsort(places[:, 1])
    low, high, middle = order[:500], order[-500:], order[600:620]
    seen = np.concatenate([low, high])
    told = told_by_seen(load_head("open"), middle, seen, (np.arange(1000) >= 500)[:, None].astype(float))
    assert (told < 0.01).all()


def test_one_seen_place_tells_for_all() -> None:
    told = told_by_seen(load_head("open"), np.arange(5), np.array([40]), np.array([[0.2, 0.7]]))
    assert np.allclose(told, [0.2, 0.7], rtol=0, atol=1e-12)
