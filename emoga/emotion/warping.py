"""What the warp editor is given for each picture: where pixels come from, what appears, how light and skin change."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import torch

from emoga.camera import Camera, stack_cameras
from emoga.capture import Track
from emoga.emotion.acting import Actor, face_height
from emoga.emotion.naming import NamedEmotion
from emoga.emotion.shading import averages, blood, crease_depth, shading_ratio
from emoga.guidance import PictureName, WarpFields
from emoga.guidance.warp import FEATHER
from emoga.head import HeadParams
from emoga.images import from_uint8
from emoga.optimize.backdrop import backdrops
from emoga.render import MeshFragments, interpolate, rasterize_mesh

HIDDEN = 0.0015  # metres behind the surface at which a place counts as not seen
STRETCH = 5.0  # a triangle that grows more than this in the picture shows what was hardly seen before
FADE = 0.09  # of the face's height: how far the flow reaches beyond the mesh
GENTLE = 0.25  # pixels by which the fading flow may change from one pixel to the next
EXPOSURE = 0.06  # of the face's height: what is brighter or darker over this far is put right in the fill
# Never shaded, flushed or creased.
KEPT = ("eyeballs", "irises", "teeth", "tongue", "mouth_interior", "lashes", "scalp", "shoulders", "boundary")
DARK = (0.30, 0.50)  # of the skin's brightness: hair, brows and beards below, skin above
MOVES = 0.5  # pixels from which on a triangle counts as moving
BODY = ("neck", "shoulders", "boundary", "scalp", "ears")
# What lies behind an opening of the face, and how near to the opening's rim, as a share of the face's height, the
# tracked rim may be wrong, so that a pixel shows the lid or lip in front instead.
EYE, MOUTH = ("eyeballs", "irises"), ("mouth_interior", "teeth", "tongue")
EYE_RIM, MOUTH_RIM = 0.016, 0.005
# What teeth, and what flesh in a mouth, may look like: least and most of green and blue beside red, and of brightness
# beside the skin's.
TEETH = ((0.75, 0.65), (1.0, 1.0), 1.25)
FLESH = ((0.25, 0.25), (0.50, 0.52), 0.45)


class FaceWarp:
    """Fields of an emotion for the pictures of a track, for `open_editor("warp", fields=...)`."""

    def __init__(
        self,
        actor: Actor,
        track: Track,
        emotion: NamedEmotion,
        light: torch.Tensor,
        places: Mapping[PictureName, tuple[int, int]],
    ) -> None:
        self.actor, self.track, self.emotion = actor, track, emotion
        self._light, self._places = light, dict(places)
        self._colors = backdrops(track)[0]
        head = actor.head
        self._neighbours = averages(head)
        # Template places and blood of every vertex, to be read at pixels.
        self._surface = torch.cat([head.template.double(), torch.from_numpy(blood(head))[:, None]], 1)
        self._kept_faces = head.faces_of(KEPT).numpy()
        self._eye_faces, self._mouth_faces = head.faces_of(EYE).numpy(), head.faces_of(MOUTH).numpy()
        self._body_faces = head.faces_of(BODY).numpy()
        self._tooth_faces = head.faces_of(("teeth",)).numpy()
        self._acted: dict[float, HeadParams] = {}

    @torch.no_grad()
    def __call__(self, name: PictureName, strength: float) -> WarpFields:
        """Fields of one picture at a strength of 0..1."""
        view, frame = self._places[name]
        camera, actor = self.track.cameras[view], self.actor
        acted = self._acting(strength)
        before, after = actor.vertices(actor.params, frame), actor.vertices(acted, frame)
        then, now = (_seen(vertices, actor, camera) for vertices in (before, after))
        picture = from_uint8(self.track.picture(view, frame))
        height = face_height(actor.head, before, camera)
        flow, hidden = _flow(actor, before, after, then, now, camera)
        for inner, rim in ((self._eye_faces, EYE_RIM), (self._mouth_faces, MOUTH_RIM)):
            hidden |= _behind_rims(inner, flow, then, now, rim * height)
        covered = now.covered[0].numpy()
        # At its outline the mesh is seen so aslant that a hidden pixel there says nothing of what lies beyond.
        outline = hidden & (cv2.erode(covered.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0)
        flow[hidden] = 0
        flow = _beyond(flow, covered & ~outline, FADE * height)
        fill = self._fill(picture, acted, view, frame, then, EXPOSURE * height)
        keep, skin = self._keep(picture, flow, now)
        fill = self._like_a_mouth(fill, skin, now)
        surface = interpolate(now, self._surface)[0].numpy()
        return WarpFields(
            flow=flow,
            fill=fill,
            fill_mask=hidden.astype(np.float32),
            shading=self._shading(before, after, now),
            flush=(strength * self.emotion.flush * surface[..., 3]).astype(np.float32),
            crease=self._creases(surface, now, acted, frame),
            keep=keep,
        )

    @torch.no_grad()
    def reach(self, name: PictureName, strength: float) -> np.ndarray:
        """bool [H,W]: where parts of the face that move come to lie, and as far around as an edge is softened.

        A jaw that drops leaves the head's captured outline; what lies there has to make room.
        """
        view, frame = self._places[name]
        camera, actor = self.track.cameras[view], self.actor
        before, after = actor.vertices(actor.params, frame), actor.vertices(self._acting(strength), frame)
        pixels = [camera.project(vertices.double().numpy())[0] for vertices in (before, after)]
        moves = np.linalg.norm(pixels[1] - pixels[0], axis=1)[actor.head.faces.numpy()].max(1) > MOVES
        index = _seen(after, actor, camera).face_index[0].numpy()
        face = (index >= 0) & (moves & ~self._body_faces)[np.maximum(index, 0)]
        radius = round(2.2 * FEATHER * max(index.shape))
        brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        return cv2.dilate(face.astype(np.uint8), brush).astype(bool)

    def _acting(self, strength: float) -> HeadParams:
        if strength not in self._acted:
            self._acted[strength] = self.actor.acted(strength * self.emotion.offset)
        return self._acted[strength]

    def _fill(
        self, picture: np.ndarray, acted: HeadParams, view: int, frame: int, then: MeshFragments, reach: float
    ) -> np.ndarray:
        """The avatar's own picture of the emotion [H,W,3], as bright as the captured one is around."""
        renderer, camera, color = self.actor.renderer, self.track.cameras[view], self._colors[view]
        drawn = renderer.render(acted, frame, [camera], color).image[0].cpu().numpy()
        still = renderer.render(self.actor.params, frame, [camera], color).image[0].cpu().numpy()
        weight = then.covered[0].numpy().astype(np.float32)[..., None]
        error = cv2.GaussianBlur((picture - still) * weight, (0, 0), reach)
        share = cv2.GaussianBlur(weight, (0, 0), reach)[..., None]
        return np.clip(drawn + error / np.maximum(share, 0.05), 0, 1).astype(np.float32)

    def _like_a_mouth(self, fill: np.ndarray, skin: float, now: MeshFragments) -> np.ndarray:
        """The fill with colours that a mouth can have: no avatar learnt those of what nobody showed.

        skin: its brightness.
        """
        index = now.face_index[0].numpy()
        mouth = (index >= 0) & self._mouth_faces[np.maximum(index, 0)]
        if not mouth.any():
            return fill
        tooth = self._tooth_faces[np.maximum(index, 0)]
        likely = fill.copy()
        for part, (least, most, brightest) in ((mouth & tooth, TEETH), (mouth & ~tooth, FLESH)):
            found = fill[part]
            found = found * np.minimum(1, brightest * skin / np.maximum(found.max(1, keepdims=True), 1e-3))
            red = found.max(1, keepdims=True)
            likely[part] = np.concatenate([red, np.clip(found[:, 1:], red * least, red * most)], 1)
        soft = cv2.GaussianBlur(mouth.astype(np.float32), (0, 0), 1.0)[..., None]
        return (fill + (cv2.GaussianBlur(likely, (0, 0), 0.7) - fill) * soft).astype(np.float32)

    def _shading(self, before: torch.Tensor, after: torch.Tensor, now: MeshFragments) -> np.ndarray:
        ratio = shading_ratio(self.actor.head, self._light, before, after, self._neighbours)
        shading = interpolate(now, ratio)[0].numpy()
        return np.where(now.covered[0].numpy()[..., None], shading, 1).astype(np.float32)

    def _creases(self, surface: np.ndarray, now: MeshFragments, acted: HeadParams, frame: int) -> np.ndarray:
        covered = now.covered[0].numpy()
        depth = np.zeros(covered.shape, np.float32)
        expressions = self.actor.params.expr[frame], acted.expr[frame]
        depth[covered] = crease_depth(self.actor.head, surface[covered][:, :3], *expressions)
        return depth

    def _keep(self, picture: np.ndarray, flow: np.ndarray, now: MeshFragments) -> tuple[np.ndarray, float]:
        """1 on hair, eyes, teeth and beside the mesh [H,W], and the skin's brightness: hair on it is darker."""
        index = now.face_index[0].numpy()
        kept = (index < 0) | self._kept_faces[np.maximum(index, 0)]
        moved = _sampled(picture, flow)
        brightness = cv2.GaussianBlur(moved.max(2), (0, 0), 1.0)
        skin = float(np.median(brightness[~kept])) if (~kept).any() else 1.0
        dark = np.clip((DARK[1] - brightness / max(skin, 1e-3)) / (DARK[1] - DARK[0]), 0, 1)
        soft = cv2.GaussianBlur(kept.astype(np.float32), (0, 0), 1.5)
        return np.maximum(np.maximum(soft, kept), dark).astype(np.float32), skin


