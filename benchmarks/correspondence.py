"""Tokens that show the same: found from a fitted avatar's own depth, against true rays into the studio's scene.

    python benchmarks/correspondence.py --json benchmarks/results/correspondence.json --cache DIR
    python benchmarks/correspondence.py --json FILE --quick
    python benchmarks/correspondence.py --json FILE --size 512 --lean --preset fast

A studio performer is filmed, tracked and fitted as `emotion_truth.py` does it. Of every token centre of a view a ray
finds what the performer's scene, hair and lashes included, shows there; a second ray tells whether another camera
sees that point, and where. Eight more points of a token tell what most of it shows ("mostly"). `depth` lifts the
centre by the avatar's rendered depth; `epipolar` takes the token on the epipolar line that looks most alike, by
colours alone: an editor's own features are not asked. `true depth` is `depth` with the scene's own depth under every
pixel in place of the avatar's, by the rule that suits the avatar's; hair is of strands that two rays of one token meet
or miss, "skin" is without tokens whose own ray meets one. A film of 512 pixels takes 45 minutes; --lean makes do with
five frames to learn from, two scored ones, 14 views and fewer samples, in four minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import emoga  # before torch: it sets how torch's threads wait

# isort: split
import cv2
import numpy as np
import torch
from emotion_films import HOLD_OUT, Studio
from harness import cache_folder, write_report

from emoga.avatar import Avatar
from emoga.camera import Camera
from emoga.capture import Track, load_track
from emoga.editing.correspondence import rendered_scene
from emoga.guidance.correspondence import Matches, ViewScene, epipolar_matches, token_centres
from emoga.optimize.picture import AvatarRenderer
from emoga.studio import capture, make_performer, plan_capture
from emoga.studio.filming import bust_motion
from emoga.studio.mitsuba_scene import mitsuba
from emoga.studio.stage import Stage
from emoga.studio.wardrobe import dress

GRIDS, ALL = (64, 32, 16, 8), "all"
WAYS = ("depth", "true depth", "epipolar")
# Held-out frames, and views from side to side; each is matched with every other.
FRAMES, VIEWS = (18, 21, 23), (0, 4, 8, 11, 15)
# What a lean film holds: views, frames of which the last two are scored, samples a pixel.
LEAN_VIEWS, LEAN_FRAMES, LEAN_SAMPLES = (
    (0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 15),
    (0, 2, 3, 6, 12, 18, 21),
    8,
)
# Metres before a point at which a surface hides it. A token is 5 mm wide at the finest grid, 9 at the next; the
# strict figures beside count what the point's own surface, grazed, hides too.
HIDES, STRICTLY = 0.010, 0.003


# Points of a token, beside its centre, that tell what most of it shows: three times three of them.
INSIDE = np.array([(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1)]) / 3

# What a ray meets: the last shape of a scene, nothing, a strand of hair, brow or lash, or the head itself.
SHIRT, NOTHING, STRAND, HEAD = "shirt", "nothing", "strand", "head"
OF_HEAD = (STRAND, HEAD)
# Metres beyond which there is nothing.
FAR = 100.0


@dataclass(frozen=True)
class Person:
    """An avatar and the track it was made from; views, frames: the studio's numbers of the track's."""

    avatar: Avatar
    track: Track
    views: tuple[int, ...]
    frames: tuple[int, ...]

    @classmethod
    def lean(cls, folder: Path, performer: int, size: int, preset: str) -> Person:
        """From a film of few pictures; what the folder holds already is kept."""
        film, track, avatar = (folder / f"p{performer}.{name}" for name in ("neutral", "track.h5", "ply"))
        only = tuple(
            f"{what}:{','.join(map(str, which))}"
            for what, which in (("views", LEAN_VIEWS), ("frames", LEAN_FRAMES))
        )
        capture(
            film, performer=performer, size=size, samples=LEAN_SAMPLES, hold_out=(), only=only, resume=True
        )
        if not track.exists():
            emoga.track(film, track, hold_out=("frames:last:2",), overlay=False, resume=True)
        if not avatar.exists():
            emoga.fit(track, avatar, preset=preset, resume=True)
        return cls(emoga.load_avatar(avatar), load_track(track), LEAN_VIEWS, LEAN_FRAMES)


class TrueScene:
    """One frame of a studio film, asked by rays."""

    def __init__(self, performer: int, size: int) -> None:
        self.plan = plan_capture(performer=performer, size=size, hold_out=HOLD_OUT)
        self.person = make_performer(performer)
        self.stage = Stage(self.person, dress(self.person, self.plan.texture))

    def pose(self, frame: int) -> None:
        """Build a frame."""
        one = self.plan.performance().select([frame])
        vertices = self.person.vertices(one)[0]
        self.scene = self.stage.frame(vertices, one.expr[0].double().numpy(), bust_motion(one)).scene
        # The stage puts the shirt on last.
        self.last = max(shape.id() for shape in self.scene.shapes())

    def hits(self, camera: Camera, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points [N,3] that rays through pixels [N,2] meet, and what they are [N]: SHIRT, NOTHING, STRAND or HEAD."""
        rays = np.concatenate([pixels, np.ones((len(pixels), 1))], 1) @ np.linalg.inv(camera.K).T
        found = [self._hit(camera.position, ray) for ray in rays @ camera.w2c[:3, :3]]
        return np.stack([point for point, _ in found]), np.array([what for _, what in found])

    def gaps(self, camera: Camera, points: np.ndarray) -> np.ndarray:
        """[N]: metres from what a camera sees first to each point behind it; NaN where that is the shirt."""
        found = []
        for point in points:
            hit, what = self._hit(camera.position, point - camera.position)
            away = np.linalg.norm(point - camera.position) - np.linalg.norm(hit - camera.position)
            found.append(np.nan if what == SHIRT else away)
        return np.array(found)

    def depth(self, camera: Camera) -> np.ndarray:
        """[S,S]: metres along the axis of a camera to what every pixel's centre shows, 0 for nothing."""
        points, _ = self.hits(camera, token_centres(camera.width))
        z = points @ camera.w2c[2, :3] + camera.w2c[2, 3]
        return np.where(z < FAR, z, 0.0).reshape(camera.height, camera.width)

    def _hit(self, origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, str]:
        mi = mitsuba()
        direction = direction / np.linalg.norm(direction)
        meeting = self.scene.ray_intersect(mi.Ray3f(mi.Point3f(*origin), mi.Vector3f(*direction)))
        if not meeting.is_valid():
            return origin + 1e6 * direction, NOTHING
        if meeting.shape.id() == self.last:
            return np.array(meeting.p), SHIRT
        return np.array(meeting.p), HEAD if meeting.shape.is_mesh() else STRAND


