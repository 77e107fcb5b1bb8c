"""The studio: performers leave the model's span, captures are exact, repeatable and resumable."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emoga.camera import Camera, look_at
from emoga.capture import load_landmarks, load_track, open_capture
from emoga.errors import InputError
from emoga.geometry import vertex_normals
from emoga.hdf5 import open_hdf5, read_array
from emoga.head import load_head
from emoga.images import from_uint8, read_image_uint8
from emoga.progress import Note, Step
from emoga.studio import capture, make_performer, perform, plan_capture
from emoga.studio.anatomy import EYES, LIPS_OUTER
from emoga.studio.detector import detected_landmarks, facing, hidden_share, smooth_normals
from emoga.studio.lips import INNER_LOWER, INNER_UPPER, LipContact, _up_direction
from emoga.studio.performer import span_residual
from emoga.studio.pseudo_edits import load_film
from emoga.studio.rig import ARC, rig_cameras
from emoga.studio.subdivide import loop_subdivision

SIZE, VIEWS, FRAMES = 48, 2, 2


@pytest.fixture(scope="module")
def filmed(tmp_path_factory) -> Path:
    """A tiny out-of-model capture; its last frame and second view are held out."""
    pytest.importorskip("mitsuba", reason="the studio's captures need Mitsuba: pip install 'emoga[studio]'")
    folder = tmp_path_factory.mktemp("studio") / "capture"
    return capture(folder, performer=1, size=SIZE, views=VIEWS, frames=FRAMES, samples=4, workers=1)


@pytest.fixture(scope="module")
def performer():
    return make_performer(1)


@pytest.mark.parametrize("seed", range(5))
def test_performers_leave_the_shape_basis(seed):
    head = load_head().to(dtype=torch.float64)
    offset = make_performer(seed).static_offset.numpy()
    outside = np.sqrt((span_residual(head, offset) ** 2).sum(-1).mean())
    assert 1e-3 <= outside < 4e-3, "outside, but still a face"


def test_residual_of_what_the_basis_spans_is_nothing():
    head = load_head().to(dtype=torch.float64)
    inside = torch.tensordot(torch.linspace(-1, 1, len(head.shape_names)).double(), head.shape_basis, 1)
    turned = np.cross([0.02, 0.01, -0.03], head.template.numpy()) + [0.001, 0.002, 0.0]
    assert np.abs(span_residual(head, inside.numpy() + turned)).max() < 1e-9


def test_in_model_performers_are_exactly_their_parameters():
    performer = make_performer(3, in_model=True)
    acted = perform(load_head(), 3, seed=3, duration=1.0)
    expected = performer.head.vertices(performer.params(acted).to(dtype=torch.float64))
    assert np.abs(performer.vertices(acted) - expected.numpy()).max() < 1e-6


def test_out_of_model_performers_move_in_their_own_way(performer):
    acted = perform(load_head(), 6, seed=1, duration=2.0, emotion="happy")
    model = performer.head.vertices(performer.params(acted).to(dtype=torch.float64)).numpy()
    face = performer.head.regions["face"].numpy()
    away = np.linalg.norm(performer.vertices(acted) - model, axis=-1)[:, face]
    assert 1e-4 < np.quantile(away, 0.95) < 6e-3


@pytest.mark.parametrize("seed", [1, 4])
def test_lips_touch_but_do_not_pass_through(seed):
    performer = make_performer(seed)
    acted = perform(load_head(), 24, seed=seed, duration=4.0)
    lips = LipContact.of(load_head())
    rest = performer.identity.rest.numpy()

    def gaps(vertices: np.ndarray) -> np.ndarray:
        return np.stack(
            [
                (lips._points(v, lips.upper) - lips._points(v, lips.lower)) @ _up_direction(v, lips.ids, rest)
                for v in vertices
            ]
        )

    free = performer.identity.pose(
        *(getattr(acted, n).double() for n in ("expr", "rotation", "neck", "jaw", "eyes", "translation"))
    )
    assert gaps(free.numpy()).min() < -2e-4, "nothing to separate: the test has lost its subject"
    found = gaps(performer.vertices(acted))
    assert found.min() > -5e-5
    assert found.max(1).min() < 2.5e-3, "speech must close the lips somewhere"


def test_same_seed_same_person_and_speech():
    first, again, other = make_performer(5), make_performer(5), make_performer(6)
    assert torch.equal(first.identity.rest, again.identity.rest)
    assert np.array_equal(first.looks.skin, again.looks.skin)
    assert not torch.equal(first.identity.rest, other.identity.rest)
    head = load_head()
    calm, happy = perform(head, 10, seed=2), perform(head, 10, seed=2, emotion="happy")
    assert torch.equal(calm.neck, happy.neck) and torch.equal(calm.eyes, happy.eyes)
    assert (happy.expr - calm.expr)[:, head.unit("mouthSmileLeft")].min() > 0.2
    assert ((calm.expr >= 0) & (calm.expr <= 1)).all()


def test_films_of_one_person_have_grain_of_their_own():
    plans = [
        plan_capture(size=64, **kind)
        for kind in ({}, {"emotion": "sad"}, {"emotion": "happy"}, {"change": "older"})
    ]
    for at in ((0, 0), (8, 17)):
        assert len({plan.seed_at(*at) for plan in plans}) == len(plans)


def test_rig_covers_its_arc():
    cameras = rig_cameras(16, 64)
    azimuths = np.degrees([np.arctan2(c.position[0], c.position[2] + 0.045) for c in cameras])
    assert np.ptp(azimuths) == pytest.approx(ARC, abs=1)
    assert abs(azimuths[8]) < 5, "camera 8 is the frontal one"


def test_subdivision_keeps_coarse_vertices_and_planes():
    head = load_head()
    vertices, faces = head.template.double().numpy(), head.faces.numpy()
    fine = loop_subdivision(faces, len(vertices), 2)
    apart = np.linalg.norm(fine.apply(vertices)[: len(vertices)] - vertices, axis=1)
    assert apart.mean() < 1e-4
    flat = np.concatenate([vertices[:, :2], np.zeros((len(vertices), 1))], 1)
    assert np.abs(fine.apply(flat)[:, 2]).max() < 1e-12
    assert len(fine.faces) == 16 * len(faces)


def test_detector_noise_is_as_large_as_a_detectors():
    template = load_head().landmarks["mediapipe478"].points(load_head().template.double()).numpy()
    exact = np.zeros((6, 30, 478, 2))
    noisy = detected_landmarks(exact, np.ones((6, 30, 478)), template, 100.0, 0)
    median = np.median(np.linalg.norm(noisy, axis=-1))
    assert 0.35 < median < 0.65, "percent of face height"
    jitter = np.median(np.linalg.norm(np.diff(noisy, axis=1), axis=-1))
    assert jitter < median, "most of the error stays from frame to frame"
    hidden = detected_landmarks(exact, np.full((6, 30, 478), -0.5), template, 100.0, 0)
    assert np.median(np.linalg.norm(hidden, axis=-1)) > 2 * median


@pytest.mark.parametrize("seed", range(4))
def test_a_detector_guesses_only_where_the_face_turns_away(seed):
    """Not at lids, lips and irises of a frontal face, whatever way the skin of their rims is turned."""
    performer = make_performer(seed)
    posed = performer.identity.rest
    embedding = performer.head.landmarks["mediapipe478"]
    template = embedding.points(performer.head.template).numpy()
    points = embedding.points(posed).numpy()
    own = embedding.points(vertex_normals(posed, performer.head.faces)).numpy()
    rims = sorted({*EYES[0], *EYES[1], *LIPS_OUTER, *INNER_UPPER, *INNER_LOWER, *range(468, 478)})

    def hidden(normals: np.ndarray, camera: Camera) -> np.ndarray:
        return hidden_share(facing(points, normals, camera))

    front = look_at((0.0, -0.03, 1.0), (0.0, -0.03, 0.0), 0.4, 256, 256)
    profile = look_at((1.0, -0.03, 0.0), (0.0, -0.03, 0.0), 0.4, 256, 256)
    smooth = smooth_normals(own, template)
    assert hidden(own, front)[rims].max() > 0.9, "no rim turns away: the test has lost its subject"
    assert (hidden(smooth, front)[rims] == 0).all()
    near, far = template[:, 0] > 0.03, template[:, 0] < -0.03
    assert (hidden(smooth, profile)[far] > 0.9).mean() > 0.9
    assert (hidden(smooth, profile)[near] == 0).mean() > 0.9


def test_capture_opens_with_truth_beside_it(filmed):
    opened = open_capture(filmed)
    track = load_track(opened.truth_track)
    assert (len(opened.cameras), opened.frame_count) == (VIEWS, FRAMES)
    assert track.held_out.views == (1,) and track.held_out.frames == (1,)
    assert track.masks.shape == (VIEWS, FRAMES, SIZE, SIZE)
    with open_hdf5(filmed / "truth_vertices.h5", "truth_vertices") as file:
        vertices = read_array(file, "vertices", (FRAMES, len(load_head().template), 3))
    # Where the true mesh is, the picture must not be backdrop: that ties geometry, cameras and pixels together.
    nose = load_head().landmarks["mediapipe478"].points(torch.from_numpy(vertices))[:, 4].numpy()
    for view, camera in enumerate(opened.cameras):
        x, y = camera.project(nose[0])[0]
        assert track.head_masks[view, 0, int(y), int(x)] > 127


def test_masks_agree_with_each_other_and_the_picture(filmed):
    opened = open_capture(filmed)
    for view in range(VIEWS):
        alpha, head = opened.mask(view, 0), opened.head_mask(view, 0)
        assert (head <= alpha).all() and 0.1 < (head > 127).mean() < (alpha > 127).mean() < 0.9
        corner = opened.image(view, 0)[alpha == 0]
        assert len(corner) and np.abs(corner - corner[0]).max() < 1 / 255


def test_landmarks_lie_on_the_head(filmed):
    opened = open_capture(filmed)
    noisy = opened.landmarks()
    for view, camera in enumerate(opened.cameras):
        exact = load_landmarks(filmed / "landmarks_exact" / f"{camera.name}.npz", FRAMES, SIZE, SIZE)
        pixels = exact.points[0, 0].astype(int)
        inside = opened.mask(view, 0)[pixels[:, 1].clip(0, SIZE - 1), pixels[:, 0].clip(0, SIZE - 1)]
        assert (inside > 127).mean() > 0.93  # a pixel is a fiftieth of the head
        error = np.linalg.norm(noisy.points[view] - exact.points[0], axis=-1) / noisy.face_height()
        assert 0.002 < np.median(error) < 0.012


def test_a_capture_is_read_as_a_film_to_spoil(filmed, tmp_path):
    opened, frame = open_capture(filmed), 1
    film = load_film(filmed, [1, 0], [frame])
    np.testing.assert_array_equal(film.images[0, 0], opened.image(1, frame))
    np.testing.assert_array_equal(film.masks[1, 0], from_uint8(opened.head_mask(0, frame)))
    with open_hdf5(filmed / "truth_vertices.h5", "truth_vertices") as file:
        np.testing.assert_array_equal(film.vertices[0], read_array(file, "vertices", (None, None, 3))[frame])
    with pytest.raises(InputError, match="views and"):
        load_film(filmed, [99], [0])
    (tmp_path / "0.png").write_bytes((filmed / "images" / opened.names[0] / "000000.png").read_bytes())
    with pytest.raises(InputError, match="not a studio capture"):
        load_film(tmp_path, [0], [0])


def test_noise_floor_is_recorded_and_lower_where_held_out(filmed):
    floor = open_capture(filmed).info["noise_floor_psnr"]
    assert 20 < floor["training"] < floor["held_out"] - 3


def test_resume_renders_identical_files(filmed):
    part = filmed / "parts" / "000001.npz"
    removed = [
        filmed / "images" / "cam_01" / "000001.png",
        filmed / "masks" / "cam_01" / "000001.png",
        filmed / "head_masks" / "cam_00" / "000000.png",
    ]
    before = {path: path.read_bytes() for path in [*removed, filmed / "truth.track.h5"]}
    for path in [*removed, part, filmed / "capture.json"]:
        path.unlink()
    events = []
    plan = {"performer": 1, "size": SIZE, "views": VIEWS, "frames": FRAMES, "samples": 4, "workers": 2}
    capture(filmed, resume=True, report=events.append, **plan)
    assert {path: path.read_bytes() for path in before} == before
    assert any(isinstance(e, Note) and "minutes" in e.text for e in events)
    assert [e.done for e in events if isinstance(e, Step)][-1] == FRAMES
    capture(filmed, resume=True, report=events.append, **plan)
    with pytest.raises(InputError, match="another capture"):
        capture(filmed, resume=True, **{**plan, "performer": 2})
    with pytest.raises(InputError, match="not empty"):
        capture(filmed, **plan)
    assert json.loads((filmed / "studio.json").read_text())["performer"] == 1


def test_some_pictures_of_a_plan_are_those_of_the_whole(filmed, tmp_path):
    plan = {"performer": 1, "size": SIZE, "views": VIEWS, "frames": FRAMES, "samples": 4, "workers": 1}
    some = capture(tmp_path / "some", only=("views:1", "frames:1"), **plan)
    opened, track = open_capture(some), load_track(some / "truth.track.h5")
    assert (opened.names, opened.frame_count) == (["cam_01"], 1)
    for kind in ("images", "masks", "head_masks"):
        alone, among = (folder / kind / "cam_01" for folder in (some, filmed))
        assert [file.name for file in alone.iterdir()] == ["000000.png"]
        assert (alone / "000000.png").read_bytes() == (among / "000001.png").read_bytes()
    whole = load_track(filmed / "truth.track.h5")
    torch.testing.assert_close(track.params.expr[0], whole.params.expr[1], rtol=0, atol=0)
    with (
        open_hdf5(some / "truth_vertices.h5", "truth_vertices") as file,
        open_hdf5(filmed / "truth_vertices.h5", "truth_vertices") as all_frames,
    ):
        np.testing.assert_array_equal(file["vertices"][0], all_frames["vertices"][1])
    assert (track.held_out.views, track.held_out.frames) == ((0,), (0,))
    with pytest.raises(InputError, match="another capture"):
        capture(some, resume=True, **plan)


def test_a_whole_plan_is_written_without_choices():
    """Captures that were filmed before plans could choose are still the same captures."""
    assert not {"only_views", "only_frames"} & plan_capture().record().keys()
    assert plan_capture(only=("views:3,0",)).record()["only_views"] == (0, 3)


def test_pictures_show_a_person_not_a_blank(filmed):
    picture = from_uint8(read_image_uint8(filmed / "images" / "cam_00" / "000000.png"))
    head = read_image_uint8(filmed / "head_masks" / "cam_00" / "000000.png", "L") > 200
    skin = picture[head]
    assert 0.1 < skin.mean() < 0.8 and skin.std() > 0.05
    assert skin[:, 0].mean() > skin[:, 2].mean(), "skin is redder than blue"


def test_bad_choices_are_refused(tmp_path):
    with pytest.raises(InputError, match="kind"):
        plan_capture("triple")
    with pytest.raises(InputError, match="size"):
        plan_capture(size=4)
    with pytest.raises(InputError, match="joyful"):
        plan_capture(emotion="joyful")
    with pytest.raises(InputError, match="out of range"):
        plan_capture(views=4, hold_out=("views:9",))
    with pytest.raises(InputError, match="--only frames:30: 30 is out of range"):
        plan_capture(frames=24, only=("frames:30",))
    with pytest.raises(InputError, match="--only faces:1: write"):
        plan_capture(only=("faces:1",))
    blocked = tmp_path / "file"
    blocked.write_text("x")
    pytest.importorskip("mitsuba")
    with pytest.raises(InputError, match="is a file"):
        capture(blocked, size=16, views=1, frames=1)


def test_estimate_grows_with_the_work():
    plan = plan_capture(size=128, views=4, frames=8)
    assert plan.seconds(1) > plan.seconds(4) > 0
    assert plan_capture(size=128, views=4, frames=8, only=("frames:0-3",)).seconds(4) < plan.seconds(4)
    assert replace(plan, samples=80).seconds(4) > 2 * plan.seconds(4) - 40
