"""The film set of one performer: Mitsuba scenes built frame by frame, and pictures taken of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from emoga.camera import Camera
from emoga.studio.lights import environment, light_picture
from emoga.studio.mitsuba_scene import curves, mesh, mitsuba, rgb, sensor, texture, vertex_normals
from emoga.studio.performer import Performer
from emoga.studio.visibility import clothing_share
from emoga.studio.wardrobe import RigidMesh, Wardrobe, emotion_color

MAX_DEPTH = 5
EXPOSURE = 0.55
BACKDROP = np.array([0.76, 0.77, 0.78])  # sRGB


@dataclass(frozen=True)
class Picture:
    """One rendered view: image [H,W,3] sRGB on the backdrop, alpha [H,W], head alpha [H,W]."""

    image: np.ndarray
    alpha: np.ndarray
    head: np.ndarray


@dataclass(frozen=True)
class FrameScene:
    """A Mitsuba scene of one frame, its skin and shirt as (vertices, faces), and the truth.

    truth [V,3]: head-topology vertices with creases, as rendered.
    """

    scene: Any
    skin: tuple[np.ndarray, np.ndarray]
    shirt: tuple[np.ndarray, np.ndarray]
    truth: np.ndarray


class Stage:
    """Holds what Mitsuba needs of a wardrobe between frames."""

    def __init__(
        self, performer: Performer, wardrobe: Wardrobe, flush: float = 0.0, max_depth: int = MAX_DEPTH
    ) -> None:
        self.performer, self.wardrobe = performer, wardrobe
        self.rest = performer.identity.rest.numpy()
        mi = mitsuba()
        self._integrator = mi.load_dict(
            {"type": "path", "max_depth": max_depth, "hide_emitters": True, "rr_depth": 8}
        )
        self._materials = _materials(performer, wardrobe, flush)
        self._light = environment(light_picture(np.random.default_rng([performer.seed, 31])), EXPOSURE)
        skin = wardrobe.skin
        hidden = wardrobe.hidden[skin.corner_vertex]
        self._skin_faces = skin.corner_faces[~hidden[skin.corner_faces].all(1)]
        weights = performer.head.skin_weights.numpy()
        teeth = performer.head.regions["teeth"].numpy()
        self._bones = {
            "skull": np.flatnonzero(teeth & (weights[:, 2] < 0.5)),
            "jaw": np.flatnonzero(teeth & (weights[:, 2] > 0.5)),
            "left_eye": np.flatnonzero(weights[:, 3] > 0.5),
            "right_eye": np.flatnonzero(weights[:, 4] > 0.5),
        }

    def frame(self, vertices: np.ndarray, expr: np.ndarray, bust: np.ndarray) -> FrameScene:
        """The scene of true vertices [V,3] for unit weights [E]; `bust` [3,4] moves what hangs on the shoulders."""
        wardrobe, materials = self.wardrobe, self._materials
        truth = vertices.copy()
        skin = wardrobe.skin
        fine = skin.fine.apply(vertices[skin.ids])
        normals = vertex_normals(fine, skin.fine.faces)
        fine += normals * wardrobe.creases.height(expr, self.performer.head.expr_names)[:, None]
        normals = vertex_normals(fine, skin.fine.faces)
        truth[skin.ids] = fine[: len(skin.ids)]
        corner = skin.corner_vertex
        shapes = [mesh("skin", fine[corner], self._skin_faces, normals[corner], skin.uv, materials["skin"])]
        tongue = wardrobe.tongue
        fine_tongue = tongue.fine.apply(vertices[tongue.ids])
        tongue_normals = vertex_normals(fine_tongue, tongue.fine.faces)
        shapes.append(
            mesh("tongue", fine_tongue, tongue.fine.faces, tongue_normals, None, materials["tongue"])
        )
        bones = {name: rigid_motion(self.rest[ids], vertices[ids]) for name, ids in self._bones.items()}
        for name, eye, bone in zip(
            ("left", "right"), wardrobe.eyeballs, ("left_eye", "right_eye"), strict=True
        ):
            centre = self.performer.identity.joints[2 + (name == "right")].numpy()
            place = bones[bone]
            at = move(place, eye.vertices + centre)
            shapes.append(mesh(name, at, eye.faces, eye.normals @ place[:, :3].T, eye.uv, materials["eye"]))
        for part, bone in (
            ("upper_teeth", "skull"),
            ("lower_teeth", "jaw"),
            ("upper_gum", "skull"),
            ("lower_gum", "jaw"),
        ):
            shapes.append(_rigid(part, getattr(wardrobe, part), bones[bone], materials[part.split("_")[1]]))
        shapes.append(_rigid("caruncles", wardrobe.caruncles, bones["skull"], materials["gum"]))
        for index, strands in enumerate(wardrobe.fringe):
            points = strands.at(fine, skin.fine.faces, normals)
            shapes.append(curves(points, strands.radii, materials["lash" if index % 3 else "brow"]))
        if wardrobe.hair is not None:
            shapes.append(curves(move(bones["skull"], wardrobe.hair[0]), wardrobe.hair[1], materials["hair"]))
        shirt = move(bust, wardrobe.shirt.vertices)
        shapes.append(_rigid("shirt", wardrobe.shirt, bust, materials["shirt"]))
        return FrameScene(
            _scene(shapes, self._light),
            (fine[corner], self._skin_faces),
            (shirt, wardrobe.shirt.faces),
            truth,
        )

    def take(self, frame: FrameScene, camera: Camera, samples: int, seed: int) -> Picture:
        """Render one view with `samples` per pixel."""
        mi = mitsuba()
        raw = np.array(
            mi.render(
                frame.scene, sensor=sensor(camera, samples, seed), integrator=self._integrator, seed=seed
            )
        )
        alpha = np.clip(raw[..., 3], 0, 1)
        covered = np.maximum(alpha, 1e-6)[..., None]
        color = to_srgb(raw[..., :3] / covered)
        image = color * alpha[..., None] + BACKDROP * (1 - alpha[..., None])
        head = alpha * (1 - clothing_share(frame.skin, frame.shirt, camera))
        return Picture(image.astype(np.float32), alpha, head)


def _scene(shapes: list[Any], light: Any) -> Any:
    scene: dict[str, Any] = {"type": "scene", "light": light}
    scene.update({f"shape_{index:03d}": shape for index, shape in enumerate(shapes)})
    return mitsuba().load_dict(scene)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light to sRGB 0..1, with a gentle shoulder above 0.8 in place of hard clipping."""
    linear = np.maximum(linear, 0)
    bright = np.where(linear > 0.7, 0.7 + 0.3 * (1 - np.exp(-(linear - 0.7) / 0.3)), linear)
    return np.where(
        bright <= 0.0031308, 12.92 * bright, 1.055 * np.maximum(bright, 1e-9) ** (1 / 2.4) - 0.055
    )


