"""Pseudo-edits: their energies stay within the one table, whatever the performer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from emoga.errors import InputError
from emoga.head import load_head
from emoga.studio import make_performer, perform
from emoga.studio.pseudo_edits import LEVELS, PATTERNS, Film, pseudo_edits
from emoga.studio.rig import rig_cameras
from emoga.studio.visibility import show

SIZE, VIEWS, FRAMES = 72, 5, 4


def film(emotion: str | None) -> Film:
    """Shaded pictures of a performer's mesh: what the edits spoil need not be path-traced."""
    performer, head, cameras = make_performer(2), load_head(), rig_cameras(VIEWS, SIZE)
    vertices = performer.vertices(perform(head, FRAMES, seed=2, duration=0.8, emotion=emotion))
    faces = head.faces.numpy()
    skin = 0.55 + 0.2 * np.sin(900 * head.template.double().numpy())
    images = np.full((VIEWS, FRAMES, SIZE, SIZE, 3), 0.77, np.float32)
    masks = np.zeros((VIEWS, FRAMES, SIZE, SIZE), np.float32)
    for view, camera in enumerate(cameras):
        for frame, posed in enumerate(vertices):
            shown = show(posed, faces, camera)
            masks[view, frame] = shown.face >= 0
            images[view, frame][shown.face >= 0] = shown.sample(skin, faces)[shown.face >= 0]
    return Film(images, masks, vertices, cameras)


@pytest.fixture(scope="module")
def films() -> tuple[Film, Film]:
    return film("angry"), film(None)


def test_energy_shares_and_psnr_are_the_tables(films):
    edits = pseudo_edits(*films, seed=3)
    shares = edits.report["shares"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["shared"] >= 0.5 and shares["ants"] <= 0.25
    rest = 1 - shares["strength"]
    for name in ("shared", "view_color", "creases", "ants"):
        assert shares[name] / rest == pytest.approx(getattr(LEVELS, name), abs=1e-6)
    assert edits.report["psnr"] == pytest.approx(LEVELS.psnr, abs=0.1)
    # The report must be of the very pictures handed out.
    error = ((edits.images - films[0].images) ** 2 * films[0].masks[..., None]).sum((2, 3, 4))
    psnr = -10 * np.log10(error / (3 * films[0].masks.sum((2, 3))))
    assert psnr[~edits.failed].mean() == pytest.approx(edits.report["psnr"], abs=0.01)
    assert edits.images.min() >= 0 and edits.images.max() <= 1


def test_the_shared_error_survives_averaging_over_frames(films):
    """What DESIGN asks of it: a mean over many edits must not remove it."""
    edits, mask = pseudo_edits(*films, seed=3), films[0].masks[..., None]
    error = (edits.images - films[0].images) * mask
    view = 2
    keep = ~edits.failed[view]
    mean = error[view][keep].mean(0)
    assert (mean**2).sum() > 0.5 * (error[view][keep] ** 2).sum() / keep.sum()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_failures_follow_their_pattern(films, pattern):
    edits = pseudo_edits(*films, seed=1, pattern=pattern)
    assert edits.failed.sum() == round(LEVELS.failed * VIEWS * FRAMES)
    frontal = VIEWS // 2
    if pattern == "frontal clean":
        assert not edits.failed[frontal].any()
    if pattern == "frontal failed":
        assert edits.failed[frontal].any()


def test_same_seed_same_edits(films):
    first, again, other = (pseudo_edits(*films, seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(first.images, again.images) and np.array_equal(first.failed, again.failed)
    assert not np.array_equal(first.images, other.images)
    assert abs(first.strength.mean() - LEVELS.strength_mean) < 0.15


def test_bad_pattern_and_films_are_refused(films):
    emotion, neutral = films
    with pytest.raises(InputError, match="pattern"):
        pseudo_edits(emotion, neutral, pattern="most")
    fewer = Film(neutral.images[:2], neutral.masks[:2], neutral.vertices, neutral.cameras[:2])
    with pytest.raises(InputError, match="same views"):
        pseudo_edits(emotion, fewer)


def test_zbuffer_finds_the_nearest_surface_point():
    camera = rig_cameras(1, 32)[0]
    faces = load_head().faces.numpy()
    vertices = load_head().template.double().numpy()
    shown = show(vertices, faces, camera)
    hit = shown.face >= 0
    pixels = camera.project(shown.sample(vertices, faces)[hit])[0]
    y, x = np.nonzero(hit)
    assert np.abs(pixels - np.stack([x, y], -1) - 0.5).max() < 1e-6
    centre = torch.tensor(vertices[faces[shown.face[16, 16]]]).mean(0)
    assert centre[2] > 0, "the middle of the picture shows the face, not the back of the head"
