"""Editors that turn captured pictures into pictures of an emotion, and words into plans of emotions and of edits."""

from emoga.guidance.chat import Endpoint
from emoga.guidance.edit_plan import EditPlan, Operation, plan_from_text
from emoga.guidance.editor import EditEstimate, Editor, EditRequest, PictureName
from emoga.guidance.exchange import write_exchange
from emoga.guidance.opening import KNOWN_EDITORS, open_editor
from emoga.guidance.planning import plan_edit
from emoga.guidance.planning_model import plan_edit_by_model
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
    "EditPlan",
    "EditRequest",
    "Editor",
    "EmotionPlan",
    "Endpoint",
    "Operation",
    "PictureName",
    "WarpFields",
    "open_editor",
    "plan_edit",
    "plan_edit_by_model",
    "plan_emotion",
    "plan_emotion_by_model",
    "plan_from_text",
    "prompt_of",
    "write_exchange",
]
