"""emoga's own face detector: finds a face in a picture, follows it from frame to frame, and reads its 478 points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from emoga.capture.face_crops import FaceCrop
from emoga.capture.face_details import PARTS
from emoga.capture.face_network import INPUT, FaceNetworks, folded
from emoga.kernels import torch_on_one_thread
from emoga.threads import in_order

PRESENT = 0.5  # probability from which a face is one
PASSES = 2  # each crop is cut around what the one before showed
SIDES = (1.5, 0.9, 0.54, 0.32, 0.19)  # of search windows, over the picture's longer side
STRIDE = 0.38  # of a window's side
TURNS = (0.0, 0.9, -0.9)  # radians; heads lie on their side when nothing stands upright
TURNED_SIDES = SIDES[:4]
FLAT = 3.0  # levels of standard deviation below which a window shows nothing
SURE = 0.9  # a face this likely ends the search among smaller windows
BATCH = 16
CANDIDATES = 4  # windows of one search step that are looked at more closely
# Eyes and mouth are looked at from so many places, in sides of their patch: what depends on how a patch lies is chance.
GLANCES = np.array([(0, 0), (0.04, 0), (-0.04, 0), (0, 0.04), (0, -0.04)])


@dataclass(frozen=True)
class Sighting:
    """A face: points [478,2] and their spread [478] in pixels, visible [478] and `face` as probabilities."""

    points: np.ndarray
    spread: np.ndarray
    visible: np.ndarray
    face: float


class FaceDetector:
    """Looks with the given networks; keeps nothing between pictures."""

    def __init__(self, networks: FaceNetworks) -> None:
        self.networks = folded(networks)

    def follow(self, pictures: Iterable[np.ndarray]) -> Iterator[Sighting | None]:
        """The face in picture after picture, each looked for where a first look at the one before had it."""

        def glimpsed() -> Iterator[tuple[np.ndarray, Sighting | None]]:
            near = None
            for picture in pictures:
                found = None if near is None else self._look(picture, FaceCrop.around(near))
                found = found or self._search(picture)
                near = None if found is None else found.points
                yield picture, found

        def closer(one: tuple[np.ndarray, Sighting | None]) -> Sighting | None:
            picture, glimpse = one
            if glimpse is None:
                return None
            found = self._look(picture, FaceCrop.around(glimpse.points)) or self._search(picture)
            return None if found is None else self._detailed(picture, found)

        # Only where a face is at first sight must be known before the next picture; the rest can be done beside it.
        with torch_on_one_thread():
            yield from in_order(glimpsed(), closer)

    def refine(self, picture: np.ndarray, crop: FaceCrop) -> Sighting | None:
        """The face in a crop, looked at PASSES times; None when there is none."""
        for _ in range(PASSES):
            sighting = self._look(picture, crop)
            if sighting is None:
                return None
            crop = FaceCrop.around(sighting.points)
        return sighting

    def _look(self, picture: np.ndarray, crop: FaceCrop) -> Sighting | None:
        """The face in a crop; None when there is none."""
        sighting = self._read([(crop, crop.cut(picture, INPUT))])[0]
        return sighting if sighting.face >= PRESENT and _sensible(sighting.points, picture.shape) else None

    def _search(self, picture: np.ndarray) -> Sighting | None:
        best = None
        for turn in TURNS:
            for side in SIDES if turn == 0 else TURNED_SIDES:
                for found in self._faces(picture, _windows(picture.shape, side, turn)):
                    if best is None or found.face > best.face:
                        best = found
                if best is not None and best.face > SURE:
                    return best
            if best is not None:
                return best
        return None

    def _faces(self, picture: np.ndarray, windows: list[FaceCrop]) -> Iterator[Sighting]:
        """Faces that stay faces when the most promising windows are looked at again."""
        cuts = [(window, window.cut(picture, INPUT)) for window in windows]
        cuts = [(window, cut) for window, cut in cuts if cut.std() > FLAT]
        sightings = [s for at in range(0, len(cuts), BATCH) for s in self._read(cuts[at : at + BATCH])]
        order = np.argsort([-s.face for s in sightings], kind="stable")[:CANDIDATES]
        for index in order:
            sighting = sightings[index]
            if sighting.face > PRESENT and _sensible(sighting.points, picture.shape):
                found = self.refine(picture, FaceCrop.around(sighting.points))
                if found is not None:
                    yield found

    def _detailed(self, picture: np.ndarray, sighting: Sighting) -> Sighting:
        """The sighting with eyes and mouth looked at from near, several times; where looks differ, it is less sure."""
        points, spread = sighting.points.copy(), sighting.spread.copy()
        crop = FaceCrop.around(points)
        for name, part in PARTS.items():
            patch = part.patch(sighting.points, crop)
            patches = [replace(patch, centre=patch.centre + shift * patch.side) for shift in GLANCES]
            cuts = torch.from_numpy(np.stack([part.cut(picture, one) for one in patches]))
            with torch.inference_mode():
                places, log_spread = self.networks.details.of(name)(cuts.permute(0, 3, 1, 2).float() / 255)
            found = np.stack(
                [part.to_picture(at.double().numpy(), one) for at, one in zip(places, patches, strict=True)]
            )
            stated = log_spread.double().exp().numpy().mean(0) * patch.side / 2
            ids = list(part.points)
            points[ids] = found.mean(0)
            spread[ids] = np.sqrt(stated**2 + found.var(0).mean(-1))
        return replace(sighting, points=points, spread=spread)

    def _read(self, cuts: list[tuple[FaceCrop, np.ndarray]]) -> list[Sighting]:
        """What the network sees in crops and their pictures [INPUT,INPUT,3]."""
        images = torch.from_numpy(np.stack([cut for _, cut in cuts]))
        with torch.inference_mode():
            reading = self.networks.face(images.permute(0, 3, 1, 2).float().div(255))
        points = reading.points.double().numpy()
        spread = reading.log_spread.double().exp().numpy()
        visible, face = torch.sigmoid(reading.visible).numpy(), torch.sigmoid(reading.face).numpy()
        return [
            Sighting(crop.to_picture(points[k]), spread[k] * crop.side / 2, visible[k], float(face[k]))
            for k, (crop, _) in enumerate(cuts)
        ]


def _sensible(points: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether points could be a face of this picture: large enough, and mostly inside."""
    low, high = points.min(0), points.max(0)
    inside = ((points >= 0) & (points < [shape[1], shape[0]])).all(1).mean()
    return bool((high - low).max() >= 12 and inside > 0.3)


def _windows(shape: tuple[int, ...], side: float, turn: float) -> list[FaceCrop]:
    """Overlapping windows over a picture [H,W,...]; `side` is over its longer side."""
    height, width = shape[:2]
    size = side * max(height, width)

    def places(length: int) -> np.ndarray:
        count = max(1, int(np.ceil((length - 0.4 * size) / (STRIDE * size))))
        edge = min(0.3 * size, length / 2)
        return np.linspace(edge, length - edge, count) if count > 1 else np.array([length / 2])

    return [FaceCrop(np.array([x, y]), size, turn) for y in places(height) for x in places(width)]
