"""What is compared: the edits of a case, and every way of learning from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from emotion_figures import dilated, oracle_weights
from emotion_films import Reel

from emoga.avatar import Avatar
from emoga.capture import Track
from emoga.emotion.acting import Actor
from emoga.emotion.edits import EmotionEdits
from emoga.emotion.learning import Learning
from emoga.emotion.masks import MaskKind, picture_masks
from emoga.emotion.naming import FLUSH
from emoga.head import load_head
from emoga.images import to_uint8
from emoga.studio.pseudo_edits import PseudoEdits, pseudo_edits

TRUTH = "truth"  # a pattern of its own: true pictures in place of edits
SEED = 0


@dataclass(frozen=True)
class Method:
    """One way to learn: from edits that failed in which pattern, with which choices.

    oracle: with weights from the edits' true error. masks: of the editor, "hard" or "soft"; None lets it change the
    whole head.
    """

    name: str
    pattern: str = "spread"
    choices: dict = field(default_factory=dict)
    oracle: bool = False
    masks: MaskKind | None = None

    def learning(self, common: dict) -> Learning:
        """The choices as the optimisation takes them, on top of `common` ones."""
        return Learning(**common, **self.choices)


METHODS = (
    Method("ours"),
    Method("geometry only", choices={"texture": False}),
    Method("ours, frontal failed", "frontal failed"),
    Method("view weights, frontal failed", "frontal failed", {"weighting": "views"}),
    Method("oracle weights, frontal failed", "frontal failed", {"weighting": "given"}, oracle=True),
    Method("fed the truth", TRUTH),
)


@dataclass(frozen=True)
class Edited:
    """A reel's edits as learning takes them, uint8 like the truth, and which failed [P] and why."""

    record: EmotionEdits
    failed: np.ndarray
    report: dict


def edited(reel: Reel, emotion: str, pattern: str) -> Edited:
    """Spoil a reel's emotion pictures in a pattern; the masks let the editor change the whole head."""
    if pattern == TRUTH:
        pictures, failed, report = reel.truth, np.zeros(len(reel.pairs), bool), {}
    else:
        spoilt: PseudoEdits = pseudo_edits(reel.emotion, reel.neutral, SEED, pattern)
        pictures = to_uint8(spoilt.images).reshape(reel.truth.shape)
        failed, report = spoilt.failed.reshape(-1), spoilt.report
    views, frames = np.array(reel.pairs).T
    heads = reel.masks | reel.neutral_masks
    masks = np.where(dilated(heads), 255, 0).astype(np.uint8)
    meant = load_head().emotion(emotion).double().numpy()
    flush = FLUSH.get(emotion, 0.0)
    record = EmotionEdits(emotion, views, frames, reel.before, pictures, masks, meant, flush)
    return Edited(record, failed, report)


def masked(edits: Sequence[Edited], kind: MaskKind | None, avatar: Avatar, track: Track) -> list[Edited]:
    """The edits as an editor leaves them that may change nothing outside its masks."""
    if kind is None:
        return list(edits)
    actor, out = Actor(avatar, track), []
    for edit in edits:
        record = edit.record
        masks = picture_masks(actor, track, record.pairs, kind, invents=True)
        pasted = np.where(masks[..., None] >= 128, record.edited, record.captured)
        out.append(replace(edit, record=replace(record, edited=pasted, masks=masks)))
    return out


def weights_for(method: Method, edits: Sequence[Edited], reels: Sequence[Reel]) -> list[np.ndarray] | None:
    """The oracle's weights, one array per emotion; None where a method finds its own."""
    if not method.oracle:
        return None
    return [oracle_weights(edit.record.edited, reel.truth) for edit, reel in zip(edits, reels, strict=True)]
