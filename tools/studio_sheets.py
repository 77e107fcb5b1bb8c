"""Contact sheets of studio performers: faces from several sides, close-ups, acted emotions. Look at them."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from emoga.camera import Camera, look_at
from emoga.head import load_head
from emoga.images import contact_sheet, write_png
from emoga.studio import Performance, make_performer, perform
from emoga.studio.filming import FLUSH, bust_motion
from emoga.studio.mitsuba_scene import use_threads
from emoga.studio.plans import usable_cores
from emoga.studio.stage import Stage
from emoga.studio.wardrobe import dress

# name: target in metres, metres seen from top to bottom, azimuths in degrees
CLOSE_UPS = {
    "face": ((0.0, -0.022, -0.045), 0.30, (-60, 0, 40)),
    "eyes": ((0.0, 0.0, 0.01), 0.11, (0, 40)),
    "mouth": ((0.0, -0.065, 0.01), 0.08, (0, 35)),
    "ear": ((0.07, 0.02, -0.06), 0.15, (60, 90)),
}
DISTANCE = 1.05


def camera(target: tuple[float, float, float], field: float, azimuth: float, size: int) -> Camera:
    """A camera at `azimuth` degrees that sees `field` metres about the target."""
    angle = np.radians(azimuth)
    position = np.asarray(target) + DISTANCE * np.array([np.sin(angle), 0.05, np.cos(angle)])
    return look_at(position, target, 2 * np.arctan(field / 2 / DISTANCE), size, size)


def still(expr: torch.Tensor) -> Performance:
    """One motionless frame of an expression [E]."""
    zero = torch.zeros(1, 3)
    return Performance(expr[None], zero, zero, zero, torch.zeros(1, 6), zero, 25.0)


def expressions(names: list[str]) -> dict[str, torch.Tensor]:
    """Expression [E] by name: neutral with relaxed lids, an open smile, or an emotion."""
    head = load_head()
    found = {}
    for name in names:
        expr = perform(head, 1).expr[0] * 0
        if name == "talk":
            for unit, weight in {
                "jawOpen": 0.35,
                "mouthUpperUpLeft": 0.3,
                "mouthUpperUpRight": 0.3,
                "mouthSmileLeft": 0.4,
                "mouthSmileRight": 0.4,
            }.items():
                expr[head.unit(unit)] = weight
        elif name != "neutral":
            expr = head.emotion(name)
        for side in ("Left", "Right"):
            expr[head.unit(f"eyeBlink{side}")] += 0.1
        found[name] = expr
    return found


def main() -> None:
    """Write one sheet per close-up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="folder for the sheets")
    parser.add_argument("--performers", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--expressions", nargs="+", default=["neutral", "talk", "happy", "angry"])
    parser.add_argument("--close-ups", nargs="+", default=list(CLOSE_UPS), choices=list(CLOSE_UPS))
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--samples", type=int, default=16)
    options = parser.parse_args()
    use_threads(usable_cores())
    sheets: dict[str, list[tuple[np.ndarray, str]]] = {name: [] for name in options.close_ups}
    for seed in options.performers:
        performer = make_performer(seed)
        wardrobe = dress(performer)
        for name, expr in expressions(options.expressions).items():
            acted = still(expr)
            stage = Stage(performer, wardrobe, FLUSH.get(name, 0.0))
            frame = stage.frame(performer.vertices(acted)[0], expr.double().numpy(), bust_motion(acted))
            for close_up, cells in sheets.items():
                target, field, azimuths = CLOSE_UPS[close_up]
                for azimuth in azimuths:
                    picture = stage.take(
                        frame, camera(target, field, azimuth, options.size), options.samples, 0
                    )
                    cells.append((picture.image, f"performer {seed}, {name}"))
    for close_up, cells in sheets.items():
        pictures, labels = zip(*cells, strict=True)
        columns = 2 * len(CLOSE_UPS[close_up][2])
        write_png(options.output / f"{close_up}.png", contact_sheet(pictures, labels, columns))
        print(options.output / f"{close_up}.png")


if __name__ == "__main__":
    main()
