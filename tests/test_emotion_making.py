"""Edits by any editor: made once, kept for a resumed run, handed to tools outside and read back."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filmed import film
from mannequin import make_mannequin

from emoga.capture import Track
from emoga.emotion.acting import Actor
from emoga.emotion.choosing import Choice
from emoga.emotion.kept import KeptEdits
from emoga.emotion.making import EditedPictures, EditMaker, EditorChoice, write_edited, write_requests
from emoga.emotion.naming import NamedEmotion, name_emotions
from emoga.errors import InputError, MissingComponent
from emoga.images import read_image_uint8, write_png
from emoga.progress import Event, Stage

Scene = tuple[Track, Actor, list[NamedEmotion]]
CHOICE = Choice((0, 1), (1, 3))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A filmed mannequin, and two emotions to learn."""
    avatar = make_mannequin()
    track = film(avatar, tmp_path_factory.mktemp("scene"), views=2, frames=4)
    actor = Actor(avatar, track)
    return track, actor, name_emotions(["happy", "angry"], actor.head)


def pictures_of(scene: Scene, invents: bool = False) -> EditedPictures:
    return EditedPictures.of(scene[1], scene[0], CHOICE, "auto", None, invents)


def maker_of(scene: Scene, text: str = "warp", **choice: object) -> EditMaker:
    track, actor, emotions = scene
    return EditMaker(actor, track, pictures_of(scene), emotions, EditorChoice(text, **choice))


def test_warp_makes_edits_within_the_masks(scene: Scene) -> None:
    happy, angry = maker_of(scene).make()
    assert [edits.name for edits in (happy, angry)] == ["happy", "angry"]
    assert happy.pairs == [(0, 1), (1, 1), (0, 3), (1, 3)]
    assert (happy.captured[2] == scene[0].picture(0, 3)).all()
    for edits in (happy, angry):
        different = (edits.edited != edits.captured).any(-1)
        assert different.any((1, 2)).all() and not different[edits.masks == 0].any()
    assert (happy.edited != angry.edited).any()
    for edits, emotion in zip((happy, angry), scene[2], strict=True):
        assert np.allclose(edits.meant, emotion.offset), "learning is told what the words stand for"
        assert edits.flush == emotion.flush != 0


def test_half_the_strength_is_less_of_an_edit(scene: Scene) -> None:
    whole, half, none = (maker_of(scene, strength=strength).make()[0] for strength in (1.0, 0.5, 0.0))
    assert (none.edited == none.captured).all()
    change = [np.abs(edits.edited.astype(int) - edits.captured).sum() for edits in (whole, half)]
    assert 0 < change[1] < 0.8 * change[0]


def test_kept_edits_are_not_made_again(scene: Scene, tmp_path: Path) -> None:
    output = tmp_path / "out.ply"

    def stages(resume: bool, **choice: object) -> tuple[int, list[np.ndarray], KeptEdits]:
        events: list[Event] = []
        kept = KeptEdits(output, resume)
        edits = maker_of(scene, **choice).make(kept, events.append)
        made = sum(isinstance(event, Stage) for event in events)
        return made, [edit.edited for edit in edits], kept

    made, first, _ = stages(False)
    again, same, kept = stages(True)
    assert (made, again) == (2, 0)
    assert all((a == b).all() for a, b in zip(first, same, strict=True))
    assert stages(True, strength=0.7)[0] == 2, "edits of another strength were used"
    assert stages(False)[0] == 2, "edits were used again without being asked to"
    kept.path("happy").write_bytes(b"cut short")
    assert stages(True)[0] == 1, "a damaged file was not made again"
    stages(True)[2].remove()
    assert not list(tmp_path.iterdir())


