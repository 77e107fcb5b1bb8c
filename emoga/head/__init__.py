"""Head models: one math, several models; `load_head("open")` gives the CC0 head that ships with emoga."""

from emoga.head.embedding import LandmarkEmbedding
from emoga.head.load import KNOWN, OPEN_HEAD, STUDIO_IDENTITIES, load_head, read_head
from emoga.head.model import Head, Identity
from emoga.head.neck import over_torso
from emoga.head.params import BONES, JOINTS, HeadParams

__all__ = [
    "BONES", "JOINTS", "KNOWN", "OPEN_HEAD", "STUDIO_IDENTITIES", "Head", "HeadParams", "Identity",
    "LandmarkEmbedding", "load_head", "over_torso", "read_head",
]  # fmt: skip
