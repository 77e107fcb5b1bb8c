"""Folders as other programs write them, made from cameras and pictures, for the readers' tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from emoga.camera import Camera, look_at
from emoga.capture.calibration import from_w2c
from emoga.images import write_png

SIZE, FRAMES = 16, 3
OPENGL = "opengl-c2w"


def arc(count: int = 3, size: int = SIZE) -> list[Camera]:
    """Cameras on an arc before the head, named like NeRSemble's."""
    angles = np.linspace(-0.6, 0.6, count)
    return [
        look_at(
            [0.9 * np.sin(a), 0.05 * i, 0.9 * np.cos(a)],
            [0, -0.02, -0.05],
            0.4,
            size,
            size,
            name=f"22220003{i}",
        )
        for i, a in enumerate(angles)
    ]


def noise(cameras: list[Camera], frames: int = FRAMES) -> np.ndarray:
    """uint8 [C,T,H,W,3]"""
    shape = (len(cameras), frames, cameras[0].height, cameras[0].width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def nersemble_parameters(cameras: list[Camera]) -> dict[str, Any]:
    return {
        "world_2_cam": {camera.name: camera.w2c.tolist() for camera in cameras},
        "intrinsics": cameras[0].K.tolist(),
    }


def write_nersemble(root: Path, cameras: list[Camera], pictures: np.ndarray, version: int = 2) -> Path:
    """A person 018 with one sequence; returns the sequence's folder."""
    person = root / "018"
    sequence = person / "sequences" / "EMO-1-shout+laugh"
    for camera, stack in zip(cameras, pictures, strict=True):
        for frame, picture in enumerate(stack):
            if version == 2:
                name = f"cam_{camera.name}_{frame:06d}.png"
                image, mask = sequence / "images" / name, sequence / "alpha_maps" / name
            else:
                folder, name = sequence / "timesteps" / f"frame_{frame:05d}", f"cam_{camera.name}.png"
                image, mask = folder / "images-2x-73fps" / name, folder / "alpha_map-73fps" / name
            write_png(image, picture)
            write_png(mask, picture[..., 0])
    file = person / "calibration" / "camera_params.json" if version == 2 else person / "camera_params.json"
    write_json(file, nersemble_parameters(cameras))
    return sequence


def write_nerfstudio(folder: Path, cameras: list[Camera], pictures: np.ndarray, **extra: Any) -> Path:
    frames = []
    for camera, stack in zip(cameras, pictures, strict=True):
        for number, picture in enumerate(stack):
            name = f"images/{camera.name}_{number:03d}.png"
            write_png(folder / name, picture)
            frames.append(
                {"file_path": name, "transform_matrix": from_w2c(camera.w2c, OPENGL).tolist()}
            )  # fmt: skip
    K = cameras[0].K
    shared = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "w": SIZE, "h": SIZE}
    write_json(folder / "transforms.json", {**shared, **extra, "frames": frames})
    return folder


def write_rig(folder: Path, cameras: list[Camera], pictures: np.ndarray) -> Path:
    for camera, stack in zip(cameras, pictures, strict=True):
        for number, picture in enumerate(stack):
            write_png(folder / camera.name / f"{number:04d}.png", picture)
            write_png(folder / "masks" / camera.name / f"{number:04d}.png", picture[..., 0])
    entries = [
        {"name": c.name, "width": c.width, "height": c.height, "K": c.K.tolist(), "w2c": c.w2c.tolist()}
        for c in cameras
    ]
    write_json(folder / "cameras.json", {"fps": 30, "cameras": entries})
    return folder


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def change_json(path: Path, change) -> None:
    """Rewrite a JSON file after `change` has had its way with what it holds."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
