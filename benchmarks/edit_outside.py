"""What an edit by words changes where it should not: outside of what it names, and how much inside.

    python benchmarks/edit_outside.py --json benchmarks/results/edit_outside.json --cache DIR
    python benchmarks/edit_outside.py --json FILE --quick

A studio performer is filmed, tracked and fitted as `emotion_truth.py` does it, and edited by `parametric`. Outside is
what `emoga eval-edit` calls so, over held-out views and frames: beyond the head's regions that a prompt names and the
things it puts on. Hair goes by no region of the mesh: there, inside is where the same performer's film with lighter
hair differs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import emoga  # before torch: it sets how torch's threads wait

# isort: split
import cv2
import numpy as np
import torch
from edit_films import EditStudio
from harness import cache_folder, print_figures, write_report

from emoga.avatar import Avatar
from emoga.capture import Track
from emoga.images import to_uint8
from emoga.optimize.frame_params import frame_params
from emoga.optimize.picture import AvatarRenderer

# Prompts and the regions of the head's mesh that they are about.
CASES: dict[str, tuple[str, ...]] = {
    "redder lips": ("lips",),
    "dark red lipstick": ("lips",),
    "green eyes": ("irises", "eyeballs"),
    "his left eye brown": ("irises", "eyeballs"),
    "blue eyeshadow": ("eyelids", "brows"),
    "black eyeliner": ("eyelids", "lashes", "eyeballs"),
    "darker eyebrows": ("brows",),
    "bushier eyebrows": ("brows",),
    "rosy cheeks": ("cheeks",),
    "blush": ("cheeks", "face", "nose"),
    "a red nose": ("nose",),
    "red ears": ("ears",),
    "whiter teeth": ("teeth", "mouth_interior", "lips", "tongue"),
    "freckles on the cheeks and nose": ("cheeks", "nose", "face"),
    "a long scar on his left cheek": ("cheeks", "face"),
    "a mole on the right cheek": ("cheeks", "face", "jaw"),
    "a star tattoo on the left side of his neck": ("neck",),
    "wrinkles on the forehead": ("forehead", "brows"),
    "dark circles under the eyes": ("cheeks", "face", "eyelids"),
    "stubble": ("jaw", "lips", "face", "cheeks", "neck"),
    "black glasses": ("eyelids",),
    "a thin gold earring on his left ear": ("ears",),
    "a silver nose stud": ("nose",),
    "a nose ring": ("nose", "lips"),
    "a red hat": ("scalp",),
    "a blue headband": ("scalp",),
}
QUICK = ("redder lips", "whiter teeth", "black glasses")
HAIR = "blond hair"
# Levels by which two films differ where there is hair, and pixels of 256 that its mask is widened by.
DIFFERS, WIDENED = 8, 17


def regional(avatar: Avatar, track: Track, prompt: str, regions: tuple[str, ...]) -> dict[str, float]:
    """Levels of 255 outside and inside for one prompt."""
    edited, _ = emoga.edit(avatar, prompt=prompt)
    outside, largest, inside = emoga.evaluate_edit(edited, avatar, track, regions=regions).outside
    return {"outside_mean": outside, "outside_999": largest, "inside_mean": inside}


def of_hair(studio: EditStudio) -> dict[str, float]:
    """The same of dyed hair, over the held-out pictures, by where another film shows hair."""
    avatar, track = studio.person()
    reel = studio.scored("lighter-hair")
    edited, _ = emoga.edit(avatar, prompt=HAIR)
    motion = frame_params(avatar, track)
    apart = np.abs(reel.truth.astype(float) - reel.before)
    hair = np.stack([cv2.GaussianBlur(one, (0, 0), 1.2).max(-1) > DIFFERS for one in apart])
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (WIDENED, WIDENED))
    near = np.stack([cv2.dilate(one.astype(np.uint8), brush) > 0 for one in hair])
    before, after = (
        np.stack([to_uint8(renderer.render(motion, frame, [track.cameras[view]]).image[0].numpy())
                  for view, frame in reel.pairs])
        for renderer in (AvatarRenderer(avatar), AvatarRenderer(edited))
    )  # fmt: skip
    change = np.abs(after.astype(int) - before).max(-1)
    return {
        "outside_mean": float(change[~near].mean()),
        "outside_999": float(np.percentile(change[~near], 99.9)),
        "inside_mean": float(change[hair].mean()),
    }


def rows_of(studio: EditStudio, prompts: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """One row per prompt."""
    avatar, track = studio.person()
    for prompt in prompts:
        found = of_hair(studio) if prompt == HAIR else regional(avatar, track, prompt, CASES[prompt])
        yield {"case": prompt} | {name: round(value, 4) for name, value in found.items()}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="three prompts, and no hair")
    parser.add_argument("--performer", type=int, default=1)
    parser.add_argument("--no-hair", action="store_true", help="leave out what needs a second film")
    parser.add_argument("--size", type=int, default=256, help="pixels on a side")
    parser.add_argument("--cache", type=Path, help="folder to keep films, track and avatar in")
    options = parser.parse_args()
    prompts = QUICK if options.quick else (*CASES, *(() if options.no_hair else (HAIR,)))
    with cache_folder(options.cache) as cache:
        studio = EditStudio(cache, options.performer, options.size, "default")
        rows = []
        for row in rows_of(studio, prompts):
            rows.append(row)
            print_figures(row)
    worst = {name: max(row[name] for row in rows) for name in ("outside_mean", "outside_999")}
    write_report(rows, torch.get_num_threads(), options.json, summary=worst, performer=options.performer,
                 size=options.size)  # fmt: skip


if __name__ == "__main__":
    main()
