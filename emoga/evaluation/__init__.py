"""Measure avatars and tracks against pictures and landmarks."""

from emoga.evaluation.evaluate import evaluate, evaluate_track
from emoga.evaluation.report import EvaluationReport, TrackReport

__all__ = ["EvaluationReport", "TrackReport", "evaluate", "evaluate_track"]
