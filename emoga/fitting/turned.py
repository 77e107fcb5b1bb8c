"""Pictures of what nobody filmed: what one camera saw, laid on the mesh, turned a little further, eyes closed, moved.

With one camera, layers of Gaussians that only together look like skin match every picture, and come apart as soon
as the head turns further, its lids close further, or an emotion stretches its skin further, than while filmed. A
picture carried along by the mesh, which turns in a light that stands still, says what to expect there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch

from emoga.avatar.posing import MOTION
from emoga.avatar.rig import Rig
from emoga.camera import Camera, stack_cameras
from emoga.fitting.blinks import Blinks
from emoga.fitting.hidden import hidden_frames
from emoga.fitting.refinement import MotionRefinement
from emoga.fitting.rehearsal import SURFACE, with_emotion
from emoga.fitting.visibility import facing_cosines
from emoga.head import Head, HeadParams, Identity
from emoga.head.neck import pitch_and_yaw, turn_of_head, turned_to
from emoga.optimize.training_pictures import Example, TrainingPictures
from emoga.render import interpolate, rasterize_mesh
from emoga.render.mesh import MeshFragments

ACTED = 0.5  # share of the pictures in which an emotion moves the face
YAW, PITCH = 12.0, 6.0  # degrees: spread of the turns away from a pose that was filmed
NEAREST = 6  # training pictures to draw one from: light and highlights are those of a similar pose
SQUARE = (0.25, 0.55)  # cosines between which what a picture shows of a triangle begins to count in full
EDGE = 2  # pixels along outlines, in both pictures, where another surface may shine through
OPAQUE, WHOLE = 0.99, 0.9


@dataclass
class TurnedPictures:
    """Draws such pictures for the one camera of `pictures`; the light of `rig` is what the head turns in."""

    head: Head
    identity: Identity
    motion: MotionRefinement
    pictures: TrainingPictures
    rig: Rig
    _turns: torch.Tensor = field(init=False)
    _surface: torch.Tensor = field(init=False)
    _skin: np.ndarray = field(init=False)
    _blinks: Blinks = field(init=False)

    def __post_init__(self) -> None:
        base, frames = self.motion.base, [frame for _, frame in self.pictures.pairs]
        self._turns = turn_of_head(base.select(frames))
        self._surface = self.head.faces_of(SURFACE)
        self._skin = self.head.faces_of((*SURFACE, "eyelids")).numpy()
        self._blinks = Blinks.of(self.head, base, frames)

    @torch.no_grad()
    def draw(
        self, generator: np.random.Generator, half: bool, backdrop: np.ndarray | None
    ) -> tuple[Example, HeadParams]:
        """A turned picture over `backdrop` [3], and the head's parameters (length 1) as it is turned there."""
        number, target = self._turn(generator)
        view, frame = self.pictures.pairs[number]
        filmed = self.motion.of_frame(frame, learning=False)
        turned = turned_to(filmed, target)
        if self.head.presets and generator.random() < ACTED:
            turned = replace(turned, expr=with_emotion(self.head, turned.expr, generator))
        closed = self._blinks.closed(turned.expr, generator)
        example = self.pictures.example(view, frame, half, head_only=True, backdrop=backdrop)
        disguise = torch.from_numpy(generator.random(3, np.float32))
        carried = self.carried(example, filmed, turned, closed)
        return replace(carried, disguise=disguise), turned if closed is None else replace(turned, expr=closed)

    def _turn(self, generator: np.random.Generator) -> tuple[int, torch.Tensor]:
        """Which picture to turn, and the head's turn [3,3] in the world it shall show."""
        start = self._turns[generator.integers(len(self._turns))]
        pitch, yaw = generator.normal(size=2) * (PITCH, YAW)
        target = pitch_and_yaw(pitch, yaw, start.dtype) @ start
        nearness = (self._turns * target).sum((1, 2))  # 1 + 2 cos of the angle between the turns
        nearest = torch.argsort(nearness, descending=True, stable=True)[:NEAREST]
        return int(nearest[generator.integers(len(nearest))]), target

    def carried(
        self, example: Example, filmed: HeadParams, turned: HeadParams, closed: torch.Tensor | None = None
    ) -> Example:
        """The example as the mesh carries it from the pose filmed to the turned one, there perhaps with the expression
        `closed` [1,E] of a blink.
        """
        camera, faces = example.camera, self.head.faces
        before, open_eyed = (self._vertices(params) for params in (filmed, turned))
        after, blinking = open_eyed, closed is not None
        if blinking:
            after, faces = self._vertices(replace(turned, expr=closed)), self._blinks.without_lashes(faces)
        there = _fragments(faces, after, camera)
        places = torch.from_numpy(camera.project(before.double().numpy())[0]).float()
        # Pixel (0, 0) of OpenCV lies where ours has (0.5, 0.5).
        here = interpolate(there, places)[0].numpy() - np.float32(0.5)
        # A folded lid lies in the shade of its fold, whichever way the mesh there faces: closing brightens nothing.
        picture = cv2.remap(example.target.numpy(), here, None, cv2.INTER_LINEAR)
        picture = picture * self._brighter(before, open_eyed)[there.face_index[0].clamp_min(0).numpy()]
        sure = (example.alpha.numpy() > OPAQUE) & (example.weight.numpy() > WHOLE)
        sure = cv2.remap(_without_edge(sure.astype(np.float32)), here, None, cv2.INTER_LINEAR)
        face = there.face_index[0].numpy()
        worth = np.where(face >= 0, self._worth(faces, before, camera)[np.maximum(face, 0)], np.float32(0))
        weight = _without_edge(worth * sure)
        if blinking:
            shown = _fragments(self.head.faces, before, camera).face_index[0]
            lashes = self._blinks.darkest(shown, example.target.numpy())
            picture, lids = self._blinks.draw_lashes(picture, lashes, after, camera)
            weight = np.maximum(weight, lids * ((face >= 0) & self._skin[np.maximum(face, 0)]))
        target, weight = torch.from_numpy(picture), torch.from_numpy(weight)
        full = torch.ones_like(weight)
        hidden = hidden_frames(self.head, after, there, camera)
        return replace(example, target=target, weight=weight, alpha=full, alpha_weight=weight, hidden=hidden)

    def _brighter(self, before: torch.Tensor, after: torch.Tensor) -> np.ndarray:
        """By how much [F,3] triangles brighten from a mesh [V,3] to another.

        Each as playback shades it, which sees folds around lips coarsely: colours would make up for any difference, and
        show it as specks once the face moves.
        """
        one, other = (self.rig.frames(vertices).shade for vertices in (before, after))
        return (other / one).float().numpy()

    def _vertices(self, params: HeadParams) -> torch.Tensor:
        return self.identity.pose(*(getattr(params, name) for name in MOTION))[0]

    def _worth(self, faces: torch.Tensor, vertices: torch.Tensor, camera: Camera) -> np.ndarray:
        """How far to trust what the picture of a head with these vertices [V,3] shows of each triangle [F]."""
        shown = torch.zeros(len(self.head.faces), dtype=torch.bool)
        index = _fragments(faces, vertices, camera).face_index
        shown[index[index >= 0]] = True
        cosine = torch.from_numpy(facing_cosines(self.head, vertices, camera)).float()
        square = ((cosine - SQUARE[0]) / (SQUARE[1] - SQUARE[0])).clamp(0, 1)
        return (square * shown * self._surface).numpy()


def _fragments(faces: torch.Tensor, vertices: torch.Tensor, camera: Camera) -> MeshFragments:
    viewmats, Ks = stack_cameras([camera])
    return rasterize_mesh(vertices, faces, viewmats, Ks, camera.width, camera.height)


def _without_edge(weight: np.ndarray) -> np.ndarray:
    """A weight [H,W] less a strip along its border."""
    return cv2.erode(weight, np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8))
