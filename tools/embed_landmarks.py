"""Put mediapipe478 and ibug68 on the open head: render it, detect, lift, average, snap to rims.

Three steps, because mediapipe 0.10.21 (the last with FaceMesh built in) needs an environment of its own:
  python tools/embed_landmarks.py render --work DIR      pictures of several people
  <that environment>/python tools/embed_landmarks.py detect --work DIR
  python tools/embed_landmarks.py embed --work DIR       writes emoga/head/data/open_landmarks.npz
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PEOPLE = 8
POSES = [(y, p) for y in (-45, -22, 0, 22, 45) for p in (-12, 0, 14)]
EXPRESSIONS = ({}, {"mouthSmileLeft": 0.35, "mouthSmileRight": 0.35}, {"jawOpen": 0.25})


def views() -> list[dict]:
    """Every picture to make: person, expression, yaw and pitch."""
    return [
        {"person": person, "expression": e, "yaw": yaw, "pitch": pitch}
        for person in range(PEOPLE)
        for e in range(len(EXPRESSIONS))
        for yaw, pitch in POSES
    ]


def posed(head, person: int, expression: int) -> np.ndarray:
    """Vertices [V,3] of one of the random people; the first is the template."""
    import torch

    shape = torch.randn(PEOPLE, len(head.shape_names), generator=torch.Generator().manual_seed(7))[person]
    expr = torch.zeros(1, len(head.expr_names))
    for name, weight in EXPRESSIONS[expression].items():
        expr[0, head.unit(name)] = weight
    return head.identify(shape * (0.7 if person else 0.0)).pose(expr)[0].double().numpy()


def render(work: Path) -> None:
    """Write the pictures and their list."""
    from PIL import Image

    from emoga.head import load_head
    from tools.head_sheets import COLOURS, SKIN, vertex_colours
    from tools.open_head.pictures import picture

    head = load_head()
    colours = vertex_colours(head)
    # Lash strips as modelled would look like thick eyeliner.
    colours[head.regions["lashes"].numpy()] = 0.45 * np.array(SKIN)
    colours = colours[head.faces.numpy()]
    lips = head.region_names.index("lips")
    on_lip = head.regions["lips"].numpy()[head.faces.numpy()].any(1)
    colours[on_lip] = SKIN  # hard borders on edge loops, where the snapped points will lie
    colours[head.face_regions.numpy() == lips] = COLOURS["lips"]
    work.mkdir(parents=True, exist_ok=True)
    vertices, last = None, None
    for number, view in enumerate(views()):
        if (view["person"], view["expression"]) != last:
            last = (view["person"], view["expression"])
            vertices = posed(head, *last)
        image = picture(vertices, head.faces.numpy(), colours, view["yaw"], view["pitch"])
        Image.fromarray(image).save(work / f"{number:04d}.png")
    (work / "views.json").write_text(json.dumps(views()))


def detect(work: Path) -> None:
    """Run FaceMesh on the pictures; writes points [N,478,2] pixels and valid [N]."""
    import mediapipe
    from PIL import Image

    mesh = mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, refine_landmarks=True, max_num_faces=1, min_detection_confidence=0.4
    )
    files = sorted(work.glob("[0-9]*.png"))
    points, valid = np.zeros((len(files), 478, 2), np.float32), np.zeros(len(files), bool)
    for number, file in enumerate(files):
        image = np.asarray(Image.open(file).convert("RGB"))
        found = mesh.process(image).multi_face_landmarks
        if found:
            valid[number] = True
            points[number] = [(p.x * image.shape[1], p.y * image.shape[0]) for p in found[0].landmark]
    np.savez(work / "detected.npz", points=points, valid=valid)
    print(f"{valid.sum()} of {len(files)} detected")


def embed(work: Path, output: Path) -> None:
    """Lift, average, make symmetric, snap, and write the embeddings."""
    from emoga.head import load_head
    from tools.build_open_head import save
    from tools.open_head.landmarks import embed_all

    head = load_head()
    detected = np.load(work / "detected.npz")
    shots = [
        (posed(head, v["person"], v["expression"]), v["yaw"], v["pitch"], detected["points"][k])
        for k, v in enumerate(json.loads((work / "views.json").read_text()))
        if detected["valid"][k]
    ]
    save(output, embed_all(head, shots))


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("render", "detect", "embed"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=ROOT / "emoga/head/data/open_landmarks.npz")
    options = parser.parse_args()
    if options.step == "embed":
        embed(options.work, options.output)
    else:
        {"render": render, "detect": detect}[options.step](options.work)


if __name__ == "__main__":
    main()
