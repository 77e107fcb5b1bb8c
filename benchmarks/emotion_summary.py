"""The summary of emotion_truth.py from its rows: gains of the learnt avatar, mean and worst over cases."""

from __future__ import annotations

import math
from typing import Any

from emotion_figures import summarise

Rows = dict[str, dict[str, Any]]  # of one case, by method

NOTES = {
    "psnr": "dB, 8-bit sRGB, in the true head mask (hair in, clothing out, above the neck boundary), per picture, "
    "then averaged, over the scored pictures: 2 views x 6 frames that neither avatar nor emotion was learnt from",
    "psnr_without_emotion": "the neutral avatar against the neutral truth of the scored pictures: no emotion can be "
    "expected to be much better than the person it is learnt by",
    "psnr_edited": "the same where the true pictures with and without the emotion differ by more than 10 of 255",
    "psnr_on_edits": "the same over the 10 views x 8 frames that were edited and learnt from; edits that failed "
    "count",
    "gain_over_edits_db": "psnr of ours minus psnr_on_edits of the edits: different pictures, for edits exist only "
    "of those that were learnt from",
    "gain_over_edits_same_pictures_db": "psnr_on_edits of ours minus that of the edits: the same 80 pictures",
    "gain_over_uv_mean_db": "over the edits' mean colour per texel (visibility, cosine), on the mesh ours learnt, "
    "over the person's own colours under our geometry; hair, eyes, mouth and neck keep those",
    "gain_over_uv_mean_of_changes_db": "over the mean, per texel, of what edits differ by from the avatar's render",
    "gain_over_view_weights_db": "ours against the published view weights, both from edits that failed in frontal "
    "views",
    "gap_to_oracle_db": "per-pixel weights from the edits' true error minus ours, both from edits that failed in "
    "frontal views",
    "gap_to_fed_the_truth_db": "the same optimisation fed the true pictures minus ours: what the edits cost",
    "flicker": "temporal error over consecutive scored frames, motion-compensated, over that of edits of the same "
    "pictures made for this alone, without those that failed; valid at 90 % of the truth's displacement",
    "flicker_without_emotion": "the neutral avatar against the neutral truth, over the same edits: what tracking and "
    "fitting flicker by, whatever is learnt",
    "flicker_of_noise": "what a result without any error would get, for the truth itself is noisy by what its film "
    "says; taken for Gaussian",
    "flicker_beyond_noise": "root of the difference of squares of flicker and flicker_of_noise: the part that is ours",
    "flicker_of_emotion": "the same of flicker and flicker_without_emotion: what learning the emotion adds",
    "displacement_share": "slope of the learnt displacement of face vertices on the true one",
    "change_outside": "mean absolute change in levels of 255 where the truth does not change, margin 3 %",
    "identity_mm": "face vertices at rest, tracked from the avatar's emotion pictures, from tracking the true ones, "
    "after a similarity alignment; landmarks of the avatar's pictures are its mesh's, with a detector's noise",
    "identity_without_emotion_mm": "the same of the avatar that learnt nothing and the film without emotion: what "
    "tracking and fitting differ by, whatever is learnt",
    "identity_same_person_mm": "between the person's own films with and without the emotion, tracked alike",
}


def finite(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with None for figures that are not numbers: JSON knows no NaN."""

    def known(value: Any) -> Any:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return [{name: known(value) for name, value in row.items()} for row in rows]


def summary_of(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean and worst over cases of every gain whose rows are there."""
    cases: dict[str, Rows] = {}
    for row in rows:
        cases.setdefault(row["case"], {})[row["method"]] = row

    def difference(method: str, peer: str, key: str = "psnr", peer_key: str | None = None) -> list[float]:
        return [
            found[method][key] - found[peer][peer_key or key]
            for found in cases.values()
            if method in found and peer in found
        ]

    def figure(key: str) -> list[float]:
        return [found["figures"][key] for found in cases.values() if key in found.get("figures", {})]

    failed = "frontal failed"
    high = {
        "gain_over_edits_db": difference("ours", "edits, spread", "psnr", "psnr_on_edits"),
        "gain_over_edits_same_pictures_db": difference("ours", "edits, spread", "psnr_on_edits"),
        "gain_over_uv_mean_db": difference("ours", "uv mean"),
        "gain_over_uv_mean_edited_db": difference("ours", "uv mean", "psnr_edited"),
        "gain_over_uv_mean_of_changes_db": difference("ours", "uv mean of changes"),
        "gain_over_geometry_db": difference("ours", "geometry only"),
        "gain_over_geometry_edited_db": difference("ours", "geometry only", "psnr_edited"),
        "gain_over_preset_db": difference("ours", "preset driven"),
        "gain_over_view_weights_db": difference(f"ours, {failed}", f"view weights, {failed}"),
        "displacement_share": figure("displacement_share"),
        "psnr_without_emotion": figure("psnr_without_emotion"),
        "psnr": [found["ours"]["psnr"] for found in cases.values() if "ours" in found],
    }
    low = {
        "gap_to_oracle_db": difference(f"oracle weights, {failed}", f"ours, {failed}"),
        "gap_to_fed_the_truth_db": difference("fed the truth", "ours"),
        "flicker": figure("flicker"),
        "flicker_without_emotion": figure("flicker_without_emotion"),
        "flicker_of_noise": figure("flicker_of_noise"),
        "flicker_beyond_noise": figure("flicker_beyond_noise"),
        "flicker_of_emotion": figure("flicker_of_emotion"),
        "change_outside": figure("change_outside"),
        "identity_mm": figure("identity_mm"),
        "identity_without_emotion_mm": figure("identity_without_emotion_mm"),
        "identity_same_person_mm": figure("identity_same_person_mm"),
    }
    summary = {name: summarise(values, "high") for name, values in high.items()}
    return summary | {name: summarise(values, "low") for name, values in low.items()}
