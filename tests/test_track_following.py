"""Skin followed through the film of each camera: how far it moved, and which cameras that leads to."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import emoga
from emoga.camera import Camera, look_at, stack_cameras
from emoga.capture import save_landmarks
from emoga.geometry import axis_angle_to_matrix, matrix_to_axis_angle
from emoga.head import Head, HeadParams
from emoga.images import write_png
from emoga.optimize.solving_following import Film, Followed, solve_film
from emoga.optimize.solving_landmarks import project
from emoga.optimize.solving_state import Views
from emoga.optimize.solving_views import ViewPrior
from emoga.progress import Note
from emoga.render import rasterize_mesh
from emoga.tracking.sheets import follow, make_sheet

SIZE, MOMENTS = 256, 8
CAMERAS = [
    look_at((0.9 * np.sin(angle), 0.1 * up, 0.9 * np.cos(angle)), (0, 0, 0), 0.35, SIZE, SIZE)
    for angle, up in ((0.5, 1), (0.0, 0), (-0.4, -1))
]
LONGER = 0.1  # share by which landmarks spread more a picture's height above the middle
SHORT = 0.9  # of a focal length, and of the distance that goes with it


def poses(turned: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Turns [T,3,3] and places [T,3] of a head that looks around and sways."""
    at = torch.linspace(0, 2 * math.pi, MOMENTS, dtype=torch.float64)
    around = torch.stack([0.15 * (2 * at).sin(), 0.3 * at.sin(), 0.05 * at.cos()], -1)
    sway = torch.stack([0.02 * at.cos(), 0.01 * (2 * at).cos(), 0.01 * at.sin()], -1)
    return axis_angle_to_matrix(turned * around), turned * sway


def film_of_a_ball(turned: float) -> tuple[Film, Views, torch.Tensor]:
    """What three cameras saw of a ball that turns and bulges, as one would have it who takes their lenses for wide
    ones and the places for elsewhere; the cameras he thinks of, and the true bulge [T].
    """
    generator = torch.Generator().manual_seed(3)
    viewmats, Ks = stack_cameras(CAMERAS, dtype=torch.float64)
    turns, shifts = poses(turned)
    bulge = 0.002 * torch.sin(torch.arange(MOMENTS, dtype=torch.float64))
    weight = torch.full((MOMENTS, 200, 2, 2), 0.0, dtype=torch.float64)
    weight[..., [0, 1], [0, 1]] = 0.2**-2
    allowed = (torch.eye(3, dtype=torch.float64) / 0.005**2).expand(200, 3, 3)
    seen = []
    for viewmat, K in zip(viewmats, Ks, strict=True):
        towards = -viewmat[:3, :3].T @ viewmat[:3, 3]
        normals = torch.nn.functional.normalize(
            torch.randn(200, 3, generator=generator, dtype=torch.float64) + 4 * towards, dim=-1
        )
        thought = 0.09 * normals
        true = thought + 0.002 * torch.randn(200, 3, generator=generator, dtype=torch.float64)
        out = (normals * (normals[:, 1:2] > 0)).expand(MOMENTS, 200, 3) @ turns.mT
        there = true @ turns.mT + shifts[:, None] + bulge[:, None, None] * out
        observed = project(there, viewmat[None], K[None], 0.0)[0][0]
        seen.append(
            Followed(thought @ turns.mT + shifts[:, None], out[..., None], turns, allowed, observed, weight)
        )
    nearer = viewmats.clone()
    nearer[:, :3, 3] *= SHORT
    wide = Ks.clone()
    wide[:, [0, 1], [0, 1]] *= SHORT
    calm = torch.full((1,), 0.002**-2, dtype=torch.float64)
    return Film(seen, shifts, wide, calm, 0.3), Views(nearer, torch.zeros(3, dtype=torch.float64)), bulge


def test_films_of_a_head_that_turns_tell_focal_lengths() -> None:
    film, views, bulge = film_of_a_ball(turned=1.0)
    prior = ViewPrior(film.Ks[:, 0, 0], float(film.Ks[0, 0, 0]), 0.2, 0.005)
    begun = film.cost(film.still(), views, prior)
    motion, found, covariance = solve_film(film, views, prior, 20)
    assert film.cost(motion, found, prior) < 0.05 * begun
    true = stack_cameras(CAMERAS, dtype=torch.float64)
    focals = found.focused(film.Ks)[:, 0, 0] / true[1][:, 0, 0]
    assert (focals - 1).abs().max() < 0.015
    assert covariance.diagonal().sqrt().max() < 0.03
    between, truly = (v[1, :3, :3] @ v[0, :3, :3].T for v in (found.viewmats, true[0]))
    assert torch.rad2deg(matrix_to_axis_angle(between @ truly.T)).norm() < 0.5
    # What lasts of the bulge is where the places are.
    change = motion.expression[:, 0] - motion.expression[:, 0].mean()
    torch.testing.assert_close(change, bulge - bulge.mean(), atol=3e-4, rtol=0)


