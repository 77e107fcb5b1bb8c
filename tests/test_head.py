"""Laws of the open head: rest, pose, jaw, gaze, lids, lips, regions, presets and its file."""

import zipfile

import numpy as np
import pytest
import torch

from emoga.errors import InputError
from emoga.geometry import axis_angle_to_matrix
from emoga.head import BONES, OPEN_HEAD, STUDIO_IDENTITIES, HeadParams, load_head, read_head
from emoga.head.load import ARRAYS

JAW_DEGREES = 20.7


@pytest.fixture(scope="module")
def head():
    return load_head("open")


@pytest.fixture(scope="module")
def people(head):
    """Shapes [5,S] of random people."""
    return torch.randn(5, len(head.shape_names), generator=torch.Generator().manual_seed(11))


def units(head, frames=1, **weights):
    """Expression [frames,E] with the given units; a name without side sets both."""
    expr = torch.zeros(frames, len(head.expr_names))
    for name, weight in weights.items():
        for unit in [u for u in head.expr_names if u in (name, f"{name}Left", f"{name}Right")]:
            expr[:, head.unit(unit)] = weight
    return expr


def test_zero_parameters_give_the_template(head):
    vertices = head.vertices(HeadParams.zeros(head, 2))
    assert vertices.shape == (2, len(head.template), 3)
    torch.testing.assert_close(vertices[1], head.template, atol=1e-7, rtol=0)


def test_conventions_of_the_template(head):
    left, right = head.joints[2], head.joints[3]
    torch.testing.assert_close(0.5 * (left + right), torch.zeros(3), atol=1e-6, rtol=0)
    assert left[0] > 0.025, "the subject's left eye lies at +x"
    nose, scalp = (head.template[head.regions[name]] for name in ("nose", "scalp"))
    assert nose[:, 2].max() > scalp[:, 2].max(), "+z points out of the face"
    assert scalp[:, 1].max() > 0.07, "+y points up"
    assert 0.05 < 2 * left[0] < 0.07, "metres: pupils are about 60 mm apart"


def test_static_offset_moves_the_rest(head):
    offset = torch.zeros_like(head.template)
    offset[head.regions["nose"]] = torch.tensor([0.0, 0.0, 0.002])
    moved = head.identify(torch.zeros(len(head.shape_names)), offset).rest
    torch.testing.assert_close(moved, head.template + offset)


def test_gradients_of_shape_and_pose(head):
    torch.manual_seed(0)
    double = head.to(dtype=torch.float64)
    mask = torch.randperm(len(head.template))[:12]
    shape = 0.3 * torch.randn(len(head.shape_names), dtype=torch.float64)

    def some_vertices(s, expr, rotation, neck, jaw, eyes, translation):
        full = torch.cat([s, shape[3:]])
        return double.identify(full).pose(expr, rotation, neck, jaw, eyes, translation)[:, mask]

    # Away from 0 and 1, where clamps and the units' limits have kinks.
    expr = 0.2 + 0.5 * torch.rand(1, len(head.expr_names), dtype=torch.float64)
    turns = [0.2 * torch.randn(1, n, dtype=torch.float64) for n in (3, 3, 3, 6, 3)]
    inputs = tuple(x.requires_grad_() for x in (shape[:3].clone(), expr, *turns))
    assert torch.autograd.gradcheck(some_vertices, inputs, eps=1e-6, atol=1e-6, fast_mode=True)


def test_gradients_are_finite_at_rest(head):
    params = HeadParams.zeros(head, 1)
    values = [params.shape, params.expr, params.rotation, params.neck, params.jaw, params.eyes]
    for value in values:
        value.requires_grad_()
    (head.vertices(params) ** 2).sum().backward()
    assert all(torch.isfinite(value.grad).all() for value in values)


