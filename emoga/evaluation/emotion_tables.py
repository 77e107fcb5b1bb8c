"""Tables of an evaluation of emotions: ours, and the thesis's 5.1 to 5.3 in its layout, gaps marked with reasons."""

from __future__ import annotations

import math
from collections.abc import Sequence

from emoga.evaluation.emotion_networks import canonical
from emoga.evaluation.emotion_report import EmotionEvaluation, EmotionFigures

MISSING = "–"
BEST = "*"
# The thesis's names of the methods, in its order of columns; EMOTE's place is the geometry of --baseline.
COLUMNS = (("geometry", "Geometry"), ("edits", "Diffusion"), ("avatar", "EMOGA"))
THESIS_EMOTIONS = ("angry", "happy", "sad", "surprised")
LEGEND = (
    "EMOGA: this avatar. Diff: the edits. Geometry: --baseline on the same avatar, in EMOTE's place. "
    "GT: the avatar's neutral playback."
)

Rows = list[list[str]]


def tables(evaluation: EmotionEvaluation) -> list[tuple[str, Rows, list[str]]]:
    """Every table as (title, rows with the heading first, lines below it)."""
    return [
        ("Against the truth", _truth_rows(evaluation), _reasons(evaluation, ("likeness", "displacement"))),
        (
            "Without networks",
            _free_rows(evaluation),
            _reasons(evaluation, ("flicker", "temporal change", "agreement", "change outside", "units")),
        ),
        (
            "Table 5.1: frontal-view FID and KID (lower is better; * is the better of a group)",
            _table_1(evaluation),
            [LEGEND, *_rank_notes(evaluation), *_reasons(evaluation, ("features", "edits", "baseline"))],
        ),
        (
            "Table 5.2: precision and recall of the emotion recogniser (higher is better)",
            _table_2(evaluation),
            [*_reasons(evaluation, ("recogniser", "edits", "baseline")), *_unasked(evaluation)],
        ),
        (
            "Table 5.3: mean identity distance to the neutral avatar (lower is better)",
            _table_3(evaluation),
            _reasons(evaluation, ("vggface", "arcface", "edits", "baseline")),
        ),
        (
            "CLIP: cosine with the emotion's words / of the change with the change of words (higher is better)",
            _clip_rows(evaluation),
            _reasons(evaluation, ("clip", "edits", "baseline")),
        ),
    ]


def _truth_rows(evaluation: EmotionEvaluation) -> Rows:
    rows = [
        ["emotion", "pictures", "method", "count", "PSNR dB", "SSIM", "mouth dB", "eyes dB", "reached", "units r",
         "shape mm"],
    ]  # fmt: skip
    for name, figures in evaluation.emotions.items():
        for split, methods in figures.likeness.items():
            for method, likeness in methods.items():
                share = {"avatar": figures.displacement, "geometry": figures.geometry_displacement}.get(
                    method
                )
                values = (likeness.psnr, likeness.ssim, likeness.mouth_psnr, likeness.eyes_psnr)
                texts = [_text(value, 4 if place == 1 else 2) for place, value in enumerate(values)]
                reached = _text(100 * share.share, 0) + " %" if share else ""
                rows.append(
                    [name, split, method, str(likeness.pictures), *texts, reached, *_seen(figures, method)]
                )
        if not figures.likeness:
            rows.append([name, "", "avatar", "0", *[MISSING] * 7])
    return rows


def _seen(figures: EmotionFigures, method: str) -> list[str]:
    """How the avatar's pictures and the truth's agree on units and on the person."""
    if method != "avatar":
        return ["", ""]
    units = figures.units
    if units is None or units.truth_agreement is None:
        return [MISSING, MISSING]
    return [_text(units.truth_agreement.correlation, 3), _text(units.shape_mm, 2)]


def _free_rows(evaluation: EmotionEvaluation) -> Rows:
    rows = [
        ["emotion", "moved mm", "flicker", "temporal change", "views agree", "their change", "outside", "inside",
         "units r", "slope", "RMSE"],
    ]  # fmt: skip
    for name, figures in evaluation.emotions.items():
        rows.append([name, *_free_cells(figures)])
    return rows


def _free_cells(figures: EmotionFigures) -> list[str]:
    moved = figures.deformation
    agreement, outside, units = figures.agreement.get("avatar"), figures.outside, figures.units
    flicker = MISSING
    if figures.flicker is not None:
        floor = f" (floor {figures.flicker.floor:.2f})" if not math.isnan(figures.flicker.floor) else ""
        flicker = _text(figures.flicker.ratio, 3) + (floor if figures.flicker.valid else " (invalid)")
    effect = MISSING
    if outside is not None:
        effect = MISSING if math.isnan(outside.effect) else f"{100 * outside.effect:.0f} %"
    fit = units.played_agreement if units else None
    return [
        _text(moved.mean, 2) if moved else MISSING,
        flicker,
        _text(figures.temporal.ratio, 3) if figures.temporal else MISSING,
        _text(agreement.pictures.spread, 4) if agreement else MISSING,
        _text(agreement.change.spread, 4) if agreement else MISSING,
        _text(outside.mean, 3) if outside else MISSING,
        effect,
        *([_text(fit.correlation, 3), _text(fit.slope, 2), _text(fit.rmse, 3)] if fit else [MISSING] * 3),
    ]