def test_a_head_that_keeps_still_leaves_focal_lengths_as_they_were_thought() -> None:
    film, views, _ = film_of_a_ball(turned=0.0)
    prior = ViewPrior(film.Ks[:, 0, 0], float(film.Ks[0, 0, 0]), 0.05, 0.005)
    _, found, covariance = solve_film(film, views, prior, 20)
    assert (found.log_focals.abs() < 0.05).all()
    assert covariance.mean().sqrt() > 0.6 * prior.spread


def solid(places: torch.Tensor) -> torch.Tensor:
    """Brightness [...] of the spotted stuff a head is made of, at its places [...,3] in metres."""
    waves = torch.tensor([[500.0, 80, 90], [-60, 450, 120], [90, -110, 520]], dtype=torch.float64)
    return 0.5 + 0.15 * (places @ waves).sin().sum(-1) / 1.5


def turning(head: Head) -> HeadParams:
    """A head that turns as the ball does."""
    params = HeadParams.zeros(head, MOMENTS, torch.float64)
    turns, params.translation = poses(1.0)
    params.rotation = matrix_to_axis_angle(turns)
    return params


def pictures_of(head: Head, vertices: torch.Tensor, camera: Camera) -> list[np.ndarray]:
    """Pictures [S,S,3] of the spotted head with vertices [T,V,3]."""
    viewmats, Ks = stack_cameras([camera], dtype=torch.float64)
    pictures = []
    for moment in vertices:
        drawn = rasterize_mesh(moment, head.faces, viewmats, Ks, SIZE, SIZE)
        on = drawn.face_index[0] >= 0
        stuff = (head.template[head.faces[drawn.face_index[0][on]]] * drawn.bary[0][on][..., None]).sum(1)
        picture = torch.full((SIZE, SIZE, 3), 0.5, dtype=torch.float64)
        picture[on] = solid(stuff)[:, None]
        pictures.append(picture.float().numpy())
    return pictures


def test_films_tell_what_landmarks_have_wrong(head: Head, tmp_path: Path) -> None:
    """Landmarks too long above and too short below lead focal lengths 3 % astray; films of spots lead them back."""
    params, take, notes = turning(head), tmp_path / "take", []
    vertices = head.vertices(params)
    points = head.landmarks["mediapipe478"].points(vertices).numpy()
    for number, camera in enumerate(CAMERAS):
        for frame, picture in enumerate(pictures_of(head, vertices, camera)):
            write_png(take / f"{number}" / f"{frame:06d}.png", picture)
        marks = camera.project(points)[0]
        middle = marks.mean(1, keepdims=True)
        marks = middle + (marks - middle) * (1 + LONGER * (middle - marks)[..., 1:] / SIZE)
        save_landmarks(take / "landmarks" / f"{number}.npz", marks, np.ones(MOMENTS, bool), SIZE, SIZE, 25.0)
    found = emoga.track(take, tmp_path / "t.h5", preset="fast", overlay=False, report=notes.append)
    assert not any("too still" in note.text for note in notes if isinstance(note, Note))
    assert max(found.provenance["focal"]["relative_uncertainty"]) < 0.03
    for one, true in zip(found.cameras, CAMERAS, strict=True):
        assert one.K[0, 0] == pytest.approx(true.K[0, 0], rel=0.015)


def test_skin_is_followed_to_a_fraction_of_a_pixel(head: Head) -> None:
    """A spotted head turns; by a mesh that is a little beside it in every moment its skin is found again."""
    params = turning(head)
    viewmats, Ks = stack_cameras(CAMERAS[1:2], dtype=torch.float64)
    vertices = head.vertices(params)
    pictures = pictures_of(head, vertices, CAMERAS[1])
    sway = torch.tensor([0.0008, -0.0005, 0.0], dtype=torch.float64)
    params.translation = params.translation + torch.tensor([[1.0], [-1.0]]).repeat(MOMENTS // 2, 1) * sway
    thought = head.vertices(params)
    sheet = make_sheet(head, thought, viewmats[0], Ks[0], 0)
    sight = follow(sheet, pictures, head, head.regions["forehead"][head.faces].all(1))
    true, moved = (
        project(
            (v[:, torch.from_numpy(sight.corners)] * torch.from_numpy(sight.weights)[..., None]).sum(2),
            viewmats, Ks, 0.0,
        )[0][0].numpy()
        for v in (vertices, thought)
    )  # fmt: skip
    known = (sight.information[:, :, 0, 0] > 1).all(0)
    assert known.sum() > 10

    def astray(pixels: np.ndarray) -> float:
        """Median pixels by which places are off, besides what lasts."""
        off = (pixels - true)[:, known]
        return float(np.median(np.linalg.norm(off - off.mean(0), axis=-1)))

    assert astray(moved) > 0.4
    assert astray(sight.pixels) < 0.25 * astray(moved)
    # Where nothing is to be seen nothing is told.
    blank = follow(
        sheet, [np.full_like(pictures[0], 0.5)] * MOMENTS, head, torch.ones(len(head.faces), dtype=torch.bool)
    )
    assert blank.information.max() < 1e-3
