"""`emoga optimize-emotion`: an avatar that never showed an emotion learns it from edited pictures."""

from emoga.emotion.edits import EmotionEdits
from emoga.emotion.learning import Learning, learn_emotions
from emoga.emotion.optimize_emotion import EmotionReport, LearntEmotion, optimize_emotion

__all__ = [
    "EmotionEdits",
    "EmotionReport",
    "Learning",
    "LearntEmotion",
    "learn_emotions",
    "optimize_emotion",
]