def looks(pictures: np.ndarray, grid: int) -> np.ndarray:
    """[V,G*G,C]: what tokens look like without any network: patches of three sizes, colours less the mean colour."""
    parts = []
    for side in (4 * grid, 2 * grid, grid):
        small = np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA) for one in pictures])
        offsets = np.stack(np.meshgrid(np.arange(-2, 2), np.arange(-2, 2)), -1).reshape(-1, 2)
        corners = np.round(token_centres(grid) * (side / grid)).astype(int)[:, None] + offsets
        x, y = np.clip(corners, 0, side - 1).transpose(2, 0, 1)
        parts.append((small - small.mean((0, 1, 2)))[:, y, x].reshape(len(pictures), grid * grid, -1))
    return np.concatenate(parts, -1)


@dataclass(frozen=True)
class Truth:
    """Of every token of a view, what another shows: per token its true place there, and what is to be told of it.

    at [N,2] in tokens; gap [N]: metres to what hides it; there [N]: whether the token shows a head; strand [N]: whether
    it shows a strand of its hair, which the next ray beside may miss; share [N]: of the points of the token, what is
    truly seen.
    """

    at: np.ndarray
    gap: np.ndarray
    there: np.ndarray
    strand: np.ndarray
    share: np.ndarray

    @classmethod
    def joined(cls, parts: list[Truth]) -> Truth:
        """Tokens of many pairs of views."""
        return cls(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls)))


