"""Measure avatars, their emotions and tracks against pictures, landmarks and what networks say."""

from emoga.evaluation.edit import evaluate_edit
from emoga.evaluation.edit_report import EditEvaluation
from emoga.evaluation.emotion import evaluate_emotion
from emoga.evaluation.emotion_networks import NetworkFiles
from emoga.evaluation.emotion_report import EmotionEvaluation, EmotionFigures
from emoga.evaluation.evaluate import evaluate, evaluate_track
from emoga.evaluation.report import EvaluationReport, TrackReport

__all__ = [
    "EditEvaluation",
    "EmotionEvaluation",
    "EmotionFigures",
    "EvaluationReport",
    "NetworkFiles",
    "TrackReport",
    "evaluate",
    "evaluate_edit",
    "evaluate_emotion",
    "evaluate_track",
]
