"""Editors that turn captured pictures into pictures of an emotion, and words into what an editor needs."""

from emoga.guidance.editor import EditEstimate, Editor, EditRequest, PictureName
from emoga.guidance.exchange import write_exchange
from emoga.guidance.opening import KNOWN_EDITORS, open_editor
from emoga.guidance.prompts import (
    NEGATIVE_PROMPT,
    SUBJECT_SEED,
    prompt_of,
)
from emoga.guidance.warp import WarpFields
from emoga.guidance.wording import EmotionPlan, plan_emotion
from emoga.guidance.wording_model import plan_emotion_by_model

__all__ = [
    "KNOWN_EDITORS",
    "NEGATIVE_PROMPT",
    "SUBJECT_SEED",
    "EditEstimate",
    "EditRequest",
    "Editor",
    "EmotionPlan",
    "PictureName",
    "WarpFields",
    "open_editor",
    "plan_emotion",
    "plan_emotion_by_model",
    "prompt_of",
    "write_exchange",
]
