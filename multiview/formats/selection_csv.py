"""Selected and rejected hands as CSV: one row a frame and hand.

Columns: ``frame``, ``hand``, ``score`` (equation 7 of Simon et al. 2017), ``rank`` (in the sorted
list; empty: not selected), ``pose`` and ``direction`` (groups), ``keypoints`` (triangulated),
``labels`` (selected), ``risk`` (mean over the labels; over the keypoints where there are none) and
``rejected_by`` (rules with the keypoints that each took first).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multiview.errors import InputError
from multiview.formats.atomic import write_text

__all__ = ["COLUMNS", "read_scores", "write_selection"]

COLUMNS = (
    "frame",
    "hand",
    "score",
    "rank",
    "pose",
    "direction",
    "keypoints",
    "labels",
    "risk",
    "rejected_by",
)


def write_selection(rows: Sequence[dict[str, Any]], path: str | Path) -> Path:
    """Write rows that have all of `COLUMNS`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return write_text(Path(path), text.getvalue())


def read_scores(path: str | Path) -> dict[int, float]:
    """Read the score of every frame: that of its worst selected hand.

    Raises
    ------
    InputError
        If the file is no such table.
    """
    scores: dict[int, float] = {}
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        for row in csv.DictReader(io.StringIO(text)):
            if row["rank"]:
                frame, score = int(row["frame"]), float(row["score"])
                scores[frame] = min(score, scores.get(frame, score))
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: no table of a selection ({error!r})", "run multiview label again"
        ) from None
    return scores
