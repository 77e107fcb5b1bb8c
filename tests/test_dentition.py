"""Rows of teeth are put where pictures show teeth; what of a mouth nobody saw looks like a mouth."""

import numpy as np
import pytest
import torch

from emoga.avatar.rig import rig_of
from emoga.camera import look_at, stack_cameras
from emoga.capture import HeldOut, Track
from emoga.head import HeadParams, load_head
from emoga.images import write_png
from emoga.optimize.dentition import moved_teeth, place_teeth
from emoga.optimize.first_gaussians import start_gaussians
from emoga.optimize.mouth_colors import mouth_colors, paint_mouth
from emoga.optimize.training_pictures import TrainingPictures
from emoga.progress import silent
from emoga.render import SH_C0, rasterize_mesh

SKIN, LIPS, FLESH, TEETH = (0.8, 0.62, 0.5), (0.7, 0.42, 0.4), (0.35, 0.12, 0.12), (0.85, 0.82, 0.7)
SIZE = 128
FRAMES = 3


@pytest.fixture(scope="module")
def head():
    return load_head()


def smiling(head) -> HeadParams:
    """A head whose lips part and whose jaw opens, further in every frame."""
    params = HeadParams.zeros(head, FRAMES)
    for frame in range(FRAMES):
        for name in ("mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight"):
            params.expr[frame, head.unit(name)] = 0.8
        params.expr[frame, head.unit("jawOpen")] = 0.1 + 0.15 * frame
    return params


def filmed(head, shown: HeadParams, assumed: HeadParams, folder) -> TrainingPictures:
    """Pictures of a head posed by `shown`, each region in one colour, in the track of somebody who assumes another."""
    camera = look_at([0, -0.07, 0.45], [0, -0.07, 0], 0.25, SIZE, SIZE)
    colors = torch.tensor(SKIN).repeat(len(head.faces), 1)
    for names, color in ((("lips",), LIPS), (("mouth_interior", "tongue"), FLESH), (("teeth",), TEETH)):
        colors[head.faces_of(names)] = torch.tensor(color)
    for frame, vertices in enumerate(head.vertices(shown)):
        index = rasterize_mesh(vertices, head.faces, *stack_cameras([camera]), SIZE, SIZE).face_index[0]
        picture = torch.where(index[..., None] >= 0, colors[index.clamp_min(0)], torch.ones(3))
        write_png(folder / f"{frame:06d}.png", picture.numpy())
    track = Track(
        head.name, head.version, head.checksum, assumed, [camera], [folder], np.arange(FRAMES), 25.0,
        held_out=HeldOut(),
    )  # fmt: skip
    return TrainingPictures(track, [0], list(range(FRAMES)), silent)


def steps(head, params: HeadParams) -> tuple[float, float]:
    """By how many metres the rows of `params` were lowered and raised."""
    offset = params.static_offset[head.faces[head.faces_of(("teeth",))].flatten().unique(), 1]
    return float(-offset.min()), float(offset.max())


@pytest.mark.parametrize(("lowered", "raised"), [(0.003, 0.0), (0.0, 0.003)])
def test_teeth_go_where_pictures_show_them(head, tmp_path, lowered, raised):
    params = smiling(head)
    pictures = filmed(head, moved_teeth(head, params, lowered, raised), params, tmp_path)
    placed = place_teeth(head, params, pictures, silent)
    assert steps(head, placed) == pytest.approx((lowered, raised), abs=0.0011)
    moved = placed.static_offset.abs().amax(1) > 0
    assert not moved[~head.regions["teeth"]].any(), "nothing but teeth moves"


def test_teeth_in_their_place_and_those_nobody_saw_stay(head, tmp_path):
    params = smiling(head)
    placed = place_teeth(head, params, filmed(head, params, params, tmp_path), silent)
    assert max(map(abs, steps(head, placed))) < 1e-9
    shut = HeadParams.zeros(head, FRAMES)
    assert place_teeth(head, shut, filmed(head, shut, shut, tmp_path / "shut"), silent) is shut


def test_a_lowered_upper_row_passes_before_the_lower_one(head):
    params = HeadParams.zeros(head, 1)
    teeth = head.faces_of(("teeth",))
    rest = head.identify(params.shape, moved_teeth(head, params, 0.004, 0.0).static_offset).rest
    centres = rest[head.faces[teeth]].mean(1)
    upper = head.skin_weights[head.faces[teeth]].mean(1)[:, 2] < 0.5
    assert centres[upper][:, 2].max() > centres[~upper][:, 2].max() + 0.001


def test_the_inside_of_a_mouth_is_dark_red_and_has_light_teeth(head):
    rest = head.identify(torch.zeros(len(head.shape_names)), None).rest
    colors = mouth_colors(head, rest, np.array(LIPS), np.array(SKIN))
    tongue, teeth = (colors[head.faces_of((name,))] for name in ("tongue", "teeth"))
    assert tongue.mean(1).max() < 0.6 * np.mean(LIPS)
    assert (tongue[:, 0] > 1.3 * tongue[:, 1]).all()
    assert teeth.mean(1).max() > 0.9 * np.mean(SKIN)
    assert ((teeth[:, 1] / teeth[:, 0]) > SKIN[1] / SKIN[0]).all(), "less red than skin"


def test_gaussians_inside_start_as_mouths_look_and_skin_is_left_alone(head, tmp_path):
    params = HeadParams.zeros(head, FRAMES)
    pictures = filmed(head, params, params, tmp_path)
    rest = head.identify(params.shape, None).rest
    gaussians = start_gaussians(head, rest, rig_of(head, "smooth"), 12_000, 0, np.random.default_rng(0))
    paint_mouth(gaussians, head, params, rest, pictures, pictures.pairs)
    shown = gaussians.sh[:, 0] * SH_C0 + 0.5
    inside = head.faces_of(("tongue", "teeth", "mouth_interior"))[gaussians.binding]
    wanted = mouth_colors(head, rest, np.array(LIPS), np.array(SKIN))[gaussians.binding]
    assert (shown[inside] - wanted[inside]).abs().max() < 0.02
    assert (shown[~inside] == 0.5).all()
