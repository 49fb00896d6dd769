"""Tables of a selection: `selection.csv` and `report.md` of `multiview label`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from multiview.bootstrap.select import Selection
from multiview.bootstrap.table import table_lines
from multiview.core import Points3D
from multiview.formats.atomic import write_text
from multiview.formats.selection_csv import write_selection

__all__ = ["promise_words", "selection_figures", "write_selection_report"]

# Held-out odds of e times those of the fitted captures; the checked ones reached 1.6 times.
_FAR = 1.0
UNCALIBRATED = (
    "; this does not hold, as the detector's confidences are no probabilities (several times as "
    "many were measured): multiview models calibrate"
)


def write_selection_report(
    selection: Selection, points: Points3D, promise: str, folder: Path
) -> None:
    """Write both files into ``folder``; ``promise`` is of `promise_words`."""
    write_selection(_rows(selection, points), folder / "selection.csv")
    hidden, every = _hidden_views(selection)
    full = (
        f"{hidden} of {every} views of the selected hands get no label: another hand or a body "
        "hides the whole hand there"
    )
    lines = ["# Selection", "", *table_lines(selection), "", full, "", promise]
    write_text(folder / "report.md", "\n".join(lines) + "\n")


def selection_figures(selection: Selection) -> dict[str, Any]:
    """Numbers for the manifest."""
    promise = selection.acceptance
    return {
        "frames_selected": int(selection.hands.any(-1).sum()),
        "labels_3d": int(selection.labels.sum()),
        "views_hidden": _hidden_views(selection)[0],
        "estimated_false": selection.expected_false,
        "promised_false": float("nan") if promise is None else promise.bound,
        "heldout_beyond_limit": selection.risk.heldout,
    }


def _hidden_views(selection: Selection) -> tuple[int, int]:
    """Count the views of selected hands that something hides as a whole, and all of them."""
    hands = selection.hands
    hidden = ~selection.views & hands
    return int(hidden.sum()), int(hands.sum()) * len(selection.views)


def promise_words(selection: Selection, target: float | None, *, calibrated: bool = True) -> str:
    """One sentence on how many labels are false.

    Parameters
    ----------
    selection
        The labels.
    target
        Promised rate, if one was asked for.
    calibrated
        Whether the detector's confidences are known to be no mere peaks.
    """
    far = "" if calibrated else UNCALIBRATED
    if selection.risk.shift > _FAR:
        far += (
            f"; {selection.risk.heldout:.0%} of the held-out detections miss the others' point, "
            "far more than where the risk was fitted: look at some labels before trusting this"
        )
    share = f"an estimated {selection.expected_false:.2%} of the 3D labels are false"
    if target is None or selection.acceptance is None:
        more = "--max-false-label-rate asks for fewer"
        return f"{share} (off by a tenth of the hand); {more}{far}"
    return (
        f"{share} (off by a tenth of the hand), at most {selection.acceptance.bound:.2%} with 95 % "
        f"confidence; asked for: {target:.2%}{far}"
    )


def _rows(selection: Selection, points: Points3D) -> list[dict[str, Any]]:
    names = points.hands or tuple(map(str, range(points.valid.shape[1])))
    rows = []
    for f, h in np.argwhere(points.valid.any(-1)):
        at = (f, h)
        labels = selection.labels[at]
        risk = selection.risk.risk[at][labels if labels.any() else points.valid[at]]
        rank = int(selection.rank[at])
        rows.append(
            {
                "frame": int(points.frame_ids[f]),
                "hand": names[h],
                "score": f"{selection.score[at]:.3f}",
                "rank": rank if rank >= 0 else "",
                "pose": int(selection.pose[at]),
                "direction": int(selection.direction[at]),
                "keypoints": int(points.valid[at].sum()),
                "labels": int(labels.sum()),
                "risk": f"{risk.mean():.6f}",
                "rejected_by": _reasons(selection, at),
            }
        )
    return rows


def _reasons(selection: Selection, at: tuple[int, int]) -> str:
    first = selection.first[at]
    found = [
        f"{rule.name} {int((first == n).sum())}"
        for n, rule in enumerate(selection.rejections)
        if (first == n).any()
    ]
    if selection.rank[at] < 0 and (first < 0).any() and selection.score[at] > 0:
        found.append("another frame is better")
    return "; ".join(found)
