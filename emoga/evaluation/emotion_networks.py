"""What the user's networks say of an emotion: likeness of distributions, recognition, identity, CLIP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from emoga.capture import Track
from emoga.errors import InputError
from emoga.evaluation.clip import Clip, clip_scores, words_for
from emoga.evaluation.emotion_play import Cell, Play
from emoga.evaluation.faces import cut_face, five_points
from emoga.evaluation.networks import Network, arcface_file, load_network
from emoga.head import Head
from emoga.optimize.metrics_features import Fid, Kid, cosine_distances, fid, kid
from emoga.optimize.scoring import head_mask

# Names of an emotion among the labels of the usual recognisers.
ALIASES = (
    ("happy", "happiness", "happily", "joy"), ("sad", "sadness"), ("angry", "anger"),
    ("surprised", "surprise"), ("fear", "fearful", "afraid"), ("disgust", "disgusted"),
    ("contempt", "contemptuous"), ("neutral", "calm"),
)  # fmt: skip
METHODS = ("avatar", "geometry", "edits")

Pictures = Callable[[Cell], np.ndarray]


@dataclass(frozen=True)
class NetworkFiles:
    """Networks the user names, each an .onnx or TorchScript file; clip: a folder of transformers.

    arcface: None takes the one that was added as an asset, if there is one.
    features: for FID and KID; emotions: a recogniser whose outputs are scores of `labels`, in order (default what
    its JSON file says); allow_torchscript: TorchScript files are programs and run only with this.
    """

    features: str | Path | None = None
    emotions: str | Path | None = None
    arcface: str | Path | None = None
    vggface: str | Path | None = None
    clip: str | Path | None = None
    labels: tuple[str, ...] = ()
    allow_torchscript: bool = False


@dataclass(frozen=True)
class Networks:
    """Those that were named, loaded; labels of the recogniser by canonical name."""

    loaded: dict[str, Network]
    clip: Clip | None
    labels: tuple[str, ...]


def load_networks(files: NetworkFiles) -> Networks:
    """Load every network before any work. Raises InputError, MissingComponent."""
    files = replace(files, arcface=arcface_file(files.arcface))
    loaded = {
        role: load_network(path, role, files.allow_torchscript)
        for role in ("features", "emotions", "arcface", "vggface")
        if (path := getattr(files, role)) is not None
    }
    labels: tuple[str, ...] = ()
    if "emotions" in loaded:
        labels = tuple(canonical(name) for name in files.labels or loaded["emotions"].preparation.labels)
        if not labels:
            raise InputError(
                f"{files.emotions}: nobody says what its outputs stand for; name them in order with "
                "--labels, such as angry,disgust,fear,happy,sad,surprised,neutral"
            )
    return Networks(loaded, None if files.clip is None else Clip(files.clip), labels)


def canonical(label: str) -> str:
    """The name an emotion goes by here, whatever a recogniser calls it."""
    label = label.strip().lower()
    return next((group[0] for group in ALIASES if label in group), label)


@dataclass
class NetworkFigures:
    """Figures of one emotion by method ("avatar", "geometry", "edits"); what was not measured is not there.

    fid, kid: by (method, against), against "edits" or "neutral". predicted: the recogniser's label per picture.
    identity: by network and method, mean cosine distance to the neutral playback. clip: score and direction.
    view: the camera the pictures are from; pictures: how many each method has.
    """

    fid: dict[tuple[str, str], Fid] = field(default_factory=dict)
    kid: dict[tuple[str, str], Kid] = field(default_factory=dict)
    predicted: dict[str, list[str]] = field(default_factory=dict)
    identity: dict[str, dict[str, float]] = field(default_factory=dict)
    clip: dict[str, tuple[float, float]] = field(default_factory=dict)
    view: str = ""
    pictures: dict[str, int] = field(default_factory=dict)


def network_figures(
    networks: Networks,
    emotion: str,
    head: Head,
    track: Track,
    play: Play,
    neutral: Play,
    methods: Mapping[str, Pictures],
    cells: Sequence[Cell],
    edited: Sequence[Cell],
    seed: int = 0,
) -> NetworkFigures:
    """Ask every network about the pictures of each method.

    cells: where methods are compared with the neutral playback; edited: those of them that the edits have, on which
    alone methods are compared with the edits and with each other. Pictures are white outside the head mask.
    """
    found = NetworkFigures(view=track.cameras[cells[0][0]].name)
    shared = list(edited) or list(cells)
    found.pictures = {method: len(shared) for method in methods}

    def heads(source: Pictures, where: Sequence[Cell]) -> np.ndarray:
        return np.stack([np.where(head_mask(track, *cell)[..., None], source(cell), 255) for cell in where])

    def faces(source: Pictures, mesh: Play, network: Network) -> np.ndarray:
        cut = []
        for cell in shared:
            points = five_points(head, mesh.vertices(cell[1]), track.cameras[cell[0]])
            cut.append(cut_face(source(cell), points, network.size, network.preparation.zoom))
        return np.stack(cut)

    features = networks.loaded.get("features")
    if features is not None:
        _likeness(found, features, heads, methods, neutral.picture, cells, edited, seed)
    if "emotions" in networks.loaded:
        network = networks.loaded["emotions"]
        for method, source in methods.items():
            scores = network(faces(source, play, network))
            if scores.shape[1] != len(networks.labels):
                raise InputError(
                    f"{network.path}: gives {scores.shape[1]} scores, {len(networks.labels)} labels are named"
                )
            found.predicted[method] = [networks.labels[i] for i in scores.argmax(1)]
    for role in ("arcface", "vggface"):
        if role in networks.loaded:
            network = networks.loaded[role]
            own = network(faces(neutral.picture, neutral, network))
            found.identity[role] = {
                method: float(np.mean(cosine_distances(network(faces(source, play, network)), own)))
                for method, source in methods.items()
            }
    if networks.clip is not None:
        texts = networks.clip.texts([words_for(emotion), words_for("neutral")])
        own = networks.clip.pictures(heads(neutral.picture, shared))
        for method, source in methods.items():
            found.clip[method] = clip_scores(networks.clip.pictures(heads(source, shared)), own, *texts)
    return found


def _likeness(
    found: NetworkFigures,
    network: Network,
    heads: Callable[[Pictures, Sequence[Cell]], np.ndarray],
    methods: Mapping[str, Pictures],
    neutral: Pictures,
    cells: Sequence[Cell],
    edited: Sequence[Cell],
    seed: int,
) -> None:
    """FID and KID of both groupings: against the edits, and against the neutral playback."""
    against = {"neutral": (neutral, cells)}
    if edited and "edits" in methods:
        against["edits"] = (methods["edits"], edited)
    for name, (reference, where) in against.items():
        theirs = network(heads(reference, where))
        for method in ("avatar", "geometry"):
            if method in methods:
                ours = network(heads(methods[method], where))
                found.fid[method, name] = fid(ours, theirs)
                found.kid[method, name] = kid(ours, theirs, seed)
