"""The light found in pictures of a turning head foretells how skin looks turned further."""

import numpy as np
import pytest
import torch
from painted import from_the_left, make_track, no_light, painted, rig_in

from emoga.camera import stack_cameras
from emoga.fitting.refinement import MotionRefinement
from emoga.fitting.turned import TurnedPictures
from emoga.geometry import vertex_normals
from emoga.head import HeadParams, load_head
from emoga.optimize.standing_light import SKIN, Places, find_light, light_of
from emoga.optimize.training_pictures import TrainingPictures
from emoga.progress import silent
from emoga.render import interpolate, rasterize_mesh

FURTHER = 0.45  # radians, where 0.2 were filmed


def light_and_pictures(folder, light):
    track = make_track(folder, views=1, size=192, light=light)
    head = load_head()
    identity = head.identify(track.params.shape, None)
    pictures = TrainingPictures(track, [0], list(range(track.frame_count)), silent)
    return head, identity, track, pictures, find_light(head, identity, track.params, pictures)


def turned(head) -> HeadParams:
    params = HeadParams.zeros(head, 1)
    params.neck[:, 1] = -FURTHER
    return params


@pytest.mark.parametrize("light, worst", [(no_light, 0.04), (from_the_left, 0.07)])
def test_a_turn_beyond_what_was_filmed_changes_brightness_as_the_light_does(tmp_path, light, worst):
    head, _, _, _, found = light_and_pictures(tmp_path, light)
    before, after = (
        vertex_normals(head.vertices(params)[0], head.faces)
        for params in (HeadParams.zeros(head, 1), turned(head))
    )
    skin = torch.stack([head.regions[name] for name in SKIN]).any(0)
    seen = skin & (before[:, 2] > 0.5) & (after[:, 2] > 0.5)
    truth = light(after)[seen] / light(before)[seen]
    error = (found.ratio(before, after)[seen] / truth - 1).abs()
    assert seen.sum() > 500
    assert error.mean() < worst / 2 and error.quantile(0.95) < worst


def test_a_turned_picture_is_lit_as_the_camera_would_have_seen_it(tmp_path):
    head, identity, track, pictures, light = light_and_pictures(tmp_path, from_the_left)
    rig = rig_in(light, head, identity)
    source = TurnedPictures(head, identity, MotionRefinement(track.params, {}), pictures, rig)
    example = pictures.example(0, 0)
    filmed = track.params.select([0])
    carried = source.carried(example, filmed, turned(head))
    vertices = head.vertices(turned(head))[0]
    camera = example.camera
    fragments = rasterize_mesh(vertices, head.faces, *stack_cameras([camera]), camera.width, camera.height)
    lit = painted(head) * from_the_left(vertex_normals(vertices, head.faces))
    known = carried.weight > 0.9
    error = (interpolate(fragments, lit)[0] - carried.target)[known].abs().mean()
    assert known.sum() > 2000 and error < 0.015


def test_where_no_skin_was_seen_light_comes_evenly():
    normals = np.tile([0.0, 0.0, 1.0], (2, 5, 1))
    found = light_of(Places(np.zeros((2, 5, 3)), normals, np.zeros((2, 5))))
    sideways = torch.tensor([[1.0, 0.0, 0.0]])
    assert torch.equal(found.ratio(torch.tensor([[0.0, 0.0, 1.0]]), sideways), torch.ones(1, 3))
