"""What an evaluation of emotions found: figures by emotion, and what could not be computed and why."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

import numpy as np

from emoga.evaluation.emotion_figures import Agreement, Steps
from emoga.evaluation.emotion_networks import METHODS, NetworkFigures, canonical
from emoga.evaluation.heat_map import Deformation
from emoga.evaluation.report import without_nan
from emoga.evaluation.retracking import Units
from emoga.optimize.metrics import Likeness
from emoga.optimize.metrics_emotion import CHANGE_NEEDS, FLICKER_NEEDS, ChangeOutside, Displacement, Flicker
from emoga.optimize.metrics_features import recognition
from emoga.optimize.scoring import PictureScore

PROTOCOL = (
    "likeness: PSNR and SSIM against the truth's pictures in the truth's head mask; views and frames as the track "
    "holds them out",
    "displacement: of the face's skin from the neutral playback, as a share along the truth's own from its neutral",
    f"flicker: mean |change(avatar) - change(truth)| in the mask, along the true mesh, over the same of the edits; "
    f"valid from a displacement of {FLICKER_NEEDS:.0%} on; floor: what Gaussian noise in the truth alone makes of it",
    "temporal change: mean change over successive frames along the avatar's own mesh, over that of the neutral "
    "playback; not flicker, which needs truth and edits",
    "agreement of views: spread of what views show of one vertex, in 0..1; its change: the same of emotion minus "
    "neutral",
    f"change outside: levels of 255 outside the dilated masks, over pixels that the avatar covers; valid from "
    f"{CHANGE_NEEDS:.0%} of the truth's change inside on",
    "units: found again from pictures by an observer who knows the person, cameras and the neutral frame; shape mm: "
    "how far the persons so seen in the avatar's and in the truth's pictures are apart when the shape is free too",
    "networks see the frontal camera; FID, KID and CLIP white outside the head mask, the others a cut face",
)  # fmt: skip


@dataclass
class EmotionFigures:
    """Everything measured of one emotion; what is None or empty has its reason in `not_computed`.

    likeness: split ("training", "views", "frames", "both") -> method ("avatar", "neutral", "geometry", "edits", and
    "avatar where edited") -> figures against the truth; pictures: the avatar's, one by one.
    agreement: whose pictures ("avatar", "neutral", "edits", "avatar where edited", "truth", "avatar where true").
    displacement, units: of the avatar; geometry_displacement: of the baseline motion.
    """

    name: str
    likeness: dict[str, dict[str, Likeness]] = field(default_factory=dict)
    pictures: list[PictureScore] = field(default_factory=list)
    displacement: Displacement | None = None
    geometry_displacement: Displacement | None = None
    flicker: Flicker | None = None
    temporal: Steps | None = None
    agreement: dict[str, Agreement] = field(default_factory=dict)
    outside: ChangeOutside | None = None
    units: Units | None = None
    deformation: Deformation | None = None
    networks: NetworkFigures = field(default_factory=NetworkFigures)
    not_computed: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {
            name: _plain(getattr(self, name))
            for name in ("likeness", "displacement", "geometry_displacement", "flicker", "temporal", "agreement",
                         "outside", "units", "not_computed")
        }  # fmt: skip
        if self.deformation is not None:
            values["deformation_mm"] = {
                name: getattr(self.deformation, name) for name in ("mean", "p95", "largest")
            }
        networks = self.networks
        for kind in ("fid", "kid"):
            values[kind] = {f"{a} vs {b}": _plain(v) for (a, b), v in getattr(networks, kind).items()}
        values["identity"], values["recognised"] = networks.identity, networks.predicted
        values["clip"] = {method: {"score": s, "direction": d} for method, (s, d) in networks.clip.items()}
        values["network_pictures"] = {"camera": networks.view, **networks.pictures}
        return values


@dataclass
class EmotionEvaluation:
    """Figures of an avatar's emotions.

    subject: its name in the tables. labels: what the recogniser tells apart, empty without one. not_computed: what
    no emotion has, by name of the figure. methods: who is in the tables beside the avatar.
    """

    subject: str
    emotions: dict[str, EmotionFigures]
    labels: tuple[str, ...] = ()
    not_computed: dict[str, str] = field(default_factory=dict)
    protocol: tuple[str, ...] = PROTOCOL

    def recognition(self) -> dict[str, dict[str, dict[str, float]]]:
        """Precision and recall by method and emotion, over the pictures of all emotions together."""
        found: dict[str, dict[str, dict[str, float]]] = {}
        for method in METHODS:
            predicted, wanted = [], []
            for name, figures in self.emotions.items():
                labels = figures.networks.predicted.get(method, [])
                predicted += labels
                wanted += [canonical(name)] * len(labels)
            if predicted:
                names = [name for name in self.emotions if canonical(name) in self.labels]
                found[method] = {
                    name: _plain(recognition(predicted, wanted, canonical(name))) for name in names
                }
        return found

    def identity(self) -> dict[str, dict[str, float]]:
        """Mean distance by network and method, over emotions."""
        found: dict[str, dict[str, list[float]]] = {}
        for figures in self.emotions.values():
            for role, methods in figures.networks.identity.items():
                for method, value in methods.items():
                    found.setdefault(role, {}).setdefault(method, []).append(value)
        return {
            role: {m: float(np.mean(values)) for m, values in methods.items()}
            for role, methods in found.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not defined is None."""
        return without_nan(
            {
                "subject": self.subject,
                "emotions": {name: figures.to_dict() for name, figures in self.emotions.items()},
                "recognition": self.recognition(),
                "identity": self.identity(),
                "not_computed": self.not_computed,
                "protocol": list(self.protocol),
            }
        )

    def csv(self) -> str:
        """One line per picture that was compared with the truth."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        names = ("psnr", "ssim", "mouth_psnr", "eyes_psnr", "mask_fraction")
        writer.writerow(("emotion", "view", "frame", *names))
        for emotion, figures in self.emotions.items():
            for score in figures.pictures:
                values = (getattr(score.likeness, name) for name in names)
                texts = ("" if np.isnan(value) else f"{value:.6f}" for value in values)
                writer.writerow((emotion, score.view, score.frame, *texts))
        return stream.getvalue()


def _plain(value: Any) -> Any:
    """Records as dictionaries, numbers of NumPy as Python's."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