def figures(found: list[Matches], truth: Truth) -> dict[str, float]:
    """Errors in tokens over tokens that are truly seen, and shares of tokens whose occlusion is told rightly.

    "mostly" goes by most of a token's points, "of one mind" is where all agree, "skin" is without strands.
    """
    places = np.concatenate([one.at for one in found])
    told = np.concatenate([one.seen for one in found])
    there, skin = truth.there & ~np.isnan(truth.gap), ~truth.strand
    seen, strictly = truth.gap < HIDES, truth.gap < STRICTLY
    alike = (truth.share == 0) | (truth.share == 1)
    error, counted = np.linalg.norm(places - truth.at, axis=1), there & seen & told
    return {
        "tokens": int(there.sum()),
        "median_tokens": round(float(np.median(error[counted])), 3),
        "within_half": round(float((error[counted] <= 0.5).mean()), 4),
        "within_one": round(float((error[counted] <= 1).mean()), 4),
        "within_one_skin": round(float((error[counted & skin] <= 1).mean()), 4),
        "occlusion_right": round(float((told == seen)[there].mean()), 4),
        "occlusion_right_skin": round(float((told == seen)[there & skin].mean()), 4),
        "strands": round(float(truth.strand[there].mean()), 4),
        "occlusion_right_strictly": round(float((told == strictly)[there].mean()), 4),
        "occlusion_right_mostly": round(float((told == (truth.share > 0.5))[there].mean()), 4),
        "of_one_mind": round(float(alike[there].mean()), 4),
        "occlusion_right_of_one_mind": round(float((told == seen)[there & alike].mean()), 4),
        "hidden_found": round(float((~told)[there & ~seen].mean()), 4),
        "seen_found": round(float(told[there & seen].mean()), 4),
    }


def truths(
    true: TrueScene, cameras: list[Camera], heads: np.ndarray, grid: int
) -> dict[tuple[int, int], Truth]:
    """Of every pair of views; heads [V,S,S]: the film's head masks, in which a token must lie."""
    scale = cameras[0].width / grid
    centres = token_centres(grid) * scale
    x, y = centres.astype(int).T
    found = {}
    for source, camera in enumerate(cameras):
        points, what = true.hits(camera, centres)
        head = np.isin(what, OF_HEAD) & (heads[source, y, x] > 250)
        around = (centres[head][:, None] + INSIDE * scale).reshape(-1, 2)
        parts, of_parts = true.hits(camera, around)
        shown = np.isin(of_parts, OF_HEAD)
        for target, other in enumerate(cameras):
            if target == source:
                continue
            at, gap = np.zeros((len(points), 2)), np.full(len(points), np.nan)
            at[head], gap[head] = other.project(points[head])[0], true.gaps(other, points[head])
            gap[~((at > 0) & (at < other.width)).all(1) & head] = np.inf
            share = _seen_share(true, other, parts, shown, head)
            found[source, target] = Truth(at / scale, gap, head, what == STRAND, share)
    return found


def _seen_share(
    true: TrueScene, camera: Camera, points: np.ndarray, shown: np.ndarray, head: np.ndarray
) -> np.ndarray:
    """[G*G]: of the points [H*9,3] of tokens of the head that show it, the share a camera sees; shirts do not count."""
    gaps = np.full(len(points), np.nan)
    gaps[shown] = true.gaps(camera, points[shown])
    at = camera.project(points)[0]
    gaps[shown & ~((at > 0) & (at < camera.width)).all(1)] = np.inf
    counted = ~np.isnan(gaps).reshape(-1, len(INSIDE))
    seen = (gaps < HIDES).reshape(-1, len(INSIDE)).sum(1)
    share = np.full(len(head), np.nan)
    share[head] = seen / np.maximum(counted.sum(1), 1)
    return share