def test_pictures_go_out_and_edits_come_back(scene: Scene, tmp_path: Path) -> None:
    track, _, emotions = scene
    folders = write_requests(tmp_path / "out", pictures_of(scene), emotions, EditorChoice())
    assert [folder.name for folder in folders] == ["happy", "angry"]
    facts = json.loads((folders[1] / "edit.json").read_text())
    assert facts["prompt"] == "Make the person angry" and facts["seed"] == 4039213507
    for folder in folders:
        images = sorted((folder / "images").rglob("*.png"))
        masks = sorted((folder / "masks").rglob("*.png"))
        assert [path.relative_to(folder / "images") for path in images] == [
            path.relative_to(folder / "masks") for path in masks
        ]
        assert (read_image_uint8(images[0]) == track.picture(0, 1)).all()
        # The tool outside: everything becomes darker.
        for path in images:
            edited = tmp_path / "edited" / folder.name / path.relative_to(folder / "images")
            write_png(edited, read_image_uint8(path) // 2)
    edits = maker_of(scene, f"images:{tmp_path / 'edited'}").make()
    assert all((edit.edited == edit.captured // 2).all() for edit in edits)
    # A single emotion's pictures may lie in the folder itself.
    alone = EditMaker(scene[1], track, pictures_of(scene), emotions[:1],
                      EditorChoice(f"images:{tmp_path / 'edited' / 'happy'}"))  # fmt: skip
    assert (alone.make()[0].edited == edits[0].edited).all()


def test_edits_that_do_not_match_are_refused(scene: Scene, tmp_path: Path) -> None:
    edits = maker_of(scene).make()
    write_edited(tmp_path / "whole", edits, pictures_of(scene).names)
    again = maker_of(scene, f"images:{tmp_path / 'whole'}").make()[1]
    assert (again.edited == edits[1].edited).all() and (again.masks == edits[1].masks).all()

    def refused(change, words: str) -> None:
        shutil.copytree(tmp_path / "whole", tmp_path / "bad")
        change(tmp_path / "bad" / "angry")
        with pytest.raises(InputError, match=words):
            maker_of(scene, f"images:{tmp_path / 'bad'}").estimate()
        shutil.rmtree(tmp_path / "bad")

    refused(
        lambda folder: (folder / "cam1" / "000003.png").unlink(), r"angry.cam1.000003\.png: no such picture"
    )
    refused(
        lambda folder: write_png(folder / "cam0" / "000003.png", np.zeros((50, 96, 3))),
        r"angry.cam0.000003\.png: is 96x50, the captured picture is 96x96",
    )
    refused(
        lambda folder: shutil.copy(folder / "cam0" / "000003.png", folder / "cam0" / "000002.png"),
        r"angry.cam0.000002\.png: no captured picture",
    )
    refused(shutil.rmtree, "angry: no such folder")


def test_names_are_those_of_the_media(scene: Scene) -> None:
    track, actor, _ = scene
    end = replace(
        track, params=track.params.select([2, 3]), frames=np.array([2, 3]), masks=track.masks[:, 2:],
        head_masks=track.head_masks[:, 2:], landmarks=None,
    )  # fmt: skip
    pictures = EditedPictures.of(
        Actor(actor.renderer.puppet.avatar, end), end, Choice((1,), (0, 1)), "none", None, True
    )
    assert [str(name) for name in pictures.names] == ["cam1/000002", "cam1/000003"]
    assert (pictures.captured[1] == track.picture(1, 3)).all()


def test_missing_weights_name_folder_and_command(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(MissingComponent, match=r"weights.ultraedit.*hf download BleachNick"):
        maker_of(scene, "ultraedit", options={"weights": tmp_path / "weights"}).estimate()
    with pytest.raises(InputError, match="unknown editor 'photoshop'; known are: warp, images:DIR"):
        maker_of(scene, "photoshop").estimate()


def test_a_dropped_jaw_may_leave_the_captured_outline(scene: Scene) -> None:
    track, actor, _ = scene
    surprised = name_emotions(["surprised"], actor.head)
    pictures = pictures_of(scene)
    edits = EditMaker(actor, track, pictures, surprised, EditorChoice()).make()[0]
    assert (edits.masks >= pictures.masks).all() and (edits.masks > pictures.masks).any()
    acted = actor.acted(surprised[0].offset)
    chin = actor.head.landmarks["mediapipe478"].points(actor.vertices(acted, 3).double())[152].numpy()
    for index in (2, 3):
        column, row = np.floor(track.cameras[edits.views[index]].project(chin)[0]).astype(int)
        assert edits.masks[index, row, column] == 255
    # A mask that was asked for is kept to.
    hard = EditedPictures.of(actor, track, CHOICE, "hard", None, False)
    edits = EditMaker(actor, track, hard, surprised, EditorChoice()).make()[0]
    assert (edits.masks == hard.masks).all()


def test_a_diffusion_model_serves_all_emotions_within_the_masks(
    scene: Scene, tmp_path: Path, monkeypatch
) -> None:
    pytest.importorskip("diffusers", reason="diffusers is not here: no diffusion editor was run")
    pytest.importorskip("transformers", reason="transformers is not here: no diffusion editor was run")
    from tiny_models import save_instruct_pix2pix

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    track, actor, emotions = scene
    folder = save_instruct_pix2pix(tmp_path / "model")
    chosen = EditorChoice(f"instruct-pix2pix:{folder}", options={"steps": 2, "size": 64, "device": "cpu"})
    maker = EditMaker(actor, track, pictures_of(scene, invents=True), emotions, chosen)
    assert maker.estimate().weights_bytes > 0
    events: list[Event] = []
    happy, angry = maker.make(None, events.append)
    assert sum(isinstance(event, Stage) and event.name.startswith("loading") for event in events) == 1
    hard = EditedPictures.of(actor, track, CHOICE, "hard", None, True)
    assert (happy.masks >= hard.masks).all() and (happy.masks > hard.masks).any()
    for edits in (happy, angry):
        different = (edits.edited != edits.captured).any(-1)
        assert different.any((1, 2)).all() and not different[edits.masks == 0].any()
    assert (happy.edited != angry.edited).any(), "the prompts made no difference"