def test_pose_is_the_same_for_one_frame_and_for_many(head, people):
    torch.manual_seed(1)
    identity = head.identify(people[0])
    expr, rotation, eyes = torch.rand(3, len(head.expr_names)), torch.randn(3, 3), 0.2 * torch.randn(3, 6)
    together = identity.pose(expr, rotation, eyes=eyes)
    alone = identity.pose(expr[1:2], rotation[1:2], eyes=eyes[1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-6, rtol=0)


def test_rotation_and_translation_are_rigid_about_the_origin(head, people):
    identity, expr = head.identify(people[1]), units(head, jawOpen=0.4, mouthSmile=0.5)
    rotation, translation = torch.tensor([[0.1, -0.7, 0.2]]), torch.tensor([[0.3, -0.1, 0.9]])
    moved = identity.pose(expr, rotation, translation=translation)
    expected = identity.pose(expr) @ axis_angle_to_matrix(rotation).transpose(-1, -2) + translation
    torch.testing.assert_close(moved, expected, atol=1e-6, rtol=0)


def test_eyeballs_turn_rigidly_about_their_centres(head, people):
    identity = head.identify(people[2])
    gaze = torch.tensor([[0.1, 0.3, 0.0, -0.2, 0.25, 0.0]])
    posed = identity.pose(units(head), eyes=gaze)[0]
    for eye, bone in enumerate(("left_eye", "right_eye")):
        ball = head.skin_weights[:, BONES.index(bone)] > 0.5
        turn, centre = axis_angle_to_matrix(gaze[0, 3 * eye : 3 * eye + 3]), identity.joints[2 + eye]
        expected = (identity.rest[ball] - centre) @ turn.T + centre
        torch.testing.assert_close(posed[ball], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("unit", "axis", "sign"), [("Up", 1, 1), ("Down", 1, -1), ("In", 0, -1), ("Out", 0, 1)]
)
def test_look_units_turn_the_left_eye_where_they_say(head, unit, axis, sign):
    expr = units(head, **{f"eyeLook{unit}Left": 1.0})
    pupil = head.landmarks["mediapipe478"].points(
        head.identify(torch.zeros(len(head.shape_names))).pose(expr)
    )
    rest = head.landmarks["mediapipe478"].points(head.template)
    assert sign * (pupil[0, 473] - rest[473])[axis] > 0.001
    torch.testing.assert_close(pupil[0, 468], rest[468])
    torch.testing.assert_close(head.gaze_to_units(head.units_to_gaze(expr)), expr[:, head.gaze_units])


def test_lids_follow_the_gaze_down(head):
    identity = head.identify(torch.zeros(len(head.shape_names)))
    down = torch.tensor([[0.3, 0.0, 0.0] * 2])
    rim = head.lids.upper.reshape(-1)
    assert (identity.pose(units(head), eyes=down)[0] - identity.rest)[rim, 1].mean() < -0.002


def test_jaw_open_turns_the_lower_teeth(head, people):
    for shape in (torch.zeros_like(people[0]), people[3]):
        identity = head.identify(shape)
        posed = identity.pose(units(head, jawOpen=1.0))[0]
        lower = head.regions["teeth"] & (head.skin_weights[:, BONES.index("jaw")] > 0.5)
        before, after = identity.rest[lower], posed[lower]
        u, _, vh = torch.linalg.svd((after - after.mean(0)).T @ (before - before.mean(0)))
        turn = u @ vh
        angle = torch.rad2deg(torch.arccos(((torch.trace(turn) - 1) / 2).clamp(-1, 1)))
        assert abs(float(angle) - JAW_DEGREES) < 0.1
        upper = head.regions["teeth"] & ~lower
        torch.testing.assert_close(posed[upper], identity.rest[upper], atol=1e-6, rtol=0)


def test_jaw_parameters_compose_with_jaw_open(head):
    identity = head.identify(torch.zeros(len(head.shape_names)))
    chin = int(head.landmarks["mediapipe478"].corners[152, 0])
    aside = identity.pose(units(head, jawOpen=0.3), jaw=torch.tensor([[0.0, 0.1, 0.0]]))[0, chin]
    straight = identity.pose(units(head, jawOpen=0.3))[0, chin]
    assert aside[0] - straight[0] > 0.005, "a turn about +y takes the chin to the subject's left"


def test_mouth_close_shuts_what_the_jaw_opened(head, people):
    points = head.landmarks["mediapipe478"]
    for shape in people[:3]:
        identity = head.identify(shape)
        gap = [
            float((lips[0, 13] - lips[0, 14]).norm())
            for lips in (
                points.points(identity.pose(units(head, jawOpen=0.6))),
                points.points(identity.pose(units(head, jawOpen=0.6, mouthClose=0.6))),
            )
        ]
        assert gap[0] > 0.012 and gap[1] < 0.25 * gap[0]
        # Without an open jaw there is nothing to close.
        torch.testing.assert_close(
            identity.pose(units(head, mouthClose=1.0))[0], identity.rest, atol=1e-6, rtol=0
        )


def test_blinks_close_the_lids_of_anyone(head, people):
    lids = head.lids
    for shape in people:
        identity = head.identify(shape)
        rest, closed = identity.rest, identity.pose(units(head, eyeBlink=1.0))[0]

        def gap(vertices):
            return torch.stack(
                [
                    (lids.meeting @ vertices[lids.lower[e]] - vertices[lids.upper[e]]).norm(dim=-1)
                    for e in (0, 1)
                ]
            )

        assert gap(rest).max() > 0.004
        assert gap(closed).max() < 0.0007


def test_lids_never_enter_the_eyeballs(head, people):
    lids = head.lids
    for shape in people:
        identity = head.identify(shape)
        for amount in (0.3, 0.5, 0.7, 1.0):
            posed = identity.pose(units(head, eyeBlink=amount))[0]
            distance = (posed[lids.sliding] - identity.joints[2:][lids.sliding_eye]).norm(dim=-1)
            rest = (identity.rest[lids.sliding] - identity.joints[2:][lids.sliding_eye]).norm(dim=-1)
            radius = identity.eye_radius[lids.sliding_eye]
            assert (distance > torch.minimum(radius, rest) - 5e-4).all()


def test_lashes_stay_on_their_lids(head, people):
    lids = head.lids
    roots = lids.sliding[lids.lash_bind]
    for shape in people[:2]:
        identity = head.identify(shape)
        closed = identity.pose(units(head, eyeBlink=1.0))[0]

        def reach(vertices):
            return (vertices[lids.lashes] - (vertices[roots] * lids.lash_weights[..., None]).sum(1)).norm(
                dim=-1
            )

        torch.testing.assert_close(reach(closed), reach(identity.rest), atol=2e-3, rtol=0.25)


def test_units_are_carried_by_local_frames(head):
    shape = 1.5 * head.semantic["face_width"]
    carried = head.identify(shape).expr_basis
    wider, same = carried[head.unit("mouthStretchLeft")], head.expr_basis[head.unit("mouthStretchLeft")]
    assert wider.norm() > 1.03 * same.norm(), "a wider face stretches its mouth by more metres"
    at_rest = head.identify(torch.zeros(len(head.shape_names))).expr_basis
    torch.testing.assert_close(at_rest, head.expr_basis, atol=1e-5, rtol=0)


def test_bind_pose_has_open_lids_and_parted_lips(head, people):
    for shape in people[:3]:
        rest = head.identify(shape).rest
        points = head.landmarks["mediapipe478"].points(head.bind_vertices(shape))
        at_rest = head.landmarks["mediapipe478"].points(rest)
        assert 0.0005 < (points[13] - points[14]).norm() < 0.006
        assert (at_rest[13] - at_rest[14]).norm() < 0.0015
        assert (points[159] - points[145]).norm() > 0.005


def test_semantic_directions_do_what_they_say(head):
    def extent(name, region, axis):
        vertices = head.template + torch.tensordot(head.semantic[name], head.shape_basis, 1)
        part, before = vertices[head.regions[region]], head.template[head.regions[region]]
        return float(
            (part[:, axis].max() - part[:, axis].min()) / (before[:, axis].max() - before[:, axis].min())
        )

    assert extent("nose_width", "nose", 0) > 1.03
    assert extent("mouth_width", "lips", 0) > 1.08
    assert extent("face_length", "face", 1) > 1.05
    assert extent("ear_size", "ears", 1) > 1.02
    assert {"age", "gender", "weight", "jaw_width", "lips_fullness", "eye_size"} <= set(head.semantic)


def test_regions_cover_every_face_once(head):
    names = {
        "face", "scalp", "forehead", "brows", "eyelids", "eyeballs", "irises", "nose", "cheeks", "lips",
        "mouth_interior", "teeth", "tongue", "jaw", "ears", "neck", "boundary",
    }  # fmt: skip
    assert names <= set(head.regions)
    counts = torch.bincount(head.face_regions.long(), minlength=len(head.region_names))
    assert int(counts.sum()) == len(head.faces)
    assert all(counts[head.region_names.index(name)] > 20 for name in names)
    every = torch.stack([head.regions[name] for name in head.regions]).any(0)
    assert every.all()
    # The collar's rim is the only open edge of the skin.
    edges = torch.sort(torch.cat([head.faces[:, [0, 1]], head.faces[:, [1, 2]], head.faces[:, [2, 0]]]), 1)[0]
    unique, times = torch.unique(edges, dim=0, return_counts=True)
    rim = unique[times == 1].reshape(-1)
    rim = rim[~(head.regions["lashes"] | head.regions["teeth"])[rim]]
    assert head.regions["boundary"][rim].all()
    assert head.template[head.regions["below_collar"], 1].max() < head.template[head.regions["lips"], 1].min()


def test_the_head_is_symmetric(head):
    flipped = head.template * torch.tensor([-1.0, 1.0, 1.0])
    nearest = torch.cdist(flipped, head.template, compute_mode="donot_use_mm_for_euclid_dist").min(1)[0]
    assert nearest.max() < 2e-5


def test_emotions_use_known_units_within_bounds(head):
    assert {"happy", "sad", "angry", "surprised", "fear", "disgust", "contempt"} == set(head.presets)
    for name, weights in head.presets.items():
        assert set(weights) <= set(head.expr_names) - {n for n in head.expr_names if n.startswith("eyeLook")}
        assert all(0 < weight <= 1 for weight in weights.values())
        torch.testing.assert_close(head.emotion(name, 0.5), 0.5 * head.emotion(name))
    with pytest.raises(InputError, match="happy"):
        head.emotion("hangry")


def test_unknown_head_names_the_known(head):
    with pytest.raises(InputError, match="open"):
        load_head("flame1999")


def test_params_select_and_convert(head):
    params = HeadParams.zeros(head, 4)
    params.expr[2, 0] = 1.0
    some = params.select([2, 3]).to(dtype=torch.float64)
    assert some.frames == 2 and some.expr[0, 0] == 1.0 and some.neck.dtype == torch.float64
    assert some.static_offset is None


def test_wrong_shape_length_is_refused(head):
    with pytest.raises(InputError, match="components"):
        head.identify(torch.zeros(3))


def test_file_has_no_pickles_and_a_stable_checksum(head):
    assert read_head(OPEN_HEAD).checksum == head.checksum and len(head.checksum) == 64
    for path in (OPEN_HEAD, STUDIO_IDENTITIES):
        with np.load(path, allow_pickle=False) as archive:
            assert all(archive[name].dtype.kind in "fiuU" for name in archive.files)


def test_studio_identities_leave_the_basis(head):
    with np.load(STUDIO_IDENTITIES, allow_pickle=False) as studio:
        offsets, shapes = studio["performer_offset"].astype(np.float32), studio["performer_shape"]
    assert shapes.shape[1] == len(head.shape_names) and offsets.shape[1:] == head.template.shape
    assert np.sqrt((offsets[:, head.regions["face"].numpy()] ** 2).sum(-1).mean(1)).min() > 5e-4


def damaged(tmp_path, **changes):
    """A copy of the head file with some arrays replaced (None: left out)."""
    with np.load(OPEN_HEAD) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays |= {name: value for name, value in changes.items() if value is not None}
    path = tmp_path / "head.npz"
    np.savez(path, **{name: value for name, value in arrays.items() if changes.get(name, 0) is not None})
    return path


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "cut.npz"
    path.write_bytes(OPEN_HEAD.read_bytes()[:100_000])
    with pytest.raises(InputError, match=r"cut\.npz"):
        read_head(path)
    path.write_text("not a head")
    with pytest.raises(InputError):
        read_head(path)


@pytest.mark.parametrize("name", ["faces", "template", "skin_weights", "expr_names"])
def test_missing_or_misshapen_arrays_are_refused(tmp_path, name):
    assert name in ARRAYS
    with pytest.raises(InputError, match=name):
        read_head(damaged(tmp_path, **{name: None}))
    with np.load(OPEN_HEAD) as archive:
        cut = archive[name][:-1]
    with pytest.raises(InputError):
        read_head(damaged(tmp_path, **{name: cut}))


def test_indices_out_of_range_and_nan_are_refused(tmp_path, head):
    faces = head.faces.numpy().copy()
    faces[5, 1] = len(head.template)
    with pytest.raises(InputError, match="faces"):
        read_head(damaged(tmp_path, faces=faces))
    template = head.template.numpy().copy()
    template[0, 0] = np.nan
    with pytest.raises(InputError, match="template"):
        read_head(damaged(tmp_path, template=template))


def test_pickled_objects_are_refused(tmp_path):
    path = damaged(tmp_path, name=np.array({"a": 1}, dtype=object))
    assert zipfile.is_zipfile(path)
    with pytest.raises(InputError):
        read_head(path)


def test_triangles_of_regions_are_those_named_and_unknown_names_have_none():
    head = load_head()
    lips = head.faces_of(("lips", "antlers"))
    assert torch.equal(lips, head.face_regions.long() == head.region_names.index("lips")) and lips.any()
    assert not head.faces_of(("antlers",)).any()