def rows_of(
    person: Person, performer: int, grids: tuple[int, ...], frames: tuple[int, ...]
) -> Iterator[dict[str, Any]]:
    """One row per grid and way, and one of each way for all grids."""
    track, views = person.track, [person.views.index(view) for view in VIEWS]
    cameras = [track.cameras[view] for view in views]
    renderer, true = AvatarRenderer(person.avatar), TrueScene(performer, cameras[0].width)
    gathered: dict[tuple[str, int], list[tuple[Matches, Truth]]] = {}
    for frame in frames:
        true.pose(frame)
        at = person.frames.index(frame)
        pose = renderer.pose(track.params, at, at + 1)[0]
        pictures, scene = rendered_scene(renderer, pose, cameras)
        perfect = ViewScene(np.stack([true.depth(camera) for camera in cameras]), cameras)
        heads = np.stack([track.head_masks[view, at] for view in views])
        for grid in grids:
            features = looks(pictures, grid)
            for (source, target), truth in truths(true, cameras, heads, grid).items():
                pair = (features[source], features[target])
                found = {
                    "depth": scene.matches(source, target, grid),
                    "true depth": perfect.matches(source, target, grid),
                    "epipolar": epipolar_matches(scene, source, target, grid, pair),
                }
                for way, matches in found.items():
                    gathered.setdefault((way, grid), []).append((matches, truth))
    for way in WAYS:
        # Last the tokens of all grids, as an editor of several layers has them.
        for name, of in [(str(grid), (grid,)) for grid in grids] + [(ALL, grids)]:
            parts = [part for grid in of for part in gathered[way, grid]]
            row = {"case": f"{way} {name}", "way": way, "grid": name}
            yield row | figures([part[0] for part in parts], Truth.joined([part[1] for part in parts]))


def summed(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The worst grid of one way, and the tokens of all."""
    every = next(row for row in rows if row["grid"] == ALL)
    return {
        "median_tokens": max(row["median_tokens"] for row in rows),
        "within_one": min(row["within_one"] for row in rows),
        "occlusion_right": min(row["occlusion_right"] for row in rows),
        "within_one_of_all": every["within_one"],
        "occlusion_right_of_all": every["occlusion_right"],
        "within_one_skin": min(row["within_one_skin"] for row in rows),
        "occlusion_right_skin": min(row["occlusion_right_skin"] for row in rows),
    }


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="one frame, grids up to 32")
    parser.add_argument("--performer", type=int, default=1)
    parser.add_argument("--size", type=int, default=256, help="pixels on a side")
    parser.add_argument("--lean", action="store_true", help="film only what is needed, with few samples")
    parser.add_argument("--preset", default="default", help="of the fit")
    parser.add_argument("--cache", type=Path, help="folder to keep film, track and avatar in")
    options = parser.parse_args()
    grids, frames = (GRIDS[1:], FRAMES[:1]) if options.quick else (GRIDS, FRAMES)
    with cache_folder(options.cache) as cache:
        if options.lean:
            person = Person.lean(cache, options.performer, options.size, options.preset)
            frames = tuple(frame for frame in frames if frame in person.frames)
        else:
            made = Studio(cache, options.performer, options.size, options.preset).person()
            person = Person(*made, tuple(range(len(made[1].cameras))), tuple(range(made[1].frame_count)))
        rows = []
        for row in rows_of(person, options.performer, grids, frames):
            rows.append(row)
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    summary = {way: summed([row for row in rows if row["way"] == way]) for way in WAYS}
    write_report(rows, torch.get_num_threads(), options.json, summary=summary, size=options.size,
                 performer=options.performer, preset=options.preset, lean=options.lean, frames=list(frames),
                 views=list(VIEWS))  # fmt: skip


if __name__ == "__main__":
    main()