def rigid_motion(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation and shift [3,4] that take points [N,3] to where they moved."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, _, vh = np.linalg.svd(b.T @ a)
    u[:, 2] *= np.sign(np.linalg.det(u @ vh))
    turn = u @ vh
    return np.concatenate([turn, (target.mean(0) - turn @ source.mean(0))[:, None]], 1)


def move(motion: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a rigid motion [3,4] to points [...,3]."""
    return points @ motion[:, :3].T + motion[:, 3]


def _rigid(name: str, part: RigidMesh, motion: np.ndarray, material: Any) -> Any:
    vertices = move(motion, part.vertices)
    return mesh(name, vertices, part.faces, vertex_normals(vertices, part.faces), part.uv, material)


def _materials(performer: Performer, wardrobe: Wardrobe, flush: float) -> dict[str, Any]:
    mi, looks = mitsuba(), performer.looks
    skin = {
        "type": "bumpmap",
        "scale": 1.0,
        "relief": texture(wardrobe.relief),
        "surface": {
            "type": "principled",
            "base_color": texture(emotion_color(wardrobe, flush)),
            "roughness": texture(wardrobe.roughness),
            "specular": 0.42,
            "flatness": 0.55,
        },
    }
    fibre = {"type": "hair", "eumelanin": looks.melanin[0], "pheomelanin": looks.melanin[1],
             "longitudinal_roughness": 0.30, "azimuthal_roughness": 0.35}  # fmt: skip
    dark = {
        "type": "principled",
        "base_color": rgb(looks.hair_color * 0.55),
        "roughness": 0.45,
        "specular": 0.4,
    }
    both = lambda inner: {"type": "twosided", "inner": inner}  # noqa: E731
    recipes = {
        "skin": both(skin),
        "tongue": both({"type": "principled", "base_color": rgb((0.36, 0.11, 0.10)), "roughness": 0.32,
                        "specular": 0.5}),
        "eye": {"type": "roughplastic", "diffuse_reflectance": texture(wardrobe.eye_paint), "alpha": 0.04,
                "int_ior": 1.376},
        "teeth": both({"type": "principled", "base_color": rgb((0.74, 0.68, 0.56)), "roughness": 0.25, "specular": 0.55,
                       "flatness": 0.5}),
        "gum": both({"type": "principled", "base_color": rgb((0.42, 0.15, 0.14)), "roughness": 0.28, "specular": 0.5}),
        "brow": dark,
        "lash": {"type": "principled", "base_color": rgb(looks.hair_color * 0.25), "roughness": 0.4},
        "hair": fibre,
        "shirt": both({"type": "principled", "base_color": texture(wardrobe.shirt_paint, wrap="repeat"),
                       "roughness": 0.85, "sheen": 0.4, "specular": 0.15}),
    }  # fmt: skip
    return {name: mi.load_dict(recipe) for name, recipe in recipes.items()}