def _table_1(evaluation: EmotionEvaluation) -> Rows:
    pairs = [("avatar", "edits"), ("geometry", "edits"), ("avatar", "neutral"), ("geometry", "neutral")]
    titles = ("EMOGA vs. Diff", "Geometry vs. Diff", "EMOGA vs. GT", "Geometry vs. GT")
    rows = [["Run", *(text for title in titles for text in (title, ""))], ["", *["FID", "KID"] * 4]]
    for number, (name, figures) in enumerate(evaluation.emotions.items(), start=1):
        row = [f"{number}) {evaluation.subject} ({name})"]
        for pair in pairs:
            group = [other for other in pairs if other[1] == pair[1]]
            for kind, digits in (("fid", 2), ("kid", 4)):
                values = {other: entry.value for other, entry in getattr(figures.networks, kind).items()}
                row.append(
                    _marked(pair, {other: values[other] for other in group if other in values}, digits)
                )
        rows.append(row)
    return rows


def _marked(pair: tuple[str, str], values: dict[tuple[str, str], float], digits: int) -> str:
    """The pair's value; with a star where it is the lowest of several."""
    if pair not in values:
        return MISSING
    best = len(values) > 1 and values[pair] == min(values.values())
    return _text(values[pair], digits) + (BEST if best else "")


def _table_2(evaluation: EmotionEvaluation) -> Rows:
    found = evaluation.recognition()
    others = [name for name in evaluation.emotions if name not in THESIS_EMOTIONS]
    names = [*THESIS_EMOTIONS, *others]
    rows = [["Method", *(text for name in names for text in (name.capitalize(), ""))]]
    rows.append(["", *["Precision", "Recall"] * len(names)])
    for method, title in COLUMNS:
        row = [title]
        for name in names:
            entry = found.get(method, {}).get(name)
            row += [_text(entry["precision"], 2), _text(entry["recall"], 2)] if entry else [MISSING] * 2
        rows.append(row)
    return rows


def _table_3(evaluation: EmotionEvaluation) -> Rows:
    found = evaluation.identity()
    titles = [title for _, title in COLUMNS]
    rows = [["Subject", "VGG-Face", "", "", "ArcFace", "", ""], ["", *titles, *titles]]
    row = [evaluation.subject]
    for role in ("vggface", "arcface"):
        row += [_text(found.get(role, {}).get(method, math.nan), 3) for method, _ in COLUMNS]
    return [*rows, row]


def _clip_rows(evaluation: EmotionEvaluation) -> Rows:
    rows = [["emotion", *(title for _, title in COLUMNS)]]
    for name, figures in evaluation.emotions.items():
        scores = (figures.networks.clip.get(method) for method, _ in COLUMNS)
        rows.append([name, *(MISSING if s is None else f"{s[0]:.3f} / {_text(s[1], 3)}" for s in scores)])
    return rows


def _unasked(evaluation: EmotionEvaluation) -> list[str]:
    """Emotions of the thesis's table that were not evaluated, and those that the recogniser does not know."""
    lines = []
    absent = [name for name in THESIS_EMOTIONS if name not in evaluation.emotions]
    if absent:
        lines.append(f"{MISSING} {', '.join(absent)}: not evaluated (--emotion)")
    unknown = [name for name in evaluation.emotions if canonical(name) not in evaluation.labels]
    if evaluation.labels and unknown:
        known = ", ".join(evaluation.labels)
        lines.append(f"{MISSING} {', '.join(unknown)}: not among the recogniser's labels ({known})")
    return lines


def _rank_notes(evaluation: EmotionEvaluation) -> list[str]:
    """One line for every way in which the FIDs rest on too few pictures."""
    poor = [fid for figures in evaluation.emotions.values() for fid in figures.networks.fid.values()]
    poor = [fid for fid in poor if fid.rank_deficient]
    if not poor:
        return []
    least = min(poor, key=lambda fid: fid.rank)
    return [
        f"FID: {least.pictures[0]} and {least.pictures[1]} pictures give covariances of rank {least.rank} in "
        f"{least.features} dimensions: it compares runs of equal size, and is no absolute figure; trust KID"
    ]


def _reasons(evaluation: EmotionEvaluation, topics: Sequence[str]) -> list[str]:
    """Why figures of these topics are missing: of all emotions, then of single ones."""
    shared = evaluation.not_computed
    lines = [f"{MISSING} {topic}: {shared[topic]}" for topic in topics if topic in shared]
    for name, figures in evaluation.emotions.items():
        own = figures.not_computed
        lines += [
            f"{MISSING} {topic} of {name}: {own[topic]}"
            for topic in topics
            if topic in own and topic not in shared
        ]
    return lines


def _text(value: float, digits: int) -> str:
    return MISSING if math.isnan(value) else f"{value:.{digits}f}"