def _seen(vertices: torch.Tensor, actor: Actor, camera: Camera) -> MeshFragments:
    viewmats, Ks = stack_cameras([camera], dtype=torch.float64)
    return rasterize_mesh(vertices.double(), actor.head.faces, viewmats, Ks, camera.width, camera.height)


def _flow(
    actor: Actor,
    before: torch.Tensor,
    after: torch.Tensor,
    then: MeshFragments,
    now: MeshFragments,
    camera: Camera,
) -> tuple[np.ndarray, np.ndarray]:
    """Flow [H,W,2] to where each place was in the captured picture, and bool [H,W] where it was not seen there."""
    covered = now.covered[0].numpy()
    height, width = covered.shape
    places = interpolate(now, before.double())[0].numpy()[covered]
    pixels, depth = camera.project(places)
    rows, columns = np.nonzero(covered)
    flow = np.zeros((height, width, 2), np.float32)
    flow[covered] = pixels - np.stack([columns + 0.5, rows + 0.5], 1)
    column, row = (
        np.clip(np.floor(pixels[:, axis]).astype(int), 0, limit - 1)
        for axis, limit in ((0, width), (1, height))
    )
    # The deepest surface within a pixel: at an edge both surfaces are seen.
    front = then.depth[0].numpy().astype(np.float32)
    front = cv2.dilate(front, np.ones((3, 3), np.uint8))
    faces = now.face_index[0].numpy()[covered]
    stretched = _stretched(actor, before, after, camera)[faces]
    hidden = np.zeros((height, width), bool)
    hidden[covered] = (depth > front[row, column] + HIDDEN) | stretched
    return flow, hidden


