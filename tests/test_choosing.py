"""What an edit learns from follows from what was asked for, and wishes that do not fit its method are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoga.editing import PictureChoice, TogetherChoice
from emoga.editing.choosing import PictureWishes, choice_of, editor_options
from emoga.errors import InputError

TRACK = Path("track.h5")


@pytest.mark.parametrize(
    ("method", "wishes", "write", "kind"),
    [
        ("parametric", PictureWishes(), False, type(None)),
        ("edit3dgs", PictureWishes(), False, TogetherChoice),
        ("edit3dgs", PictureWishes("images:edited", TRACK), False, PictureChoice),
        ("edit3dgs", PictureWishes(track=TRACK), True, PictureChoice),
        ("dynamicavatars", PictureWishes(track=TRACK), False, PictureChoice),
        ("dynamicavatars", PictureWishes(track=TRACK, fine=True), False, TogetherChoice),
        ("dynamicavatars", PictureWishes(), False, type(None)),
    ],
)
def test_pictures_follow_from_method_and_editor(
    method: str, wishes: PictureWishes, write: bool, kind: type
) -> None:
    assert type(choice_of(method, wishes, write)) is kind


@pytest.mark.parametrize(
    ("method", "wishes", "message"),
    [
        ("parametric", PictureWishes(track=TRACK), "takes no --track"),
        ("parametric", PictureWishes(fine=True), "takes no --fine"),
        ("dynamicavatars", PictureWishes("images:edited", TRACK, fine=True), "name one with --editor"),
    ],
)
def test_wishes_that_do_not_fit_are_refused(method: str, wishes: PictureWishes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choice_of(method, wishes)


@pytest.mark.parametrize("editor", ["instruct-pix2pix", "warp"])
@pytest.mark.parametrize("method", ["edit3dgs", "dynamicavatars"])
def test_the_seed_that_was_asked_for_is_the_editors(method: str, editor: str) -> None:
    assert choice_of(method, PictureWishes(editor, TRACK, seed=5)).seed == 5


def test_guidance_is_one_number_or_two() -> None:
    assert editor_options("7.5,1.5", 12) == {"steps": 12, "text_guidance": 7.5, "image_guidance": 1.5}
    assert editor_options("7", None) == {"text_guidance": 7.0}
    for bad in ("", "a", "1,2,3"):
        with pytest.raises(InputError, match=r"7\.5,1\.5"):
            editor_options(bad, None)
