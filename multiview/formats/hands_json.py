"""``hands.json``: what `multiview detect` found in photos or in one video.

::

    {"format": "multiview-hands-1",
     "detector": {"name", "sha256": {file: digest}, "runtime", "provider", "max_hands",
                  "passes", "calibrated"},
     "skeleton": {"name", "keypoints": [K names]},
     "pixels": "the centre of the top-left pixel is (0, 0)",
     "smoothing": null or {"filter", "lag_s": {"rest", "one_hand_length_per_s"}, ...},
     "versions": {...},
     "pictures": [
       {"file": "a.jpg" or "frame": 12, "time_s": 0.4, "size_wh": [640, 480],
        "hands": [{"id": 0, "right": 0.98, "presence": 0.99, "roi": [x, y, side, rotation],
                   "keypoints": [[x, y, conf], ... K], "smoothed": [[x, y], ... K]}]}]}

``right`` is the probability of a right hand (null: unknown), ``id`` the track number in a film.
A missing keypoint is ``[null, null, 0]``. If the detector is calibrated, ``conf`` is the
probability that the keypoint lies within a tenth of the hand's size of the truth; if not, it is
what the network itself says (docs/models.md). A picture without a hand has an empty list.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multiview._shapes import F64
from multiview.errors import InputError
from multiview.formats.atomic import write_text

__all__ = ["FORMAT", "keypoint_rows", "keypoints_of", "plain", "read_hands", "write_hands"]

FORMAT = "multiview-hands-1"
PIXELS = "the centre of the top-left pixel is (0, 0)"
DECIMALS = 4  # of pixels and probabilities: below any detector's noise


def plain(values: Any) -> Any:
    """Round numbers for JSON; NaN becomes null."""
    array = np.asarray(values, np.float64)
    if array.ndim:
        return [plain(v) for v in array]
    return round(float(array), DECIMALS) if np.isfinite(array) else None


def keypoint_rows(xy_px: F64, conf: F64) -> list[list[float | None]]:
    """Rows ``[x, y, conf]`` of one hand."""
    rows: list[list[float | None]] = plain(np.column_stack([xy_px, conf]))
    return rows


def keypoints_of(hand: dict[str, Any], key: str = "keypoints") -> F64:
    """Columns of one hand of the file as an array, NaN for null."""
    return np.array(hand[key], dtype=object).astype(np.float64)


def write_hands(path: Path, about: dict[str, Any], pictures: Sequence[dict[str, Any]]) -> Path:
    """Write a file, one picture a line.

    Parameters
    ----------
    path
        Where.
    about
        Every entry but ``format``, ``pixels`` and ``pictures``.
    pictures
        As described in this module.
    """
    head = json.dumps({"format": FORMAT, "pixels": PIXELS} | about, indent=1, allow_nan=False)
    lines = ",\n  ".join(json.dumps(p, allow_nan=False) for p in pictures)
    body = f"[\n  {lines}\n ]" if pictures else "[]"
    return write_text(path, f'{head[:-2]},\n "pictures": {body}\n}}\n')


def read_hands(path: Path) -> dict[str, Any]:
    """Read a file back.

    Raises
    ------
    InputError
        If it is missing, damaged, or another format.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})", "run multiview detect again") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path} is not a {FORMAT} file", "give the hands.json of detect")
    return data
