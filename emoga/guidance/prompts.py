"""Prompts, negative prompts and the seed that editors start from, per emotion.

The prompts of happy, sad, angry and surprised, the three negative prompts and the seed are those of the thesis
"Emotion-Driven Editing of Gaussian Avatars" (EMO-GA): sections 4.6 and 5.2; the seed is that of its figure 4.6.
Those of fear, disgust and contempt are ours, in the same form.
"""

from __future__ import annotations

PROMPTS: dict[str, str] = {
    "happy": "What if the person had a subtle smiling face?",
    "sad": "What if the person had a very sad face?",
    "angry": "Make the person angry",
    "surprised": "What if the person had a surprised face with wide open eyes and raised eyebrows?",
    "fear": "What if the person had a frightened face with wide open eyes?",
    "disgust": "What if the person had a disgusted face with a wrinkled nose?",
    "contempt": "What if the person had a contemptuous face with one lip corner raised?",
}
NEGATIVE_PROMPT = "do not add extra teeth, do not heavily alter the eyes, do not alter the hair or ears"
SUBJECT_SEED = 4039213507


def prompt_of(emotion: str) -> str:
    """The prompt for a named emotion, or one made from a free description."""
    words = " ".join(emotion.split())
    return PROMPTS.get(words.lower(), f"What if the person had this facial expression: {words}?")