def _behind_rims(
    inner: np.ndarray, flow: np.ndarray, then: MeshFragments, now: MeshFragments, rim: float
) -> np.ndarray:
    """bool [H,W]: places of the inner triangles [F] bool so near a rim that moved away that it may hide them.

    rim: pixels by which the tracked rim may be wrong.
    """
    depths = []
    for seen in (then, now):
        index = seen.face_index[0].numpy()
        shown = (index >= 0) & inner[np.maximum(index, 0)]
        depths.append(cv2.distanceTransform(shown.astype(np.uint8), cv2.DIST_L2, 5))
    was = _sampled(depths[0], flow)
    return (depths[1] > 0) & (was < rim) & (depths[1] > was + 0.5)


def _stretched(actor: Actor, before: torch.Tensor, after: torch.Tensor, camera: Camera) -> np.ndarray:
    """bool [F]: triangles that were seen from behind or grew so much that their pixels would be smeared."""
    faces = actor.head.faces.numpy()
    areas = []
    for vertices in (before, after):
        pixels = camera.project(vertices.double().numpy())[0]
        a, b = pixels[faces[:, 1]] - pixels[faces[:, 0]], pixels[faces[:, 2]] - pixels[faces[:, 0]]
        areas.append(-(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]))  # y points down in pictures
    was, is_now = areas
    return (is_now > 0) & (is_now > STRETCH * np.maximum(was, 0))


def _beyond(flow: np.ndarray, covered: np.ndarray, reach: float) -> np.ndarray:
    """The flow carried on beyond the mesh, where it fades within `reach` pixels."""
    if covered.all() or not covered.any():
        return flow
    distance, label = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros((label.max() + 1, 2), np.float32)
    table[label[covered]] = flow[covered]
    nearest = table[label]
    # Far enough that fading makes no edge of its own, and smooth from a little beyond the mesh's.
    reach = max(reach, float(np.linalg.norm(nearest[~covered], axis=1).max()) / GENTLE)
    blur = max(1.0, 0.05 * reach)
    beyond = np.clip(distance / (3 * blur), 0, 1)[..., None]
    spread = nearest + (cv2.GaussianBlur(nearest, (0, 0), blur) - nearest) * beyond
    fade = 1 - np.clip(distance / reach, 0, 1)[..., None]
    return np.where(covered[..., None], flow, spread * fade * fade * (3 - 2 * fade)).astype(np.float32)


def _sampled(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    height, width = flow.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    return cv2.remap(picture, grid + flow, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
