"""How an avatar learns emotions from edits: what moves, which colours are agreed on, and the loop of pictures."""

from emoga.emotion.learning.learn import learn_emotions
from emoga.emotion.learning.report import LearnReport
from emoga.emotion.learning.settings import Learning

__all__ = ["LearnReport", "Learning", "learn_emotions"]
