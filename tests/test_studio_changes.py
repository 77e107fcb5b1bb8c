"""The same performer changed: what the change names differs, all else is the same."""

from __future__ import annotations

import numpy as np
import pytest

from emoga.errors import InputError
from emoga.head import load_head
from emoga.studio import make_performer, plan_capture
from emoga.studio.changes import CHANGES, change_of_shape, known_change


def test_a_change_alters_what_it_names_and_nothing_else() -> None:
    plain = make_performer(1)
    flushed, heavier = (make_performer(1, change=name) for name in ("flushed", "heavier"))
    assert np.array_equal(flushed.identity.rest, plain.identity.rest)
    assert flushed.looks.blush > plain.looks.blush + 1 and np.array_equal(
        flushed.looks.skin, plain.looks.skin
    )
    moved = np.linalg.norm((heavier.identity.rest - plain.identity.rest).numpy(), axis=1)
    assert moved[load_head().regions["cheeks"].numpy()].mean() > 1e-3
    assert heavier.looks.blush == plain.looks.blush and np.array_equal(heavier.grown_on, plain.identity.rest)


def test_changes_of_shape_leave_the_basis_and_spare_eyes_and_collar() -> None:
    head = load_head()
    for name in ("older", "heavier"):
        moved = change_of_shape(head, known_change(name), seed=1)
        low = head.template.numpy()[:, 1] < -0.150
        assert np.abs(moved[low]).max() < 1e-9
        assert np.abs(moved[head.regions["eyeballs"].numpy()].mean(0)).max() < 3e-4
        basis = head.shape_basis.double().numpy().reshape(len(head.shape_names), -1).T
        left = moved.ravel() - basis @ np.linalg.lstsq(basis, moved.ravel(), rcond=None)[0]
        assert np.linalg.norm(left) > 0.1 * np.linalg.norm(moved)


def test_plans_of_unchanged_performers_say_nothing_of_changes() -> None:
    assert "change" not in plan_capture(size=64).record()
    assert plan_capture(size=64, change="older").record()["change"] == "older"
    with pytest.raises(InputError, match="unknown change 'younger'; known: " + ", ".join(CHANGES)):
        plan_capture(size=64, change="younger")
